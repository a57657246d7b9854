//! Tensors that makers divide otherwise: keys and values of latent attention in one, or all experts, and the parts of a
//! delta net apart.

use super::layout::{Found, Layout};
use super::part::Part;
use crate::arch::spec::{Mixer, Spec};
use crate::error::{Error, Result};
use crate::weights::Fused;

/// Parts of names in mlx-lm's classes of Kimi, and what its makers call them.
const OF_KIMI: &[(&str, &str)] = &[
    (".mlp.e_score_correction_bias", ".block_sparse_moe.gate.e_score_correction_bias"),
    (".mlp.", ".block_sparse_moe."),
    ("_conv.conv.weight", "_conv1d.weight"),
    ("_res_proj.weight", "_res.proj_weight"),
    ("_res_norm.weight", "_res.norm_weight"),
];

/// What makers of a family may call a tensor otherwise.
pub(super) fn other_names(family: &str, name: &str) -> Vec<String> {
    let renames = if matches!(family, "kimi_k3" | "kimi_linear") { OF_KIMI } else { &[] };
    let changed = renames.iter().filter(|(own, _)| name.contains(own));
    changed.map(|(own, theirs)| name.replace(own, theirs)).collect()
}

/// The shape of a vector that makers of a family store with more dimensions than mlx-lm's class has.
pub(super) fn flat(spec: &Spec, name: &str, found: Found) -> Found {
    let kinds: &[&str] = match spec.model_type.as_str() {
        "kimi_k3" => &["dt_bias", "A_log"],
        "kimi_linear" => &["dt_bias"],
        _ => &[],
    };
    if !kinds.iter().any(|end| name.ends_with(end)) {
        return found;
    }
    Found { shape: vec![found.shape.iter().product()], ..found }
}

impl Layout<'_> {
    /// A tensor that is a part of another, or has its parts in several.
    pub(super) fn divided(&mut self, name: &str, shape: Option<&[usize]>) -> Result<Option<Found>> {
        if let Some(block) = name.strip_suffix(".embed_q.weight") {
            return self.of_both(block, shape, true);
        }
        if let Some(block) = name.strip_suffix(".unembed_out.weight") {
            return self.of_both(block, shape, false);
        }
        if let (Some(path), Some(&[outputs, inputs])) = (name.strip_suffix(".weight"), shape)
            && let Some(fused) = Fused::find(self.tensors(), path, [outputs, inputs])?
        {
            return self.of_all_experts(&fused, [outputs, inputs]).map(Some);
        }
        let Some((before, behind)) = name.split_once(".self_attn.qkv_") else { return Ok(None) };
        let names = ["q", "k", "v"].map(|part| format!("{before}.self_attn.{part}_{behind}"));
        if self.spec().model_type != "kimi_k3" || !names.iter().all(|name| self.tensors().contains(name)) {
            return Ok(None);
        }
        let mut joined: Option<Found> = None;
        for name in &names {
            let one = self.whole(name)?;
            match &mut joined {
                None => joined = Some(one),
                Some(all) if all.shape[1..] == one.shape[1..] => {
                    all.shape[0] += one.shape[0];
                    all.parts.extend(one.parts);
                }
                Some(all) => {
                    let message = format!("has the shape {:?}, which does not go on from {:?}", one.shape, all.shape);
                    return Err(self.tensors().corrupt(name, message));
                }
            }
        }
        Ok(joined)
    }

    /// One expert's matrix.
    fn of_all_experts(&mut self, fused: &Fused, shape: [usize; 2]) -> Result<Found> {
        let found = self.whole(&fused.name)?;
        let [Part::View(all)] = found.parts.as_slice() else {
            return Err(self.tensors().corrupt(&fused.name, "is not a matrix of floats"));
        };
        let part = all.rows(fused.rows.clone(), all.shape[0]);
        let part = if fused.turned { Part::Turned(part) } else { Part::View(part) };
        Ok(Found { parts: vec![part], shape: shape.into(), ..found })
    }

    /// What brings queries into the space of compressed vectors, or values out of it: for each head the first rows of
    /// `kv_b_proj`, turned, or the rows behind them.
    fn of_both(&mut self, block: &str, shape: Option<&[usize]>, queries: bool) -> Result<Option<Found>> {
        let name = format!("{block}.kv_b_proj.weight");
        let Some(shape) = shape.filter(|_| self.tensors().contains(&name)) else { return Ok(None) };
        let mut mixers = self.spec().layers.iter().flat_map(|layer| layer.mixers());
        let latent = mixers.find_map(|mixer| if let Mixer::Latent(latent) = mixer { Some(latent) } else { None });
        let latent = latent.ok_or_else(|| Error::internal("parts of latent attention in a model without it"))?;
        let (heads, plain, own) = (latent.heads, latent.plain, latent.plain + latent.value);
        let expected = [heads * own, latent.latent];
        let found = self.whole(&name)?;
        let [Part::View(whole)] = found.parts.as_slice() else {
            let message = format!("{}: {name:?} is quantized", self.tensors().label());
            return Err(Error::unsupported(message).with_hint("convert the model that it was made of, in bf16 or f16"));
        };
        if found.shape != expected {
            let message = format!("has the shape {:?}, but config.json asks for {expected:?}", found.shape);
            return Err(self.tensors().corrupt(&name, message));
        }
        let rows =
            |head: usize| if queries { head * own..head * own + plain } else { head * own + plain..(head + 1) * own };
        let part = |head: usize| whole.rows(rows(head), heads * own);
        let parts = (0..heads).map(part).map(if queries { Part::Turned } else { Part::View }).collect();
        Ok(Some(Found { parts, shape: shape.to_vec(), ..found }))
    }
}
