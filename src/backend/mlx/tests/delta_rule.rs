//! The delta rule in blocks, position by position, and on the other backend.

use mlx_rs::{Array, Dtype, memory, ops, transforms};

use super::support::{Random, backend, on_worker, tensor, values};
use crate::arch::from_config;
use crate::arch::spec::recorded::{column_parts, delta_rule};
use crate::arch::spec::{GatedDelta, Mixer};
use crate::backend::cpu::{Cpu, Pool};
use crate::backend::mlx::delta_rule::DeltaRule;
use crate::backend::{Backend, DeltaInput, DeltaParams, Ids, Precision, Rows};
use crate::weights::LinearData;

const LENGTHS: [usize; 9] = [1, 15, 16, 17, 63, 64, 65, 130, 200];
const HEADS: usize = 3;
const KEYS: usize = 20;
const VALUES: usize = 12;
/// What rounding may come to, of the largest number.
const ROUNDING: f32 = 1e-5;
/// The same with rates near 2, where a block's solution may be sums of alternating numbers that don't fade.
const ROUNDING_OF_REFLECTIONS: f32 = 2e-4;

/// Keys of unit length, all the same but for a share of `spread`.
fn keys(random: &mut Random, rows: usize, spread: f32) -> Vec<f32> {
    let common = random.floats(HEADS * KEYS);
    let mut all = Vec::new();
    for _ in 0..rows {
        for common in common.chunks(KEYS) {
            let key: Vec<f32> = common.iter().map(|x| x + spread * random.float()).collect();
            let length = key.iter().map(|x| x * x).sum::<f32>().sqrt();
            all.extend(key.iter().map(|x| x / length));
        }
    }
    all
}

fn array(numbers: &[f32], width: usize) -> Array {
    let rows = numbers.len() / (HEADS * width);
    Array::from_slice(numbers, &[rows as i32, HEADS as i32, width as i32])
}

/// The rule with exponents as `exponent` draws them and rates near `rate`.
fn rule(rows: usize, spread: f32, rate: f32, columns: usize, exponent: Exponent) -> DeltaRule {
    let random = &mut Random::new(rows as u64);
    let key = array(&keys(random, rows, spread), KEYS);
    let rates: Vec<f32> = (0..rows * HEADS).map(|_| rate * (1.0 - 0.01 * random.float().abs())).collect();
    let exponents: Vec<f32> = (0..rows * HEADS * columns).map(|_| exponent(random)).collect();
    DeltaRule {
        query: array(&random.floats(rows * HEADS * KEYS), KEYS),
        removed: key.multiply(array(&rates, 1)).unwrap(),
        known: key,
        value: array(&random.floats(rows * HEADS * VALUES), VALUES),
        written: None,
        exponents: array(&exponents, columns),
        lowest: None,
    }
}

fn started() -> Array {
    let numbers = Random::new(99).floats(HEADS * VALUES * KEYS);
    Array::from_slice(&numbers, &[HEADS as i32, VALUES as i32, KEYS as i32])
}

/// Numbers of an array.
fn of(array: &Array) -> Vec<f32> {
    values(&array.reshape(&[1, -1]).unwrap().into())
}

type Exponent = fn(&mut Random) -> f32;

/// How the parts of a memory that are kept may lie.
const EXPONENTS: [(&str, Exponent); 5] = [
    ("nothing fades", |_| 0.0),
    ("little fades", |random| -0.01 * random.float().abs()),
    ("much fades", |random| -2.0 * random.float().abs()),
    ("nothing is left", |_| -30.0),
    ("now and then nothing is left", |random| if random.float() > 0.8 { -1000.0 } else { -0.01 }),
];

/// Compares blocks with positions, where `change` has made of a rule what is to be tested.
fn blocks_agree(columns: usize, exponents: &[(&str, Exponent)], change: fn(DeltaRule) -> DeltaRule) {
    backend(Precision::Exact);
    for rows in LENGTHS {
        for (spread, rate) in [(0.0, 1.0), (0.0, 2.0), (0.1, 2.0), (3.0, 1.0), (3.0, 2.0), (3.0, 0.1)] {
            for (decays, exponent) in exponents {
                let rule = change(rule(rows, spread, rate, columns, *exponent));
                let (y, after) = rule.by_position(started()).unwrap();
                let rounding = if rate > 1.0 { ROUNDING_OF_REFLECTIONS } else { ROUNDING };
                let size = rows.next_power_of_two().clamp(2, 64);
                let (in_blocks, after_blocks) = rule.by_block(started(), size).unwrap();
                let what = format!("{rows} rows, {decays}, rate {rate}, spread {spread}");
                assert_near(&of(&in_blocks), &of(&y), rounding, &what);
                assert_near(&of(&after_blocks), &of(&after), rounding, &what);
            }
        }
    }
}

#[test]
fn blocks_with_a_decay_of_a_head_are_the_same_as_positions() {
    on_worker(|| blocks_agree(1, &EXPONENTS, |rule| rule));
}

#[test]
fn blocks_with_decays_of_columns_are_the_same_as_positions() {
    on_worker(|| blocks_agree(KEYS, &EXPONENTS, |rule| rule));
}

#[test]
fn blocks_with_bounded_decays_are_the_same_as_positions() {
    let strong: [(&str, Exponent); 3] = [
        ("all but nothing is left", |_| -5.0),
        ("much or little is left", |random| -2.5 - 2.5 * random.float()),
        ("little fades", |random| -0.01 * random.float().abs()),
    ];
    on_worker(move || blocks_agree(KEYS, &strong, |rule| DeltaRule { lowest: Some(-5.0), ..rule }));
}

#[test]
fn blocks_whose_values_have_their_own_keys_are_the_same_as_positions() {
    let bounded: [(&str, Exponent); 3] = [
        ("as much as may fade", |_| -0.6),
        ("much or little fades", |random| -0.3 - 0.3 * random.float()),
        ("nothing fades", |_| 0.0),
    ];
    let of_their_own = |rule: DeltaRule| {
        let written = array(&Random::new(5).floats(rule.query.dim(0) as usize * HEADS * KEYS), KEYS);
        DeltaRule { lowest: Some(-0.6), written: Some(written), ..rule }
    };
    on_worker(move || blocks_agree(KEYS, &bounded, of_their_own));
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().fold(0.0f32, |size, x| size.max(x.abs()));
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(found.iter().all(|x| x.is_finite()) && off <= tolerance * size, "{what}: {off} off, of {size}");
}

#[test]
fn blocks_take_no_more_memory_than_is_counted() {
    on_worker(|| {
        backend(Precision::Exact);
        let bounds = [(1, None, false), (0, None, false), (0, Some(-5.0), false), (0, Some(-0.6), true)];
        for ((keys, values), (columns, lowest, own_keys)) in
            [(128, 128), (64, 64), (96, 256)].into_iter().flat_map(|sizes| bounds.map(|bound| (sizes, bound)))
        {
            let random = &mut Random::new(1);
            let mut numbers = |width: i32| {
                let numbers = random.floats(256 * 2 * width as usize);
                Array::from_slice(&numbers, &[256, 2, width]).multiply(Array::from_f32(0.1)).unwrap()
            };
            let columns = if columns == 0 { keys } else { columns };
            let exponents = numbers(columns).abs().unwrap().negative().unwrap();
            let (query, known, removed) = (numbers(keys), numbers(keys), numbers(keys));
            let written = own_keys.then(|| numbers(keys));
            let rule = DeltaRule { query, known, removed, value: numbers(values), written, exponents, lowest };
            let inputs = [&rule.query, &rule.known, &rule.removed, &rule.value, &rule.exponents];
            transforms::eval(inputs.into_iter().chain(&rule.written)).unwrap();
            let before = memory::active_memory().unwrap();
            memory::reset_peak_memory().unwrap();
            let zeros = ops::zeros_dtype(&[2, values, keys], Dtype::Float32).unwrap();
            let (y, after) = rule.by_block(zeros, 64).unwrap();
            transforms::eval([&y, &after]).unwrap();
            let took = memory::peak_memory().unwrap() - before;
            let parts = if columns == 1 { 0 } else { column_parts(lowest) * (1 + u64::from(own_keys)) };
            let counted = 4 * 256 * delta_rule(2, keys as u64, values as u64, parts) as usize;
            let what = format!("{took} bytes, not {counted}, with {keys} and {values}, {columns} decays, {lowest:?}");
            // A device that computes while it records gives much of it back meanwhile.
            assert!(took <= counted && took * 5 >= counted, "{what}");
        }
    });
}

fn cpu_tensor(cpu: &Cpu, rows: usize, numbers: &[f32]) -> <Cpu as Backend>::Tensor {
    let data = LinearData::of_numbers("x", rows, numbers.len() / rows, numbers.iter().copied(), None);
    let table = cpu.load_linear(&[data]).unwrap();
    cpu.embed(&table, Ids::Host(&(0..rows as u32).collect::<Vec<_>>())).unwrap()
}

/// A gated delta net's operation on both backends: a long slice, then one more.
fn backends_agree(spec: &GatedDelta, decay: f32, rate: f32) {
    let mlx = backend(Precision::Exact);
    let cpu = Cpu::new(Pool::new(1).unwrap(), Precision::Exact, None).unwrap();
    for rows in LENGTHS {
        let random = &mut Random::new(7);
        let (decays, heads) = (spec.decays(), spec.value_heads);
        let (logs, steps) = (vec![decay; heads], random.floats(decays));
        let mlx_vectors = [&logs, &steps].map(|numbers| mlx.load_vector(numbers.clone()).unwrap());
        let cpu_vectors = [&logs, &steps].map(|numbers| cpu.load_vector(numbers.clone()).unwrap());
        let mut mlx_states: [<crate::backend::mlx::Mlx as Backend>::State; 1] = Default::default();
        let mut cpu_states: [<Cpu as Backend>::State; 1] = Default::default();
        for (position, len) in [(0, rows), (rows, 33)] {
            // Keys are much alike where values have a mean.
            let qkv: Vec<f32> = random.floats(len * spec.channels()).iter().map(|x| x + 0.8).collect();
            let rates: Vec<f32> = random.floats(len * heads).iter().map(|x| x + rate).collect();
            let step = random.floats(len * decays);
            let rows = Rows::new([(position, len)]);
            let [qkv_mlx, rate_mlx, step_mlx] = [&qkv, &rates, &step].map(|numbers| tensor(len, numbers));
            let input = DeltaInput { qkv: &qkv_mlx, rate: &rate_mlx, step: &step_mlx };
            let params = DeltaParams { spec, decay: &mlx_vectors[0], step: &mlx_vectors[1] };
            let found = mlx.gated_delta(input, &params, &rows, &mut mlx_states).unwrap();
            let [qkv, rate, step] = [&qkv, &rates, &step].map(|numbers| cpu_tensor(&cpu, len, numbers));
            let input = DeltaInput { qkv: &qkv, rate: &rate, step: &step };
            let params = DeltaParams { spec, decay: &cpu_vectors[0], step: &cpu_vectors[1] };
            let expected = cpu.gated_delta(input, &params, &rows, &mut cpu_states).unwrap();
            let mut numbers = Vec::new();
            (0..len).for_each(|row| cpu.read_logits(&expected, row, &mut numbers).unwrap());
            let rounding = if spec.rate_scale > 1.0 { ROUNDING_OF_REFLECTIONS } else { ROUNDING };
            assert_near(&values(&found), &numbers, rounding, &format!("{len} rows at {position}"));
        }
    }
}

/// The first delta net of a model.
fn delta_net(config: serde_json::Value) -> GatedDelta {
    let model = from_config(&config, "config.json").unwrap();
    let nets = model.layers.into_iter().filter_map(|layer| match layer.mixer {
        Mixer::GatedDelta(delta) => Some(delta),
        _ => None,
    });
    nets.into_iter().next().unwrap()
}

const SHAPE: &str = r#"{
    "model_type": "qwen3_5", "vocab_size": 8, "hidden_size": 32, "intermediate_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "rms_norm_eps": 0.01, "rope_theta": 1e4,
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 24,
    "linear_conv_kernel_dim": 4, "full_attention_interval": 2
}"#;

#[test]
fn gated_delta_nets_are_the_same_on_both_backends() {
    let mut spec = delta_net(serde_json::from_str(SHAPE).unwrap());
    on_worker(move || {
        for (by_column, lowest) in [(false, None), (true, None), (true, Some(-5.0))] {
            (spec.decay_by_column, spec.lowest_decay) = (by_column, lowest);
            for (decay, rate, scale) in [(-6.0, 4.0, 1.0), (-6.0, 6.0, 2.0), (0.0, 0.0, 1.0), (4.0, 0.0, 1.0)] {
                spec.rate_scale = scale;
                backends_agree(&spec, decay, rate);
            }
        }
    });
}
