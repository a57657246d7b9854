//! Gated linear recurrences.

use serde::Serialize;

use super::{Conv, Linear};

/// A gated linear recurrence (RG-LRU of Griffin, De et al. 2024). `input` gives `z` and `x`; `x` goes through a
/// convolution. Each channel keeps one number `h`: with `a = exp(-8 softplus(decay) sigmoid(keep_gate(x)))`,
/// `h ← a h + sqrt(1 - a²) sigmoid(input_gate(x)) x`, where the first position of a sequence has no factor with a root.
/// What goes on is `h * gelu(z)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recurrence {
    /// Parts of the channels whose gates see the channels of that part alone.
    pub heads: usize,
    /// `z` and `x`, in tensors or pieces of them.
    pub input: Vec<Linear>,
    /// Over `x`.
    pub conv: Conv,
    /// How much of `x` is taken in.
    pub input_gate: HeadGate,
    /// How much of `h` is kept.
    pub keep_gate: HeadGate,
    /// Name of a tensor, `[channels]`.
    pub decay: String,
    /// `[hidden, channels]`.
    pub output: Linear,
}

/// Names of the tensors of a gate: a matrix for each head, `[heads, inputs, outputs]`, and its bias, `[heads, outputs]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadGate {
    /// The matrices.
    pub weight: String,
    /// Added.
    pub bias: String,
}

impl Recurrence {
    pub(super) fn vectors(&self) -> Vec<String> {
        let gates = [&self.input_gate, &self.keep_gate].into_iter().flat_map(|gate| [&gate.weight, &gate.bias]);
        self.conv.names().chain(gates).chain([&self.decay]).cloned().collect()
    }
}
