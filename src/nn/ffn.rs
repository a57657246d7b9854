//! Feed-forward blocks.

use super::layer::{Ffn, Mlp, Moe};
use crate::arch::spec;
use crate::backend::{Backend, HeadPart, RoutingParams};
use crate::error::{Error, Result};

/// What a feed-forward block gives for rows that are normed already.
pub(super) fn ffn<B: Backend>(backend: &B, block: &Ffn<B>, spec: &spec::Ffn, x: &B::Tensor) -> Result<B::Tensor> {
    match (block, spec) {
        (Ffn::Dense(mlp), _) => backend.linear(&hidden(backend, mlp, x)?, &mlp.down),
        (Ffn::Linear(linear), _) => backend.linear(x, linear),
        (Ffn::Moe(block), spec::Ffn::Moe(spec)) => moe(backend, block, spec, x),
        _ => Err(Error::internal("a feed-forward block that its layer does not have")),
    }
}

/// The hidden activations of a dense block, before the last matrix.
pub(super) fn hidden<B: Backend>(backend: &B, mlp: &Mlp<B>, x: &B::Tensor) -> Result<B::Tensor> {
    activated(backend, mlp, &backend.linear(x, &mlp.gate_up)?)
}

/// What the activation makes of the first product.
pub(super) fn activated<B: Backend>(backend: &B, mlp: &Mlp<B>, gate_up: &B::Tensor) -> Result<B::Tensor> {
    let hidden = gated(backend, mlp, gate_up)?;
    match &mlp.norm {
        Some(norm) => backend.norm(&hidden, norm),
        None => Ok(hidden),
    }
}

fn gated<B: Backend>(backend: &B, mlp: &Mlp<B>, gate_up: &B::Tensor) -> Result<B::Tensor> {
    if let Some(width) = mlp.interleaved {
        let half = |at: usize| backend.head_columns(gate_up, width, at..at + 1);
        let (gate, up) = (half(0)?, half(1)?);
        let apart = backend.join_heads(&[HeadPart::Own(&gate), HeadPart::Own(&up)], 1)?;
        return backend.gate(&apart, mlp.activation);
    }
    if mlp.gated { backend.gate(gate_up, mlp.activation) } else { backend.activate(gate_up, mlp.activation) }
}

fn moe<B: Backend>(backend: &B, moe: &Moe<B>, spec: &spec::Moe, x: &B::Tensor) -> Result<B::Tensor> {
    let norm = |norm: &Option<B::Norm>, x: &B::Tensor| match norm {
        Some(norm) => backend.norm(x, norm),
        None => Ok(x.clone()),
    };
    let mut logits = norm(&moe.router_norm, x)?;
    if spec.wide_router {
        logits = backend.widen(&logits)?;
    }
    logits = backend.linear(&logits, &moe.router)?;
    if spec.routing.temperature != 1.0 {
        logits = backend.scale(&logits, 1.0 / spec.routing.temperature)?;
    }
    let routing = RoutingParams {
        rule: &spec.routing,
        correction: moe.correction.as_ref(),
        expert_scale: moe.expert_scale.as_ref(),
        norm: moe.expert_norm.as_ref(),
    };
    let seen = match &moe.narrowing {
        Some(narrowing) => norm(&moe.norm, &backend.linear(x, &narrowing.down)?)?,
        None => norm(&moe.norm, x)?,
    };
    let mut chosen = backend.experts(&seen, &logits, &moe.experts, &routing)?;
    if let Some(narrowing) = &moe.narrowing {
        chosen = backend.linear(&norm(&narrowing.norm, &chosen)?, &narrowing.up)?;
    }
    let chosen = norm(&moe.post_norm, &chosen)?;
    let Some(shared) = &moe.shared else { return Ok(chosen) };

    let input = norm(&shared.norm, x)?;
    let mut all = backend.linear(&hidden(backend, &shared.mlp, &input)?, &shared.mlp.down)?;
    if let Some(gate) = &shared.gate {
        all = backend.sigmoid_gate(&all, &backend.linear(&input, gate)?)?;
    }
    let all = norm(&shared.post_norm, &all)?;
    let Some(balance) = &moe.balance else { return backend.add(&chosen, &all) };
    // The softmax of two is the sigmoid of their difference.
    let both = backend.linear(x, balance)?;
    let (first, second) = (backend.columns(&both, 0..1)?, backend.columns(&both, 1..2)?);
    let difference = backend.add(&first, &backend.scale(&second, -1.0)?)?;
    let chosen = backend.sigmoid_gate(&chosen, &difference)?;
    backend.add(&chosen, &backend.sigmoid_gate(&all, &backend.scale(&difference, -1.0)?)?)
}
