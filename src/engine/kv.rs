//! What the caches of a model hold.

use serde_json::{Value, json};

use super::device::Compute;
use crate::arch::spec::{Mixer, Spec};
use crate::backend::{KvBits, Precision};
use crate::nn::caches_of;

/// How many layers keep what, as JSON: `bits` of the caches (`null` without any), layers whose caches are quantized,
/// layers whose caches hold floats, and recurrent states, which `kv_bits` never changes.
pub(super) fn describe(compute: &Compute, spec: &Spec, precision: Precision, asked: Option<KvBits>) -> Value {
    // The caches of a layer are as wide as each other.
    let of_layer = |layer| caches_of(layer).map(|cache| cache.layout).find(|layout| !layout.index);
    let layouts = spec.layers.iter().filter_map(of_layer);
    let kinds: Vec<KvBits> = layouts.map(|layout| compute.kv_bits(precision, asked, layout)).collect();
    let is_quantized = |bits: &&KvBits| **bits != KvBits::Sixteen;
    let quantized = kinds.iter().filter(is_quantized).count();
    let states = spec.layers.iter().flat_map(|layer| layer.mixers()).filter(|mixer| Mixer::is_recurrent(mixer)).count();
    json!({
        "bits": kinds.iter().find(is_quantized).or(kinds.first()),
        "quantized_layers": quantized,
        "float_layers": kinds.len() - quantized,
        "state_layers": states,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::options::{Device, EngineOptions};
    use crate::{arch, source, support};

    fn of(name: &str, asked: Option<KvBits>) -> Value {
        let folder = support::Fixture::case(&support::case(name)).build();
        let spec = arch::spec(&source::resolve(&folder.path().display().to_string()).unwrap()).unwrap();
        let compute = Compute::choose(&EngineOptions { device: Device::Cpu, ..EngineOptions::default() }).unwrap();
        describe(&compute, &spec, Precision::Default, asked)
    }

    #[test]
    fn says_what_each_layer_keeps() {
        let expect = |bits: Value, quantized: usize, float: usize| json!({ "bits": bits, "quantized_layers": quantized, "float_layers": float, "state_layers": 0 });
        assert_eq!(of("llama", None), expect(json!(8), 3, 0));
        assert_eq!(of("llama", Some(KvBits::Four)), expect(json!(4), 3, 0));
        assert_eq!(of("llama", Some(KvBits::Sixteen)), expect(json!(16), 0, 3));
    }
}
