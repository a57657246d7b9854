//! The worker thread, random tensors, and what they are compared with.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, OnceLock, mpsc};

use half::{bf16, f16};

use crate::arch::spec::QuantizationFormat;
use crate::backend::mlx::{Mlx, MlxDevice, Tensor, linear::cast};
use crate::backend::{KvBits, Precision, mlx};
use crate::weights::{Dtype, LinearData, Matrix, Rotation, TensorView};

type Job = Box<dyn FnOnce() + Send>;

/// Runs a test on the one thread that ever uses MLX, as the engine does.
pub fn on_worker(test: impl FnOnce() + Send + 'static) {
    static WORKER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let worker = WORKER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        std::thread::spawn(move || jobs.iter().for_each(|job| job()));
        sender
    });
    let (done, result) = mpsc::channel();
    let job = Box::new(move || done.send(catch_unwind(AssertUnwindSafe(test))).unwrap());
    worker.send(job).unwrap();
    if let Err(panic) = result.recv().unwrap() {
        resume_unwind(panic);
    }
}

/// The backend on MLX's CPU device.
pub fn backend(precision: Precision) -> Mlx {
    backend_with(precision, None)
}

/// [`backend`] with caches of so many bits.
pub fn backend_with(precision: Precision, kv: Option<KvBits>) -> Mlx {
    Mlx::new(MlxDevice::Cpu, precision, kv, || {}).unwrap()
}

/// Deterministic numbers.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn bits(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    /// Between -1 and 1.
    pub fn float(&mut self) -> f32 {
        self.bits() as f32 / 2f32.powi(31) - 1.0
    }

    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

/// The value that is left of a number when it is stored as `dtype`.
pub fn rounded(value: f32, dtype: Dtype) -> f32 {
    match dtype {
        Dtype::F16 => f16::from_f32(value).to_f32(),
        Dtype::Bf16 => bf16::from_f32(value).to_f32(),
        Dtype::F32 | Dtype::U32 | Dtype::U8 => value,
    }
}

/// A float tensor. Its bytes start at an odd address, as a file's may.
pub fn floats(dtype: Dtype, shape: &[usize], values: &[f32]) -> TensorView {
    let mut bytes = vec![0];
    for &value in values {
        match dtype {
            Dtype::F16 => bytes.extend(f16::from_f32(value).to_le_bytes()),
            Dtype::Bf16 => bytes.extend(bf16::from_f32(value).to_le_bytes()),
            Dtype::F32 | Dtype::U32 | Dtype::U8 => bytes.extend(value.to_le_bytes()),
        }
    }
    view(dtype, shape, bytes)
}

fn view(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> TensorView {
    let range = 1..bytes.len();
    TensorView::from_storage("test".to_owned(), dtype, shape.to_vec(), Arc::new(bytes), range)
}

/// A matrix as stored and as plain numbers, row by row.
pub struct TestMatrix {
    pub data: LinearData,
    pub rows: Vec<Vec<f32>>,
    pub bias: Option<Vec<f32>>,
}

impl TestMatrix {
    pub fn dense(random: &mut Random, dtype: Dtype, outputs: usize, inputs: usize) -> Self {
        let values: Vec<f32> = random.floats(outputs * inputs).iter().map(|&v| rounded(v, dtype)).collect();
        let matrix = Matrix::Dense(floats(dtype, &[outputs, inputs], &values));
        let rows = values.chunks(inputs).map(<[f32]>::to_vec).collect();
        Self { data: LinearData { outputs, inputs, matrix, bias: None, rotation: None }, rows, bias: None }
    }

    pub fn affine(
        random: &mut Random,
        dtype: Dtype,
        outputs: usize,
        inputs: usize,
        format: QuantizationFormat,
    ) -> Self {
        let QuantizationFormat { bits, group_size, .. } = format;
        let mut number =
            |n: usize, by: f32| -> Vec<f32> { (0..n).map(|_| rounded(random.float() * by, dtype)).collect() };
        let groups = outputs * inputs / group_size;
        let (scales, biases) = (number(groups, 0.1), number(groups, 1.0));
        let codes: Vec<u32> = (0..outputs * inputs).map(|_| random.bits() >> (32 - bits)).collect();
        let rows = codes
            .chunks(inputs)
            .enumerate()
            .map(|(r, row)| {
                let group = |i: usize| r * inputs / group_size + i / group_size;
                row.iter().enumerate().map(|(i, &code)| code as f32 * scales[group(i)] + biases[group(i)]).collect()
            })
            .collect();
        let shape = [outputs, inputs / group_size];
        let matrix = Matrix::Affine {
            codes: packed(&codes, bits, &[outputs, inputs * bits / 32]),
            scales: floats(dtype, &shape, &scales),
            biases: floats(dtype, &shape, &biases),
            format,
        };
        Self { data: LinearData { outputs, inputs, matrix, bias: None, rotation: None }, rows, bias: None }
    }

    /// The same with a rotation folded in.
    pub fn rotated(mut self, block: usize, random: &mut Random) -> Self {
        let rotation = Rotation::of_bits(block, self.data.inputs, || random.bits() >> 31);
        for row in &mut self.rows {
            let wide: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            *row = rotation.unfold(&wide).into_iter().map(|x| x as f32).collect();
        }
        self.data.rotation = Some(rotation);
        self
    }

    pub fn with_bias(mut self, random: &mut Random, dtype: Dtype) -> Self {
        let bias: Vec<f32> = random.floats(self.rows.len()).iter().map(|&v| rounded(v, dtype)).collect();
        self.data.bias = Some(floats(dtype, &[bias.len()], &bias));
        self.bias = Some(bias);
        self
    }

    /// `x · Wᵀ + bias` for one row.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let product = |(i, row): (usize, &Vec<f32>)| {
            let dot: f64 = row.iter().zip(x).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            dot as f32 + self.bias.as_ref().map_or(0.0, |bias| bias[i])
        };
        self.rows.iter().enumerate().map(product).collect()
    }
}

fn packed(codes: &[u32], bits: usize, shape: &[usize]) -> TensorView {
    let mut words = vec![0u32; codes.len() * bits / 32];
    for (i, &code) in codes.iter().enumerate() {
        let (word, shift) = (i * bits / 32, i * bits % 32);
        words[word] |= code << shift;
        if shift + bits > 32 {
            words[word + 1] |= code >> (32 - shift);
        }
    }
    let bytes = std::iter::once(0).chain(words.iter().flat_map(|word| word.to_le_bytes())).collect();
    view(Dtype::U32, shape, bytes)
}

/// A tensor of activations.
pub fn tensor(rows: usize, values: &[f32]) -> Tensor {
    let shape = [rows as i32, (values.len() / rows) as i32];
    mlx_rs::Array::from_slice(values, &shape).into()
}

/// The same numbers in another format.
pub fn as_dtype(x: &Tensor, dtype: Dtype) -> Tensor {
    x.0.as_dtype(mlx::raw::dtype(dtype)).unwrap().into()
}

/// The numbers of a tensor.
pub fn values(x: &Tensor) -> Vec<f32> {
    let array = cast(x.0.contiguous().unwrap(), mlx_rs::Dtype::Float32).unwrap();
    array.try_as_slice::<f32>().unwrap().to_vec()
}

/// Fails unless all numbers agree within `tolerance` of the largest one.
#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1e-6f32, |size, v| size.max(v.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * size, "number {i}: {a} instead of {b}");
    }
}
