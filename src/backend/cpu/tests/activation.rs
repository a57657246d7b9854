use super::{Random, assert_close, backends, bits, tensor};
use crate::arch::spec::Activation;
use crate::backend::Backend;

/// Rows and widths, with and without rests, for one thread and for several.
const SHAPES: [(usize, usize); 4] = [(1, 8), (5, 172), (40, 1000), (1, 1)];

#[test]
fn bounded_gates() {
    let mut random = Random(5);
    for (rows, width) in SHAPES {
        let x: Vec<f32> = random.numbers(2 * rows * width).iter().map(|x| x * 9.0).collect();
        for (beta, cap) in [(1.5, Some(2.0)), (4.0, None)] {
            let mut want = Vec::new();
            for x in x.chunks(2 * width) {
                let (gate, up) = x.split_at(width);
                let bound = |x: f32, by: f32| f64::from(by) * (f64::from(x) / f64::from(by)).tanh();
                let open = |gate: f32| bound(gate, beta) / (1.0 + (-f64::from(gate)).exp());
                let capped = |up: f32| cap.map_or(f64::from(up), |cap| bound(up, cap));
                want.extend(gate.iter().zip(up).map(|(gate, up)| open(*gate) * capped(*up)));
            }
            let mut first = None;
            for cpu in backends() {
                let x = tensor(&cpu, rows, &x);
                let got = cpu.gate(&x, Activation::Situ { beta, cap }).unwrap();
                assert_close(got.data(), &want, 4e-6, "SiTU");
                assert_eq!(first.get_or_insert_with(|| bits(got.data())), &bits(got.data()));
                assert!(cpu.activate(&x, Activation::Situ { beta, cap }).is_err());
            }
        }
    }
}
