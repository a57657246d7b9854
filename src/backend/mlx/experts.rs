//! Mixtures of experts, without ever asking the device what it chose.

use mlx_rs::{Array, Dtype, ops, transforms};

use super::Mlx;
use super::activation::{activate, gate, softcap, wide};
use super::error::{Fault, Result};
use super::linear::cast;
use super::norm::scalar;
use super::raw::{self, Packed};
use crate::arch::spec::{Activation, Groups, QuantizationFormat, Routing, Score};
use crate::backend::{ExpertsData, RoutingParams, StackData};
use crate::error::Error;
use crate::weights::{LinearData, Matrix, TensorView};

/// From this many visits on they are sorted by expert, so that its weights are read once (as in mlx-lm).
const SORTED: i32 = 64;

/// Loaded experts.
pub(crate) struct Experts {
    count: i32,
    gate_up: Vec<Stacked>,
    down: Stacked,
    activation: Activation,
    gated: bool,
}

/// One matrix for each expert, or head.
pub(super) struct Stacked {
    numbers: Numbers,
    /// `[experts, outputs]`.
    bias: Option<Array>,
    /// `[experts]`, of the products.
    factors: Option<Array>,
}

/// Matrices that become one, and the factors of their products.
type Alike<'a> = (Vec<&'a [LinearData]>, Option<&'a [f32]>);

enum Numbers {
    /// `[experts, inputs, outputs]`.
    Dense(Array),
    Quantized {
        codes: Array,
        scales: Array,
        biases: Option<Array>,
        format: QuantizationFormat,
    },
}

impl Experts {
    /// Takes matrices over; `exact` turns all floats into f32.
    pub fn load(data: &ExpertsData, exact: bool) -> Result<Self> {
        let (count, gated) = (data.count, data.gated);
        let gate_up = Stacked::load(&data.gate_up, count, exact)?;
        let mut down = Stacked::load(std::slice::from_ref(&data.down), count, exact)?;
        let (Some(down), true) = (down.pop(), down.is_empty()) else {
            return Err(Fault::internal("experts without a matrix"));
        };
        transforms::eval(gate_up.iter().chain([&down]).flat_map(Stacked::arrays))?;
        Ok(Self { count: raw::dim(count)?, gate_up, down, activation: data.activation, gated })
    }

    /// `x` as `[…, 1, inputs]`, each row through the expert that `chosen` names.
    fn apply(&self, x: &Array, chosen: &Array, sorted: bool) -> Result<Array> {
        let mut parts = self.gate_up.iter().map(|part| part.apply(x, chosen, sorted)).collect::<Result<Vec<_>>>()?;
        let first = match (parts.pop(), parts.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                parts.extend(last);
                ops::concatenate(&parts, -1)?
            }
        };
        let hidden = if self.gated { gate(&first, self.activation)? } else { activate(&first, self.activation)? };
        self.down.apply(&cast(hidden, x.dtype())?, chosen, sorted)
    }
}

impl Stacked {
    /// Matrices side by side; those that are stored alike become one.
    fn load(parts: &[StackData], experts: usize, exact: bool) -> Result<Vec<Self>> {
        let mut alike: Vec<Alike> = Vec::new();
        for StackData { parts: part, factors } in parts {
            let [first, rest @ ..] = &**part else { return Err(Fault::internal("experts without a matrix")) };
            if rest.iter().any(|other| !stored_alike(first, other)) {
                return Err(Fault(
                    Error::unsupported("experts of one layer in different formats")
                        .with_hint("convert the model with one format for all experts of a layer"),
                ));
            }
            match alike.last_mut() {
                Some((last, None)) if factors.is_none() && stored_alike(&last[0][0], first) => last.push(part),
                _ => alike.push((vec![part], factors.as_deref())),
            }
        }
        let load = |(parts, factors): Alike| {
            let factors =
                factors.map(|factors| Ok::<_, Fault>(Array::from_slice(factors, &[raw::dim(factors.len())?])));
            Ok(Self { factors: factors.transpose()?, ..Self::load_alike(&parts, experts, exact)? })
        };
        alike.into_iter().map(load).collect()
    }

    fn load_alike(parts: &[&[LinearData]], experts: usize, exact: bool) -> Result<Self> {
        let [[first, ..], ..] = parts else { return Err(Fault::internal("experts without a matrix")) };
        let stack = |tensor: fn(&LinearData) -> Option<&TensorView>, is_float: bool| -> Result<Option<Array>> {
            let mut arrays = Vec::with_capacity(parts.len());
            for part in parts {
                let views: Option<Vec<&TensorView>> = part.iter().map(tensor).collect();
                let Some(views) = views else { return Ok(None) };
                let each = views.iter().map(|view| raw::from_view(view)).collect::<Result<Vec<_>>>()?;
                let array = ops::concatenate(&each, 0)?;
                let columns = if array.ndim() > 1 { array.dim(-1) } else { 1 };
                arrays.push(array.reshape(&[raw::dim(experts)?, -1, columns])?);
            }
            let all = ops::concatenate(&arrays, 1)?;
            Ok(Some(if exact && is_float { cast(all, Dtype::Float32)? } else { all }))
        };
        let need = |array: Option<Array>| array.ok_or_else(|| Fault::internal("experts stored in different ways"));
        let bias = match stack(|part| part.bias.as_ref(), true)? {
            Some(bias) => Some(bias.squeeze_axes(&[2])?),
            None => None,
        };
        let numbers = match &first.matrix {
            Matrix::Dense(_) => {
                let weight = need(stack(|part| weight(&part.matrix), true)?)?;
                Numbers::Dense(weight.swap_axes(1, 2)?)
            }
            Matrix::Affine { format, .. } | Matrix::Float { format, .. } => Numbers::Quantized {
                codes: need(stack(|part| weight(&part.matrix), false)?)?,
                scales: need(stack(|part| scales(&part.matrix), matches!(first.matrix, Matrix::Affine { .. }))?)?,
                biases: stack(|part| biases(&part.matrix), true)?,
                format: *format,
            },
        };
        Ok(Self { numbers, bias, factors: None })
    }

    /// One stored matrix.
    pub fn load_one(data: &LinearData, count: usize, exact: bool) -> Result<Self> {
        let stacked = Self::load_alike(&[std::slice::from_ref(data)], count, exact)?;
        transforms::eval(stacked.arrays())?;
        Ok(stacked)
    }

    /// `[count, rows, inputs]`, each of the matrices with its own rows.
    pub fn batched(&self, x: &Array) -> Result<Array> {
        let y = match &self.numbers {
            Numbers::Dense(matrices) => x.matmul(matrices)?,
            Numbers::Quantized { codes, scales, biases, format } => {
                Packed { codes, scales, biases: biases.as_ref(), format: *format }.matmul(x)?
            }
        };
        let y = match &self.bias {
            Some(bias) => y.add(bias.expand_dims(1)?)?,
            None => y,
        };
        cast(y, x.dtype())
    }

    fn apply(&self, x: &Array, chosen: &Array, sorted: bool) -> Result<Array> {
        let Some(factors) = &self.factors else { return self.product(x, chosen, sorted) };
        // Scales of the groups alone may make more of a number than f16 has.
        let y = if x.dtype() == Dtype::Float16 {
            self.product(&wide(x)?, chosen, sorted)?
        } else {
            self.product(x, chosen, sorted)?
        };
        let factors = factors.take_axis(chosen, 0)?.expand_dims_axes(&[-1, -2])?;
        cast(wide(&y)?.multiply(factors)?, x.dtype())
    }

    fn product(&self, x: &Array, chosen: &Array, sorted: bool) -> Result<Array> {
        let y = match &self.numbers {
            Numbers::Dense(matrices) => raw::gather_matmul(x, matrices, chosen, sorted)?,
            Numbers::Quantized { codes, scales, biases, format } => {
                Packed { codes, scales, biases: biases.as_ref(), format: *format }.gather_matmul(x, chosen, sorted)?
            }
        };
        match &self.bias {
            Some(bias) => Ok(y.add(bias.take_axis(chosen, 0)?.expand_dims(-2)?)?),
            None => Ok(y),
        }
    }

    fn arrays(&self) -> Vec<&Array> {
        let mut arrays: Vec<&Array> = self.bias.iter().chain(&self.factors).collect();
        match &self.numbers {
            Numbers::Dense(matrices) => arrays.push(matrices),
            Numbers::Quantized { codes, scales, biases, .. } => {
                arrays.extend([codes, scales].into_iter().chain(biases))
            }
        }
        arrays
    }
}

fn weight(matrix: &Matrix) -> Option<&TensorView> {
    match matrix {
        Matrix::Dense(view) | Matrix::Affine { codes: view, .. } | Matrix::Float { codes: view, .. } => Some(view),
    }
}

fn scales(matrix: &Matrix) -> Option<&TensorView> {
    match matrix {
        Matrix::Dense(_) => None,
        Matrix::Affine { scales, .. } | Matrix::Float { scales, .. } => Some(scales),
    }
}

fn biases(matrix: &Matrix) -> Option<&TensorView> {
    match matrix {
        Matrix::Affine { biases, .. } => Some(biases),
        _ => None,
    }
}

fn stored_alike(a: &LinearData, b: &LinearData) -> bool {
    let format = |matrix: &Matrix| match matrix {
        Matrix::Dense(_) => None,
        Matrix::Affine { format, .. } | Matrix::Float { format, .. } => Some(*format),
    };
    let dtype = |view: Option<&TensorView>| view.map(|view| view.dtype);
    format(&a.matrix) == format(&b.matrix)
        && dtype(weight(&a.matrix)) == dtype(weight(&b.matrix))
        && dtype(scales(&a.matrix)) == dtype(scales(&b.matrix))
        && a.bias.is_some() == b.bias.is_some()
}

/// See [`Backend::experts`](crate::backend::Backend::experts).
pub(super) fn experts(x: &Array, logits: &Array, experts: &Experts, routing: &RoutingParams<'_, Mlx>) -> Result<Array> {
    let (mut chosen, weights) = choose(logits, routing)?;
    let (rows, choices) = (x.dim(0), chosen.dim(1));
    let mut own = weights.reshape(weights.shape())?;
    let mut idle = None;
    if logits.dim(1) > experts.count {
        // Choices beyond the experts give the row as it is; another expert is asked in their place and not heard.
        let beyond = chosen.ge(cast(Array::from_int(experts.count), chosen.dtype())?)?;
        let nothing = scalar(0.0, weights.dtype())?;
        idle = Some(ops::select(&beyond, &weights, &nothing)?.sum_axis(-1, true)?);
        own = ops::select(&beyond, &nothing, &weights)?;
        chosen = ops::select(&beyond, cast(Array::from_int(0), chosen.dtype())?, &chosen)?;
    }
    // With one choice a row's weight may be taken before the experts.
    let weighed;
    let x = match routing.rule.weighs_input {
        true if choices == 1 => {
            weighed = cast(x.multiply(&own)?, x.dtype())?;
            own = ops::ones_like(&own)?;
            &weighed
        }
        true => return Err(Fault::internal("weights before several experts")),
        false => x,
    };
    let y = if rows * choices >= SORTED {
        let flat = chosen.reshape(&[-1])?;
        let order = ops::argsort_axis(&flat, 0)?;
        let back = ops::argsort_axis(&order, 0)?;
        let row = order.floor_divide(cast(Array::from_int(choices), order.dtype())?)?;
        let gathered = x.take_axis(&row, 0)?.expand_dims(-2)?;
        let y = experts.apply(&gathered, &flat.take_axis(&order, 0)?, true)?;
        y.take_axis(&back, 0)?.reshape(&[rows, choices, -1])?
    } else {
        experts.apply(&x.expand_dims_axes(&[-2, -3])?, &chosen, false)?.squeeze_axes(&[-2])?
    };
    let y = match routing.norm {
        Some(norm) => norm.apply(&y)?,
        None => y,
    };
    let mut y = y.multiply(own.expand_dims(-1)?)?.sum_axis(1, false)?;
    if let Some(idle) = idle {
        y = y.add(x.multiply(idle)?)?;
    }
    cast(y, x.dtype())
}

/// Numbers of the chosen experts and their weights in f32, `[rows, choices]` each.
fn choose(logits: &Array, routing: &RoutingParams<'_, Mlx>) -> Result<(Array, Array)> {
    let (rule, mut logits) = (routing.rule, wide(logits)?);
    if let Some(cap) = rule.softcap {
        logits = softcap(&logits, cap)?;
    }
    let (chosen, mut weights) = match rule.score {
        Score::SparseMixer(jitter) => sparse_mixer(&logits, rule.top_k, jitter)?,
        Score::Softmax => best(&ops::softmax_axis(&logits, -1, true)?, rule, routing.correction)?,
        Score::Sigmoid => best(&ops::sigmoid(&logits)?, rule, routing.correction)?,
        Score::SqrtSoftplus => {
            let softplus = ops::logaddexp(&logits, Array::from_f32(0.0))?;
            best(&softplus.sqrt()?, rule, routing.correction)?
        }
    };
    if let Some(epsilon) = rule.normalize {
        let mut sum = weights.sum_axis(-1, true)?;
        if epsilon > 0.0 {
            sum = sum.add(&scalar(epsilon, Dtype::Float32)?)?;
        }
        weights = weights.divide(&sum)?;
    }
    if rule.scale != 1.0 {
        weights = weights.multiply(&scalar(rule.scale, Dtype::Float32)?)?;
    }
    if let Some(scale) = routing.expert_scale {
        weights = weights.multiply(scale.take_axis(&chosen, 0)?)?;
    }
    Ok((chosen, weights))
}

fn best(scores: &Array, rule: &Routing, correction: Option<&Array>) -> Result<(Array, Array)> {
    let corrected = correction.map(|correction| scores.add(correction)).transpose()?;
    let mut ranks = corrected.as_ref().unwrap_or(scores).negative()?;
    if let Some(groups) = rule.groups {
        ranks = keep_groups(&ranks, groups)?;
    }
    let order = ops::argpartition_axis(&ranks, raw::dim(rule.top_k)? - 1, -1)?;
    let chosen = raw::slice_axis(&order, 1, 0..rule.top_k)?;
    let weights = ops::indexing::take_along_axis(scores, &chosen, -1)?;
    Ok((chosen, weights))
}

/// Sets the ranks (lower is better) of all groups but the best to 0, or rules them out.
fn keep_groups(ranks: &Array, groups: Groups) -> Result<Array> {
    let grouped = ranks.reshape(&[ranks.dim(0), raw::dim(groups.count)?, -1])?.negative()?;
    let worth = ops::indexing::topk_axis(&grouped, raw::dim(groups.best)?, -1)?.sum_axis(-1, false)?;
    let lowest = ops::indexing::topk_axis(&worth, raw::dim(groups.chosen)?, -1)?.min_axis(-1, true)?;
    let kept = worth.ge(&lowest)?.expand_dims(-1)?;
    let ranks_again = grouped.negative()?;
    let out = if groups.strict { f32::INFINITY } else { 0.0 };
    Ok(ops::select(kept, &ranks_again, Array::from_f32(out))?.reshape(ranks.shape())?)
}

/// Liu et al. 2023, as Phi 3.5 MoE infers with it.
fn sparse_mixer(logits: &Array, top_k: usize, jitter: f32) -> Result<(Array, Array)> {
    let nothing = Array::from_f32(f32::NEG_INFINITY);
    let threshold = Array::from_f32(2.0 * jitter);
    let mut left = logits.reshape(logits.shape())?;
    let (mut chosen, mut weights) = (Vec::new(), Vec::new());
    for _ in 0..top_k {
        let highest = left.max_axis(-1, true)?;
        let best = ops::indexing::argmax_axis(&left, -1, true)?;
        let distance = highest.subtract(logits)?.divide(ops::maximum(logits.abs()?, &highest)?)?;
        let band = ops::softmax_axis(ops::select(distance.gt(&threshold)?, &nothing, &left)?, -1, true)?;
        weights.push(ops::indexing::take_along_axis(&band, &best, -1)?);
        left = ops::indexing::put_along_axis(&left, &best, &nothing, -1)?;
        chosen.push(best);
    }
    Ok((ops::concatenate(&chosen, -1)?, ops::concatenate(&weights, -1)?))
}
