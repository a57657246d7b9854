//! Mixtures of experts.

use serde::Serialize;

use super::{Linear, Mlp, Norm};

/// A mixture of experts: each row goes through the experts that its router chooses, and their outputs are added by
/// weight.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moe {
    /// Experts to choose from.
    pub experts: usize,
    /// Logits of the experts, `[experts, hidden]`.
    pub router: Linear,
    /// Norm of what the router sees, where that is not what the experts see.
    pub router_norm: Option<Norm>,
    /// Whether logits are computed in f32, whatever the activations are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub wide_router: bool,
    /// How logits become choices and weights.
    pub routing: Routing,
    /// Norm of what the experts see, narrowed already.
    pub norm: Option<Norm>,
    /// How the experts' input is narrowed and their output widened again, where they are narrower than the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub narrowing: Option<Narrowing>,
    /// The experts; tensors are stacked, `[experts, outputs, inputs]`.
    pub mlp: Mlp,
    /// Norm of what each expert gives, before it is weighed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expert_norm: Option<Norm>,
    /// Norm of what the experts give.
    pub post_norm: Option<Norm>,
    /// An expert that every row goes through.
    pub shared: Option<SharedExpert>,
    /// The softmax of this product, `[2, hidden]`, weighs the chosen experts and the shared one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Linear>,
    /// Choices beyond the experts that give the row as it is.
    pub idle: usize,
}

/// What stands around experts that are narrower than the model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Narrowing {
    /// `[narrow, hidden]`.
    pub down: Linear,
    /// Norm of what the experts give, before it is widened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// `[hidden, narrow]`.
    pub up: Linear,
}

/// An expert that every row goes through.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SharedExpert {
    /// Norm of what it sees.
    pub norm: Option<Norm>,
    /// Its matrices.
    pub mlp: Mlp,
    /// Its output is multiplied by the sigmoid of this product, `[1, hidden]`.
    pub gate: Option<Linear>,
    /// Norm of what it gives.
    pub post_norm: Option<Norm>,
}

/// How a router chooses. Scores are made of logits; the experts with the highest scores (after a correction, within
/// the best groups) are chosen; their scores without the correction are the weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Routing {
    /// Experts of a row.
    pub top_k: usize,
    /// Logits become `softcap * tanh(logits / softcap)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub softcap: Option<f32>,
    /// Logits are divided by it, usually 1.
    pub temperature: f32,
    /// How scores are made.
    pub score: Score,
    /// Name of a tensor, `[experts]`, added to the scores to choose, but not to weigh.
    pub correction: Option<String>,
    /// Only experts of the best groups are chosen.
    pub groups: Option<Groups>,
    /// Whether weights are divided by their sum, and what is added to it.
    pub normalize: Option<f32>,
    /// Factor of all weights.
    pub scale: f32,
    /// Name of a tensor, `[experts]`, of factors.
    pub expert_scale: Option<String>,
    /// Whether weights are factors of what experts see instead of what they give.
    pub weighs_input: bool,
}

/// How logits of experts become scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Softmax over all experts.
    Softmax,
    /// The sigmoid of each.
    Sigmoid,
    /// The root of the softplus of each.
    SqrtSoftplus,
    /// Sparse mixer (Phi 3.5 MoE): one after the other, the softmax over those that are within twice this relative
    /// distance from the best that is left.
    SparseMixer(f32),
}

/// Groups of experts with consecutive numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Groups {
    /// How many groups there are.
    pub count: usize,
    /// How many of them are chosen from.
    pub chosen: usize,
    /// A group is as good as the sum of its best scores, that many of them.
    pub best: usize,
    /// Whether experts of other groups can't be chosen; else they count as 0, which may be more than a corrected score.
    pub strict: bool,
}
