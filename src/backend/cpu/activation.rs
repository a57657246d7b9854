//! Activation functions and other operations number by number.

use std::ops::Range;

use super::Cpu;
use super::elementwise::rows;
use super::kernels::{ActivateRows, SigmoidGateRows, SoftcapRows};
use super::tensor::Tensor;
use crate::arch::spec::Activation;
use crate::error::{Error, Result};

/// `activation(gate) * up` for rows that hold gate and up side by side, or `activation(x)`.
pub(super) fn activate(cpu: &Cpu, x: &Tensor, activation: Activation, gated: bool) -> Result<Tensor> {
    let halves = if gated { 2 } else { 1 };
    let allowed = match activation {
        Activation::ClippedSwiglu { .. }
        | Activation::LimitedSwiglu { .. }
        | Activation::Situ { .. }
        | Activation::ClampedSwiglu { .. } => gated,
        Activation::Xielu { .. } | Activation::Rounded { .. } => !gated,
        Activation::Float8 { .. } | Activation::Float4 { .. } => !gated,
        _ => true,
    };
    if !x.width().is_multiple_of(halves) || !allowed {
        let kind = if gated { "with a gate" } else { "without a gate" };
        return Err(Error::internal(format!("{activation:?} {kind} over rows of {} numbers", x.width())));
    }
    if let Activation::SparseGeluTanh { deviations } = activation {
        let exceeding = super::streams::exceeding(cpu, x, x.width() / halves, deviations)?;
        return activate(cpu, &exceeding, Activation::GeluTanh, gated);
    }
    if let Some(rounded) = super::rounding::rounded(cpu, x, activation)? {
        return Ok(rounded);
    }
    let (width, data, level) = (x.width() / halves, x.data(), cpu.level);
    rows(cpu, x.rows(), width, |first, out| {
        let x = &data[halves * first * width..][..halves * out.len()];
        level.run(ActivateRows { x, width, gated, activation, out });
    })
}

/// `x * sigmoid(gate)`.
pub(super) fn sigmoid_gate(cpu: &Cpu, x: &Tensor, gate: &Tensor) -> Result<Tensor> {
    let (width, gates) = (x.width(), gate.width());
    if x.rows() != gate.rows() || gates == 0 || !width.is_multiple_of(gates) {
        let message = format!("{} × {width} gated by {} × {gates}", x.rows(), gate.rows());
        return Err(Error::internal(message));
    }
    let (data, gate, level) = (x.data(), gate.data(), cpu.level);
    rows(cpu, x.rows(), width, |first, out| {
        let x = &data[first * width..][..out.len()];
        let gate = &gate[first * gates..][..out.len() / width * gates];
        level.run(SigmoidGateRows { x, gate, width: width / gates, out });
    })
}

/// `x * factor`.
pub(super) fn scale(cpu: &Cpu, x: &Tensor, factor: f32) -> Result<Tensor> {
    let (width, data) = (x.width(), x.data());
    rows(cpu, x.rows(), width, |first, out| {
        for (out, x) in out.iter_mut().zip(&data[first * width..]) {
            *out = x * factor;
        }
    })
}

/// `a * b`.
pub(super) fn multiply(cpu: &Cpu, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (width, factors, a_data, b_data) = (a.width(), b.width(), a.data(), b.data());
    if a.rows() != b.rows() || factors == 0 || !width.is_multiple_of(factors) {
        let message = format!("a product of {} × {width} and {} × {factors}", a.rows(), b.rows());
        return Err(Error::internal(message));
    }
    rows(cpu, a.rows(), width, |first, out| {
        if factors != width {
            let parts = a_data[first * width..].chunks_exact(width / factors);
            let parts = out.chunks_exact_mut(width / factors).zip(parts).zip(&b_data[first * factors..]);
            for ((out, a), b) in parts {
                out.iter_mut().zip(a).for_each(|(out, a)| *out = a * b);
            }
            return;
        }
        for ((out, a), b) in out.iter_mut().zip(&a_data[first * width..]).zip(&b_data[first * width..]) {
            *out = a * b;
        }
    })
}

/// `cap * tanh(x / cap)`.
pub(super) fn softcap(cpu: &Cpu, x: &Tensor, cap: f32) -> Result<Tensor> {
    let (width, data, level) = (x.width(), x.data(), cpu.level);
    rows(cpu, x.rows(), width, |first, out| {
        out.copy_from_slice(&data[first * width..][..out.len()]);
        level.run(SoftcapRows { cap, x: out });
    })
}

/// Some columns.
pub(super) fn columns(cpu: &Cpu, x: &Tensor, columns: Range<usize>) -> Result<Tensor> {
    if columns.start > columns.end || columns.end > x.width() {
        return Err(Error::internal(format!("columns {columns:?} of {}", x.width())));
    }
    let (width, data) = (x.width(), x.data());
    rows(cpu, x.rows(), columns.len(), |first, out| {
        let rows = data[first * width..].chunks_exact(width);
        for (row, out) in rows.zip(out.chunks_exact_mut(columns.len().max(1))) {
            out.copy_from_slice(&row[columns.clone()]);
        }
    })
}
