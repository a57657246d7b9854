//! Numbers of test checkpoints: a function of (seed, tensor name, index), the same here and in
//! `tests/parity/reference.py`, bit for bit. Every step below is either exact or one rounding of f32.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64 (Steele, Lea and Flood 2014) of a state.
fn splitmix64(state: u64) -> u64 {
    let mut z = state.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a, continued from `hash`.
pub fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ byte as u64).wrapping_mul(0x0100_0000_01B3))
}

/// What [`fnv1a`] starts from.
pub const FNV_BASIS: u64 = 0xCBF2_9CE4_8422_2325;

/// The numbers of one tensor.
pub struct Numbers {
    key: u64,
}

impl Numbers {
    pub fn new(seed: u64, name: &str) -> Self {
        Self { key: splitmix64(seed) ^ fnv1a(FNV_BASIS, name.as_bytes()) }
    }

    fn bits(&self, index: usize) -> u64 {
        splitmix64(self.key.wrapping_add((index as u64).wrapping_mul(GOLDEN)))
    }

    /// Uniform over all words.
    pub fn word(&self, index: usize) -> u32 {
        (self.bits(index) >> 32) as u32
    }

    /// Uniform in [0, 1), in steps of 2^-24.
    pub fn unit(&self, index: usize) -> f32 {
        (self.bits(index) >> 40) as f32 / (1 << 24) as f32
    }

    /// Uniform in [-1, 1), in steps of 2^-23.
    pub fn signed(&self, index: usize) -> f32 {
        2.0 * self.unit(index) - 1.0
    }
}

/// Bound of uniform weights whose products with unit vectors have a standard deviation of 1.6.
pub fn amplitude(fan_in: usize) -> f32 {
    (3f64.sqrt() * 1.6 / (fan_in as f64).sqrt()) as f32
}
