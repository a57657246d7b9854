//! `pocketmlx probe`

use pocketmlx::ProbeOptions;

use crate::args::PositionalModelArgs;
use crate::failure::Failure;
use crate::{outline, output};

/// Say whether a model can run here and what memory it takes; reads no weights
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub model: PositionalModelArgs,
    /// The context to estimate memory for, in tokens [default: 4096, or the model's own if that is shorter]
    #[arg(long, value_name = "N")]
    context_length: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let facts = pocketmlx::probe(args.model.source(), &ProbeOptions { context_length: args.context_length })?;
    if args.json { output::json(&facts) } else { output::text(&outline::of(&facts)) }
}
