use super::{Known, Random, assert_close, backends, bits, numbers, tensor};
use crate::arch::spec::Activation;
use crate::backend::cpu::recurrent::{Kept, State};
use crate::backend::cpu::simd::{Kernel, LANES, Level, Simd, exp, exp_one};
use crate::backend::{Backend, State as _};
use crate::weights::{Dtype, NormData};

/// Widths with and without rests, and rows for one thread and for several.
const SHAPES: [(usize, usize); 6] = [(1, 8), (3, 64), (5, 172), (1, 1024), (40, 1000), (1, 1)];

#[test]
fn norms() {
    let mut random = Random(1);
    for (rows, width) in SHAPES {
        let (weight, known) = numbers(Dtype::Bf16, &[width], &random.numbers(width));
        let x = random.numbers(rows * width);
        let epsilon = 1e-5;
        let mut want = Vec::new();
        for x in x.chunks(width) {
            let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / width as f64;
            want.extend(x.iter().zip(&known).map(|(x, w)| f64::from(*x) / (mean + 1e-5).sqrt() * w));
        }
        let mut first = None;
        for cpu in backends() {
            let norm = cpu.load_norm(&NormData::rms(&weight, epsilon)).unwrap();
            let got = cpu.norm(&tensor(&cpu, rows, &x), &norm).unwrap();
            assert_close(got.data(), &want, 1e-6, "norm");
            assert_eq!(first.get_or_insert_with(|| bits(got.data())), &bits(got.data()));
            let alone = cpu.norm(&tensor(&cpu, 1, &x[..width]), &norm).unwrap();
            assert_eq!(bits(alone.data()), bits(&got.data()[..width]));
        }
    }
}

#[test]
fn gates() {
    let mut random = Random(2);
    for (rows, width) in SHAPES {
        let x: Vec<f32> = random.numbers(2 * rows * width).iter().map(|x| x * 20.0).collect();
        let mut want = Vec::new();
        for x in x.chunks(2 * width) {
            let (gate, up) = x.split_at(width);
            let silu = |(g, u): (&f32, &f32)| f64::from(*g) / (1.0 + (-f64::from(*g)).exp()) * f64::from(*u);
            want.extend(gate.iter().zip(up).map(silu));
        }
        let mut first = None;
        for cpu in backends() {
            let got = cpu.gate(&tensor(&cpu, rows, &x), Activation::Silu).unwrap();
            assert_close(got.data(), &want, 1e-6, "gate");
            assert_eq!(first.get_or_insert_with(|| bits(got.data())), &bits(got.data()));
        }
    }
    let cpu = &backends()[0];
    let far = cpu.gate(&tensor(cpu, 1, &[-1e4, -100.0, 100.0, 1.0, 1.0, 1.0]), Activation::Silu).unwrap();
    assert_eq!(far.data(), [0.0, 0.0, 100.0]);
}

#[test]
fn sums_selections_and_ids() {
    let mut random = Random(3);
    for (rows, width) in SHAPES {
        let (a, b) = (random.numbers(rows * width), random.numbers(rows * width));
        for cpu in backends() {
            let (x, y) = (tensor(&cpu, rows, &a), tensor(&cpu, rows, &b));
            let want: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
            assert_eq!(cpu.add(&x, &y).unwrap().data(), want);
            let selected = cpu.select_rows(&x, &[rows - 1, 0, 0]).unwrap();
            assert_eq!(selected.data(), [&a[(rows - 1) * width..], &a[..width], &a[..width]].concat());
            assert!(cpu.select_rows(&x, &[rows]).is_err());
            let ids = cpu.read_tokens(&cpu.argmax(&x).unwrap()).unwrap();
            for (id, row) in ids.iter().zip(a.chunks(width)) {
                let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                assert_eq!(*id as usize, row.iter().position(|x| *x == best).unwrap());
            }
        }
    }
}

#[test]
fn the_lowest_of_equal_ids_wins_and_nan_never() {
    for cpu in backends() {
        for width in [3, 16, 40] {
            let mut row = vec![1.0; width];
            (row[0], row[1]) = (f32::NAN, 2.0);
            row[width - 1] = 2.0;
            let ids = cpu.argmax(&tensor(&cpu, 2, &[row, vec![f32::NAN; width]].concat())).unwrap();
            assert_eq!(cpu.read_tokens(&ids).unwrap(), [1, 0]);
        }
    }
}

#[test]
fn shapes_are_checked() {
    let cpu = &backends()[0];
    let x = tensor(cpu, 2, &[0.0; 6]);
    assert!(cpu.add(&x, &tensor(cpu, 1, &[0.0; 3])).is_err());
    assert!(cpu.add(&x, &tensor(cpu, 2, &[0.0; 4])).is_err());
    assert!(cpu.gate(&x, Activation::Silu).is_err());
    let norm = cpu.load_norm(&NormData::rms(&numbers(Dtype::F32, &[4], &[1.0; 4]).0, 1e-5)).unwrap();
    assert!(cpu.norm(&x, &norm).is_err());
    assert!(cpu.read_logits(&x, 2, &mut Vec::new()).is_err());
}

#[test]
fn fused_operations_are_their_parts() {
    let mut random = Random(4);
    let cpu = &backends()[1];
    let up = cpu.load_linear(&[Known::dense(96, 32, Dtype::F16, &mut random).data]).unwrap();
    let down = cpu.load_linear(&[Known::dense(32, 48, Dtype::F16, &mut random).data]).unwrap();
    let norm = cpu.load_norm(&NormData::rms(&numbers(Dtype::F32, &[32], &random.numbers(32)).0, 1e-6)).unwrap();
    let x = tensor(cpu, 3, &random.numbers(96));
    let parts = cpu.linear(&cpu.norm(&x, &norm).unwrap(), &up).unwrap();
    let parts = cpu.linear(&cpu.gate(&parts, Activation::Silu).unwrap(), &down).unwrap();
    let parts = cpu.add(&x, &parts).unwrap();
    assert_eq!(cpu.gated_mlp(&x, &norm, &up, &down, Activation::Silu).unwrap().data(), parts.data());
}

#[test]
fn memory_is_counted_kept_and_given_back() {
    let cpu = &backends()[0];
    let x = tensor(cpu, 1, &[0.0; 1 << 20]);
    assert!(cpu.memory().active >= 4 << 20);
    assert!(cpu.memory().peak >= 4 << 20);
    drop(x);
    assert!(cpu.memory().cached >= 4 << 20);
    cpu.trim();
    assert_eq!(cpu.memory().cached, 0);
    let state = State { memory: Kept::copy(cpu, &vec![0.0; 2 << 20]).unwrap(), ..State::default() };
    let copy = state.clone();
    assert!(cpu.memory().active >= 8 << 20, "states are counted");
    assert_eq!((state.bytes(), copy.bytes()), (8 << 20, 8 << 20));
}

struct Exp<'a>(&'a [f32], &'a mut [f32]);

impl Kernel for Exp<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, y) = (self.0.as_chunks::<LANES>().0, self.1.as_chunks_mut().0);
        for (x, y) in x.iter().zip(y) {
            s.store(exp(s, s.load(x)), y);
            assert_eq!(exp_one(s, x[3]).to_bits(), y[3].to_bits());
        }
    }
}

#[test]
fn exponentials_are_accurate_and_the_same_at_all_levels() {
    let mut x: Vec<f32> = (0..200_000).map(|i| -87.3 + i as f32 * 0.00088).collect();
    x.extend([0.0, -0.0, 1e-30, -1e-30, 88.722_83, 88.73, 1e30, f32::INFINITY]);
    x.extend([-87.31, -1e30, f32::NEG_INFINITY, f32::NAN, 1.0, -1.0, 0.5, -0.5]);
    let mut first = None;
    for level in Level::available() {
        let mut y = vec![0.0; x.len()];
        level.run(Exp(&x, &mut y));
        for (x, y) in x.iter().zip(&y) {
            let want = f64::from(*x).exp();
            if *x < -87.3 {
                assert_eq!(*y, 0.0);
            } else if *x > 88.722_83 {
                assert_eq!(*y, f32::INFINITY);
            } else if x.is_nan() {
                assert!(y.is_nan());
            } else {
                let unit = f64::from(f32::from_bits(y.to_bits() + 1) - y);
                assert!((f64::from(*y) - want).abs() <= 1.5 * unit.min(want), "exp({x}) = {y}, not {want}");
            }
        }
        y.retain(|y| !y.is_nan());
        assert_eq!(first.get_or_insert_with(|| bits(&y)), &bits(&y));
    }
}
