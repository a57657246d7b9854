//! Operations that are alike on all backends, against a plain f64 computation.

use serde_json::json;

use super::{Backend, Ids, Rows, TimeMixInput, TimeMixParams};
use crate::arch::{from_config, spec::Mixer};
use crate::backend::Precision;
use crate::backend::cpu::{Cpu, Pool};
use crate::weights::LinearData;

/// Repeatable numbers from -1 to 1.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as f32 / (1u64 << 31) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn tensor<B: Backend>(backend: &B, width: usize, numbers: &[f32]) -> B::Tensor {
    let rows = numbers.len() / width;
    let data = LinearData::of_numbers("x", rows, width, numbers.iter().copied(), None);
    let table = backend.load_linear(&[data]).unwrap();
    backend.embed(&table, Ids::Host(&(0..rows as u32).collect::<Vec<_>>())).unwrap()
}

fn read<B: Backend>(backend: &B, tensor: &B::Tensor, rows: usize) -> Vec<f32> {
    let mut all = Vec::new();
    (0..rows).for_each(|row| backend.read_logits(tensor, row, &mut all).unwrap());
    all
}

fn assert_close(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            (f64::from(*got) - want).abs() <= 5e-5 * want.abs().max(1.0),
            "{what}: number {at} is {got}, not {want}"
        );
    }
}

fn cpus() -> [Cpu; 2] {
    [1, 3].map(|threads| Cpu::new(Pool::new(threads).unwrap(), Precision::Exact, None).unwrap())
}

#[cfg(feature = "mlx")]
fn on_mlx(check: fn(&super::mlx::Mlx)) {
    use super::mlx::{Mlx, MlxDevice, on_worker};
    on_worker(move || check(&Mlx::new(MlxDevice::Cpu, Precision::Exact, None, || {}).unwrap()));
}

/// What a sequence has gone through, in f64.
struct Memory {
    heads: usize,
    width: usize,
    /// `heads × values × keys`.
    numbers: Vec<f64>,
}

impl Memory {
    fn new(heads: usize, width: usize) -> Self {
        Self { heads, width, numbers: vec![0.0; heads * width * width] }
    }

    /// `y` and the bonus of one position; the inputs in the order of [`TimeMixInput`], then the parameters.
    fn step(&mut self, inputs: [&[f32]; 8]) -> (Vec<f64>, Vec<f64>) {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let width = self.width;
        let (mut ys, mut own) = (Vec::new(), Vec::new());
        for head in 0..self.heads {
            let part = inputs.map(|x| x[head * width..][..width].iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
            let [r, key, v, decay, rate, scale, key_rate, bonus] = &part;
            let length = (0..width).map(|i| (key[i] * scale[i]).powi(2)).sum::<f64>().sqrt();
            let known: Vec<f64> = (0..width).map(|i| key[i] * scale[i] / length).collect();
            let rates: Vec<f64> = rate.iter().map(|x| sigmoid(*x)).collect();
            let k: Vec<f64> = (0..width).map(|i| key[i] * (1.0 + (rates[i] - 1.0) * key_rate[i])).collect();
            let weight: f64 = (0..width).map(|i| r[i] * k[i] * bonus[i]).sum();
            for (value, memory) in self.numbers[head * width * width..].chunks_exact_mut(width).take(width).enumerate()
            {
                let taken: f64 = (0..width).map(|i| memory[i] * known[i]).sum();
                for i in 0..width {
                    let keep = (-(-0.5f64).exp() * sigmoid(decay[i])).exp();
                    memory[i] = memory[i] * keep - taken * known[i] * rates[i] + v[value] * k[i];
                }
                ys.push((0..width).map(|i| memory[i] * r[i]).sum());
                own.push(weight * v[value]);
            }
        }
        (ys, own)
    }
}

fn time_mixing<B: Backend>(backend: &B) {
    // Widths of one vector, of several, and with a rest.
    for (heads, width) in [(1, 16), (3, 24), (2, 64), (2, 40), (5, 4)] {
        let hidden = heads * width;
        let config = json!({
            "model_type": "rwkv7", "vocab_size": 8, "hidden_size": hidden, "intermediate_size": 8, "norm_eps": 1e-5,
            "head_dim": width, "num_hidden_layers": 1, "a_low_rank_dim": 8, "v_low_rank_dim": 8,
            "gate_low_rank_dim": 8, "decay_low_rank_dim": 8,
        });
        let model = from_config(&config, "config.json").unwrap();
        let Mixer::TimeMix(spec) = &model.layers[0].mixer else { panic!("no time mixing") };
        let params = [1, 2, 3].map(|seed| numbers(seed, hidden));
        let [key_scale, key_rate, bonus] =
            params.each_ref().map(|numbers| backend.load_vector(numbers.clone()).unwrap());
        let loaded = TimeMixParams { spec, key_scale: &key_scale, key_rate: &key_rate, bonus: &bonus };

        let mut states: [B::State; 3] = Default::default();
        let mut memories = [0; 3].map(|_| Memory::new(heads, width));
        for (step, rows) in [[(0, 5), (0, 1), (0, 3)], [(5, 2), (1, 1), (3, 70)]].into_iter().enumerate() {
            let rows = Rows::new(rows);
            let inputs = [10, 20, 30, 40, 50].map(|seed| {
                numbers(seed + step as u64, rows.len() * hidden).iter().map(|x| 2.0 * x).collect::<Vec<_>>()
            });
            let [receptance, key, value, decay, rate] = inputs.each_ref().map(|x| tensor(backend, hidden, x));
            let input = TimeMixInput { receptance: &receptance, key: &key, value: &value, decay: &decay, rate: &rate };
            let [y, own] = backend.time_mix(input, &loaded, &rows, &mut states).unwrap();
            let (mut ys, mut owns) = (Vec::new(), Vec::new());
            for (segment, memory) in rows.segments().iter().zip(&mut memories) {
                for row in segment.start..segment.start + segment.len {
                    let [r, k, v, w, a] = inputs.each_ref().map(|x| &x[row * hidden..][..hidden]);
                    let (y, own) = memory.step([r, k, v, w, a, &params[0], &params[1], &params[2]]);
                    ys.extend(y);
                    owns.extend(own);
                }
            }
            assert_close(&read(backend, &y, rows.len()), &ys, &format!("{heads} heads of {width}, step {step}"));
            assert_close(&read(backend, &own, rows.len()), &owns, &format!("bonus of {heads} heads of {width}"));
        }
    }
}

#[test]
fn time_mixing_is_the_plain_recurrence() {
    cpus().iter().for_each(time_mixing);
    #[cfg(feature = "mlx")]
    on_mlx(time_mixing);
}

fn shifts<B: Backend>(backend: &B) {
    let width = 21;
    let shares = [1, 2].map(|seed| numbers(seed, width));
    let loaded = shares.each_ref().map(|share| backend.load_vector(share.clone()).unwrap());
    let mut states: [B::State; 2] = Default::default();
    let mut before = [vec![0.0; width], vec![0.0; width]];
    for (step, rows) in [[(0, 4), (0, 1)], [(4, 1), (1, 2)]].into_iter().enumerate() {
        let rows = Rows::new(rows);
        let x = numbers(7 + step as u64, rows.len() * width);
        let shifted = backend.token_shift(&tensor(backend, width, &x), &loaded, &rows, &mut states).unwrap();
        let mut want = [Vec::new(), Vec::new()];
        for (segment, before) in rows.segments().iter().zip(&mut before) {
            for row in x[segment.start * width..][..segment.len * width].chunks_exact(width) {
                for (share, want) in shares.iter().zip(&mut want) {
                    let mixed = |i: usize| f64::from(row[i]) + f64::from(before[i] - row[i]) * f64::from(share[i]);
                    want.extend((0..width).map(mixed));
                }
                before.copy_from_slice(row);
            }
        }
        assert_eq!(shifted.len(), 2);
        for (shifted, want) in shifted.iter().zip(&want) {
            assert_close(&read(backend, shifted, rows.len()), want, &format!("step {step}"));
        }
    }
}

#[test]
fn shifts_mix_with_the_row_before() {
    cpus().iter().for_each(shifts);
    #[cfg(feature = "mlx")]
    on_mlx(shifts);
}
