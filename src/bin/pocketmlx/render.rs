//! `pocketmlx render`

use pocketmlx::{Request, Text};

use crate::args::ModelArgs;
use crate::failure::Failure;
use crate::{input, output};

/// Print the prompt that the model's chat template makes, and nothing else; needs no weights
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The user's message; read from stdin (without its last line end) when left out
    #[arg(conflicts_with = "request")]
    prompt: Option<String>,
    #[command(flatten)]
    model: ModelArgs,
    /// The system message
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// A whole request as JSON, from a file or stdin (-)
    #[arg(long, value_name = "FILE")]
    request: Option<String>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mut request = match &args.request {
        Some(path) => input::request(path)?,
        None => Request::user(input::text(args.prompt, "prompt")?),
    };
    input::set_system(&mut request, args.system.as_deref())?;
    output::text(&Text::open(&args.model.model)?.render(&request)?)
}
