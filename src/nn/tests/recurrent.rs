//! Models that keep states: the same bits however a prompt is computed on the CPU backend, and what they take in memory.

use super::{assert_batch_agrees, assert_close, cpus, decoder_of, run};
use crate::arch::Activations::ByOperation;
use crate::arch::{self, Kept, spec::Mixer};
use crate::backend::{Backend, CacheLayout};
use crate::support::{KnownModel, known_models};

/// Those whose layers are recurrent, with or without attention, and those with several residual streams.
fn models() -> Vec<KnownModel> {
    let recurrent = |known: &KnownModel| {
        let spec = arch::from_config(&known.config.clone().into(), "config.json").unwrap();
        let mixers = |layer: &crate::arch::spec::Layer| layer.mixers().any(Mixer::is_recurrent);
        spec.layers.iter().any(mixers) || spec.streams.is_some()
    };
    known_models().into_iter().filter(recurrent).collect()
}

#[test]
fn slices_and_batches_agree_bit_for_bit() {
    let models = models();
    assert!(models.len() >= 20, "only {} models", models.len());
    for known in models {
        let (folder, ids) = (known.build(), &known.tokens);
        for cpu in cpus() {
            let decoder = decoder_of(&cpu, &folder.path().display().to_string());
            let whole = run(&decoder, &mut decoder.new_sequence(), ids, ids.len());
            for slice in [7, 1] {
                let sliced = run(&decoder, &mut decoder.new_sequence(), ids, slice);
                assert_close(&whole, &sliced, 0.0, &format!("{} in slices of {slice}", known.name));
            }
            assert_batch_agrees(&decoder, ids, [ids.len(), 5, 1], &whole, &known.name);
        }
    }
}

#[test]
fn the_last_step_is_taken_back_and_forks_are_their_own() {
    for known in models() {
        let (folder, ids) = (known.build(), &known.tokens);
        let [cpu, ..] = cpus();
        let decoder = decoder_of(&cpu, &folder.path().display().to_string());
        let whole = run(&decoder, &mut decoder.new_sequence(), ids, ids.len());
        let mut sequence = decoder.new_sequence();
        run(&decoder, &mut sequence, &ids[..20], 20);
        let mut fork = sequence.fork();
        run(&decoder, &mut fork, &ids[..6], 6);
        assert!(fork.can_truncate(20), "{}", known.name);
        fork.truncate(20);
        for sequence in [&mut fork, &mut sequence] {
            let on = run(&decoder, sequence, &ids[20..], 4);
            assert_close(&whole[20..], &on, 0.0, &known.name);
        }
    }
}

#[test]
fn states_are_as_large_as_priced() {
    let mut checked = 0;
    let priced = ["mamba", "rwkv", "kimi_k3"];
    for known in models().iter().filter(|known| priced.iter().any(|of| known.name.starts_with(of))) {
        let folder = known.build();
        let [cpu, ..] = cpus();
        let decoder = decoder_of(&cpu, &folder.path().display().to_string());
        let mut sequence = decoder.new_sequence();
        // The state and the one before the last step.
        run(&decoder, &mut sequence, &known.tokens[..4], 2);
        let priced = arch::memory(decoder.spec(), 4, ByOperation, |kept| {
            let Kept { heads, head_dim, index, positions } = kept;
            cpu.cache_bytes(CacheLayout { kv_heads: heads, head_dim, window: None, index }, positions) as u64
        });
        let priced = priced.kv;
        assert_eq!(sequence.bytes() as u64, priced, "{}", known.name);
        checked += 1;
    }
    assert!(checked >= 9, "only {checked} models");
}
