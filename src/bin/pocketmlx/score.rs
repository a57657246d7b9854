//! `pocketmlx score`

use pocketmlx::{Request, Score, Text};

use crate::args::{Ids, LoadArgs};
use crate::failure::Failure;
use crate::{input, load, output};

const EXAMPLES: &str = "\
Examples:
  pocketmlx score -m MODEL \"Once upon a time\" --top-k 3
  pocketmlx score -m MODEL --ids \"$(pocketmlx tokenize -m MODEL 'Once upon a time')\" --json";

/// Print the log-probability of each token of a given text
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The text, taken as it is without a template; read from stdin (without its last line end) when left out
    #[arg(conflicts_with_all = ["ids", "request"])]
    text: Option<String>,
    #[command(flatten)]
    load: LoadArgs,
    /// Score these token ids, such as 1,2,3
    #[arg(long, value_name = "IDS", conflicts_with = "request")]
    ids: Option<Ids>,
    /// A whole request as JSON, from a file or stdin (-)
    #[arg(long, value_name = "FILE")]
    request: Option<String>,
    /// Also the K most likely tokens at each place [default: 0]
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Print one JSON object: tokens, logprobs, top, perplexity
    #[arg(long)]
    json: bool,
}

pub fn run(args: Box<Args>) -> Result<(), Failure> {
    let request = request(&args)?;
    let loaded = load::load(&args.load)?;
    let score = loaded.model.score(&request)?;
    if args.json { output::json(&score) } else { output::text(&table(&score, loaded.model.text())?) }
}

fn request(args: &Args) -> Result<Request, Failure> {
    let flags = Request { top_logprobs: args.top_k, ..Request::default() };
    flags.check().map_err(Failure::Usage)?;
    let what = if let Some(path) = &args.request {
        input::request(path)?
    } else if let Some(Ids(ids)) = &args.ids {
        Request::prompt_ids(ids.as_slice())
    } else {
        Request::prompt(input::text(args.text.clone(), "text")?)
    };
    Ok(input::merge(flags, what))
}

/// One line a token: place, id, log-probability, text, alternatives.
fn table(score: &Score, text: &Text) -> Result<String, Failure> {
    let show = |id: u32| text.detokenize(&[id]).map(|text| format!("{text:?}"));
    let mut table = format!("{:>6} {:>8} {:>9}  token\n", "#", "id", "logprob");
    for (place, (&id, logprob)) in score.tokens.iter().zip(&score.logprobs).enumerate() {
        let logprob = logprob.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let mut line = format!("{place:>6} {id:>8} {logprob:>9}  {:<16}", show(id)?);
        // What is likely after a token stands beside the token that did come.
        for &(id, logprob) in place.checked_sub(1).and_then(|before| score.top.get(before)).into_iter().flatten() {
            line.push_str(&format!("  {} {logprob:.2}", show(id)?));
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table.push_str(&format!("{} tokens, perplexity {:.4}\n", score.tokens.len(), score.perplexity));
    Ok(table)
}
