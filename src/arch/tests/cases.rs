//! Every parity case: config.json, names and shapes agree with what mlx-lm loads.

use crate::arch;
use crate::support::{Fixture, cases};
use crate::weights::{Matrix, ModelFiles, Tensors, check_names, linear, needed_bytes, norm};

#[test]
fn every_case_loads() {
    for case in cases() {
        let folder = Fixture::case(&case).build();
        let files = ModelFiles::Folder(folder.path().into());
        let spec = arch::spec(&files).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let tensors = Tensors::open(&files).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        check_names(&spec, &tensors).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert_eq!(needed_bytes(&spec, &tensors), tensors.bytes(), "{}", case.name);
        for slot in spec.linears() {
            let data = linear(&tensors, slot, spec.quantization.as_ref());
            let data = data.unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let expected = spec.quantization.as_ref().and_then(|q| q.format(&slot.name));
            let format = match data.matrix {
                Matrix::Dense(_) => None,
                Matrix::Affine { format, .. } | Matrix::Float { format, .. } => Some(format),
            };
            assert_eq!(format, expected, "{}: {}", case.name, slot.name);
        }
        for slot in spec.norms() {
            norm(&tensors, slot).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        }
    }
}

#[test]
fn every_rope_has_mlx_lms_frequencies() {
    for case in cases() {
        let spec = arch::from_config(&case.config.clone().into(), "config.json").unwrap();
        let expected = case.reference().rope;
        for layer in &spec.layers {
            let rope = layer.attention().unwrap().rope.as_ref().unwrap();
            assert_eq!(rope.dims, 2 * expected.inverse_frequencies.len(), "{}", case.name);
            assert_eq!(rope.inverse_frequencies.len(), expected.inverse_frequencies.len(), "{}", case.name);
            let pairs = rope.inverse_frequencies.iter().zip(&expected.inverse_frequencies);
            for (ours, theirs) in pairs.chain([(&rope.magnitude, &expected.magnitude)]) {
                assert!((ours - theirs).abs() <= 2e-6 * theirs.abs(), "{}: {ours} and {theirs}", case.name);
            }
        }
    }
}

#[test]
fn missing_and_left_over_tensors_are_named() {
    let fixture = Fixture::new("llama");
    let folder = fixture.build();
    let files = ModelFiles::Folder(folder.path().into());
    let tensors = Tensors::open(&files).unwrap();

    let more = fixture.clone().set("num_hidden_layers", 3);
    let spec = arch::from_config(&more.config.into(), "config.json").unwrap();
    let error = check_names(&spec, &tensors).unwrap_err();
    assert!(error.message().contains("9 of 29 needed tensors are missing: \"model.layers.2."), "{error}");
    assert_eq!(error.message().matches("model.layers.2.").count(), 5, "{error}");

    let fewer = fixture.set("num_hidden_layers", 1);
    let spec = arch::from_config(&fewer.config.into(), "config.json").unwrap();
    let error = check_names(&spec, &tensors).unwrap_err();
    assert!(error.message().contains("9 tensors are not part of a llama model: \"model.layers.1."), "{error}");
    assert!(error.message().contains("model.safetensors"), "{error}");
}

#[test]
fn a_tied_model_may_bring_a_head_and_old_tables() {
    let fixture = Fixture::new("llama");
    let tied = arch::from_config(&fixture.config.clone().into(), "config.json").unwrap();
    let untied = fixture.set("tie_word_embeddings", false);
    let mut all = untied.tensors();
    let table = untied.tensors().remove("model.norm.weight").unwrap();
    all.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), table);

    let folder = tempfile::tempdir().unwrap();
    crate::support::checkpoint::write_tensors(&folder.path().join("model.safetensors"), all.iter());
    let tensors = Tensors::open(&ModelFiles::Folder(folder.path().into())).unwrap();
    check_names(&tied, &tensors).unwrap();
    assert_eq!(tensors.bytes() - needed_bytes(&tied, &tensors), 4 * (320 * 64 + 64));
    assert!(tied.head.is_none());
}
