use super::super::header::parse;
use super::{file, tensors};
use crate::Code;

/// A header with one tensor `t` and nothing after it.
fn one(dtype: &str, shape: &str, offsets: &str, body: usize) -> Vec<u8> {
    file(&format!(r#"{{"t":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}"#), body)
}

fn corrupt(bytes: &[u8], part: &str) {
    let error = parse("x.safetensors", bytes).err().unwrap_or_else(|| panic!("accepted, wanted {part:?}"));
    assert_eq!(error.code(), Code::CorruptFile, "{error}");
    assert!(error.message().starts_with("x.safetensors: "), "{error}");
    assert!(error.message().contains(part), "{error}: wanted {part:?}");
    assert!(error.message().len() < 600, "{} bytes", error.message().len());
}

#[test]
fn good_files_are_read() {
    let bytes =
        tensors(&[("b", "F32", &[2, 3]), ("a", "BF16", &[4]), ("scalar", "F16", &[]), ("none", "F32", &[0, 7])]);
    let tensors = parse("x", &bytes).unwrap();
    assert_eq!(tensors.len(), 4);
    assert_eq!(tensors["b"].shape, [2, 3]);
    assert_eq!(tensors["a"].range.len(), 8);
    assert_eq!(tensors["scalar"].range, bytes.len() - 2..bytes.len());
    assert!(parse("x", &file("{}", 0)).unwrap().is_empty());
    assert!(parse("x", &file(r#"{"__metadata__":{"format":"mlx"}}   "#, 0)).unwrap().is_empty());
}

#[test]
fn the_crate_writes_what_we_read() {
    let data = [0u8; 24];
    let view = |dtype, shape| safetensors::tensor::TensorView::new(dtype, shape, &data).unwrap();
    let views = [("one", view(safetensors::Dtype::F32, vec![2, 3])), ("two", view(safetensors::Dtype::BF16, vec![12]))];
    let bytes = safetensors::serialize(views, None).unwrap();
    let tensors = parse("x", &bytes).unwrap();
    assert_eq!(tensors["one"].shape, [2, 3]);
    assert_eq!(tensors["two"].range.len(), 24);
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let bytes = tensors(&[("a", "F32", &[5]), ("b", "U32", &[3, 2])]);
    for length in 0..bytes.len() {
        assert!(parse("x", &bytes[..length]).is_err(), "{length} of {}", bytes.len());
    }
    let longer = [&bytes[..], &[0]].concat();
    corrupt(&longer, "last 1 bytes belong to no tensor");
}

#[test]
fn lengths_are_checked() {
    corrupt(&[], "is empty");
    corrupt(&[1, 2, 3], "3 bytes long");
    corrupt(&[0; 8], "not what safetensors asks for");
    corrupt(&u64::MAX.to_le_bytes(), "claims 18446744073709551615 bytes");
    corrupt(&100_000_001u64.to_le_bytes(), "more than the 100000000 allowed");
    corrupt(&99u64.to_le_bytes(), "only 0 follow");
    corrupt(b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer");
}

#[test]
fn a_header_must_be_an_object_of_tensors() {
    corrupt(&file("not json", 0), "not what safetensors asks for");
    corrupt(&file("[]", 0), "not what safetensors asks for");
    corrupt(&file("{}{}", 0), "trailing characters");
    corrupt(&file("{\"a\":1}", 0), "\"a\"");
    corrupt(&file("{\"a\":{}}", 0), "missing field");
    corrupt(&file("{\0}", 0), "not what safetensors asks for");
    corrupt(&[&2u64.to_le_bytes()[..], &[b'{', 0xff]].concat(), "not UTF-8");
    for deep in ["[", "{\"a\":", "{\"__metadata__\":["] {
        corrupt(&file(&deep.repeat(64 * 1024 / deep.len()), 0), "not what safetensors asks for");
    }
}

#[test]
fn equal_names_are_refused() {
    let entry = r#""t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    corrupt(&file(&format!("{{{entry},{entry}}}"), 4), "\"t\" is there twice");
    let same_after_escaping = entry.replace("\"t\"", "\"\\u0074\"");
    corrupt(&file(&format!("{{{entry},{same_after_escaping}}}"), 4), "\"t\" is there twice");
}

#[test]
fn shapes_are_checked() {
    corrupt(&one("\"F32\"", "[4294967296,4294967296]", "[0,4]", 4), "overflows");
    corrupt(&one("\"F32\"", "[4611686018427387904]", "[0,0]", 0), "overflows");
    corrupt(&one("\"F32\"", "[-1]", "[0,4]", 4), "\"t\"");
    corrupt(&one("\"F32\"", "[1.5]", "[0,4]", 4), "\"t\"");
    corrupt(&one("\"F32\"", "[1e400]", "[0,4]", 4), "\"t\"");
    corrupt(&one("\"F32\"", "[NaN]", "[0,4]", 4), "\"t\"");
    corrupt(&one("\"F32\"", "[2]", "[0,4]", 4), "takes 8 bytes, but it has 4");
    corrupt(&one("\"F32\"", "[1]", "[0,8]", 8), "takes 4 bytes, but it has 8");
    corrupt(&one("\"F4\"", "[3]", "[0,2]", 2), "whole byte");
    corrupt(&one("\"F32\"", &format!("[{}1]", "1,".repeat(64)), "[0,4]", 4), "more than 8 dimensions");
}

#[test]
fn offsets_are_checked() {
    corrupt(&one("\"F32\"", "[1]", "[4,0]", 4), "reversed");
    corrupt(&one("\"F32\"", "[1]", "[0]", 4), "\"t\"");
    corrupt(&one("\"F32\"", "[1]", "[4,8]", 8), "leaves a gap");
    corrupt(&one("\"F32\"", "[1]", "[0,4]", 3), "the file holds 3");
    corrupt(&one("\"F32\"", "[1]", "[18446744073709551612,18446744073709551615]", 4), "the file holds 4");
    let pair = |a: &str, b: &str, body| {
        let entry = |name, offsets| format!(r#""{name}":{{"dtype":"F32","shape":[2],"data_offsets":{offsets}}}"#);
        file(&format!("{{{},{}}}", entry("a", a), entry("b", b)), body)
    };
    assert!(parse("x", &pair("[8,16]", "[0,8]", 16)).is_ok());
    corrupt(&pair("[0,8]", "[4,12]", 12), "\"b\" overlaps");
    corrupt(&pair("[0,8]", "[0,8]", 8), "overlaps");
    corrupt(&pair("[0,8]", "[12,20]", 20), "\"b\" leaves a gap");
}

/// Sizes whose sum wraps around to the file's length.
#[test]
fn sums_do_not_wrap() {
    let part = 1u64 << 60;
    let entries: Vec<_> = (0..16)
        .map(|i: u64| {
            let (start, end) = (i * part, if i < 15 { (i + 1) * part } else { u64::MAX });
            format!(r#""t{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}}"#, end - start)
        })
        .collect();
    corrupt(&file(&format!("{{{}}}", entries.join(",")), 0), "the file holds 0");
}

#[test]
fn unknown_number_formats_are_named() {
    let error = parse("x", &one("\"Q4\"", "[2]", "[0,1]", 1)).err().unwrap();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.message().contains("\"t\"") && error.message().contains("\"Q4\""), "{error}");
    for known in ["BOOL", "I64", "F8_E4M3", "U8", "F64"] {
        assert!(parse("x", &one(&format!("{known:?}"), "[0]", "[0,0]", 0)).is_ok(), "{known}");
    }
}

#[test]
fn messages_stay_short() {
    let long = "n".repeat(1 << 20);
    corrupt(&file(&format!("{{{long:?}:1}}"), 0), "(1048576 bytes)");
}

#[test]
fn many_tiny_tensors() {
    let names: Vec<_> = (0..100_000).map(|i| format!("t{i}")).collect();
    let list: Vec<_> = names.iter().map(|name| (name.as_str(), "F16", &[1usize][..])).collect();
    assert_eq!(parse("x", &tensors(&list)).unwrap().len(), 100_000);
}

/// Whatever a few wrong bytes do to a header, the answer is an error or what the `safetensors` crate reads.
#[test]
fn damaged_headers_never_read_outside_the_file() {
    let good = tensors(&[("a", "F32", &[5]), ("bb", "U32", &[3, 2]), ("c", "BF16", &[2, 2, 2])]);
    let header = good.len() - 60;
    let mut state = 1u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..=random(3) {
            let at = random(header);
            bytes[at] = b"0123456789,:[]{}\"abtF"[random(21)];
        }
        if let Ok(tensors) = parse("x", &bytes) {
            accepted += 1;
            let crates = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            assert_eq!(tensors.len(), crates.len());
            for (name, entry) in tensors {
                let view = crates.tensor(&name).unwrap();
                assert_eq!((&entry.shape[..], &bytes[entry.range]), (view.shape(), view.data()));
            }
        }
    }
    assert!(accepted > 100, "{accepted}: the damage is too heavy to test anything");
}
