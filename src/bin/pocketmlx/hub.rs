//! `pocketmlx pull`, `list`, `remove`, `gc` and `doctor --verify`: the cache of models from a hub.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::SystemTime;

use pocketmlx::{CachedModel, Code, Error, Hub, HubOptions, Removed, probe_config};
use serde_json::json;

use crate::failure::Failure;
use crate::progress::Bar;
use crate::{interrupt, output, size};

/// Fetch a model from the hub into the cache, or bring it up to date; what is there is not fetched again
#[derive(Debug, clap::Args)]
pub struct PullArgs {
    /// owner/name, or owner/name@revision; of GGUF files owner/name:Q4_K_M or owner/name/FILE.gguf
    #[arg(value_name = "MODEL")]
    model: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Print the models in the cache
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// Remove a model from the cache, with all its revisions, or one GGUF file of it
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// owner/name; of GGUF files also owner/name:Q4_K_M or owner/name/FILE.gguf
    #[arg(value_name = "MODEL")]
    model: String,
}

/// Remove what no model in the cache uses, such as half-done downloads and files of older revisions
#[derive(Debug, clap::Args)]
pub struct GcArgs {
    /// Then remove whole models, those first that were not used for the longest time, until the cache is this small
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    keep_under: Option<u64>,
}

pub fn pull(args: PullArgs) -> Result<(), Failure> {
    interrupt::install()?;
    let busy = interrupt::busy();
    let mut bar = Bar::new();
    let check = |folder: &Path| probe_config(&folder.to_string_lossy());
    let folder = hub()?.download(&args.model, &check, &mut |progress| {
        bar.loading(progress);
        if busy.hit() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.clear();
    if busy.hit() {
        return Err(Failure::Interrupted);
    }
    let folder = folder?;
    if args.json {
        return output::json(&json!({ "model": args.model, "path": folder }));
    }
    output::text(&format!("{} is in {}\n", args.model, folder.display()))
}

pub fn list(args: ListArgs) -> Result<(), Failure> {
    let models = hub()?.list()?;
    if args.json {
        return output::json(&models);
    }
    if models.is_empty() {
        return output::text("no models are in the cache; `pocketmlx pull owner/name` fetches one\n");
    }
    let width = models.iter().map(|model| model.id.len()).max().unwrap_or(0);
    let line = |model: &CachedModel| {
        let state = if model.revisions.iter().any(|revision| revision.complete) { "" } else { ", not complete" };
        let days = SystemTime::now().duration_since(model.last_used).map_or(0, |age| age.as_secs() / 86_400);
        let used = if days == 0 { "today".to_owned() } else { format!("{days} days ago") };
        let mut line = format!("{:width$}  {:>9}  used {used}{state}\n", model.id, size::format(model.bytes));
        for file in model.revisions.iter().flat_map(|revision| &revision.gguf) {
            line += &format!("{:width$}  {file}\n", "");
        }
        line
    };
    output::text(&models.iter().map(line).collect::<String>())
}

pub fn remove(args: RemoveArgs) -> Result<(), Failure> {
    output::text(&said(&hub()?.remove(&args.model)?))
}

pub fn gc(args: GcArgs) -> Result<(), Failure> {
    let removed = hub()?.collect_garbage(args.keep_under)?;
    if removed.is_empty() {
        return output::text("nothing to remove\n");
    }
    output::text(&removed.iter().map(said).collect::<String>())
}

/// `doctor --verify`
pub fn verify(json: bool) -> Result<(), Failure> {
    interrupt::install()?;
    let busy = interrupt::busy();
    let mut bar = Bar::new();
    let damaged = hub()?.verify(&mut |progress| {
        bar.loading(progress);
        if busy.hit() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.clear();
    if busy.hit() {
        return Err(Failure::Interrupted);
    }
    let damaged = damaged?;
    if json {
        output::json(&json!({ "damaged": damaged }))?;
    } else if damaged.is_empty() {
        output::text("every file in the cache is what the hub announced\n")?;
    }
    match damaged.as_slice() {
        [] => Ok(()),
        damaged => {
            let names: Vec<_> = damaged.iter().map(|path| path.display().to_string()).collect();
            let message = format!("{} damaged files in the cache: {}", names.len(), names.join(", "));
            let hint = "remove them; `pocketmlx pull` fetches them again";
            Err(Error::new(Code::CorruptFile, message).with_hint(hint).into())
        }
    }
}

/// The hub and the cache of the environment.
pub fn hub() -> Result<Hub, Failure> {
    Ok(Hub::new(HubOptions::default())?)
}

fn said(removed: &Removed) -> String {
    let what = if removed.whole { "" } else { "unused files of " };
    format!("removed {what}{}, {}\n", removed.id, size::format(removed.bytes))
}
