//! Mixtures of experts as families have them.

use super::blocks::{Sizes, linear, name};
use super::spec::{Activation, Ffn, Groups, Mlp, Moe, Routing, Score, SharedExpert};

/// The most experts of a layer.
pub(super) const MAX: usize = 4096;

/// Rules that choose experts.
pub(super) struct Choice;

impl Choice {
    /// The highest logits, weighed by the softmax over all experts.
    pub fn softmax(top_k: usize) -> Routing {
        Routing {
            top_k,
            softcap: None,
            temperature: 1.0,
            score: Score::Softmax,
            correction: None,
            groups: None,
            normalize: None,
            scale: 1.0,
            expert_scale: None,
            weighs_input: false,
        }
    }

    /// The highest logits, weighed by the softmax over themselves; that is what is left of the softmax over all when
    /// it is divided by its sum.
    pub fn softmax_of_chosen(top_k: usize) -> Routing {
        Routing { normalize: Some(0.0), ..Self::softmax(top_k) }
    }

    /// The highest sigmoids after a correction, from the best groups.
    pub fn sigmoid(top_k: usize, correction: Option<String>, groups: Option<Groups>) -> Routing {
        Routing { score: Score::Sigmoid, correction, groups, ..Self::softmax(top_k) }
    }
}

impl Sizes {
    /// Experts of a layer with gate and up apart, in the part `block` of the layer: `block.gate` is the router,
    /// `block.switch_mlp` has the experts.
    pub fn moe(&self, layer: usize, block: &str, count: usize, width: usize, bias: bool, routing: Routing) -> Moe {
        let block = name(layer, block);
        let mut mlp = self.mlp_of(format_args!("{block}.switch_mlp"), width, bias, Activation::Silu);
        for linear in mlp.gate_up.iter_mut().chain([&mut mlp.down]) {
            linear.experts = Some(count);
        }
        Moe {
            experts: count,
            router: linear(format!("{block}.gate"), count, self.hidden, false),
            router_norm: None,
            wide_router: false,
            routing,
            norm: None,
            narrowing: None,
            mlp,
            expert_norm: None,
            post_norm: None,
            shared: None,
            balance: None,
            idle: 0,
        }
    }
}

impl From<Mlp> for SharedExpert {
    fn from(mlp: Mlp) -> Self {
        Self { norm: None, mlp, gate: None, post_norm: None }
    }
}

impl From<Moe> for Ffn {
    fn from(moe: Moe) -> Self {
        Self::Moe(Box::new(moe))
    }
}
