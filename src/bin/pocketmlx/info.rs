//! `pocketmlx info`

use std::path::Path;

use pocketmlx::{Error, FitOptions, ProbeOptions, RepositoryId, Request, Text};
use serde_json::{Map, Value, json};

use crate::args::PositionalModelArgs;
use crate::failure::Failure;
use crate::{hub, outline, output};

/// Print what a model is: its architecture, its tokenizer's special tokens, how its prompts look; of one on the hub its
/// licence, size and versions, too, and whether it runs and fits; reads and fetches no weights
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
    if let Some(mut facts) = of_hub(source, &ProbeOptions::default())? {
        let hub = hub::hub()?;
        if let Some(model) = hub.cached_model(source)? {
            facts.insert("cache".to_owned(), json!(model));
        }
        if hub.cached(source)?.is_some() {
            facts.insert("text".to_owned(), text_facts(&Text::open(source)?)?);
        }
        return print(&Value::Object(facts), args.json);
    }
    let mut facts = pocketmlx::probe(source, &ProbeOptions::default())?;
    let text = Text::open(source)?;
    if let Value::Object(facts) = &mut facts {
        facts.shift_remove("memory");
        facts.insert("text".to_owned(), text_facts(&text)?);
    }
    print(&facts, args.json)
}

fn print(facts: &Value, json: bool) -> Result<(), Failure> {
    if json { output::json(facts) } else { output::text(&outline::of(facts)) }
}

/// What is known of a model of the hub; `None` for one that lies in a folder or in the program.
pub fn of_hub(source: &str, options: &ProbeOptions) -> Result<Option<Map<String, Value>>, Failure> {
    if Path::new(source).exists() || source.parse::<RepositoryId>().is_err() {
        return Ok(None);
    }
    let info = hub::hub()?.info(
        source,
        &FitOptions { context_length: options.context_length, kv_bits: options.kv_bits, ..FitOptions::default() },
    )?;
    let facts = serde_json::to_value(info).map_err(|e| Error::internal(format!("info as JSON: {e}")))?;
    Ok(facts.as_object().cloned())
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
