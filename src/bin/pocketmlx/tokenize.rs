//! `pocketmlx tokenize`

use pocketmlx::Text;
use serde_json::json;

use crate::args::ModelArgs;
use crate::failure::Failure;
use crate::{input, output};

/// Print the token ids of a text; needs no weights
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The text; read from stdin (without its last line end) when left out
    text: Option<String>,
    #[command(flatten)]
    model: ModelArgs,
    /// Leave out special tokens such as BOS
    #[arg(long)]
    no_special: bool,
    /// Print {"tokens": […]}
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let text = input::text(args.text, "text")?;
    let tokens = Text::open(&args.model.model)?.tokenize(&text, !args.no_special)?;
    if args.json {
        return output::json(&json!({ "tokens": tokens }));
    }
    let ids: Vec<_> = tokens.iter().map(u32::to_string).collect();
    output::text(&(ids.join(" ") + "\n"))
}
