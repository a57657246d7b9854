//! What `benches/kernels.rs` measures: operations of the CPU backend on numbers of no meaning.

use std::sync::Arc;

use super::{Cpu, Pool, Tensor};
use crate::arch::spec::{Activation, QuantizationFormat};
use crate::backend::{Backend, Precision};
use crate::error::Result;
use crate::weights::{Dtype, LinearData, Matrix, TensorView};

/// How the weights of a product are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// Codes of so many bits in groups of 64, with bf16 scales.
    Codes(usize),
    /// Plain bf16 numbers.
    Bf16,
}

/// The CPU backend with some threads.
pub struct Kernels(Cpu);

/// Some matrices of one shape, so that a round of products reads more than the caches hold.
pub struct Product {
    matrices: Vec<<Cpu as Backend>::Linear>,
    x: Tensor,
    next: usize,
}

/// Bytes below which caches would be measured.
const UNCACHED: usize = 512 << 20;

impl Kernels {
    /// # Errors
    /// When the threads can't be started.
    pub fn new(threads: usize, exact: bool) -> Result<Self> {
        let precision = if exact { Precision::Exact } else { Precision::Default };
        Ok(Self(Cpu::new(Pool::new(threads)?, precision, None)?))
    }

    /// A product of `rows` with `outputs × inputs` weights, at other weights each time.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn product(&self, weights: Weights, outputs: usize, inputs: usize, rows: usize) -> Result<Product> {
        let bytes = weights.bytes(outputs, inputs);
        let count = UNCACHED.div_ceil(bytes).min(64);
        let storage: Arc<Vec<u8>> = Arc::new(weights.fill(count, outputs, inputs));
        let matrix = |at: usize| {
            let data = weights.view(&storage, at * bytes, outputs, inputs);
            self.0.load_linear(&[LinearData { outputs, inputs, matrix: data, bias: None, rotation: None }])
        };
        let matrices = (0..count).map(matrix).collect::<Result<_>>()?;
        Ok(Product { matrices, x: self.rows(rows, inputs)?, next: 0 })
    }

    /// Computes the next product.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn multiply(&self, product: &mut Product) -> Result<()> {
        product.next = (product.next + 1) % product.matrices.len();
        self.0.linear(&product.x, &product.matrices[product.next]).map(drop)
    }

    /// Rows of numbers from -1 to 1.
    fn rows(&self, rows: usize, width: usize) -> Result<Tensor> {
        let mut buffer = self.0.arena.allocate(rows * width)?;
        for (i, number) in buffer.iter_mut().enumerate() {
            *number = (i * 7919 % 2003) as f32 / 1001.0 - 1.0;
        }
        Ok(Tensor::new(buffer, rows, width))
    }

    /// `silu(gate) * up` for rows of some width.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn gate(&self, rows: usize, width: usize) -> Result<impl FnMut() -> Result<()>> {
        let x = self.rows(rows, 2 * width)?;
        Ok(move || self.0.gate(&x, Activation::Silu).map(drop))
    }

    /// The most likely id of one row.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn argmax(&self, vocab: usize) -> Result<impl FnMut() -> Result<()>> {
        let x = self.rows(1, vocab)?;
        Ok(move || self.0.argmax(&x).map(drop))
    }

    /// A loop of two chunks that do nothing: the cost of waking the threads.
    ///
    /// # Errors
    /// What the backend reports.
    pub fn dispatch(&self) -> Result<()> {
        self.0.pool.run(2, |_, _| ())
    }
}

impl Weights {
    /// Bytes of a matrix.
    pub fn bytes(self, outputs: usize, inputs: usize) -> usize {
        match self {
            Self::Codes(bits) => outputs * inputs / 8 * bits + 2 * scale_bytes(outputs, inputs),
            Self::Bf16 => outputs * inputs * 2,
        }
    }

    /// Any codes, and scales and numbers about 0.008.
    fn fill(self, count: usize, outputs: usize, inputs: usize) -> Vec<u8> {
        let (bytes, scales) = (self.bytes(outputs, inputs), 2 * scale_bytes(outputs, inputs));
        let mut data = vec![0u8; count * bytes];
        let mut state = 1u64;
        for byte in &mut data {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        for matrix in data.chunks_exact_mut(bytes) {
            let numbers = if self == Self::Bf16 { matrix } else { &mut matrix[bytes - scales..] };
            numbers.iter_mut().skip(1).step_by(2).for_each(|high| *high = 0x3c);
        }
        data
    }

    fn view(self, storage: &Arc<Vec<u8>>, start: usize, outputs: usize, inputs: usize) -> Matrix {
        let view = |dtype: Dtype, width: usize, at: usize| {
            let range = at..at + outputs * width * dtype.width();
            TensorView::from_storage("benchmark".to_owned(), dtype, vec![outputs, width], storage.clone(), range)
        };
        match self {
            Self::Bf16 => Matrix::Dense(view(Dtype::Bf16, inputs, start)),
            Self::Codes(bits) => {
                let scales = start + outputs * inputs / 8 * bits;
                Matrix::Affine {
                    codes: view(Dtype::U32, inputs * bits / 32, start),
                    scales: view(Dtype::Bf16, inputs / 64, scales),
                    biases: view(Dtype::Bf16, inputs / 64, scales + scale_bytes(outputs, inputs)),
                    format: QuantizationFormat::affine(bits, 64),
                }
            }
        }
    }
}

/// Bytes of bf16 scales in groups of 64.
fn scale_bytes(outputs: usize, inputs: usize) -> usize {
    outputs * (inputs / 64) * 2
}
