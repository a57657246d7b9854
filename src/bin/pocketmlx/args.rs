//! The command line: subcommands and the options they share. Each subcommand's own options are in its file.

use std::convert::Infallible;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use pocketmlx::{Device, EngineOptions, KvBits, LoadOptions, Precision, Request};

use crate::failure::Failure;
use crate::{bench, chat, convert, doctor, generate, hub, info, probe, render, score, search, size, tokenize};

const EXAMPLES: &str = "\
Examples:
  pocketmlx generate -m ./Qwen3-0.6B-4bit \"Why is the sky blue?\"
  pocketmlx generate -m ./Qwen3-0.6B-4bit --temp 0.7 --seed 1 --max-tokens 200 < question.txt
  pocketmlx generate -m ./Qwen3-0.6B-4bit --request request.json --json
  pocketmlx chat -m ./Qwen3-0.6B-4bit --system \"You answer in one sentence.\"
  pocketmlx convert ./Qwen3-0.6B ./Qwen3-0.6B-4bit --bits 4
  pocketmlx probe ./Qwen3-0.6B-4bit --context-length 32768
  pocketmlx recommend --task code --memory 8GB
  pocketmlx search qwen3 --author mlx-community
  pocketmlx info mlx-community/Qwen3-4B-4bit

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.";

/// Language models on this device.
#[derive(Debug, clap::Parser)]
#[command(name = "pocketmlx", version = pocketmlx::VERSION, after_help = EXAMPLES)]
#[command(infer_long_args = false, arg_required_else_help = true)]
pub struct Cli {
    /// Say on stderr what is being done; twice for more. POCKETMLX_LOG takes a filter such as `pocketmlx=trace`
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Generate(Box<generate::Args>),
    Chat(Box<chat::Args>),
    Score(Box<score::Args>),
    Tokenize(tokenize::Args),
    Render(render::Args),
    Probe(probe::Args),
    Info(info::Args),
    Search(search::SearchArgs),
    Recommend(search::RecommendArgs),
    Pull(hub::PullArgs),
    List(hub::ListArgs),
    Remove(hub::RemoveArgs),
    Gc(hub::GcArgs),
    Convert(convert::Args),
    Bench(bench::Args),
    Doctor(doctor::Args),
}

/// Which model, given by `-m` alone.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// A folder that holds an MLX model, a GGUF file, or owner/name of the hub (of GGUF files owner/name:Q4_K_M or
    /// owner/name/FILE.gguf), which is fetched once
    #[arg(short, long, value_name = "MODEL", default_value = "demo")]
    pub model: String,
}

/// Which model, given as an argument or by `-m`.
#[derive(Debug, clap::Args)]
pub struct PositionalModelArgs {
    /// A folder that holds an MLX model, or owner/name of the hub [default: demo]
    #[arg(value_name = "MODEL", conflicts_with = "model")]
    source: Option<String>,
    /// The same as MODEL
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
}

impl PositionalModelArgs {
    pub fn source(&self) -> &str {
        self.source.as_deref().or(self.model.as_deref()).unwrap_or("demo")
    }
}

/// Which model to load and how to run it.
#[derive(Debug, clap::Args)]
pub struct LoadArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// What computes
    #[arg(long, default_value = "auto", help_heading = "Device", value_parser = device_parser())]
    pub device: Device,
    /// `exact` computes in f32, for comparisons
    #[arg(long, default_value = "default", help_heading = "Device", value_parser = precision_parser())]
    pub precision: Precision,
    /// Threads of the CPU backend [default: one for each processor]
    #[arg(long, value_name = "N", help_heading = "Device")]
    pub threads: Option<usize>,
    /// The most memory to take, such as 4GB or 512MiB [default: four fifths of the machine's]
    #[arg(long, value_name = "SIZE", help_heading = "Device", value_parser = size::parse)]
    pub memory_limit: Option<u64>,
    /// Bits of a number in the caches of keys and values; 16 does not quantize [default: 8 on the CPU backend, 16 on MLX]
    #[arg(long, value_name = "BITS", help_heading = "Device", value_parser = kv_bits_parser())]
    pub kv_bits: Option<KvBits>,
    /// The longest prompt and answer together, in tokens [default: the model's]
    #[arg(long, value_name = "N", help_heading = "Device")]
    pub context_length: Option<usize>,
}

impl LoadArgs {
    pub fn engine_options(&self) -> EngineOptions {
        EngineOptions {
            device: self.device,
            memory_limit_bytes: self.memory_limit,
            threads: self.threads,
            ..EngineOptions::default()
        }
    }

    pub fn load_options(&self) -> LoadOptions {
        LoadOptions {
            precision: self.precision,
            kv_bits: self.kv_bits,
            context_length: self.context_length,
            ..LoadOptions::default()
        }
    }
}

/// How tokens are picked and when the answer ends.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// The most tokens to generate [default: what is left of the context]
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// 0 always picks the most likely token [default: 0]
    #[arg(long, value_name = "T", alias = "temperature", allow_negative_numbers = true)]
    temp: Option<f32>,
    /// Only the most likely tokens whose probabilities sum to P
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Only the K most likely tokens
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Only tokens at least P times as likely as the most likely one
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f32>,
    /// Makes tokens seen before less likely; 1 is off
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    repetition_penalty: Option<f32>,
    /// Subtracted once from the logits of tokens generated before, -2 to 2
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    presence_penalty: Option<f32>,
    /// Subtracted for each time a token was generated before, -2 to 2
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    frequency_penalty: Option<f32>,
    /// The same seed gives the same text [default: a new one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// A text that ends the answer and is not part of it; may be repeated
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Go on past end-of-text tokens
    #[arg(long)]
    ignore_eos: bool,
}

impl SamplingArgs {
    /// The options as a request without a prompt.
    pub fn request(&self) -> Result<Request, Failure> {
        let request = Request {
            max_tokens: self.max_tokens,
            temperature: self.temp,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            seed: self.seed,
            stop: (!self.stop.is_empty()).then(|| self.stop.clone()),
            ignore_eos: self.ignore_eos.then_some(true),
            ..Request::default()
        };
        request.check().map_err(Failure::Usage)?;
        Ok(request)
    }
}

/// Token ids separated by commas or spaces, as `tokenize` prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids(pub Vec<u32>);

impl FromStr for Ids {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(|c: char| c == ',' || c.is_whitespace())
            .filter(|id| !id.is_empty())
            .map(|id| id.parse().map_err(|_| format!("{id:?} is no token id")))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn device_parser() -> impl TypedValueParser<Value = Device> {
    PossibleValuesParser::new(["auto", "mlx-gpu", "mlx-cpu", "cpu"]).try_map(|name| name.parse::<Device>())
}

fn precision_parser() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(["default", "exact"])
        .try_map(|name| Ok::<_, Infallible>(if name == "exact" { Precision::Exact } else { Precision::Default }))
}

/// What `--kv-bits` takes.
pub fn kv_bits_parser() -> impl TypedValueParser<Value = KvBits> {
    PossibleValuesParser::new(["4", "8", "16"]).try_map(|bits| match bits.as_str() {
        "4" => Ok::<_, Infallible>(KvBits::Four),
        "8" => Ok(KvBits::Eight),
        _ => Ok(KvBits::Sixteen),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    fn generate(options: &[&str]) -> Result<Box<generate::Args>, clap::Error> {
        match Cli::try_parse_from(["pocketmlx", "generate"].iter().chain(options))?.command {
            Command::Generate(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ids_take_commas_and_spaces() {
        assert_eq!("1,2, 3".parse(), Ok(Ids(vec![1, 2, 3])));
        assert_eq!("7 8\n".parse(), Ok(Ids(vec![7, 8])));
        assert_eq!("".parse(), Ok(Ids(vec![])));
        assert!("1,x".parse::<Ids>().unwrap_err().contains("\"x\""));
        assert!("-1".parse::<Ids>().is_err());
        assert!("4294967296".parse::<Ids>().is_err());
    }

    #[test]
    fn options_reach_engine_and_request() {
        let args = generate(&[
            "hi",
            "--device",
            "mlx-cpu",
            "--precision",
            "exact",
            "--kv-bits=4",
            "--threads=3",
            "--memory-limit=4GB",
            "--context-length=99",
            "--temp=0.5",
            "--presence-penalty",
            "-1.5",
            "--seed=7",
            "--stop=a",
            "--stop=b",
        ])
        .unwrap();
        let engine = args.load.engine_options();
        assert_eq!((engine.device, engine.threads), (Device::MlxCpu, Some(3)));
        assert_eq!(engine.memory_limit_bytes, Some(4_000_000_000));
        assert_eq!(
            args.load.load_options(),
            LoadOptions {
                precision: Precision::Exact,
                kv_bits: Some(KvBits::Four),
                context_length: Some(99),
                ..LoadOptions::default()
            }
        );
        let request = args.sampling.request().unwrap();
        assert_eq!((request.temperature, request.seed), (Some(0.5), Some(7)));
        assert_eq!(request.presence_penalty, Some(-1.5));
        assert_eq!(request.stop, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(request.max_tokens, None);
    }

    #[test]
    fn numbers_out_of_range_are_wrong_usage() {
        for options in [["--temp", "-1"], ["--top-p", "1.5"], ["--max-tokens", "0"], ["--min-p", "nan"]] {
            let args = generate(&options).unwrap();
            assert!(matches!(args.sampling.request(), Err(Failure::Usage(_))), "{options:?}");
        }
    }

    #[test]
    fn combinations_that_make_no_sense_are_refused() {
        for options in [
            &["--request", "r.json", "prompt"][..],
            &["--request", "r.json", "--ids", "1"],
            &["--request", "r.json", "--raw"],
            &["prompt", "--ids", "1"],
            &["--raw", "--system", "s", "prompt"],
            &["--device", "gpu"],
            &["--memory-limit", "lots"],
            &["--kv-bits", "5"],
            &["--temperatur", "1"],
        ] {
            assert_eq!(generate(options).unwrap_err().exit_code(), 2, "{options:?}");
        }
    }

    #[test]
    fn a_model_is_positional_or_an_option() {
        let source = |options: &[&str]| match Cli::try_parse_from(["pocketmlx", "probe"].iter().chain(options)) {
            Ok(Cli { command: Command::Probe(args), .. }) => Some(args.model.source().to_owned()),
            _ => None,
        };
        assert_eq!(source(&[]).as_deref(), Some("demo"));
        assert_eq!(source(&["a"]).as_deref(), Some("a"));
        assert_eq!(source(&["-m", "b"]).as_deref(), Some("b"));
        assert_eq!(source(&["a", "-m", "b"]), None);
    }
}
