//! `pocketmlx info`

use pocketmlx::{ProbeOptions, Request, Text};
use serde_json::{Value, json};

use crate::args::PositionalModelArgs;
use crate::failure::Failure;
use crate::{outline, output};

/// Print what a model is: its architecture, its tokenizer's special tokens, how its prompts look; reads no weights
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: PositionalModelArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let source = args.model.source();
    let mut facts = pocketmlx::probe(source, &ProbeOptions::default())?;
    let text = Text::open(source)?;
    if let Value::Object(facts) = &mut facts {
        facts.shift_remove("memory");
        facts.insert("text".to_owned(), text_facts(&text)?);
    }
    if args.json { output::json(&facts) } else { output::text(&outline::of(&facts)) }
}

fn text_facts(text: &Text) -> Result<Value, Failure> {
    // What is added to an empty text is what is added to every text.
    let added = text.tokenize("", true)?;
    let names = added.iter().map(|id| text.detokenize(&[*id])).collect::<Result<Vec<_>, _>>()?;
    let example = if text.has_template() { Some(text.render(&Request::user("Hello"))?) } else { None };
    Ok(json!({
        "added_tokens": added,
        "added_text": names,
        "chat_template": text.has_template(),
        "prompt_example": example,
    }))
}
