//! Blocks taken apart into codes, scales and minima, one function a number format.
//!
//! Layouts are those of ggml's `ggml-common.h` and of gguf-py's `quants.py`. All formats here come down to
//! `scale * (code - zero)` or `scale * code + minimum`, over groups of 16 or 32 numbers.

use half::f16;

use super::block::BlockType;

/// The most numbers of a block.
const MOST: usize = 256;

/// A block taken apart.
pub(super) struct Block {
    pub codes: [u8; MOST],
    /// One for each group.
    pub scales: [f32; MOST / 16],
    /// One for each group, of formats without a zero.
    pub minima: [f32; MOST / 16],
}

impl Block {
    pub fn new() -> Self {
        Self { codes: [0; MOST], scales: [0.0; MOST / 16], minima: [0.0; MOST / 16] }
    }
}

/// How a format's blocks are built.
pub(super) struct Layout {
    /// Numbers that share a scale.
    pub group: usize,
    /// The code of 0; formats without one have minima.
    pub zero: Option<u8>,
    /// Bits of a code.
    pub bits: usize,
    pub unpack: fn(&[u8], &mut Block),
}

/// The layout of a format's blocks; none of formats that are not built like that, or not known.
pub(super) fn layout(block: BlockType) -> Option<Layout> {
    type Unpack = fn(&[u8], &mut Block);
    let (group, zero, bits, unpack): (_, _, _, Unpack) = match block {
        BlockType::Q4_0 => (32, Some(8), 4, q4_0),
        BlockType::Q4_1 => (32, None, 4, q4_1),
        BlockType::Q5_0 => (32, Some(16), 5, q5_0),
        BlockType::Q5_1 => (32, None, 5, q5_1),
        BlockType::Q8_0 => (32, Some(128), 8, q8_0),
        BlockType::Q2_K => (16, None, 2, q2_k),
        BlockType::Q3_K => (16, Some(4), 3, q3_k),
        BlockType::Q4_K => (32, None, 4, q4_k),
        BlockType::Q5_K => (32, None, 5, q5_k),
        BlockType::Q6_K => (16, Some(32), 6, q6_k),
        BlockType::IQ4_NL => (32, Some(128), 8, iq4_nl),
        BlockType::IQ4_XS => (32, Some(128), 8, iq4_xs),
        BlockType::MXFP4 => (32, Some(12), 5, mxfp4),
        _ => return None,
    };
    Some(Layout { group, zero, bits, unpack })
}

/// The levels of IQ4_NL and IQ4_XS.
const LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// Twice the numbers of E2M1.
const E2M1_DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

fn half(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Low halves of all bytes, then their high halves.
fn nibbles(bytes: &[u8], codes: &mut [u8]) {
    let (low, high) = codes.split_at_mut(bytes.len());
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        (*low, *high) = (byte & 15, byte >> 4);
    }
}

/// Two bits each: the lowest of 32 bytes, then the next of these, and so on; then the next 32 bytes.
fn pairs_of_bits(bytes: &[u8], mut put: impl FnMut(usize, u8)) {
    for (index, byte) in bytes.iter().enumerate() {
        for step in 0..4 {
            put(index / 32 * 128 + step * 32 + index % 32, byte >> (2 * step) & 3);
        }
    }
}

/// One bit of 32 bytes for each of 256 numbers: the lowest of all bytes first. They go to bit `to` of the codes.
fn add_bits(bytes: &[u8], to: u32, codes: &mut [u8]) {
    for (index, code) in codes.iter_mut().enumerate() {
        *code |= (bytes[index % 32] >> (index / 32) & 1) << to;
    }
}

/// The fifth bits of 32 numbers.
fn add_fifth_bits(bytes: &[u8], codes: &mut [u8]) {
    for (index, code) in codes.iter_mut().enumerate().take(32) {
        *code |= (bytes[index / 8] >> (index % 8) & 1) << 4;
    }
}

fn q4_0(bytes: &[u8], block: &mut Block) {
    block.scales[0] = half(bytes, 0);
    nibbles(&bytes[2..18], &mut block.codes[..32]);
}

fn q4_1(bytes: &[u8], block: &mut Block) {
    (block.scales[0], block.minima[0]) = (half(bytes, 0), half(bytes, 2));
    nibbles(&bytes[4..20], &mut block.codes[..32]);
}

fn q5_0(bytes: &[u8], block: &mut Block) {
    block.scales[0] = half(bytes, 0);
    nibbles(&bytes[6..22], &mut block.codes[..32]);
    add_fifth_bits(&bytes[2..6], &mut block.codes);
}

fn q5_1(bytes: &[u8], block: &mut Block) {
    (block.scales[0], block.minima[0]) = (half(bytes, 0), half(bytes, 2));
    nibbles(&bytes[8..24], &mut block.codes[..32]);
    add_fifth_bits(&bytes[4..8], &mut block.codes);
}

fn q8_0(bytes: &[u8], block: &mut Block) {
    block.scales[0] = half(bytes, 0);
    for (code, byte) in block.codes.iter_mut().zip(&bytes[2..34]) {
        // -128 becomes 0.
        *code = byte ^ 0x80;
    }
}

fn q2_k(bytes: &[u8], block: &mut Block) {
    let (scale, minimum) = (half(bytes, 80), half(bytes, 82));
    for (group, byte) in bytes[..16].iter().enumerate() {
        block.scales[group] = scale * f32::from(byte & 15);
        block.minima[group] = -(minimum * f32::from(byte >> 4));
    }
    let codes = &mut block.codes;
    pairs_of_bits(&bytes[16..80], |index, bits| codes[index] = bits);
}

fn q3_k(bytes: &[u8], block: &mut Block) {
    let (scales, scale) = (&bytes[96..108], half(bytes, 108));
    for group in 0..16 {
        let low = scales[group % 8] >> (4 * (group / 8)) & 15;
        let high = scales[8 + group % 4] >> (2 * (group / 4)) & 3;
        block.scales[group] = scale * (f32::from(low | high << 4) - 32.0);
    }
    let codes = &mut block.codes;
    pairs_of_bits(&bytes[32..96], |index, bits| codes[index] = bits);
    // Where this bit is missing, 4 is taken away.
    add_bits(&bytes[..32], 2, codes);
}

/// Scales and minima of 6 bits each, of 8 groups.
fn six_bits(bytes: &[u8], block: &mut Block) {
    let (scale, minimum, packed) = (half(bytes, 0), half(bytes, 2), &bytes[4..16]);
    for group in 0..8 {
        let (factor, offset) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            let low = packed[group + 4];
            ((low & 15) | packed[group - 4] >> 6 << 4, low >> 4 | packed[group] >> 6 << 4)
        };
        block.scales[group] = scale * f32::from(factor);
        block.minima[group] = -(minimum * f32::from(offset));
    }
}

/// Nibbles of 128 bytes, 32 bytes at a time.
fn nibbles_by_32(bytes: &[u8], codes: &mut [u8]) {
    for (bytes, codes) in bytes.chunks_exact(32).zip(codes.chunks_exact_mut(64)) {
        nibbles(bytes, codes);
    }
}

fn q4_k(bytes: &[u8], block: &mut Block) {
    six_bits(bytes, block);
    nibbles_by_32(&bytes[16..144], &mut block.codes);
}

fn q5_k(bytes: &[u8], block: &mut Block) {
    six_bits(bytes, block);
    nibbles_by_32(&bytes[48..176], &mut block.codes);
    add_bits(&bytes[16..48], 4, &mut block.codes);
}

fn q6_k(bytes: &[u8], block: &mut Block) {
    let scale = half(bytes, 208);
    for (group, byte) in bytes[192..208].iter().enumerate() {
        block.scales[group] = scale * f32::from(*byte as i8);
    }
    let codes = &mut block.codes;
    for (bytes, codes) in bytes[..128].chunks_exact(64).zip(codes.chunks_exact_mut(128)) {
        nibbles(bytes, codes);
    }
    pairs_of_bits(&bytes[128..192], |index, bits| codes[index] |= bits << 4);
}

/// Nibbles that stand for numbers of `table`, with `zero` added.
fn looked_up(bytes: &[u8], table: &[i8; 16], zero: u8, codes: &mut [u8]) {
    nibbles(bytes, codes);
    for code in codes {
        *code = zero.wrapping_add_signed(table[usize::from(*code & 15)]);
    }
}

fn iq4_nl(bytes: &[u8], block: &mut Block) {
    block.scales[0] = half(bytes, 0);
    looked_up(&bytes[2..18], &LEVELS, 128, &mut block.codes[..32]);
}

fn iq4_xs(bytes: &[u8], block: &mut Block) {
    let (scale, high) = (half(bytes, 0), u16::from_le_bytes([bytes[2], bytes[3]]));
    for group in 0..8 {
        let low = bytes[4 + group / 2] >> (4 * (group % 2)) & 15;
        let factor = low | ((high >> (2 * group) & 3) as u8) << 4;
        block.scales[group] = scale * (f32::from(factor) - 32.0);
        looked_up(&bytes[8 + 16 * group..][..16], &LEVELS, 128, &mut block.codes[32 * group..][..32]);
    }
}

fn mxfp4(bytes: &[u8], block: &mut Block) {
    // Half of 2^(e - 127), because the numbers are doubled; the first two have no normal form.
    block.scales[0] = f32::from_bits(match bytes[0] {
        exponent @ 0..2 => 0x0020_0000 << exponent,
        exponent => (u32::from(exponent) - 1) << 23,
    });
    looked_up(&bytes[1..17], &E2M1_DOUBLED, 12, &mut block.codes[..32]);
}
