//! The CPU backend's operations at the shapes of a 0.6B model. `benches/README.md` says what the numbers mean.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pocketmlx::benchmarks::{Kernels, Weights};

const THREADS: usize = 2;

/// One row: bytes of weights a second, to be held against the memory's bandwidth.
fn decode(c: &mut Criterion) {
    let kernels = Kernels::new(THREADS, false).unwrap();
    let mut group = c.benchmark_group("decode");
    for weights in [Weights::Codes(4), Weights::Codes(8), Weights::Bf16] {
        for (outputs, inputs) in [(6144, 1024), (1024, 3072)] {
            let mut product = kernels.product(weights, outputs, inputs, 1).unwrap();
            group.throughput(Throughput::Bytes(weights.bytes(outputs, inputs) as u64));
            group.bench_function(format!("{weights:?} {outputs}x{inputs}"), |b| {
                b.iter(|| kernels.multiply(black_box(&mut product)).unwrap());
            });
        }
    }
    group.finish();
}

/// Several rows: products of a weight with an activation a second.
fn prefill(c: &mut Criterion) {
    let mut group = c.benchmark_group("prefill");
    for (weights, exact) in [(Weights::Codes(4), false), (Weights::Codes(4), true), (Weights::Bf16, false)] {
        let kernels = Kernels::new(THREADS, exact).unwrap();
        for rows in [8, 128] {
            let mut product = kernels.product(weights, 6144, 1024, rows).unwrap();
            group.throughput(Throughput::Elements((rows * 6144 * 1024) as u64));
            let name = format!("{weights:?}{} {rows} rows", if exact { " exact" } else { "" });
            group.bench_function(name, |b| b.iter(|| kernels.multiply(black_box(&mut product)).unwrap()));
        }
    }
    group.finish();
}

/// What happens between the products.
fn between(c: &mut Criterion) {
    let kernels = Kernels::new(THREADS, false).unwrap();
    let mut group = c.benchmark_group("between");
    group.bench_function("dispatch", |b| b.iter(|| kernels.dispatch().unwrap()));
    let mut gate = kernels.gate(1, 3072).unwrap();
    group.bench_function("gate 3072", |b| b.iter(|| gate().unwrap()));
    let mut argmax = kernels.argmax(151_936).unwrap();
    group.bench_function("argmax 151936", |b| b.iter(|| argmax().unwrap()));
    group.finish();
}

criterion_group!(benches, decode, prefill, between);
criterion_main!(benches);
