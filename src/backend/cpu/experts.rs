//! Mixtures of experts: rows are gathered by expert, so that each expert's weights are read once, and only those of
//! experts that somebody chose.

use std::iter::repeat_n;

use super::Cpu;
use super::activation::activate;
use super::elementwise::silu;
use super::linear::Linear;
use super::matmul::linear;
use super::norm::norm;
use super::routing::choose;
use super::simd::Level;
use super::streams::scale_columns;
use super::tensor::Tensor;
use crate::arch::spec::Activation;
use crate::backend::{ExpertsData, RoutingParams, StackData};
use crate::error::{Error, Result};

/// Loaded experts.
pub(crate) struct Experts {
    experts: Vec<Expert>,
    activation: Activation,
    gated: bool,
    /// Numbers of a row that comes out.
    outputs: usize,
}

struct Expert {
    gate_up: Linear,
    down: Linear,
    /// What columns of the products with the two are multiplied by; nothing where all are left as they are.
    factors: [Vec<Scaled>; 2],
}

/// So many columns, and their factor.
#[derive(Clone, Copy)]
struct Scaled(usize, f32);

/// A row's way through one expert.
struct Visit {
    expert: usize,
    row: usize,
    /// Which of the row's choices it is.
    choice: usize,
    weight: f32,
}

impl Experts {
    /// Takes over stacked matrices, as a view for each expert.
    pub(super) fn load(level: Level, data: &ExpertsData) -> Result<Self> {
        let count = data.count;
        if count == 0 || data.gate_up.iter().chain([&data.down]).any(|matrix| !matrix.outputs().is_multiple_of(count)) {
            return Err(Error::internal(format!("matrices that do not hold {count} experts")));
        }
        let expert = |index: usize| {
            let gate_up = data.gate_up.iter().map(|matrix| matrix.expert(index, count)).collect::<Result<Vec<_>>>()?;
            Ok(Expert {
                gate_up: Linear::load(level, &gate_up)?,
                down: Linear::load(level, &[data.down.expert(index, count)?])?,
                factors: [
                    factors(&data.gate_up, index, count)?,
                    factors(std::slice::from_ref(&data.down), index, count)?,
                ],
            })
        };
        let experts = (0..count).map(expert).collect::<Result<_>>()?;
        Ok(Self { experts, activation: data.activation, gated: data.gated, outputs: data.down.outputs() / count })
    }
}

/// The factors of an expert in matrices side by side.
fn factors(matrices: &[StackData], index: usize, count: usize) -> Result<Vec<Scaled>> {
    if matrices.iter().all(|matrix| matrix.factors.is_none()) {
        return Ok(Vec::new());
    }
    let factor = |matrix: &StackData| {
        let factor = matrix.factors.as_ref().map_or(Some(1.0), |factors| factors.get(index).copied());
        let factor = factor.ok_or_else(|| Error::internal(format!("no factor of expert {index}")))?;
        Ok(Scaled(matrix.outputs() / count.max(1), factor))
    };
    matrices.iter().map(factor).collect()
}

/// Rows whose columns are multiplied by their factors, if they have some.
fn scaled(cpu: &Cpu, x: Tensor, factors: &[Scaled]) -> Result<Tensor> {
    if factors.is_empty() {
        return Ok(x);
    }
    let each: Vec<f32> = factors.iter().flat_map(|Scaled(columns, factor)| repeat_n(*factor, *columns)).collect();
    scale_columns(cpu, &x, &each)
}

/// See [`Backend::experts`](crate::backend::Backend::experts).
pub(super) fn experts(
    cpu: &Cpu,
    x: &Tensor,
    logits: &Tensor,
    experts: &Experts,
    routing: &RoutingParams<'_, Cpu>,
) -> Result<Tensor> {
    let rule = routing.rule;
    let choices = logits.width();
    if choices < experts.experts.len() || logits.rows() != x.rows() || rule.top_k > choices {
        return Err(Error::internal(format!(
            "{} rows, {} × {} logits and {} choices for {} experts",
            x.rows(),
            logits.rows(),
            logits.width(),
            rule.top_k,
            experts.experts.len()
        )));
    }
    let mut visits = Vec::with_capacity(x.rows() * rule.top_k);
    let (correction, scale) = (routing.correction.map(|v| &**v), routing.expert_scale.map(|v| &**v));
    for row in 0..x.rows() {
        let choices = choose(rule, logits.row(row)?, correction, scale);
        let visit = |(choice, (expert, weight))| Visit { expert, row, choice, weight };
        visits.extend(choices.into_iter().enumerate().map(visit));
    }
    visits.sort_by_key(|visit| (visit.expert, visit.row));

    // What each choice gives waits here, so that a row's sum is taken in the order of its choices.
    let width = experts.outputs;
    let mut given = cpu.arena.allocate(x.rows() * rule.top_k * width)?;
    for visits in visits.chunk_by(|a, b| a.expert == b.expert) {
        let Some(Expert { gate_up, down, factors: [of_gate_up, of_down] }) = experts.experts.get(visits[0].expert)
        else {
            // A choice beyond the experts gives the row as it is.
            x.expect_width(width, "a choice that is no expert")?;
            for visit in visits {
                let out = &mut given[(visit.row * rule.top_k + visit.choice) * width..][..width];
                out.iter_mut().zip(x.row(visit.row)?).for_each(|(out, x)| *out = x * visit.weight);
            }
            continue;
        };
        let gathered;
        let rows = match visits {
            [_] if x.rows() == 1 && !rule.weighs_input => x,
            _ => {
                gathered = gather(cpu, x, visits, rule.weighs_input)?;
                &gathered
            }
        };
        let hidden = scaled(cpu, linear(cpu, rows, gate_up)?, of_gate_up)?;
        let hidden = match (experts.activation, experts.gated) {
            (Activation::Silu, true) => silu(cpu, &hidden)?,
            (activation, gated) => activate(cpu, &hidden, activation, gated)?,
        };
        let y = scaled(cpu, linear(cpu, &hidden, down)?, of_down)?;
        let y = match routing.norm {
            Some(by) => norm(cpu, &y, by)?,
            None => y,
        };
        for (visit, y) in visits.iter().zip(y.data().chunks_exact(width)) {
            let out = &mut given[(visit.row * rule.top_k + visit.choice) * width..][..width];
            let weight = if rule.weighs_input { 1.0 } else { visit.weight };
            out.iter_mut().zip(y).for_each(|(out, y)| *out = y * weight);
        }
    }
    let mut out = cpu.arena.allocate(x.rows() * width)?;
    for (given, out) in given.chunks_exact(rule.top_k * width).zip(out.chunks_exact_mut(width)) {
        let (first, rest) = given.split_at(width);
        out.copy_from_slice(first);
        for given in rest.chunks_exact(width) {
            out.iter_mut().zip(given).for_each(|(out, given)| *out += given);
        }
    }
    Ok(Tensor::new(out, x.rows(), width))
}

/// The rows of some visits, times their weights if those count before the experts.
fn gather(cpu: &Cpu, x: &Tensor, visits: &[Visit], weighed: bool) -> Result<Tensor> {
    let mut rows = cpu.arena.allocate(visits.len() * x.width())?;
    for (visit, row) in visits.iter().zip(rows.chunks_exact_mut(x.width())) {
        row.copy_from_slice(x.row(visit.row)?);
        if weighed {
            row.iter_mut().for_each(|x| *x *= visit.weight);
        }
    }
    Ok(Tensor::new(rows, visits.len(), x.width()))
}
