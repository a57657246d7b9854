//! Keys and values of one layer and sequence.
//!
//! Arrays are never changed: an append makes new ones. MLX writes into the old buffer when nobody else holds it, and
//! copies it when a fork does, so a fork costs nothing until one of the two goes on.

use std::ops::Range;
use std::rc::Rc;

use mlx_rs::{Array, ops};

use super::error::{Fault, Result};
use super::linear::cast;
use super::raw::{self, Packed};
use crate::arch::spec::{QuantizationFormat, QuantizationMode};
use crate::backend::{Cache, CacheLayout, KvBits};

/// Buffers grow by this many positions, or by about an eighth where that is more, so that a long sequence is not
/// copied again and again.
const STEP: usize = 256;

/// A window's buffer may hold this many positions that nobody sees any more, before it is copied to drop them.
const SLACK: usize = 64;

/// The most rows that a sequence is expected to take in at once. More is possible and costs memory.
const SLICE: usize = 512;

/// Keys and values of `capacity` positions.
pub(crate) struct KvCache {
    layout: CacheLayout,
    format: Option<QuantizationFormat>,
    /// Positions appended.
    len: usize,
    /// The position of the buffers' first row; the ones before it were dropped.
    start: usize,
    /// Whether the last append made new buffers.
    grew: bool,
    buffers: Option<Rc<Buffers>>,
}

struct Buffers {
    keys: Positions,
    /// Nothing in the cache of an indexer.
    values: Option<Positions>,
    capacity: usize,
}

/// Keys or values: `[1, kv_heads, positions, head_dim]`, or codes, scales and biases that are narrower.
pub(super) enum Positions {
    Floats(Array),
    Codes([Array; 3], QuantizationFormat),
}

/// What an append leaves to attend to.
pub(super) struct Visible {
    pub keys: Positions,
    pub values: Positions,
    /// The position of the first of them.
    pub start: usize,
}

impl Visible {
    /// Some positions of those held from the first on, in any order.
    pub(super) fn take(&self, indices: &Array) -> Result<Self> {
        Ok(Self { keys: self.keys.take(indices)?, values: self.values.take(indices)?, start: self.start })
    }

    /// With others behind, which count as if they were later.
    pub(super) fn with(&self, others: &Self) -> Result<Self> {
        let join = |own: &Positions, others: &Positions| {
            own.zip(Some(others), |own, others| {
                let others = others.ok_or_else(|| Fault::internal("a cache of two formats"))?;
                let others = cast(others.reshape(others.shape())?, own.dtype())?;
                Ok(ops::concatenate(&[own, &others], 2)?)
            })
        };
        let (keys, values) = (join(&self.keys, &others.keys)?, join(&self.values, &others.values)?);
        Ok(Self { keys, values, start: self.start })
    }

    /// The same from a later position on, to `end`.
    pub(super) fn from(&self, start: usize, end: usize) -> Result<Self> {
        let range = start - self.start..end - self.start;
        let slice = |positions: &Positions| positions.zip(None, |array, _| raw::slice_axis(array, 2, range.clone()));
        Ok(Self { keys: slice(&self.keys)?, values: slice(&self.values)?, start })
    }
}

impl Positions {
    fn new(floats: Array, format: Option<QuantizationFormat>) -> Result<Self> {
        let Some(format) = format else { return Ok(Self::Floats(floats)) };
        let (codes, scales, biases) = ops::quantize(floats, raw::dim(format.group_size)?, raw::dim(format.bits)?)?;
        Ok(Self::Codes([codes, scales, biases], format))
    }

    fn arrays(&self) -> &[Array] {
        match self {
            Self::Floats(array) => std::slice::from_ref(array),
            Self::Codes(arrays, _) => arrays,
        }
    }

    /// Some positions, in any order.
    pub(super) fn take(&self, indices: &Array) -> Result<Self> {
        self.zip(None, |array, _| Ok(array.take_axis(indices, 2)?))
    }

    /// Changes each array, with those of `other` beside it.
    fn zip(&self, other: Option<&Self>, change: impl Fn(&Array, Option<&Array>) -> Result<Array>) -> Result<Self> {
        let other = |i: usize| other.and_then(|other| other.arrays().get(i));
        Ok(match self {
            Self::Floats(array) => Self::Floats(change(array, other(0))?),
            Self::Codes([codes, scales, biases], format) => {
                let arrays = [change(codes, other(0))?, change(scales, other(1))?, change(biases, other(2))?];
                Self::Codes(arrays, *format)
            }
        })
    }

    /// `x · Kᵀ` or `x · V` for queries `[1, kv_heads, group, rows, _]` that read the same head.
    pub(super) fn product(&self, x: &Array, transposed: bool) -> Result<Array> {
        match self {
            Self::Floats(array) => {
                let matrix = array.expand_dims(2)?;
                Ok(if transposed { x.matmul(matrix.swap_axes(-1, -2)?)? } else { x.matmul(matrix)? })
            }
            Self::Codes([codes, scales, biases], format) => {
                let (codes, scales, biases) = (codes.expand_dims(2)?, scales.expand_dims(2)?, biases.expand_dims(2)?);
                let packed = Packed { codes: &codes, scales: &scales, biases: Some(&biases), format: *format };
                packed.product(x, transposed)
            }
        }
    }
}

/// How numbers of so many bits are stored; not at all where MLX has no groups for heads of this width.
pub(super) fn quantized(bits: Option<KvBits>, head_dim: usize) -> Option<QuantizationFormat> {
    let bits = match bits {
        Some(KvBits::Four) => 4,
        Some(KvBits::Eight) => 8,
        Some(KvBits::Sixteen) | None => return None,
    };
    let group_size = [64, 32].into_iter().find(|size| head_dim > 0 && head_dim.is_multiple_of(*size))?;
    Some(QuantizationFormat { bits, group_size, mode: QuantizationMode::Affine })
}

impl KvCache {
    /// An empty cache.
    pub fn new(layout: CacheLayout, bits: Option<KvBits>) -> Self {
        let bits = bits.filter(|_| !layout.index);
        Self { layout, format: quantized(bits, layout.head_dim), len: 0, start: 0, grew: false, buffers: None }
    }

    /// Appends `[1, kv_heads, rows, head_dim]` and gives all positions that one of these rows sees.
    pub(super) fn append(&mut self, keys: Array, values: Array, rows: usize) -> Result<Visible> {
        let first = self.len;
        self.store(keys, Some(values), rows)?;
        self.visible(first)
    }

    /// Appends the keys of an indexer, `[1, 1, rows, head_dim]`, and gives all.
    pub(super) fn append_index(&mut self, keys: Array, rows: usize) -> Result<Array> {
        self.store(keys, None, rows)?;
        self.index_keys()
    }

    /// Appends `[1, 1, rows, head_dim]` as keys and, where there are some, as values.
    pub(super) fn keep(&mut self, x: Array, rows: usize) -> Result<()> {
        let values = if self.layout.index { None } else { Some(x.reshape(x.shape())?) };
        self.store(x, values, rows)
    }

    /// The keys of an indexer.
    pub(super) fn index_keys(&self) -> Result<Array> {
        match &self.buffers.as_ref().map(|buffers| &buffers.keys) {
            Some(Positions::Floats(keys)) => raw::slice_axis(keys, 2, 0..self.len),
            _ => Err(Fault::internal("keys of an indexer that are no numbers")),
        }
    }

    fn store(&mut self, keys: Array, values: Option<Array>, rows: usize) -> Result<()> {
        if self.len < self.start {
            return Err(Fault::internal(format!("a cache from position {} was cut to {}", self.start, self.len)));
        }
        // The first new row sees `window - 1` positions before itself, later ones see less far back.
        let needed = self.first_visible(self.len);
        let drop_to = if needed >= self.start + SLACK { needed } else { self.start };
        let end = self.len + rows;
        let keys = &Positions::new(keys, self.format)?;
        let values = &values.map(|values| Positions::new(values, self.format)).transpose()?;
        self.grew = false;
        let buffers = match &self.buffers {
            Some(old) if drop_to == self.start && end - self.start <= old.capacity => {
                let at = self.len - self.start..end - self.start;
                let write = |old: &Positions, new: &Positions| old.zip(Some(new), |old, new| write(old, new, &at));
                let values =
                    old.values.iter().zip(values).map(|(old, values)| write(old, values)).next().transpose()?;
                Buffers { keys: write(&old.keys, keys)?, values, capacity: old.capacity }
            }
            old => {
                self.grew = true;
                let capacity = capacity(self.layout, end - drop_to);
                let kept = drop_to - self.start..self.len - self.start;
                let pad = capacity - (end - drop_to);
                let grow =
                    |old: Option<&Positions>, new: &Positions| new.zip(old, |new, old| rebuild(old, &kept, new, pad));
                let keys = grow(old.as_deref().map(|b| &b.keys), keys)?;
                let old = old.as_deref().and_then(|b| b.values.as_ref());
                let values = values.as_ref().map(|values| grow(old, values)).transpose()?;
                Buffers { keys, values, capacity }
            }
        };
        (self.len, self.start, self.buffers) = (end, drop_to, Some(Rc::new(buffers)));
        Ok(())
    }

    /// All positions held that the one at `position` or a later one sees.
    pub(super) fn visible(&self, position: usize) -> Result<Visible> {
        let Some(Buffers { keys, values: Some(values), .. }) = self.buffers.as_deref() else {
            return Err(Fault::internal("a cache without values was read"));
        };
        let start = self.first_visible(position).max(self.start);
        let range = start - self.start..self.len - self.start;
        let slice = |positions: &Positions| positions.zip(None, |array, _| raw::slice_axis(array, 2, range.clone()));
        Ok(Visible { keys: slice(keys)?, values: slice(values)?, start })
    }

    /// The first position that the one at `position` sees.
    fn first_visible(&self, position: usize) -> usize {
        self.layout.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// Whether the last append copied all that was held, so that both copies are in memory until it is computed. A
    /// window's are small.
    pub(super) fn grew(&self) -> bool {
        self.grew && self.layout.window.is_none()
    }

    /// The arrays that hold the cache's content.
    pub(super) fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.buffers.iter().flat_map(|buffers| {
            let values = buffers.values.iter().flat_map(Positions::arrays);
            buffers.keys.arrays().iter().chain(values)
        })
    }
}

/// The buffer with some positions replaced.
fn write(buffer: &Array, rows: Option<&Array>, at: &Range<usize>) -> Result<Array> {
    let Some(rows) = rows else { return Err(Fault::internal("a cache of two formats")) };
    let (start, stop) = (raw::dim(at.start)?, raw::dim(at.end)?);
    raw::slice_update(buffer, rows, &[0, 0, start, 0], &[1, buffer.dim(1), stop, buffer.dim(3)])
}

/// Kept positions of a buffer, then new ones, then room for `pad` more.
fn rebuild(old: Option<&Array>, kept: &Range<usize>, new: &Array, pad: usize) -> Result<Array> {
    let old = match old {
        Some(old) if !kept.is_empty() => Some(raw::slice_axis(old, 2, kept.clone())?),
        _ => None,
    };
    let padding = match pad {
        0 => None,
        _ => Some(ops::zeros_dtype(&[1, new.dim(1), raw::dim(pad)?, new.dim(3)], new.dtype())?),
    };
    let parts: Vec<&Array> = old.iter().chain([new]).chain(&padding).collect();
    Ok(ops::concatenate(&parts, 2)?)
}

/// Positions of a new buffer that must hold `needed` of them.
fn capacity(layout: CacheLayout, needed: usize) -> usize {
    // A full window's buffer also has room for those that wait to be dropped.
    let needed = if layout.window.is_some() { needed + SLACK } else { needed };
    let eighth = (needed + 1).next_power_of_two() / 16;
    needed.next_multiple_of(eighth.max(STEP))
}

/// Bytes of a cache of `len` positions, with floats of `width` bytes.
pub(super) fn expected_bytes(layout: CacheLayout, bits: Option<KvBits>, len: usize, width: usize) -> usize {
    if len == 0 {
        return 0;
    }
    let held = layout.window.map_or(len, |window| len.min(window + SLICE));
    let head = match quantized(bits.filter(|_| !layout.index), layout.head_dim) {
        None => layout.head_dim.saturating_mul(width),
        Some(format) => layout.head_dim / 8 * format.bits + 2 * width * (layout.head_dim / format.group_size),
    };
    let parts = if layout.index { 1 } else { 2 };
    head.saturating_mul(parts * capacity(layout, held)).saturating_mul(layout.kv_heads)
}

impl Cache for KvCache {
    fn len(&self) -> usize {
        self.len
    }

    fn can_truncate(&self, len: usize) -> bool {
        len <= self.len && self.start <= self.first_visible(len)
    }

    fn truncate(&mut self, len: usize) {
        self.len = len.min(self.len);
        if self.len == 0 {
            (self.start, self.buffers) = (0, None);
        }
    }

    fn fork(&self) -> Self {
        Self { buffers: self.buffers.clone(), ..*self }
    }

    fn bytes(&self) -> usize {
        self.arrays().map(Array::nbytes).sum()
    }
}
