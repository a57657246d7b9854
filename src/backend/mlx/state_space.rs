//! Selective state spaces, several positions at a time.

use mlx_rs::{Array, Dtype, ops};

use super::Mlx;
use super::activation::wide;
use super::delta_rule::{decays_between, running_sum};
use super::error::{Fault, Result};
use super::linear::cast;
use super::norm::scalar;
use super::raw;
use super::recurrent::{Parts, State, each_in_parts};
use crate::arch::spec::Scan;
use crate::arch::spec::recorded::{SCANNED, scan_bytes};
use crate::backend::{Rows, ScanInput, ScanParams};

/// Positions that are taken together where a head has one decay: each looks at each.
const POSITIONS: usize = SCANNED as usize;
/// The same where each number has its own: all states of all positions stand side by side.
const POSITIONS_BY_STATE: usize = 32;

/// See [`Backend::state_space`](crate::backend::Backend::state_space).
pub(super) fn state_space(
    input: ScanInput<'_, Mlx>,
    params: &ScanParams<'_, Mlx>,
    rows: &Rows,
    states: &mut [State],
) -> Result<Array> {
    let ScanInput { x, b, c, step } = input;
    let spec = params.spec;
    let together = if spec.decay_by_state { POSITIONS_BY_STATE } else { POSITIONS };
    let parts = Parts { rows: together, row_bytes: scan_bytes(&spec) };
    each_in_parts(&parts, [&x.0, &b.0, &c.0, &step.0], rows, states, |[x, b, c, step], state| {
        let dtype = x.dtype();
        let part = Sequence::new(&wide(&x)?, &wide(&b)?, &wide(&c)?, &wide(&step)?, params)?;
        let memory = state.memory_or_zeros([spec.heads, spec.head_dim, spec.state])?;
        let (y, after) = match spec.decay_by_state {
            true => part.by_state(params, &memory)?,
            false => part.by_head(params, &memory)?,
        };
        state.set_memory(after);
        let skip = params.skip.reshape(&[1, raw::dim(spec.heads)?, 1])?;
        let y = y.add(part.x.multiply(skip)?)?.reshape(&[x.dim(0), raw::dim(spec.width())?])?;
        cast(y, dtype)
    })
}

/// Consecutive positions of one sequence, in f32.
struct Sequence {
    /// `[rows, heads, head_dim]`.
    x: Array,
    /// `[rows, groups, state]`.
    b: Array,
    /// `[rows, groups, state]`.
    c: Array,
    /// `[rows, heads]`.
    steps: Array,
}

impl Sequence {
    fn new(x: &Array, b: &Array, c: &Array, step: &Array, params: &ScanParams<'_, Mlx>) -> Result<Self> {
        let Scan { heads, head_dim, groups, state, limits: [low, high], .. } = params.spec;
        let split = |array: &Array, parts: usize, width: usize| {
            array.reshape(&[array.dim(0), raw::dim(parts)?, raw::dim(width)?]).map_err(Fault::from)
        };
        let step = match params.bias {
            Some(bias) => step.add(bias)?,
            None => step.reshape(step.shape())?,
        };
        let steps = ops::logaddexp(step, Array::from_f32(0.0))?;
        let steps = ops::minimum(ops::maximum(steps, Array::from_f32(low))?, Array::from_f32(high))?;
        let (x, b, c) = (split(x, heads, head_dim)?, split(b, groups, state)?, split(c, groups, state)?);
        Ok(Self { x, b, c, steps })
    }

    fn rows(&self) -> i32 {
        self.x.dim(0)
    }

    /// One decay a head (Dao and Gu 2024, section 6): what positions give each other is a product of `C` and `B`, weighed
    /// by the decays between them. Gives `y`, `[rows, heads, head_dim]`, and the states after these positions.
    fn by_head(&self, params: &ScanParams<'_, Mlx>, before: &Array) -> Result<(Array, Array)> {
        let Scan { heads, head_dim, groups, state, .. } = params.spec;
        let rows = self.rows();
        let (groups, of_group) = (raw::dim(groups)?, raw::dim(heads / groups.max(1))?);
        let (heads, head_dim, state) = (raw::dim(heads)?, raw::dim(head_dim)?, raw::dim(state)?);
        // [heads, rows]
        let exponents = self.steps.multiply(params.decay)?.swap_axes(0, 1)?;
        let written = self.x.multiply(self.steps.expand_dims(-1)?)?.swap_axes(0, 1)?;
        let written = written.reshape(&[groups, of_group, rows, head_dim])?;
        let b = self.b.swap_axes(0, 1)?.expand_dims(1)?;
        let c = self.c.swap_axes(0, 1)?.expand_dims(1)?;

        let between = decays_between(&exponents.expand_dims(-1)?)?;
        let between = between.reshape(&[groups, of_group, rows, rows])?;
        let weights = c.matmul(b.swap_axes(-1, -2)?)?.multiply(&between)?;
        let y = weights.matmul(&written)?;

        let since_start = ops::exp(running_sum(exponents, -1)?)?.reshape(&[groups, of_group, rows, 1])?;
        let before = before.reshape(&[groups, of_group, head_dim, state])?;
        let y = y.add(c.matmul(before.swap_axes(-1, -2)?)?.multiply(&since_start)?)?;

        let last = (rows - 1) as usize..rows as usize;
        let left = raw::slice_axis(&between, 2, last.clone())?.swap_axes(-1, -2)?;
        let added = written.multiply(left)?.swap_axes(-1, -2)?.matmul(b)?;
        let after = before.multiply(raw::slice_axis(&since_start, 2, last)?)?.add(added)?;
        let y = y.reshape(&[heads, rows, head_dim])?.swap_axes(0, 1)?;
        Ok((y, after.reshape(&[heads, head_dim, state])?))
    }

    /// A decay for each number of a state: states of all positions at once, by joining ever longer stretches. The same
    /// results as [`by_head`](Self::by_head).
    fn by_state(&self, params: &ScanParams<'_, Mlx>, before: &Array) -> Result<(Array, Array)> {
        let Scan { heads, head_dim, groups, state, .. } = params.spec;
        let rows = self.rows();
        let (groups, of_group) = (raw::dim(groups)?, raw::dim(heads / groups.max(1))?);
        let (heads, head_dim, state) = (raw::dim(heads)?, raw::dim(head_dim)?, raw::dim(state)?);
        let steps = self.steps.reshape(&[rows, heads, 1, 1])?;
        let by_head = |array: &Array| -> Result<Array> {
            let spread = ops::broadcast_to(array.expand_dims(2)?, &[rows, groups, of_group, state])?;
            Ok(spread.reshape(&[rows, heads, 1, state])?)
        };
        let mut kept = ops::exp(steps.multiply(params.decay.reshape(&[1, heads, 1, state])?)?)?;
        let mut states = self.x.expand_dims(-1)?.multiply(steps)?.multiply(by_head(&self.b)?)?;
        let mut reach = 1;
        while reach < rows {
            // Each position takes in the stretch that ends `reach` before it.
            let earlier = (rows - reach) as usize;
            let shifted = |array: &Array, fill: f32| -> Result<Array> {
                let shape = [reach, array.dim(1), array.dim(2), array.dim(3)];
                let fill = ops::broadcast_to(scalar(fill, Dtype::Float32)?, &shape)?;
                Ok(ops::concatenate(&[fill, raw::slice_axis(array, 0, 0..earlier)?], 0)?)
            };
            states = states.add(kept.multiply(shifted(&states, 0.0)?)?)?;
            kept = kept.multiply(shifted(&kept, 1.0)?)?;
            reach *= 2;
        }
        let states = states.add(kept.multiply(before.reshape(&[1, heads, head_dim, state])?)?)?;
        let y = states.matmul(by_head(&self.c)?.swap_axes(-1, -2)?)?.squeeze_axes(&[-1])?;
        let last = (rows - 1) as usize..rows as usize;
        Ok((y, raw::slice_axis(&states, 0, last)?.squeeze_axes(&[0])?))
    }
}
