//! `pocketmlx convert`: a model in MLX's form, quantized if asked for.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use pocketmlx::{Conversion, ConvertOptions, Dtype, QuantizationMode, Recipe};
use serde_json::json;

use crate::failure::Failure;
use crate::progress::Bar;
use crate::{interrupt, output, size};

const MODES: [&str; 4] = ["affine", "mxfp4", "mxfp8", "nvfp4"];
const RECIPES: [&str; 4] = ["mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"];
const DTYPES: [&str; 3] = ["f16", "bf16", "f32"];

/// Write a model in MLX's form, quantized if asked for; mlx-lm reads it, too. The same command goes on after a break
///
/// Without an option for its format a model stays what it is. The blocks of a GGUF file become affine codes in groups of
/// 32: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL and MXFP4 number for number, Q4_K, Q5_K and IQ4_XS with scales in f16, and
/// Q2_K, Q3_K and Q6_K quantized anew to 4, 5 and 8 bits; what that loses is said at the end.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A folder that holds a model, a GGUF file, or owner/name of the hub
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The folder to write, which must be new
    #[arg(value_name = "TARGET", required_unless_present = "model")]
    target: Option<PathBuf>,
    /// The source, as other subcommands take it; then TARGET stands alone
    #[arg(short, long, value_name = "SOURCE", conflicts_with = "target")]
    model: Option<String>,
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
    /// Format of floats, which is also that of scales [default: what config.json says; of a GGUF file what its matrices
    /// have, f16 beside blocks, bf16 of a Gemma, whose numbers leave the range of f16]
    #[arg(long, value_parser = PossibleValuesParser::new(DTYPES).try_map(|name| name.parse::<Dtype>()))]
    dtype: Option<Dtype>,
    /// Make floats of a model that is quantized
    #[arg(short, long, conflicts_with_all = ["bits", "group", "mode", "recipe"])]
    dequantize: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    interrupt::install()?;
    let busy = interrupt::busy();
    let mut bar = Bar::new();
    let Args { bits, group: group_size, mode, recipe, dtype, dequantize, .. } = args;
    let options = ConvertOptions { bits, group_size, mode, recipe, dtype, dequantize };
    // With a model named apart, what stands alone is the target.
    let (source, target) = match (args.model, args.target) {
        (Some(model), _) => (model, args.source.into()),
        (None, target) => (args.source, target.unwrap_or_default()),
    };
    let converted = pocketmlx::convert(&source, &target, &options, &mut |progress| {
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
            "conversions": converted.conversions,
        }));
    }
    let (before, after) = (size::format(converted.source_bytes), size::format(converted.bytes));
    let mut said = format!("{}: {after} of {before}, {bits:.2} bits per weight\n", converted.folder.display());
    for Conversion { from, to, tensors, relative_error, .. } in &converted.conversions {
        let lost = if *relative_error == 0.0 { "nothing".into() } else { format!("{:.2} %", 100.0 * relative_error) };
        said += &format!("{tensors} tensors of {from} became {to}; lost: {lost}\n");
    }
    output::text(&said)
}
