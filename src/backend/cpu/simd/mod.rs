//! Vectors of 16 lanes with the same arithmetic, bit for bit, on every processor.
//!
//! A kernel is written once over [`Simd`] and compiled once for each [`Level`]. Products and sums are fused
//! (one rounding) everywhere, and sums over lanes are taken in one fixed order.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bytes;
mod exp;
mod integer;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

pub(super) use bytes::Bytes;
pub(super) use exp::{exp, exp_one};
pub(super) use integer::{Integer, IntegerKernel, UNIT, Unit};

/// Lanes of a vector at every level.
pub(super) const LANES: usize = 16;

/// The numbers of a vector in memory.
pub(super) type Lanes = [f32; LANES];

/// How many accumulators the registers hold, which decides the shape of a tile and never its result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Registers {
    /// 32 of 4 lanes.
    Narrow,
    /// 16 of 8 lanes.
    #[cfg(target_arch = "x86_64")]
    Half,
    /// 32 of 16 lanes.
    Full,
}

/// Operations on vectors of 16 f32. All are lane by lane, rounded to nearest, without flushing subnormals.
pub(super) trait Simd: Copy {
    /// 16 lanes.
    type V: Copy;
    /// A group's scale and bias, prepared for [`dequantize`](Self::dequantize).
    type Affine: Copy;

    /// What tiles are best.
    const REGISTERS: Registers;

    /// The same number in all lanes.
    fn splat(self, x: f32) -> Self::V;
    /// Reads numbers.
    fn load(self, from: &Lanes) -> Self::V;
    /// Writes numbers.
    fn store(self, v: Self::V, to: &mut Lanes);
    /// Little-endian f32 numbers at any address.
    fn load_f32(self, from: &[u8; 64]) -> Self::V;
    /// Little-endian f16 numbers at any address.
    fn load_f16(self, from: &[u8; 32]) -> Self::V;
    /// Little-endian bf16 numbers at any address.
    fn load_bf16(self, from: &[u8; 32]) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a` where `a > b`, else `b`.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `then` where `a < b`, else `otherwise`.
    fn select_less(self, a: Self::V, b: Self::V, then: Self::V, otherwise: Self::V) -> Self::V;
    /// `v * 2^n`, where `n` is in the low bits of `exponent` and the result is a normal number.
    fn scale_exponent(self, v: Self::V, exponent: Self::V) -> Self::V;
    /// The sum of all lanes: halves are added until one lane is left.
    fn sum(self, v: Self::V) -> f32;
    /// Prepares a group's scale and bias.
    fn affine<const BITS: usize>(self, scale: f32, bias: f32) -> Self::Affine;
    /// 16 packed codes of `BITS` bits as `code * scale + bias`, rounded once. `BYTES` is `2 * BITS`.
    fn dequantize<const BITS: usize, const BYTES: usize>(self, codes: &[u8; BYTES], affine: Self::Affine) -> Self::V;

    /// [`dequantize`](Self::dequantize) with the lanes in an order of this level's choice, where that is faster.
    #[inline(always)]
    fn dequantize_arranged<const BITS: usize, const BYTES: usize>(
        self,
        codes: &[u8; BYTES],
        affine: Self::Affine,
    ) -> Self::V {
        self.dequantize::<BITS, BYTES>(codes, affine)
    }

    /// Puts lanes into the order of [`dequantize_arranged`](Self::dequantize_arranged).
    #[inline(always)]
    fn arrange<const BITS: usize>(self, v: Self::V) -> Self::V {
        v
    }

    /// Undoes [`arrange`](Self::arrange).
    #[inline(always)]
    fn restore<const BITS: usize>(self, v: Self::V) -> Self::V {
        v
    }
}

/// Code that is compiled for each level. `run` and all that it calls must be `#[inline(always)]`.
pub(super) trait Kernel {
    /// What it computes.
    type Output;

    /// Runs it with vectors of one level.
    fn run<S: Bytes>(self, simd: S) -> Self::Output;
}

/// A set of instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level(Kind);

/// Private, so that a [`Level`] proves that the processor was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx2Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "aarch64")]
    NeonDot,
    #[cfg(target_arch = "aarch64")]
    NeonMixed,
}

impl Level {
    /// The fastest level of this processor.
    pub fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().last().copied().unwrap_or(Level(Kind::Portable)))
    }

    /// What the instructions are called.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2Vnni => "avx2+vnni",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => "avx512+vnni",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
            #[cfg(target_arch = "aarch64")]
            Kind::NeonDot => "neon+dotprod",
            #[cfg(target_arch = "aarch64")]
            Kind::NeonMixed => "neon+i8mm",
        }
    }

    /// All levels of this processor, the fastest last.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut)]
        let mut levels = vec![Self(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if avx2::is_available() {
                levels.push(Self(Kind::Avx2));
            }
            if avx2::has_vnni() {
                levels.push(Self(Kind::Avx2Vnni));
            }
            if avx512::is_available() {
                levels.push(Self(Kind::Avx512));
            }
            if avx512::has_vnni() {
                levels.push(Self(Kind::Avx512Vnni));
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            levels.push(Self(Kind::Neon));
            if neon::has_dot() {
                levels.push(Self(Kind::NeonDot));
            }
            if neon::has_mixed() {
                levels.push(Self(Kind::NeonMixed));
            }
        }
        levels
    }

    /// Runs a kernel with this level's instructions.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Kind::Portable => kernel.run(portable::Portable),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a level is only made by `available`, which has found the instructions.
            Kind::Avx2 | Kind::Avx2Vnni => unsafe { avx2::enter(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Kind::Avx512 | Kind::Avx512Vnni => unsafe { avx512::enter(kernel) },
            #[cfg(target_arch = "aarch64")]
            Kind::Neon | Kind::NeonDot | Kind::NeonMixed => neon::enter(kernel),
        }
    }

    /// Runs an integer kernel with this level's instructions.
    #[inline]
    pub fn run_integer<K: IntegerKernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Kind::Portable => kernel.run(portable::Portable),
            // Without VNNI, the wider registers of AVX-512 would win little.
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a level is only made by `available`, which has found the instructions.
            Kind::Avx2 | Kind::Avx512 => unsafe { avx2::enter_integer(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Kind::Avx2Vnni => unsafe { avx2::enter_vnni(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Kind::Avx512Vnni => unsafe { avx512::enter_vnni(kernel) },
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => neon::enter_integer(kernel),
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Kind::NeonDot => unsafe { neon::enter_dot(kernel) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above.
            Kind::NeonMixed => unsafe { neon::enter_mixed(kernel) },
        }
    }
}

/// Up to 16 numbers followed by zeros.
#[inline(always)]
pub(super) fn padded(numbers: &[f32]) -> Lanes {
    let mut lanes = [0.0; LANES];
    for (lane, number) in lanes.iter_mut().zip(numbers) {
        *lane = *number;
    }
    lanes
}

/// The little-endian word at a byte offset, byte by byte, which compiles to one load.
#[inline(always)]
fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
