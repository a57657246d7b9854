//! Files as they should be, and as nobody should believe them.

use std::sync::Arc;

use super::super::*;
use crate::support::gguf::{F32, Q4_0, Writer, put_string};

fn parse(bytes: Vec<u8>) -> Result<Gguf> {
    Gguf::parse("m.gguf", Arc::new(bytes))
}

/// A small file with a value of every type and two tensors.
fn sample() -> Writer {
    let mut writer = Writer::new();
    writer.string("general.architecture", "llama");
    writer.value("u8", 0, &[200]);
    writer.value("i8", 1, &[0xff]);
    writer.value("u16", 2, &60_000u16.to_le_bytes());
    writer.value("i16", 3, &(-2i16).to_le_bytes());
    writer.u32("u32", u32::MAX);
    writer.value("i32", 5, &(-3i32).to_le_bytes());
    writer.f32("f32", 0.5);
    writer.bool("bool", true);
    writer.value("u64", 10, &u64::MAX.to_le_bytes());
    writer.value("i64", 11, &i64::MIN.to_le_bytes());
    writer.value("f64", 12, &0.25f64.to_le_bytes());
    writer.strings::<&[u8]>("strings", &[b"a", b"", b"\xff\xfe"]);
    writer.f32s("floats", &[1.0, -2.5]);
    writer.i32s("integers", &[1, -1]);
    writer.tensor("a.weight", &[2, 32], Q4_0, vec![1; 36]);
    writer.tensor("b.weight", &[3], F32, vec![2; 12]);
    writer
}

#[test]
fn values_and_tensors_come_back() {
    let file = parse(sample().finish()).unwrap();
    let metadata = file.metadata();
    assert_eq!(metadata.string("general.architecture").unwrap(), Some("llama"));
    let integer = |key| match metadata.get(key) {
        Some(Value::Integer(number)) => number,
        other => panic!("{other:?}"),
    };
    let integers = ["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64"].map(integer);
    assert_eq!(integers, [200, -1, 60_000, -2, u32::MAX.into(), -3, u64::MAX.into(), i64::MIN.into()]);
    assert_eq!(metadata.unsigned("u64").unwrap(), Some(u64::MAX));
    assert_eq!((metadata.float("f32").unwrap(), metadata.float("f64").unwrap()), (Some(0.5), Some(0.25)));
    assert_eq!(metadata.bool("bool").unwrap(), Some(true));
    let array = |key| metadata.array(key).unwrap().unwrap();
    assert_eq!(array("strings").strings().unwrap().collect::<Vec<_>>(), [b"a".as_slice(), b"", b"\xff\xfe"]);
    assert_eq!(array("floats").floats().unwrap().collect::<Vec<_>>(), [1.0, -2.5]);
    assert_eq!(array("integers").integers().unwrap().collect::<Vec<_>>(), [1, -1]);
    assert!(array("integers").strings().is_none() && array("strings").integers().is_none());
    assert!(array("integers").bools().is_none() && array("integers").floats().is_none());
    assert_eq!(metadata.keys().count(), 15);

    let entry = &file.tensors()["a.weight"];
    assert_eq!((entry.block, entry.shape.as_slice(), file.bytes(entry)), (BlockType::Q4_0, &[2, 32][..], &[1; 36][..]));
    let entry = &file.tensors()["b.weight"];
    assert_eq!((entry.block, entry.shape.as_slice(), file.bytes(entry)), (BlockType::F32, &[3][..], &[2; 12][..]));
}

#[test]
fn getters_tell_absent_from_wrong() {
    let file = parse(sample().finish()).unwrap();
    let metadata = file.metadata();
    assert!(metadata.string("none").unwrap().is_none() && metadata.array("none").unwrap().is_none());
    for error in [
        metadata.string("u8").unwrap_err(),
        metadata.unsigned("i8").unwrap_err(),
        metadata.unsigned("f32").unwrap_err(),
        metadata.bool("u8").map(drop).unwrap_err(),
        metadata.float("bool").unwrap_err(),
        metadata.array("f64").map(drop).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::CorruptFile);
        assert!(error.message().starts_with("m.gguf: "), "{error}");
    }
}

#[test]
fn a_cut_file_is_refused_at_every_byte() {
    let whole = sample().finish();
    for length in 0..whole.len() {
        assert!(parse(whole[..length].to_vec()).is_err(), "{length} of {}", whole.len());
    }
}

/// A file of one string under the key `k` and one tensor, as parts that a test changes.
struct Parts {
    header: Vec<u8>,
    key: Vec<u8>,
    kind: u32,
    value: Vec<u8>,
    name: Vec<u8>,
    dimensions: Vec<u64>,
    rank: u32,
    block: u32,
    offset: u64,
}

impl Parts {
    fn new() -> Self {
        let mut header = b"GGUF".to_vec();
        header.extend(3u32.to_le_bytes());
        header.extend(1u64.to_le_bytes());
        header.extend(1u64.to_le_bytes());
        let mut value = Vec::new();
        put_string(&mut value, b"text");
        let (dimensions, name) = (vec![32, 1], b"t".to_vec());
        Self { header, key: b"k".to_vec(), kind: 8, value, name, dimensions, rank: 2, block: 2, offset: 0 }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.clone();
        put_string(&mut bytes, &self.key);
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(&self.value);
        put_string(&mut bytes, &self.name);
        bytes.extend(self.rank.to_le_bytes());
        bytes.extend(self.dimensions.iter().flat_map(|size| size.to_le_bytes()));
        bytes.extend(self.block.to_le_bytes());
        bytes.extend(self.offset.to_le_bytes());
        bytes.resize(bytes.len().next_multiple_of(32) + 64, 0);
        bytes
    }
}

#[test]
fn hostile_numbers_are_refused() {
    type Change = fn(&mut Parts);
    fn array(kind: u32, count: u64) -> Vec<u8> {
        [kind.to_le_bytes().as_slice(), &count.to_le_bytes()].concat()
    }
    parse(Parts::new().bytes()).unwrap();
    let changes: &[(&str, Change)] = &[
        ("not GGUF", |p| p.header[0] = b'X'),
        ("version 1", |p| p.header[4] = 1),
        ("version 4", |p| p.header[4] = 4),
        ("big-endian", |p| p.header[4..8].copy_from_slice(&[0, 0, 0, 3])),
        ("the number of tensors", |p| p.header[8..16].copy_from_slice(&(1u64 << 62).to_le_bytes())),
        ("the number of tensors", |p| p.header[8..16].copy_from_slice(&[0xff; 8])),
        ("the number of keys", |p| p.header[16..24].copy_from_slice(&(1u64 << 63).to_le_bytes())),
        ("the key is empty", |p| p.key.clear()),
        ("the key is not UTF-8", |p| p.key = vec![0xff]),
        ("its type is -1", |p| p.kind = u32::MAX),
        ("its type is 13", |p| p.kind = 13),
        ("a string takes 9223372036854775808", |p| p.value[..8].copy_from_slice(&(1u64 << 63).to_le_bytes())),
        ("a string takes 18446744073709551615", |p| p.value[..8].copy_from_slice(&[0xff; 8])),
        ("arrays of arrays", |p| (p.kind, p.value) = (9, array(9, 1))),
        ("the length of an array is 4611686018427387904", |p| (p.kind, p.value) = (9, array(8, 1 << 62))),
        ("the length of an array is 2305843009213693952", |p| (p.kind, p.value) = (9, array(10, 1 << 61))),
        ("the name is not UTF-8", |p| p.name = vec![0xc0]),
        ("it has 0 dimensions", |p| p.rank = 0),
        ("it has 5 dimensions", |p| p.rank = 5),
        ("it has 2147483648 dimensions", |p| p.rank = 1 << 31),
        ("overflow or are 0", |p| p.dimensions[1] = 0),
        ("overflow or are 0", |p| p.dimensions = vec![1 << 32, 1 << 32]),
        ("end behind the file", |p| p.dimensions[1] = 1 << 58),
        ("end behind the file", |p| p.dimensions[1] = 9),
        ("not whole blocks", |p| p.dimensions[0] = 33),
        ("number format -1", |p| p.block = u32::MAX),
        ("number format 4 ", |p| p.block = 4),
        ("not a multiple of 32", |p| p.offset = 1),
        ("end behind the file", |p| p.offset = 64),
        ("end behind the file", |p| p.offset = 0u64.wrapping_sub(32)),
    ];
    for (part, change) in changes {
        let mut parts = Parts::new();
        change(&mut parts);
        let error = parse(parts.bytes()).err().unwrap_or_else(|| panic!("{part} was taken"));
        assert!(error.message().contains(part), "{part}: {error}");
        assert!(error.message().starts_with("m.gguf: "), "{error}");
        assert!(matches!(error.code(), Code::CorruptFile | Code::Unsupported), "{error}");
    }
}

#[test]
fn alignment_must_be_a_power_of_two() {
    for (alignment, good) in [(0, false), (3, false), (1 << 20, false), (8, true), (64, true)] {
        let mut writer = sample().aligned(alignment as usize);
        writer.u32("general.alignment", alignment);
        assert_eq!(parse(writer.finish()).is_ok(), good, "{alignment}");
    }
}

#[test]
fn nothing_is_there_twice() {
    let mut writer = sample();
    writer.bool("u8", true);
    assert!(parse(writer.finish()).err().unwrap().message().contains("\"u8\": the key is there twice"));
    let mut writer = sample();
    writer.tensor("a.weight", &[1], F32, vec![0; 4]);
    assert!(parse(writer.finish()).err().unwrap().message().contains("two tensors of this name"));
    let mut writer = sample();
    writer.tensor("c.weight", &[1], F32, vec![0; 4]);
    writer.overlap();
    assert!(parse(writer.finish()).err().unwrap().message().contains("share bytes"));
}
