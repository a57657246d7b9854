use std::collections::{BTreeMap, BTreeSet};

use super::super::{Dtype, Matrix, Tensors, linear, norm};
use super::{model, tensors};
use crate::arch::spec::{Linear, Norm, NormKind, Quantization, QuantizationFormat};
use crate::{Code, Error};

fn open(list: &[(&str, &str, &[usize])]) -> Tensors {
    Tensors::open(&model([("model.safetensors", tensors(list))])).unwrap()
}

fn of_size(size: usize) -> Norm {
    let weights = vec!["n.weight".into()];
    Norm {
        kind: NormKind::Rms,
        weights,
        by_head: false,
        times: None,
        bias: None,
        input: None,
        size,
        heads: 1,
        epsilon: 0.0,
        offset: 0.0,
        factor: 1.0,
    }
}

fn spec(bias: bool) -> Linear {
    Linear { name: "l".into(), outputs: 8, inputs: 128, bias, part: None, experts: None, bare: false, ternary: false }
}

fn quantization(bits: usize, group_size: usize) -> Quantization {
    Quantization {
        default: Some(QuantizationFormat::affine(bits, group_size)),
        overrides: BTreeMap::new(),
        rotations: BTreeMap::new(),
        global_scales: BTreeSet::new(),
    }
}

/// The error for a 4-bit linear layer in groups of 64 whose tensors are replaced or, without a shape, left out.
fn refused(changes: &[(&str, &str, &[usize])]) -> Error {
    let mut list: BTreeMap<&str, (&str, &[usize])> =
        [("l.weight", ("U32", &[8, 16][..])), ("l.scales", ("F16", &[8, 2])), ("l.biases", ("F16", &[8, 2]))].into();
    for (name, dtype, shape) in changes {
        list.insert(name, (dtype, shape));
    }
    let list: Vec<_> =
        list.into_iter().filter(|(_, (dtype, _))| !dtype.is_empty()).map(|(n, (d, s))| (n, d, s)).collect();
    let error = linear(&open(&list), &spec(false), Some(&quantization(4, 64))).err().unwrap();
    assert!(error.message().contains("model.safetensors"), "{error}");
    error
}

#[test]
fn dense() {
    let tensors = open(&[("l.weight", "BF16", &[8, 128]), ("l.bias", "F32", &[8]), ("n.weight", "F16", &[8])]);
    let data = linear(&tensors, &spec(true), None).unwrap();
    assert!(matches!(data.matrix, Matrix::Dense(w) if w.dtype == Dtype::Bf16 && w.bytes().len() == 2048));
    assert_eq!(data.bias.unwrap().shape, [8]);
    // A format for a tensor that has no scales doesn't make it quantized.
    let data = linear(&tensors, &spec(false), Some(&quantization(4, 64))).unwrap();
    assert!(matches!(data.matrix, Matrix::Dense(_)) && data.bias.is_none());

    assert_eq!(norm(&tensors, &of_size(8)).unwrap().weights[0].shape, [8]);
    let error = norm(&tensors, &of_size(9)).err().unwrap();
    assert!(error.message().contains("\"n.weight\" has the shape [8], but config.json asks for [9]"), "{error}");
}

#[test]
fn dense_faults() {
    let get = |list, bias| linear(&open(list), &spec(bias), None).err().unwrap();
    let error = get(&[("l.weight", "F32", &[128, 8])], false);
    assert!(error.message().contains("\"l.weight\" has the shape [128, 8], but"), "{error}");
    let error = get(&[("l.weight", "F32", &[8, 128])], true);
    assert!(error.message().contains("no tensor \"l.bias\""), "{error}");
    let error = get(&[("l.weight", "F32", &[8, 128]), ("l.bias", "F32", &[1, 8])], true);
    assert!(error.message().contains("[1, 8]"), "{error}");
    let error = get(&[("l.weight", "U32", &[8, 128])], false);
    assert!(error.message().contains("is U32 without `scales`"), "{error}");
    let error = get(&[("l.weight", "F8_E4M3", &[8, 128])], false);
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.message().contains("F8_E4M3"), "{error}");
    let error = get(&[], false);
    assert!(error.message().contains("no tensor \"l.weight\""), "{error}");
}

#[test]
fn every_format() {
    for bits in [2, 3, 4, 5, 6, 8] {
        for group_size in [32, 64, 128] {
            let groups = [8, 128 / group_size];
            let list: [(&str, &str, &[usize]); 3] =
                [("l.weight", "U32", &[8, 4 * bits]), ("l.scales", "BF16", &groups), ("l.biases", "BF16", &groups)];
            let expected = QuantizationFormat::affine(bits, group_size);
            let mut named = quantization(2, 32);
            named.overrides.insert("l".into(), Some(expected));
            // What holds for all others is only a default; the shapes are what counts.
            for quantization in [quantization(bits, group_size), quantization(4, 64), named] {
                let data = linear(&open(&list), &spec(false), Some(&quantization)).unwrap();
                assert!(matches!(data.matrix, Matrix::Affine { format, .. } if format == expected), "{expected:?}");
            }
        }
    }
}

#[test]
fn quantized_faults() {
    for (changes, part) in [
        (&[("l.scales", "F16", &[8, 3][..])][..], "16 words and 3 scales a row"),
        (&[("l.scales", "F16", &[8, 1 << 20])], "16 words and 1048576 scales"),
        (&[("l.scales", "F16", &[])], "16 words and 0 scales"),
        (&[("l.scales", "F16", &[8, 0])], "16 words and 0 scales"),
        (&[("l.scales", "F16", &[4, 2])], "\"l.scales\" has the shape [4, 2]"),
        (&[("l.scales", "U32", &[8, 2])], "\"l.scales\" is U32"),
        (&[("l.scales", "U8", &[8, 2])], "\"l.scales\" is U8"),
        (&[("l.biases", "F16", &[8, 4])], "\"l.biases\" has the shape [8, 4]"),
        (&[("l.biases", "BF16", &[8, 2])], "is BF16, but its scales are F16"),
        (&[("l.biases", "", &[])], "no tensor \"l.biases\""),
        (&[("l.weight", "", &[])], "no tensor \"l.weight\""),
        (&[("l.weight", "U32", &[8, 17])], "17 words"),
        (&[("l.weight", "U32", &[8, 28])], "28 words"),
        (&[("l.weight", "U32", &[9, 16])], "[9, 16]"),
        (&[("l.weight", "F32", &[8, 16])], "codes must be U32"),
    ] {
        let error = refused(changes);
        assert!(error.message().contains(part), "{error}: wanted {part:?}");
        assert_eq!(error.code(), Code::CorruptFile, "{error}");
    }
}

#[test]
fn config_against_the_file() {
    let list: [(&str, &str, &[usize]); 3] =
        [("l.weight", "U32", &[8, 16]), ("l.scales", "F32", &[8, 2]), ("l.biases", "F32", &[8, 2])];
    let error = linear(&open(&list), &spec(false), None).err().unwrap();
    assert!(error.message().contains("no `quantization`"), "{error}");

    let mut named = quantization(4, 64);
    named.overrides.insert("l".into(), None);
    let error = linear(&open(&list), &spec(false), Some(&named)).err().unwrap();
    assert!(error.message().contains("says that it is not quantized"), "{error}");

    named.overrides.insert("l".into(), Some(QuantizationFormat::affine(8, 64)));
    let error = linear(&open(&list), &spec(false), Some(&named)).err().unwrap();
    assert!(error.message().contains("has the shape [8, 16], but config.json asks for [8, 32]"), "{error}");

    let odd = Linear { inputs: 96, ..spec(false) };
    named.overrides.insert("l".into(), Some(QuantizationFormat::affine(4, 64)));
    let error = linear(&open(&list), &odd, Some(&named)).err().unwrap();
    assert!(error.message().contains("has 96 columns, which groups of 64 don't divide"), "{error}");
}
