//! `pocketmlx generate`

use pocketmlx::{FinishReason, Request, SessionOptions, Timings, TokenLogprob, Usage};
use serde::Serialize;

use crate::args::{Ids, LoadArgs, SamplingArgs};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::{input, load, stream};

const EXAMPLES: &str = "\
Examples:
  pocketmlx generate -m MODEL \"Why is the sky blue?\" --max-tokens 100
  pocketmlx generate -m MODEL --system \"Answer in French.\" --temp 0.8 --seed 1 < question.txt
  pocketmlx generate -m MODEL --raw \"Once upon a time\"
  echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}' | pocketmlx generate -m MODEL --request - --json";

/// Answer a prompt: the text goes to stdout as it is generated
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to answer; read from stdin (without its last line end) when left out
    #[arg(conflicts_with_all = ["ids", "request"])]
    prompt: Option<String>,
    #[command(flatten)]
    pub load: LoadArgs,
    /// Continue the prompt as it is, without the model's chat template
    #[arg(long, conflicts_with_all = ["system", "request"])]
    raw: bool,
    /// Continue these token ids, such as 1,2,3
    #[arg(long, value_name = "IDS", conflicts_with_all = ["system", "request"])]
    ids: Option<Ids>,
    /// The system message
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// A whole request as JSON, from a file or stdin (-); options given beside it win over its fields
    #[arg(long, value_name = "FILE")]
    request: Option<String>,
    /// Print one JSON object: text, tokens, finish_reason, usage, timings
    #[arg(long)]
    json: bool,
    // Last, because its help heading goes on to what follows.
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    text: &'a str,
    tokens: &'a [u32],
    finish_reason: FinishReason,
    usage: Usage,
    timings: ReportTimings,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    logprobs: &'a [TokenLogprob],
}

#[derive(Serialize)]
struct ReportTimings {
    load_ms: f64,
    #[serde(flatten)]
    generation: Timings,
}

pub fn run(args: Box<Args>) -> Result<(), Failure> {
    let request = request(&args)?;
    let loaded = load::load(&args.load)?;
    let session = loaded.model.session(SessionOptions::default())?;
    let mut stdout = Output::new();
    let answer = stream::follow(&session, request, |piece| if args.json { Ok(()) } else { stdout.write(piece) });
    if !args.json {
        stdout.end_line()?;
    }
    let answer = answer?;
    if args.json {
        drop(stdout);
        output::json(&Report {
            model: &args.load.model.model,
            text: &answer.text,
            tokens: &answer.tokens,
            finish_reason: answer.done.finish_reason,
            usage: answer.done.usage,
            timings: ReportTimings { load_ms: loaded.load_ms, generation: answer.done.timings },
            logprobs: &answer.logprobs,
        })?;
    }
    if answer.cancelled() { Err(Failure::Interrupted) } else { Ok(()) }
}

/// The request that the options make up; everything that can be wrong with it is found before the model is loaded.
fn request(args: &Args) -> Result<Request, Failure> {
    let flags = args.sampling.request()?;
    let mut request = if let Some(path) = &args.request {
        input::merge(flags, input::request(path)?)
    } else if let Some(Ids(ids)) = &args.ids {
        input::merge(flags, Request::prompt_ids(ids.as_slice()))
    } else {
        let prompt = input::text(args.prompt.clone(), "prompt")?;
        input::merge(flags, if args.raw { Request::prompt(prompt) } else { Request::user(prompt) })
    };
    input::set_system(&mut request, args.system.as_deref())?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_the_documented_keys() {
        let report = Report {
            model: "demo",
            text: "hi",
            tokens: &[1, 2],
            finish_reason: FinishReason::Stop,
            usage: Usage { prompt_tokens: 3, completion_tokens: 2, cached_tokens: 0 },
            timings: ReportTimings { load_ms: 1.5, generation: Timings::default() },
            logprobs: &[],
        };
        assert_eq!(
            serde_json::to_value(report).unwrap(),
            serde_json::json!({
                "model": "demo", "text": "hi", "tokens": [1, 2], "finish_reason": "stop",
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 0},
                "timings": {"load_ms": 1.5, "ttft_ms": 0.0, "prefill_tokens_per_second": 0.0, "decode_tokens_per_second": 0.0},
            })
        );
    }
}
