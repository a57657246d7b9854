//! Recurrent layers: short convolutions and gated delta nets. Positions are taken one after the other, so that a result
//! never depends on how a prompt was cut.

use std::rc::Rc;

use super::Cpu;
use super::activation::activate;
use super::buffer::Buffer;
use super::disjoint::Disjoint;
use super::elementwise::SERIAL_NUMBERS;
use super::kernels::DeltaHead;
use super::tensor::Tensor;
use crate::arch::spec::Activation;
use crate::backend::{ConvData, DeltaParams, Rows};
use crate::error::{Error, Result};

/// What a recurrent layer keeps of a sequence.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// The convolution's inputs of the last positions, `(width - 1) × channels`; empty before the first.
    history: Rc<[f32]>,
    /// The memory of each head, `heads × value_dim × key_dim`; empty before the first.
    memory: Rc<[f32]>,
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
    fn apply(&self, cpu: &Cpu, x: &Tensor, rows: &Rows, states: &[State]) -> Result<(Buffer, Vec<Rc<[f32]>>)> {
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
            histories.push(padded[segment.len * channels..].into());
        }
        Ok((out, histories))
    }
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

/// See [`Backend::gated_delta`](crate::backend::Backend::gated_delta).
pub(super) fn gated_delta(
    cpu: &Cpu,
    input: &Tensor,
    params: &DeltaParams<'_, Cpu>,
    rows: &Rows,
    states: &mut [State],
) -> Result<Tensor> {
    let spec = params.spec;
    let (heads, value_dim, key_dim) = (spec.value_heads, spec.value_dim, spec.key_dim);
    let (channels, values) = (spec.channels(), heads * value_dim);
    let width = channels + values + 2 * heads;
    input.expect_width(width, "a gated delta net")?;
    if params.decay.len() != heads || params.step.len() != heads || params.norm.size() != value_dim {
        return Err(Error::internal(format!("a delta net of {heads} heads of {value_dim}")));
    }
    let mixed = super::activation::columns(cpu, input, 0..channels)?;
    let (convolved, histories) = params.conv.apply(cpu, &mixed, rows, states)?;
    let convolved = Tensor::new(convolved, input.rows(), channels);
    let qkv = activate(cpu, &convolved, Activation::Silu, false)?;

    let mut out = cpu.arena.allocate(input.rows() * values)?;
    let size = value_dim * key_dim;
    let (gates, convolved, level) = (input.data(), qkv.data(), cpu.level);
    let (decay, step) = (params.decay, params.step);
    for ((segment, state), history) in rows.segments().iter().zip(states).zip(histories) {
        let mut memory = cpu.arena.allocate(heads * size)?;
        match state.memory.len() {
            0 => memory.fill(0.0),
            _ => memory.copy_from_slice(&state.memory),
        }
        let (shared, memories) = (Disjoint::new(&mut out), Disjoint::new(&mut memory));
        cpu.run(segment.len * heads * size > SERIAL_NUMBERS, heads, |_, head| {
            // SAFETY: no other call has this head.
            let memory = unsafe { memories.part(head * size, size) };
            for row in segment.start..segment.start + segment.len {
                // SAFETY: no other call has this head of this row.
                let out = unsafe { shared.part(row * values + head * value_dim, value_dim) };
                let gates = &gates[row * width + channels + values..][..2 * heads];
                let key_width = spec.key_heads * key_dim;
                let at = head / (heads / spec.key_heads) * key_dim;
                let qkv = &convolved[row * channels..][..channels];
                level.run(DeltaHead {
                    memory: &mut *memory,
                    query: &qkv[at..][..key_dim],
                    key: &qkv[key_width + at..][..key_dim],
                    value: &qkv[2 * key_width + head * value_dim..][..value_dim],
                    rate: sigmoid(gates[head]),
                    keep: keep(decay[head], gates[heads + head] + step[head]),
                    out,
                });
            }
        })?;
        *state = State { history, memory: (*memory).into() };
    }
    let normed = super::norm::norm(cpu, &Tensor::new(out, input.rows(), values), params.norm)?;
    let gate = super::activation::columns(cpu, input, channels..channels + values)?;
    super::activation::multiply(cpu, &normed, &activate(cpu, &gate, Activation::Silu, false)?)
}

/// Computed in f64 and rounded once, so that it is the same on every system.
fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + f64::from(-x).exp())) as f32
}

/// What is kept of a memory: `exp(-exp(decay) * softplus(step))`.
fn keep(decay: f32, step: f32) -> f32 {
    let step = f64::from(step);
    let softplus = if step > 30.0 { step } else { step.exp().ln_1p() };
    (-f64::from(decay).exp() * softplus).exp() as f32
}
