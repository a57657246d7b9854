//! Which layer reads what of which.

use crate::arch::blocks::{MAX_CONTEXT, Sizes};
use crate::arch::config::Config;
use crate::arch::spec::{Candidates, FarEntries};
use crate::error::Result;

/// What a layer makes, chooses and reads.
pub(super) struct Sources {
    /// Positions of an entry; 0 in a layer that has the window alone.
    pub ratio: usize,
    /// Whether it makes entries.
    pub makes_entries: bool,
    /// The layer whose keys it chooses by, and what from.
    pub indexer: Option<(usize, Candidates)>,
    /// The entries that it reads.
    pub far: Option<FarEntries>,
}

impl Sources {
    /// Those of all layers.
    pub fn all(config: &Config, sizes: &Sizes) -> Result<Vec<Self>> {
        const RATIOS: &str = "compress_ratios";
        let list = |key, most| -> Result<Vec<usize>> { Ok(config.usizes(key, 0..=most)?.unwrap_or_default()) };
        let ratios = list(RATIOS, 1 << 16)?;
        let (makes, chooses) = (list("kv_source_layer_ids", 1 << 20)?, list("index_source_layer_ids", 1 << 20)?);
        let candidates = CandidateBlocks::read(config)?;
        let ratio_of = |layer: usize| ratios.get(layer).copied().unwrap_or(0);
        let (mut entries, mut keys, mut choice, mut left) = (None, None, None, None);
        let mut all = Vec::with_capacity(sizes.layers);
        for i in 0..sizes.layers {
            let (ratio, makes_entries) = (ratio_of(i), makes.contains(&i));
            for (key, layers) in [("kv_source_layer_ids", &makes), ("index_source_layer_ids", &chooses)] {
                if layers.contains(&i) && ratio == 0 {
                    return Err(config.unsupported(key, format_args!("names layer {i}, whose ratio is 0")));
                }
            }
            let alike = |other: usize| match ratio_of(other) == ratio {
                true => Ok(other),
                false => Err(config.unsupported(
                    RATIOS,
                    format_args!("is not supported: layer {i} reads what layer {other} made with another ratio"),
                )),
            };
            if makes_entries {
                entries = Some(i);
            }
            let mut indexer = None;
            if chooses.contains(&i) {
                keys = if makes_entries { Some(i) } else { keys };
                let Some(keys_of) = keys else {
                    let message = format!("names layer {i}, before which no layer keeps keys");
                    return Err(config.unsupported("index_source_layer_ids", message));
                };
                let from = match (&candidates, left) {
                    (Some(blocks), _) if blocks.layer == i => {
                        left = Some(i);
                        Candidates::Leaves { size: blocks.size, count: blocks.count }
                    }
                    (_, Some(layer)) => Candidates::Of(alike(layer)?),
                    _ => Candidates::All,
                };
                choice = Some(i);
                indexer = Some((alike(keys_of)?, from));
            }
            let far = match (entries, choice) {
                (Some(entries_of), Some(chosen_by)) if ratio > 0 => {
                    if ratio_of(entries_of) != ratio_of(chosen_by) {
                        let message = format!("is not supported: layers {entries_of} and {chosen_by} differ");
                        return Err(config.unsupported(RATIOS, message));
                    }
                    Some(FarEntries { entries_of, chosen_by })
                }
                _ => None,
            };
            all.push(Self { ratio, makes_entries, indexer, far });
        }
        Ok(all)
    }
}

/// The layer that leaves candidates to those behind it, and how many.
struct CandidateBlocks {
    layer: usize,
    size: usize,
    count: usize,
}

impl CandidateBlocks {
    fn read(config: &Config) -> Result<Option<Self>> {
        const COUNT: &str = "candidate_topk_blocks";
        let layer = config.f64_or("candidate_source_layer_id", -1.0, -1e6..=1e6)?;
        let count = config.usize_or(COUNT, 2048, 0..=MAX_CONTEXT)?;
        let size = config.usize_or("candidate_block_size", 8, 1..=MAX_CONTEXT)?;
        let chosen = config.usize_or("index_topk", 512, 1..=MAX_CONTEXT)?;
        if layer < 0.0 || count == 0 {
            return Ok(None);
        }
        // The last block may have one entry.
        if (count - 1).saturating_mul(size) + 1 < chosen {
            let message = format!("leaves fewer entries than the {chosen} of index_topk, which is not supported");
            return Err(config.unsupported(COUNT, message));
        }
        Ok(Some(Self { layer: layer as usize, size, count }))
    }
}
