//! Recurrent layers: convolutions, gated delta nets, state spaces. Positions are taken one after the other, so that a result
//! never depends on how a prompt was cut.

use std::ops::Deref;
use std::rc::Rc;

use super::Cpu;
use super::buffer::Buffer;
use super::disjoint::Disjoint;
use super::elementwise::SERIAL_NUMBERS;
use super::kernels::{DeltaHead, DeltaKeep, StateSpaceHeads, StateSpaceKeep};
use super::tensor::Tensor;
use crate::backend::{ConvData, DeltaInput, DeltaParams, Rows, ScanInput, ScanParams};
use crate::error::{Error, Result};

/// What a recurrent layer keeps of a sequence.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// The inputs of the last positions to a convolution, `(width - 1) × channels`, or of the last to a shift; empty
    /// before the first. Or rows that wait to be pooled.
    pub(super) history: Kept,
    /// The memory of each head, `heads × value_dim × key_dim` of a delta net, `heads × head_dim × state` of a state
    /// space, `heads × keys × values` of RWKV; empty before the first.
    pub(super) memory: Kept,
}

/// Numbers of a state, shared by all copies of it.
#[derive(Clone, Default)]
pub(super) struct Kept(Option<Rc<Buffer>>);

impl Kept {
    /// A copy of these.
    pub fn copy(cpu: &Cpu, numbers: &[f32]) -> Result<Self> {
        let mut copy = cpu.arena.allocate_exact(numbers.len())?;
        copy.copy_from_slice(numbers);
        Ok(copy.into())
    }
}

impl Deref for Kept {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.as_ref().map_or(&[], |kept| kept)
    }
}

impl From<Buffer> for Kept {
    fn from(numbers: Buffer) -> Self {
        Self(Some(Rc::new(numbers)))
    }
}

impl crate::backend::State for State {
    fn bytes(&self) -> usize {
        size_of_val(&*self.history) + size_of_val(&*self.memory)
    }
}

/// A convolution along positions, each channel by itself.
pub(crate) struct Conv {
    /// `width × channels`.
    weight: Vec<f32>,
    bias: Vec<f32>,
    channels: usize,
    width: usize,
}

impl Conv {
    /// Takes over a convolution's numbers.
    pub(super) fn load(data: &ConvData) -> Result<Self> {
        let ConvData { channels, width, .. } = *data;
        if channels == 0 || width == 0 || data.weight.len() != channels * width {
            return Err(Error::internal(format!("{} weights of {channels} × {width}", data.weight.len())));
        }
        let transposed = (0..width).flat_map(|k| data.weight.iter().skip(k).step_by(width).copied());
        Ok(Self { weight: transposed.collect(), bias: data.bias.clone(), channels, width })
    }

    /// The convolution of each row, and the history after all of them.
    fn apply(&self, cpu: &Cpu, x: &Tensor, rows: &Rows, states: &[State]) -> Result<(Buffer, Vec<Kept>)> {
        let (channels, before) = (self.channels, self.width - 1);
        x.expect_width(channels, "a convolution")?;
        if x.rows() != rows.len() || states.len() != rows.segments().len() {
            return Err(Error::internal(format!("{} rows and {} states of a convolution", x.rows(), states.len())));
        }
        let mut out = cpu.arena.allocate(x.rows() * channels)?;
        let mut histories = Vec::with_capacity(states.len());
        for (segment, state) in rows.segments().iter().zip(states) {
            let own = &x.data()[segment.start * channels..][..segment.len * channels];
            let mut padded = cpu.arena.allocate((before + segment.len) * channels)?;
            let (history, new) = padded.split_at_mut(before * channels);
            match state.history.len() {
                0 => history.fill(0.0),
                _ => history.copy_from_slice(&state.history),
            }
            new.copy_from_slice(own);
            let out = &mut out[segment.start * channels..][..segment.len * channels];
            let (shared, padded) = (Disjoint::new(out), &*padded);
            cpu.run(own.len() > SERIAL_NUMBERS, segment.len, |_, row| {
                // SAFETY: no other call has this row.
                let out = unsafe { shared.part(row * channels, channels) };
                match self.bias.is_empty() {
                    true => out.fill(0.0),
                    false => out.copy_from_slice(&self.bias),
                }
                let inputs = padded[row * channels..].chunks_exact(channels);
                for (x, weight) in inputs.zip(self.weight.chunks_exact(channels)) {
                    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                        *out += x * weight;
                    }
                }
            })?;
            histories.push(Kept::copy(cpu, &padded[segment.len * channels..])?);
        }
        Ok((out, histories))
    }
}

/// See [`Backend::convolve`](crate::backend::Backend::convolve).
pub(super) fn convolve(cpu: &Cpu, x: &Tensor, conv: &Conv, rows: &Rows, states: &mut [State]) -> Result<Tensor> {
    let (out, histories) = conv.apply(cpu, x, rows, states)?;
    for (state, history) in states.iter_mut().zip(histories) {
        state.history = history;
    }
    Ok(Tensor::new(out, x.rows(), conv.channels))
}

/// See [`Backend::short_conv`](crate::backend::Backend::short_conv).
pub(super) fn short_conv(cpu: &Cpu, bcx: &Tensor, conv: &Conv, rows: &Rows, states: &mut [State]) -> Result<Tensor> {
    let channels = conv.channels;
    bcx.expect_width(3 * channels, "a short convolution")?;
    let mut gated = cpu.arena.allocate(bcx.rows() * channels)?;
    for (row, out) in bcx.data().chunks_exact(3 * channels).zip(gated.chunks_exact_mut(channels)) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = row[i] * row[2 * channels + i];
        }
    }
    let (mut out, histories) = conv.apply(cpu, &Tensor::new(gated, bcx.rows(), channels), rows, states)?;
    for (row, out) in bcx.data().chunks_exact(3 * channels).zip(out.chunks_exact_mut(channels)) {
        for (out, c) in out.iter_mut().zip(&row[channels..]) {
            *out *= c;
        }
    }
    for (state, history) in states.iter_mut().zip(histories) {
        state.history = history;
    }
    Ok(Tensor::new(out, bcx.rows(), channels))
}

/// Fails unless there is a state for each sequence, and each tensor has all rows and its width.
pub(super) fn check(rows: &Rows, states: &[State], tensors: &[(&Tensor, usize)]) -> Result<()> {
    if states.len() != rows.segments().len() {
        return Err(Error::internal(format!("{} states for {} sequences", states.len(), rows.segments().len())));
    }
    for (tensor, width) in tensors {
        tensor.expect_width(*width, "a recurrent layer")?;
        if tensor.rows() != rows.len() {
            return Err(Error::internal(format!("{} rows of {}", tensor.rows(), rows.len())));
        }
    }
    Ok(())
}

/// The memory that a step of one sequence begins with, and that which it leaves.
pub(super) struct Step<'a> {
    /// Empty before the first.
    before: &'a [f32],
    after: Disjoint<'a>,
}

impl<'a> Step<'a> {
    /// Writes to `after`, which is as long as the memory.
    pub fn new(before: &'a Kept, after: &'a mut Buffer) -> Result<Self> {
        if !before.is_empty() && before.len() != after.len() {
            return Err(Error::internal(format!("a memory of {} numbers, not {}", before.len(), after.len())));
        }
        Ok(Self { before, after: Disjoint::new(after) })
    }

    /// A part of the memory that is left, which holds what the step begins with.
    ///
    /// # Safety
    ///
    /// As of [`Disjoint::part`].
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, start: usize, len: usize) -> &mut [f32] {
        // SAFETY: the caller sees to it.
        let after = unsafe { self.after.part(start, len) };
        match self.before.get(start..start + len) {
            Some(before) => after.copy_from_slice(before),
            None => after.fill(0.0),
        }
        after
    }
}

/// See [`Backend::gated_delta`](crate::backend::Backend::gated_delta).
pub(super) fn gated_delta(
    cpu: &Cpu,
    input: DeltaInput<'_, Cpu>,
    params: &DeltaParams<'_, Cpu>,
    rows: &Rows,
    states: &mut [State],
) -> Result<Tensor> {
    let spec = params.spec;
    let (heads, value_dim, key_dim) = (spec.value_heads, spec.value_dim, spec.key_dim);
    let (channels, values, decays) = (spec.channels(), heads * value_dim, spec.decays());
    check(rows, states, &[(input.qkv, channels), (input.rate, heads), (input.step, decays)])?;
    if params.decay.len() != heads || params.step.len() != decays {
        return Err(Error::internal(format!("a delta net of {heads} heads with {decays} decays")));
    }
    let mut out = cpu.arena.allocate(rows.len() * values)?;
    let (size, of_head) = (value_dim * key_dim, decays / heads);
    let (qkv, rates, steps, level) = (input.qkv.data(), input.rate.data(), input.step.data(), cpu.level);
    for (segment, state) in rows.segments().iter().zip(states) {
        let mut after = cpu.arena.allocate_exact(heads * size)?;
        let (shared, memories) = (Disjoint::new(&mut out), Step::new(&state.memory, &mut after)?);
        cpu.run(segment.len * heads * size > SERIAL_NUMBERS, heads, |_, head| {
            // SAFETY: no other call has this head.
            let memory = unsafe { memories.part(head * size, size) };
            let mut keeps = vec![0.0; of_head];
            for row in segment.start..segment.start + segment.len {
                // SAFETY: no other call has this head of this row.
                let out = unsafe { shared.part(row * values + head * value_dim, value_dim) };
                let own = head * of_head..(head + 1) * of_head;
                let steps = steps[row * decays..][own.clone()].iter().zip(&params.step[own]);
                for (keep, (step, bias)) in keeps.iter_mut().zip(steps) {
                    *keep = match spec.lowest_decay {
                        None => self::keep(params.decay[head], step + bias),
                        Some(lowest) => kept_at_least(lowest, params.decay[head], step + bias),
                    };
                }
                let key_width = spec.key_heads * key_dim;
                let at = head / (heads / spec.key_heads) * key_dim;
                let qkv = &qkv[row * channels..][..channels];
                level.run(DeltaHead {
                    memory: &mut *memory,
                    query: &qkv[at..][..key_dim],
                    key: &qkv[key_width + at..][..key_dim],
                    value: &qkv[2 * key_width + head * value_dim..][..value_dim],
                    rate: spec.rate_scale * sigmoid(rates[row * heads + head]),
                    keep: match &*keeps {
                        [one] => DeltaKeep::All(*one),
                        each => DeltaKeep::Columns(each),
                    },
                    out,
                });
            }
        })?;
        state.memory = after.into();
    }
    Ok(Tensor::new(out, rows.len(), values))
}

/// See [`Backend::state_space`](crate::backend::Backend::state_space).
pub(super) fn state_space(
    cpu: &Cpu,
    input: ScanInput<'_, Cpu>,
    params: &ScanParams<'_, Cpu>,
    rows: &Rows,
    states: &mut [State],
) -> Result<Tensor> {
    let spec = params.spec;
    let (heads, width, bc) = (spec.heads, spec.width(), spec.groups * spec.state);
    check(rows, states, &[(input.x, width), (input.b, bc), (input.c, bc), (input.step, heads)])?;
    let decays = if spec.decay_by_state { heads * spec.state } else { heads };
    let biased = params.bias.is_none_or(|bias| bias.len() == heads);
    if params.decay.len() != decays || params.skip.len() != heads || !biased {
        return Err(Error::internal(format!("a state space of {heads} heads with {} decays", params.decay.len())));
    }
    let steps = steps(cpu, input.step, params)?;
    let (steps, decay, skip, level) = (steps.data(), params.decay, params.skip, cpu.level);
    let kept = match spec.decay_by_state {
        true => None,
        false => Some(super::elementwise::rows(cpu, rows.len(), heads, |first, out| {
            for (steps, out) in steps[first * heads..].chunks_exact(heads).zip(out.chunks_exact_mut(heads)) {
                for ((out, step), decay) in out.iter_mut().zip(steps).zip(decay) {
                    *out = (f64::from(*step) * f64::from(*decay)).exp() as f32;
                }
            }
        })?),
    };

    let kept = kept.as_ref().map(Tensor::data);
    let (x, b, c) = (input.x.data(), input.b.data(), input.c.data());
    let mut out = cpu.arena.allocate(rows.len() * width)?;
    let size = spec.head_dim * spec.state;
    let together = (SERIAL_NUMBERS / 4 / size.max(1)).clamp(1, heads);
    for (segment, state) in rows.segments().iter().zip(states) {
        let mut after = cpu.arena.allocate_exact(heads * size)?;
        let (shared, memories) = (Disjoint::new(&mut out), Step::new(&state.memory, &mut after)?);
        cpu.run(segment.len * heads * size > SERIAL_NUMBERS, heads.div_ceil(together), |_, chunk| {
            let first = chunk * together;
            let count = together.min(heads - first);
            // SAFETY: chunks don't share heads.
            let memory = unsafe { memories.part(first * size, count * size) };
            for row in segment.start..segment.start + segment.len {
                let numbers = row * width + first * spec.head_dim;
                let of_row = row * heads + first..row * heads + first + count;
                level.run(StateSpaceHeads {
                    memory: &mut *memory,
                    x: &x[numbers..][..count * spec.head_dim],
                    b: &b[row * bc..][..bc],
                    c: &c[row * bc..][..bc],
                    steps: &steps[of_row.clone()],
                    keep: match kept {
                        Some(kept) => StateSpaceKeep::Heads(&kept[of_row]),
                        None => StateSpaceKeep::States(&decay[first * spec.state..]),
                    },
                    skip: &skip[first..first + count],
                    first,
                    heads_of_group: heads / spec.groups,
                    state: spec.state,
                    // SAFETY: chunks don't share heads.
                    out: unsafe { shared.part(numbers, count * spec.head_dim) },
                });
            }
        })?;
        state.memory = after.into();
    }
    Ok(Tensor::new(out, rows.len(), width))
}

/// See [`Backend::recurrence`](crate::backend::Backend::recurrence).
pub(super) fn recurrence(
    cpu: &Cpu,
    x: &Tensor,
    gate: &Tensor,
    decay: &[f32],
    rows: &Rows,
    states: &mut [State],
) -> Result<Tensor> {
    let width = decay.len();
    check(rows, states, &[(x, width), (gate, width)])?;
    let (x, gate) = (x.data(), gate.data());
    let mut out = cpu.arena.allocate(rows.len() * width)?;
    let together = (SERIAL_NUMBERS / 64).clamp(1, width.max(1));
    for (segment, state) in rows.segments().iter().zip(states) {
        let begins = state.memory.is_empty();
        let mut after = cpu.arena.allocate_exact(width)?;
        let (shared, memories) = (Disjoint::new(&mut out), Step::new(&state.memory, &mut after)?);
        cpu.run(segment.len * width > SERIAL_NUMBERS, width.div_ceil(together), |_, chunk| {
            let first = chunk * together;
            let count = together.min(width - first);
            // SAFETY: chunks don't share columns.
            let memory = unsafe { memories.part(first, count) };
            for row in segment.start..segment.start + segment.len {
                let at = row * width + first;
                // SAFETY: chunks don't share columns.
                let out = unsafe { shared.part(at, count) };
                let columns = memory.iter_mut().zip(&x[at..]).zip(&gate[at..]).zip(&decay[first..]).zip(out);
                for ((((kept, x), gate), decay), out) in columns {
                    let logarithm = f64::from(*decay) * f64::from(sigmoid(*gate));
                    let taken = match begins && row == segment.start {
                        true => 1.0,
                        false => (-(2.0 * logarithm).exp_m1()).sqrt() as f32,
                    };
                    *kept = logarithm.exp() as f32 * *kept + taken * x;
                    *out = *kept;
                }
            }
        })?;
        state.memory = after.into();
    }
    Ok(Tensor::new(out, rows.len(), width))
}

/// `clamp(softplus(step + bias), limits)`.
fn steps(cpu: &Cpu, step: &Tensor, params: &ScanParams<'_, Cpu>) -> Result<Tensor> {
    let (heads, data, biases, [low, high]) = (step.width(), step.data(), params.bias, params.spec.limits);
    super::elementwise::rows(cpu, step.rows(), heads, |first, out| {
        for (steps, out) in data[first * heads..].chunks_exact(heads).zip(out.chunks_exact_mut(heads)) {
            for (head, (out, step)) in out.iter_mut().zip(steps).enumerate() {
                let bias = biases.map_or(0.0, |bias| bias[head]);
                *out = (softplus(step + bias) as f32).clamp(low, high);
            }
        }
    })
}

/// Computed in f64 and rounded once, so that it is the same on every system.
fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + f64::from(-x).exp())) as f32
}

fn softplus(x: f32) -> f64 {
    let x = f64::from(x);
    if x > 30.0 { x } else { x.exp().ln_1p() }
}

/// What is kept of a memory: `exp(lowest * sigmoid(exp(decay) * step))`.
fn kept_at_least(lowest: f32, decay: f32, step: f32) -> f32 {
    let open = 1.0 / (1.0 + (-f64::from(decay).exp() * f64::from(step)).exp());
    (f64::from(lowest) * open).exp() as f32
}

/// What is kept of a memory: `exp(-exp(decay) * softplus(step))`.
fn keep(decay: f32, step: f32) -> f32 {
    (-f64::from(decay).exp() * softplus(step)).exp() as f32
}
