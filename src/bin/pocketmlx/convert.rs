//! `pocketmlx convert`: a model in MLX's form, quantized if asked for.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use pocketmlx::{ConvertOptions, Dtype, QuantizationMode, Recipe};
use serde_json::json;

use crate::failure::Failure;
use crate::progress::Bar;
use crate::{interrupt, output, size};

const MODES: [&str; 4] = ["affine", "mxfp4", "mxfp8", "nvfp4"];
const RECIPES: [&str; 4] = ["mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"];
const DTYPES: [&str; 3] = ["f16", "bf16", "f32"];

/// Write a model in MLX's form, quantized if asked for; mlx-lm reads it, too. The same command goes on after a break
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder that holds a model of floats, or owner/name of the hub
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The folder to write, which must be new
    #[arg(value_name = "TARGET")]
    target: PathBuf,
    /// Bits of a code: 2, 3, 4, 5, 6 or 8 [default: 4, if anything else asks for quantization]
    #[arg(short, long, value_name = "N")]
    bits: Option<usize>,
    /// Numbers that share a scale: 32, 64 or 128 [default: 64]
    #[arg(short, long, value_name = "N")]
    group: Option<usize>,
    /// What codes mean [default: affine]
    #[arg(long, value_parser = PossibleValuesParser::new(MODES).try_map(|name| name.parse::<QuantizationMode>()))]
    mode: Option<QuantizationMode>,
    /// More bits for the matrices that suffer most
    #[arg(long, value_parser = PossibleValuesParser::new(RECIPES).try_map(|name| name.parse::<Recipe>()))]
    recipe: Option<Recipe>,
    /// Format of floats, which is also that of scales [default: what config.json says]
    #[arg(long, value_parser = PossibleValuesParser::new(DTYPES).try_map(|name| name.parse::<Dtype>()))]
    dtype: Option<Dtype>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    interrupt::install()?;
    let busy = interrupt::busy();
    let mut bar = Bar::new();
    let Args { bits, group: group_size, mode, recipe, dtype, .. } = args;
    let options = ConvertOptions { bits, group_size, mode, recipe, dtype };
    let converted = pocketmlx::convert(&args.source, &args.target, &options, &mut |progress| {
        bar.converting(progress);
        if busy.hit() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.clear();
    if busy.hit() {
        return Err(Failure::Interrupted);
    }
    let converted = converted?;
    let bits = converted.bits_per_weight();
    if args.json {
        return output::json(&json!({
            "path": converted.folder,
            "files": converted.shards,
            "parameters": converted.parameters,
            "source_bytes": converted.source_bytes,
            "bytes": converted.bytes,
            "bits_per_weight": bits,
        }));
    }
    let (before, after) = (size::format(converted.source_bytes), size::format(converted.bytes));
    output::text(&format!("{}: {after} of {before}, {bits:.2} bits per weight\n", converted.folder.display()))
}
