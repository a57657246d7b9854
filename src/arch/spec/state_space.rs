//! Selective state spaces (Mamba).

use serde::Serialize;

use super::{Conv, Linear, Norm};

/// The sizes of a scan over the positions of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scan {
    /// Heads; in Mamba every channel is one.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// `B` and `C` are shared by the heads of a group; divides `heads`.
    pub groups: usize,
    /// Numbers that a channel keeps.
    pub state: usize,
    /// Whether each number of a state has its own decay.
    pub decay_by_state: bool,
    /// Steps stay between these.
    pub limits: [f32; 2],
}

impl Scan {
    /// Width of what goes in, and of what comes out.
    pub fn width(&self) -> usize {
        self.heads * self.head_dim
    }
}

/// A selective state space (Mamba, Gu and Dao 2023; Mamba-2, Dao and Gu 2024). The input gives `z`, what the convolution
/// mixes (`x`, and `B` and `C` where they are not made of `x`), and steps. After the convolution and SiLU each head keeps
/// a state `S` (head width × state width): `t = clamp(softplus(step + bias), limits)`,
/// `S ← exp(t A) S + t x Bᵀ`, `y = S C + D x` with `A = -exp(decay)`. What comes out is normed, if there is a norm, and
/// multiplied by `silu(z)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StateSpace {
    /// Heads; in Mamba every channel is one.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// `B` and `C` are shared by the heads of a group; divides `heads`.
    pub groups: usize,
    /// Numbers that a channel keeps.
    pub state: usize,
    /// `z`, what the convolution mixes, and steps where they come from here: in tensors or pieces of them.
    pub input: Vec<Linear>,
    /// Over `x`, and `B` and `C` where they come from the input.
    pub conv: Conv,
    /// Where `B`, `C` and steps come from.
    pub selection: Selection,
    /// Name of a tensor, `[heads]`, or `[heads, state]` where each number of a state has its own decay.
    pub decay: String,
    /// Whether each number of a state has its own decay.
    pub decay_by_state: bool,
    /// Name of a tensor, `[heads]`.
    pub skip: String,
    /// Steps stay between these.
    pub limits: [f32; 2],
    /// Norm of what comes out.
    pub norm: Option<Norm>,
    /// Whether the norm comes before the product with `silu(z)` instead of after it.
    pub norm_before_gate: bool,
    /// `[hidden, heads * head_dim]`.
    pub output: Linear,
}

/// Where a state space's `B`, `C` and steps come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// The layer's input; `bias` names a tensor, `[heads]`, that is added to steps (Mamba-2).
    Input {
        /// Added to steps.
        bias: String,
    },
    /// `x` after the convolution (Mamba).
    Inner(Box<InnerSelection>),
}

/// `B`, `C` and steps made of `x`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InnerSelection {
    /// Width of the steps' short form.
    pub rank: usize,
    /// The short form of steps, `B` and `C`: `[rank + 2 * state, heads * head_dim]`, in pieces of a tensor if need be.
    pub projection: Vec<Linear>,
    /// Norms of the three.
    pub norms: Option<[Norm; 3]>,
    /// Steps of their short form, `[heads, rank]`, with their bias where it stands beside them.
    pub step: Linear,
    /// Name of a tensor, `[heads]`, that is added to steps.
    pub bias: Option<String>,
}

impl StateSpace {
    /// Width of `x`, of `z` and of what comes out.
    pub fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// The sizes of its scan.
    pub fn scan(&self) -> Scan {
        let Self { heads, head_dim, groups, state, decay_by_state, limits, .. } = *self;
        Scan { heads, head_dim, groups, state, decay_by_state, limits }
    }

    pub(super) fn linears(&self) -> Vec<&Linear> {
        let inner: Vec<&Linear> = match &self.selection {
            Selection::Input { .. } => Vec::new(),
            Selection::Inner(inner) => inner.projection.iter().chain([&inner.step]).collect(),
        };
        self.input.iter().chain(inner).chain([&self.output]).collect()
    }

    pub(super) fn norms(&self) -> Vec<&Norm> {
        let inner: Vec<&Norm> = match &self.selection {
            Selection::Input { .. } => Vec::new(),
            Selection::Inner(inner) => inner.norms.iter().flatten().collect(),
        };
        self.norm.iter().chain(inner).collect()
    }

    pub(super) fn vectors(&self) -> Vec<String> {
        let mut names: Vec<String> = self.conv.names().cloned().collect();
        match &self.selection {
            Selection::Input { bias } => names.push(bias.clone()),
            Selection::Inner(inner) => names.extend(inner.bias.clone()),
        }
        names.extend([self.decay.clone(), self.skip.clone()]);
        names
    }
}
