//! `pocketmlx probe`

use pocketmlx::{KvBits, ProbeOptions};
use serde_json::Value;

use crate::args::{PositionalModelArgs, kv_bits_parser};
use crate::failure::Failure;
use crate::{info, outline, output};

/// Say whether a model can run here and what memory it takes; reads no weights
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub model: PositionalModelArgs,
    /// The context to estimate memory for, in tokens [default: 4096, or the model's own if that is shorter]
    #[arg(long, value_name = "N")]
    context_length: Option<usize>,
    /// Bits of a number in the caches of keys and values, as in `generate`
    #[arg(long, value_name = "BITS", value_parser = kv_bits_parser())]
    kv_bits: Option<KvBits>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let source = args.model.source();
    let options = ProbeOptions { context_length: args.context_length, kv_bits: args.kv_bits };
    if let Some(facts) = info::of_hub(source, &options)?
        && facts.get("cached") == Some(&Value::Bool(false))
    {
        let facts = Value::Object(facts);
        return if args.json { output::json(&facts) } else { output::text(&outline::of(&facts)) };
    }
    let facts = pocketmlx::probe(source, &options)?;
    if args.json { output::json(&facts) } else { output::text(&outline::of(&facts)) }
}
