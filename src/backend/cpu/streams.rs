//! Operations of models with several residual streams. Sums over a row are taken in f64, number after number.

use super::Cpu;
use super::elementwise::rows;
use super::kernels::MixByQuery;
use super::tensor::Tensor;
use crate::arch::spec::HyperMixing;
use crate::error::{Error, Result};

/// Each column times its number.
pub(super) fn scale_columns(cpu: &Cpu, x: &Tensor, factors: &[f32]) -> Result<Tensor> {
    x.expect_width(factors.len(), "factors of columns")?;
    let (width, data) = (x.width(), x.data());
    rows(cpu, x.rows(), width, |first, out| {
        for (row, out) in data[first * width..].chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            for ((out, x), factor) in out.iter_mut().zip(row).zip(factors) {
                *out = x * factor;
            }
        }
    })
}

/// Each column plus its number.
pub(super) fn add_columns(cpu: &Cpu, x: &Tensor, numbers: &[f32]) -> Result<Tensor> {
    x.expect_width(numbers.len(), "numbers of columns")?;
    let (width, data) = (x.width(), x.data());
    rows(cpu, x.rows(), width, |first, out| {
        for (row, out) in data[first * width..].chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            for ((out, x), number) in out.iter_mut().zip(row).zip(numbers) {
                *out = x + number;
            }
        }
    })
}

/// See [`Backend::mix_streams`](crate::backend::Backend::mix_streams).
pub(super) fn mix_streams(cpu: &Cpu, inputs: &[Tensor], coefficients: &Tensor, outputs: usize) -> Result<Vec<Tensor>> {
    let of_row = inputs.len() * outputs;
    coefficients.expect_width(of_row, "a mixture of streams")?;
    let width = inputs.first().map_or(0, Tensor::width);
    if inputs.iter().any(|x| x.width() != width || x.rows() != coefficients.rows()) {
        return Err(Error::internal("streams of different sizes"));
    }
    let (factors, streams): (_, Vec<&[f32]>) = (coefficients.data(), inputs.iter().map(Tensor::data).collect());
    let streams = &*streams;
    let mixed = |output: usize| {
        rows(cpu, coefficients.rows(), width, |first, out| {
            for (index, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
                let row = first + index;
                let factors = &factors[row * of_row + output * streams.len()..][..streams.len()];
                out.fill(0.0);
                for (x, factor) in streams.iter().zip(factors) {
                    for (out, x) in out.iter_mut().zip(&x[row * width..]) {
                        *out += x * factor;
                    }
                }
            }
        })
    };
    (0..outputs).map(mixed).collect()
}

/// See [`Backend::mix_by_query`](crate::backend::Backend::mix_by_query).
pub(super) fn mix_by_query(cpu: &Cpu, inputs: &[Tensor], query: &[f32], epsilon: f32) -> Result<Tensor> {
    let count = inputs.first().map_or(0, Tensor::rows);
    for x in inputs {
        x.expect_width(query.len(), "a mixture by a query")?;
    }
    if inputs.iter().any(|x| x.rows() != count) {
        return Err(Error::internal("a mixture of different numbers of rows"));
    }
    let (width, level) = (query.len(), cpu.level);
    let inputs: Vec<&[f32]> = inputs.iter().map(Tensor::data).collect();
    rows(cpu, count, width, |first, out| level.run(MixByQuery { inputs: &inputs, query, epsilon, first, out }))
}

/// See [`Backend::hyper_mixtures`](crate::backend::Backend::hyper_mixtures).
pub(super) fn hyper_mixtures(cpu: &Cpu, m: &Tensor, mixing: HyperMixing) -> Result<Tensor> {
    m.expect_width(mixing.inputs(), "numbers of a hyper-connection")?;
    let (n, inputs, outputs, epsilon) = (mixing.streams, mixing.inputs(), mixing.outputs(), f64::from(mixing.epsilon));
    let data = m.data();
    let sigmoid = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
    rows(cpu, m.rows(), outputs, |first, out| {
        for (m, out) in data[first * inputs..].chunks_exact(inputs).zip(out.chunks_exact_mut(outputs)) {
            let (pre, mixtures) = out.split_at_mut(n);
            for (pre, m) in pre.iter_mut().zip(m) {
                *pre = (sigmoid(*m) + epsilon) as f32;
            }
            let comb = balanced(&m[2 * n..], mixing);
            for (to, mixture) in mixtures.chunks_exact_mut(n + 1).enumerate() {
                for (from, factor) in mixture[..n].iter_mut().enumerate() {
                    *factor = comb[from * n + to] as f32;
                }
                mixture[n] = (2.0 * sigmoid(m[n + to])) as f32;
            }
        }
    })
}

/// The softmax of each row of a matrix, then columns and rows divided by their sums in turn (Sinkhorn and Knopp 1967).
fn balanced(m: &[f32], HyperMixing { streams: n, iterations, epsilon }: HyperMixing) -> Vec<f64> {
    let epsilon = f64::from(epsilon);
    let mut comb = Vec::with_capacity(n * n);
    for row in m.chunks_exact(n) {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = row.iter().map(|x| f64::from(x - most).exp()).collect();
        let sum: f64 = powers.iter().sum();
        comb.extend(powers.into_iter().map(|power| power / sum + epsilon));
    }
    for iteration in 0..iterations {
        if iteration > 0 {
            for row in comb.chunks_exact_mut(n) {
                let sum = row.iter().sum::<f64>() + epsilon;
                row.iter_mut().for_each(|x| *x /= sum);
            }
        }
        for column in 0..n {
            let sum = comb.iter().skip(column).step_by(n).sum::<f64>() + epsilon;
            comb.iter_mut().skip(column).step_by(n).for_each(|x| *x /= sum);
        }
    }
    comb
}

/// See [`Backend::match_magnitude`](crate::backend::Backend::match_magnitude).
pub(super) fn match_magnitude(cpu: &Cpu, x: &Tensor, like: &Tensor) -> Result<Tensor> {
    like.expect_width(x.width(), "a row to be as large as another")?;
    if x.rows() != like.rows() {
        return Err(Error::internal(format!("{} rows as large as {}", x.rows(), like.rows())));
    }
    let (width, data, like) = (x.width(), x.data(), like.data());
    let squares = |row: &[f32]| row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
    rows(cpu, x.rows(), width, |first, out| {
        for (index, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
            let at = (first + index) * width;
            let (x, like) = (&data[at..at + width], &like[at..at + width]);
            let factor = (squares(like) / squares(x)).sqrt() as f32;
            for (out, x) in out.iter_mut().zip(x) {
                *out = x * factor;
            }
        }
    })
}

/// What of each row's first part exceeds its mean and so many standard deviations, zero elsewhere; the rest as it is.
pub(super) fn exceeding(cpu: &Cpu, x: &Tensor, part: usize, deviations: f32) -> Result<Tensor> {
    let (width, data) = (x.width(), x.data());
    rows(cpu, x.rows(), width, |first, out| {
        for (row, out) in data[first * width..].chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let own = &row[..part];
            let mean = own.iter().map(|x| f64::from(*x)).sum::<f64>() / part as f64;
            let variance = own.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / part as f64;
            let bound = (mean + f64::from(deviations) * variance.sqrt()) as f32;
            out.copy_from_slice(row);
            for x in &mut out[..part] {
                *x = (*x - bound).max(0.0);
            }
        }
    })
}
