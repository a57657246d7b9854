//! `pocketmlx search` and `recommend`: models for this device.

use pocketmlx::{Fit, Gated, ModelInfo, ModelTask, RecommendOptions, Recommendation, SearchOptions, SearchSort};

use crate::failure::Failure;
use crate::{hub, output, size};

/// Look for models on the hub; those that run and fit this device come first
#[derive(Debug, clap::Args)]
pub struct SearchArgs {
    /// Words of the name
    #[arg(value_name = "QUERY", default_value = "")]
    query: String,
    /// Whose models, such as mlx-community
    #[arg(long, value_name = "OWNER")]
    author: Option<String>,
    /// A tag that a model must have, may be given several times [default: mlx]
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// What the hub puts first
    #[arg(long, value_name = "WHAT", default_value = "downloads", value_parser = sort)]
    sort: SearchSort,
    /// How many to find
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    room: Room,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// Name models of the catalogue that suit this device, the best first; asks no hub
#[derive(Debug, clap::Args)]
pub struct RecommendArgs {
    /// What for: chat, code, reasoning, vision, embedding or small [default: any]
    #[arg(long, value_name = "TASK")]
    task: Option<ModelTask>,
    #[command(flatten)]
    room: Room,
    /// How many to name [default: 10, or all with --json]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// What a model must fit into.
#[derive(Debug, clap::Args)]
struct Room {
    /// The most memory that a model may take, such as 8GB [default: four fifths of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory: Option<u64>,
    /// The context that must fit, in tokens [default: 4096, or the model's own if that is shorter]
    #[arg(long, value_name = "N")]
    context: Option<usize>,
}

pub fn search(args: SearchArgs) -> Result<(), Failure> {
    let mut options = SearchOptions {
        query: args.query,
        author: args.author,
        sort: args.sort,
        limit: args.limit,
        memory_bytes: args.room.memory,
        context_length: args.room.context,
        ..SearchOptions::default()
    };
    if !args.tag.is_empty() {
        options.tags = args.tag;
    }
    let found = hub::hub()?.search(&options)?;
    if args.json {
        return output::json(&found);
    }
    if found.is_empty() {
        return output::text("nothing was found; --tag and --author narrow the search\n");
    }
    output::text(&found.iter().map(of_hub).collect::<String>())
}

pub fn recommend(args: RecommendArgs) -> Result<(), Failure> {
    const SHOWN: usize = 10;
    let options = RecommendOptions {
        task: args.task,
        memory_bytes: args.room.memory,
        context_length: args.room.context,
        limit: if args.json { args.limit } else { None },
    };
    let all = pocketmlx::recommend(&options)?;
    if args.json {
        return output::json(&all);
    }
    let (runs, rest): (Vec<_>, Vec<_>) =
        all.iter().partition(|model| model.supported && model.fit.as_ref().is_some_and(|fit| fit.fits));
    let shown = args.limit.unwrap_or(SHOWN);
    let mut text: String = runs.iter().take(shown).map(|model| of_catalog(model)).collect();
    if !rest.is_empty() {
        text += if runs.is_empty() { "nothing fits; what comes nearest:\n" } else { "does not fit or run:\n" };
        text.extend(rest.iter().take(shown.div_ceil(3)).map(|model| of_catalog(model)));
    }
    if all.iter().any(|model| !model.verified) {
        text += "sizes are computed from shapes; no hub was asked whether these models are there\n";
    }
    output::text(&text)
}

fn of_hub(model: &ModelInfo) -> String {
    let about = &model.metadata;
    let quantization = about.quantization.as_ref().map_or("", |quantization| quantization.name.as_str());
    let license = about.license.as_deref().unwrap_or("licence unknown");
    let gated = if about.gated == Gated::No { "" } else { ", gated" };
    let cached = if about.cached { ", in the cache" } else { "" };
    let why = match (&model.fit, model.support.reason.as_str()) {
        (Some(fit), "") => fit.reason.clone(),
        (_, reason) => {
            format!("{}{reason}", if model.support.supported == Some(false) { "does not run: " } else { "" })
        }
    };
    let mark = mark(model.support.supported == Some(true), model.fit.as_ref());
    format!("{mark} {}  {quantization}, {license}{gated}{cached}\n    {why}\n", about.id)
}

fn of_catalog(model: &Recommendation) -> String {
    let tasks: Vec<_> = model.tasks.iter().map(|task| task.name()).collect();
    let mark = mark(model.supported, model.fit.as_ref());
    format!("{mark} {}  {}\n    {}\n", model.id, tasks.join(", "), model.reason)
}

fn mark(runs: bool, fit: Option<&Fit>) -> char {
    if runs && fit.is_some_and(|fit| fit.fits) { '+' } else { '-' }
}

fn sort(text: &str) -> Result<SearchSort, String> {
    serde_json::from_value(text.into()).map_err(|_| "one of downloads, likes, trending, modified".to_owned())
}
