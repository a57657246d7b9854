use super::{Random, assert_close, backends, bits, tensor};
use crate::backend::Backend;

/// Rows and widths, with and without rests, for one thread and for several.
const SHAPES: [(usize, usize); 4] = [(1, 8), (5, 172), (40, 1000), (1, 1)];

#[test]
fn mixtures_by_a_query() {
    let mut random = Random(6);
    for (rows, width) in SHAPES {
        let inputs: Vec<Vec<f32>> =
            [1.0, 3.0, 0.2].map(|size| random.numbers(rows * width).iter().map(|x| x * size).collect()).into();
        let query: Vec<f32> = random.numbers(width).iter().map(|x| 3.0 * x).collect();
        let mut want = Vec::new();
        for row in 0..rows {
            let of = |input: &Vec<f32>| input[row * width..][..width].iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
            let parts: Vec<Vec<f64>> = inputs.iter().map(of).collect();
            let score = |x: &Vec<f64>| {
                let mean = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
                x.iter().zip(&query).map(|(x, q)| x * f64::from(*q)).sum::<f64>() / (mean + 0.01).sqrt()
            };
            let scores: Vec<f64> = parts.iter().map(score).collect();
            let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
            let sum: f64 = powers.iter().sum();
            want.extend((0..width).map(|i| parts.iter().zip(&powers).map(|(x, p)| x[i] * p / sum).sum::<f64>()));
        }
        let mut first = None;
        for cpu in backends() {
            let tensors: Vec<_> = inputs.iter().map(|x| tensor(&cpu, rows, x)).collect();
            let got = cpu.mix_by_query(&tensors, &query, 0.01).unwrap();
            assert_close(got.data(), &want, 1e-4, "mixture");
            assert_eq!(first.get_or_insert_with(|| bits(got.data())), &bits(got.data()));
            let alone: Vec<_> = inputs.iter().map(|x| tensor(&cpu, 1, &x[..width])).collect();
            let alone = cpu.mix_by_query(&alone, &query, 0.01).unwrap();
            assert_eq!(bits(alone.data()), bits(&got.data()[..width]));
        }
    }
    let cpu = &backends()[0];
    let inputs = [tensor(cpu, 1, &[1.0, 2.0]), tensor(cpu, 2, &[1.0; 4])];
    assert!(cpu.mix_by_query(&inputs, &vec![1.0; 2], 0.01).is_err());
    assert!(cpu.mix_by_query(&inputs[..1], &vec![1.0; 3], 0.01).is_err());
}
