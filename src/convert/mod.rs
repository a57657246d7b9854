//! Models in MLX's form, quantized as asked for.
//!
//! Names, shapes and formats are those that mlx-lm's convert gives a model, and so are the numbers, bit for bit. The
//! source is read through memory maps whose pages are given back after each block, so that memory is bounded by blocks
//! and not by tensors. Files get their names when they are complete, config.json last: what was interrupted is not
//! mistaken for a model, and goes on with the first file that is missing.

mod layout;
mod muse_spark;
mod options;
mod part;
mod plan;
mod published;
mod target;
#[cfg(test)]
mod tests;
mod write;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

pub use options::{ConvertOptions, Recipe};
use plan::Plan;
use target::Target;

use crate::arch;
use crate::error::{Error, Result};
use crate::event::{Progress, Stage};
use crate::source::{self, ModelFiles};
use crate::text::TokenizerFolder;
use crate::weights::gguf::{Conversion, Gguf};
use crate::weights::{Dtype, Tensors, check_names};

/// The most bytes of tensors in a file, unless a single matrix has more; the same as in mlx-lm.
const SHARD_BYTES: u64 = 5 << 30;
/// Room that is left on the disk.
#[cfg(feature = "hub")]
const SPARE: u64 = 64 << 20;
/// How often the caller hears of progress, at most.
const REPORT_EVERY: Duration = Duration::from_millis(20);
/// Endings of files that belong to a model beside its weights and config.json.
const COMPANIONS: &[&str] = &["json", "jinja", "md", "model", "py", "tiktoken", "txt"];
/// A folder of further templates.
const TEMPLATES: &str = "additional_chat_templates";

/// What [`convert`] made.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    /// The new model.
    pub folder: PathBuf,
    /// Files of tensors.
    pub shards: usize,
    /// Numbers that the model is made of.
    pub parameters: u64,
    /// Bytes of the source's tensors, as far as they are part of the model.
    pub source_bytes: u64,
    /// Bytes of the new tensors.
    pub bytes: u64,
    /// What became of the blocks of a GGUF file, and what they lost, where they were kept as nearly as possible.
    pub conversions: Vec<Conversion>,
}

impl Converted {
    /// Bits for each number of the model, scales and biases included.
    pub fn bits_per_weight(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.parameters.max(1) as f64
    }
}

/// Writes a model into the folder `target` in MLX's form, quantized if `options` say so. `source` is whatever
/// [`Engine::load`](crate::Engine::load) takes, and may also have experts apart and other names, as makers publish
/// models. `progress` is called on this thread; `Break` cancels. The same call goes on where one was interrupted.
///
/// # Errors
/// `InvalidArgument` when the options contradict each other, or the folder is there and not that of the same conversion;
/// `Unsupported` naming what can't be converted right, such as a model that is quantized already; `Busy` when another
/// process converts into the folder; `CorruptFile`, `NotFound`, `Io`; `Cancelled`.
pub fn convert(
    source: &str,
    target: &Path,
    options: &ConvertOptions,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Converted> {
    convert_to_shards(source, target, options, progress, SHARD_BYTES)
}

fn convert_to_shards(
    source: &str,
    target: &Path,
    options: &ConvertOptions,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
    shard_bytes: u64,
) -> Result<Converted> {
    options.format()?;
    let files = fetch(source, progress)?;
    let mut report = Report { progress, item: source.to_owned(), began: Instant::now(), last: None, done: 0, total: 0 };
    report.tell(Stage::Check)?;
    let tensors = Tensors::probe(&files)?;
    let (published, mut config) = match files.gguf() {
        Some(gguf) => {
            let published = arch::Published::of_gguf(gguf)?;
            let mut config = published.config.clone();
            config["torch_dtype"] = torch_name(plan::usual_dtype(&published, &tensors)).into();
            (Some(published), config)
        }
        None => (None, arch::config(&files)?),
    };
    let spec = match &published {
        Some(published) => published.spec.clone(),
        None => arch::from_config(&config, &files.file_label("config.json"))?,
    };
    let plan = Plan::new(&spec, &tensors, published.as_ref(), &config, options, shard_bytes)?;
    finish_config(&mut config, &plan, options);
    let tokenizer = files.gguf().map(TokenizerFolder::of_gguf).transpose()?;
    if let Some(tokenizer) = &tokenizer {
        config["eos_token_id"] = tokenizer.eos_ids.clone().into();
    }

    let target = Target::open(target, &job(&files, options)?)?;
    make_room(&target, &plan)?;
    report.total = plan.source_bytes();
    for shard in &plan.shards {
        if target.path(&shard.file).is_file() {
            report.done += shard.outputs.iter().map(plan::Output::source_bytes).sum::<u64>();
            continue;
        }
        report.item = shard.file.clone();
        target.put(&shard.file, |path| write::shard(path, shard, &mut |bytes| report.advance(bytes)))?;
    }
    report.tell(Stage::Weights)?;
    target.put_bytes("model.safetensors.index.json", &pretty(&plan.index())?)?;
    for name in companions(&files)? {
        if let Some(bytes) = files.read(&name)? {
            target.put_bytes(&name, (*bytes).as_ref())?;
        }
    }
    for (name, bytes) in tokenizer.iter().flat_map(|tokenizer| &tokenizer.files) {
        target.put_bytes(name, bytes)?;
    }
    target.put_bytes("config.json", &pretty(&config)?)?;

    let folder = target.folder().to_owned();
    let written = ModelFiles::Folder(folder.clone());
    check_names(&arch::spec(&written)?, &Tensors::probe(&written)?)?;
    target.finish()?;
    let (source_bytes, bytes) = (plan.source_bytes(), plan.bytes());
    let Plan { shards, parameters, conversions, .. } = plan;
    Ok(Converted { folder, shards: shards.len(), parameters, source_bytes, bytes, conversions })
}

#[cfg(feature = "hub")]
fn fetch(source: &str, progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<ModelFiles> {
    source::fetch(source, &|files| arch::spec(files).map(drop), progress)
}

#[cfg(not(feature = "hub"))]
fn fetch(source: &str, _: &mut dyn FnMut(&Progress) -> ControlFlow<()>) -> Result<ModelFiles> {
    source::resolve(source)
}

/// What the journal says of a conversion: the same text only for the same files and options.
fn job(files: &ModelFiles, options: &ConvertOptions) -> Result<Value> {
    let mut stamps = Vec::new();
    let mut label = files.label();
    if let ModelFiles::Folder(folder) = files {
        label = folder.canonicalize().map_err(|e| Error::io(folder, &e))?.display().to_string();
        let weights = |name: &String| name.ends_with(".safetensors") || name == "config.json";
        for name in files.list("")?.into_iter().filter(weights) {
            stamps.push(stamp(&folder.join(&name), &name)?);
        }
    }
    for path in files.gguf().into_iter().flat_map(Gguf::labels) {
        let path = Path::new(path);
        let path = path.canonicalize().map_err(|e| Error::io(path, &e))?;
        stamps.push(stamp(&path, &path.display().to_string())?);
    }
    let ConvertOptions { bits, group_size, mode, recipe, dtype, dequantize } = options;
    let options = json!({
        "bits": bits,
        "group_size": group_size,
        "mode": mode.map(|mode| mode.name()),
        "recipe": recipe.map(Recipe::name),
        "dtype": dtype.map(|dtype| dtype.to_string()),
        "dequantize": dequantize,
    });
    Ok(json!({ "source": label, "files": stamps, "options": options, "version": crate::VERSION }))
}

/// Length and time of a file.
fn stamp(path: &Path, name: &str) -> Result<Value> {
    let metadata = path.metadata().map_err(|e| Error::io(path, &e))?;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    Ok(json!([name, metadata.len(), modified.map_or(0, |since| since.as_nanos() as u64)]))
}

/// Refuses what will not fit, before anything is written.
#[cfg(feature = "hub")]
fn make_room(target: &Target, plan: &Plan) -> Result<()> {
    let missing = plan.shards.iter().filter(|shard| !target.path(&shard.file).is_file());
    let bytes: u64 = missing.flat_map(|shard| &shard.outputs).map(plan::Output::bytes).sum();
    let folder = target.folder();
    // Not every file system tells.
    let Ok(free) = fs4::available_space(folder) else { return Ok(()) };
    if bytes > 0 && bytes.saturating_add(SPARE) > free {
        let message = format!("{}: {bytes} bytes are to come, {free} are free", folder.display());
        return Err(
            Error::new(crate::error::Code::Io, message).with_hint("make room, or name a folder on another disk")
        );
    }
    Ok(())
}

#[cfg(not(feature = "hub"))]
fn make_room(_: &Target, _: &Plan) -> Result<()> {
    Ok(())
}

/// The configuration of the new model, in the style of mlx-lm.
fn finish_config(config: &mut Value, plan: &Plan, options: &ConvertOptions) {
    let Value::Object(config) = config else { return };
    config.remove("_name_or_path");
    config.remove("vision_config");
    if let Some(quantization) = &plan.quantization {
        config.insert("quantization".into(), quantization.clone());
        config.insert("quantization_config".into(), quantization.clone());
    }
    if options.dequantize {
        config.remove("quantization");
        config.remove("quantization_config");
    }
    if let Some(dtype) = options.dtype {
        config.insert("torch_dtype".into(), torch_name(dtype).into());
    }
}

/// What config.json calls a format of floats.
fn torch_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F16 => "float16",
        Dtype::Bf16 => "bfloat16",
        Dtype::F32 | Dtype::U32 | Dtype::U8 => "float32",
    }
}

/// The files that are copied: tokenizer, templates, licence, model card and the like.
fn companions(files: &ModelFiles) -> Result<Vec<String>> {
    let belongs = |name: &String| {
        let written = name == "config.json" || name.ends_with(".index.json");
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        !written && (COMPANIONS.contains(&ending) || name.starts_with("LICENSE"))
    };
    let templates = files.list(TEMPLATES)?.into_iter().filter(|name| name.ends_with(".jinja"));
    Ok(files.list("")?.into_iter().filter(belongs).chain(templates).collect())
}

fn pretty(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|e| Error::internal(format!("JSON could not be written: {e}")))
}

/// Calls the caller's progress function.
struct Report<'a> {
    progress: &'a mut dyn FnMut(&Progress) -> ControlFlow<()>,
    item: String,
    began: Instant,
    last: Option<Instant>,
    done: u64,
    total: u64,
}

impl Report<'_> {
    fn advance(&mut self, bytes: u64) -> Result<()> {
        self.done += bytes;
        if self.last.is_some_and(|last| last.elapsed() < REPORT_EVERY) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        self.tell(Stage::Weights)
    }

    /// An error when the caller cancels.
    fn tell(&mut self, stage: Stage) -> Result<()> {
        let bytes_per_second = self.done as f64 / self.began.elapsed().as_secs_f64().max(1e-6);
        let Self { done, total, .. } = *self;
        match (self.progress)(&Progress { stage, done, total, bytes_per_second, item: self.item.clone() }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::cancelled().context("converting")),
        }
    }
}
