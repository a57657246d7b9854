//! Models that choose the positions that they see: the same however a prompt is computed, over several blocks of a cache.

use super::{assert_batch_agrees, assert_close, cpus, decoder_of, run};
use crate::arch::{self, spec::Mixer};
use crate::support::{KnownModel, known_models};

const LENGTH: usize = 150;

/// Those that choose early, with a long prompt. (The one that chooses late has so few index heads that many sums are zero.)
fn models() -> Vec<(KnownModel, Vec<u32>)> {
    let chooses = |known: &KnownModel| {
        let spec = arch::from_config(&known.config.clone().into(), "config.json").unwrap();
        let mut indexers = spec.layers.iter().flat_map(|layer| layer.mixers()).filter_map(Mixer::indexer);
        indexers.any(|indexer| indexer.choice.limit() < 64)
    };
    let models: Vec<_> = known_models().into_iter().filter(chooses).collect();
    assert!(models.len() >= 7, "only {} models", models.len());
    let long = |known: KnownModel| {
        // No repetition: of positions that are alike the choice would be anybody's.
        let ids = (0..LENGTH).map(|i| known.tokens[(i * i + i / 7) % known.tokens.len()]).collect();
        (known, ids)
    };
    models.into_iter().map(long).collect()
}

#[test]
fn slices_batches_and_rewinds_agree_bit_for_bit() {
    for (known, ids) in models() {
        let folder = known.build();
        for cpu in cpus() {
            let decoder = decoder_of(&cpu, &folder.path().display().to_string());
            let mut sequence = decoder.new_sequence();
            let whole = run(&decoder, &mut sequence, &ids, LENGTH);
            for slice in [29, 1] {
                let sliced = run(&decoder, &mut decoder.new_sequence(), &ids, slice);
                assert_close(&whole, &sliced, 0.0, &format!("{} in slices of {slice}", known.name));
            }
            let mut fork = sequence.fork();
            for (sequence, len) in [(&mut fork, 40), (&mut sequence, 130)] {
                sequence.truncate(len);
                let again = run(&decoder, sequence, &ids[len..], 50);
                assert_close(&whole[len..], &again, 0.0, &format!("{} from {len} on", known.name));
            }
            assert_batch_agrees(&decoder, &ids, [LENGTH, 70, 1], &whole, &known.name);
        }
    }
}

#[test]
fn keys_of_the_indexer_are_priced() {
    for (known, ids) in models() {
        let folder = known.build();
        for cpu in cpus() {
            let decoder = decoder_of(&cpu, &folder.path().display().to_string());
            let mut sequence = decoder.new_sequence();
            run(&decoder, &mut sequence, &ids, LENGTH);
            let layouts = decoder.spec().layers.iter().flat_map(crate::nn::cache_layouts);
            let priced: usize = layouts.map(|layout| crate::backend::Backend::cache_bytes(&*cpu, layout, LENGTH)).sum();
            assert_eq!(sequence.bytes(), priced, "{}", known.name);
        }
    }
}

/// Beyond what the bench's prompts have, and with other kernels.
#[cfg(feature = "mlx")]
#[test]
fn both_backends_choose_the_same() {
    use crate::backend::mlx::{Mlx, MlxDevice, on_worker};
    use crate::backend::{KvBits, Precision};

    on_worker(|| {
        for (known, ids) in models() {
            let folder = known.build();
            let path = folder.path().display().to_string();
            let [cpu, ..] = cpus();
            let decoder = decoder_of(&cpu, &path);
            let ours = run(&decoder, &mut decoder.new_sequence(), &ids, LENGTH);
            for (kv, tolerance) in [(None, 1e-3), (Some(KvBits::Eight), 1.0)] {
                let mlx = Mlx::new(MlxDevice::Cpu, Precision::Exact, kv, || {}).unwrap();
                let decoder = decoder_of(&std::rc::Rc::new(mlx), &path);
                for slice in [LENGTH, 29, 1] {
                    let theirs = run(&decoder, &mut decoder.new_sequence(), &ids, slice);
                    assert_close(&ours, &theirs, tolerance, &format!("{} in slices of {slice}, {kv:?}", known.name));
                }
            }
        }
    });
}
