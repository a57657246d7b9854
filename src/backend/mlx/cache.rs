//! Keys and values of one layer and sequence.
//!
//! Arrays are never changed: an append makes new ones. MLX writes into the old buffer when nobody else holds it, and
//! copies it when a fork does, so a fork costs nothing until one of the two goes on.

use std::rc::Rc;

use mlx_rs::{Array, ops};

use super::error::{Fault, Result};
use super::raw;
use crate::backend::{Cache, CacheLayout};

/// Buffers grow by this many positions, or by about an eighth where that is more, so that a long sequence is not
/// copied again and again.
const STEP: usize = 256;

/// A window's buffer may hold this many positions that nobody sees any more, before it is copied to drop them.
const SLACK: usize = 64;

/// The most rows that a sequence is expected to take in at once. More is possible and costs memory.
const SLICE: usize = 512;

/// Keys and values, `[1, kv_heads, capacity, head_dim]` each.
pub(crate) struct KvCache {
    layout: CacheLayout,
    /// Positions appended.
    len: usize,
    /// The position of the buffers' first row; the ones before it were dropped.
    start: usize,
    buffers: Option<Rc<Buffers>>,
}

struct Buffers {
    keys: Array,
    values: Array,
    capacity: usize,
}

/// What an append leaves to attend to.
pub(super) struct Visible {
    /// `[1, kv_heads, positions, head_dim]`.
    pub keys: Array,
    /// `[1, kv_heads, positions, head_dim]`.
    pub values: Array,
    /// The position of the first of them.
    pub start: usize,
}

impl KvCache {
    /// An empty cache.
    pub fn new(layout: CacheLayout) -> Self {
        Self { layout, len: 0, start: 0, buffers: None }
    }

    /// Appends `[1, kv_heads, rows, head_dim]` and gives all positions that one of these rows sees.
    pub(super) fn append(&mut self, keys: &Array, values: &Array, rows: usize) -> Result<Visible> {
        if self.len < self.start {
            return Err(Fault::internal(format!("a cache from position {} was cut to {}", self.start, self.len)));
        }
        // The first new row sees `window - 1` positions before itself, later ones see less far back.
        let needed = self.first_visible(self.len);
        let drop_to = if needed >= self.start + SLACK { needed } else { self.start };
        let end = self.len + rows;
        let buffers = match &self.buffers {
            Some(old) if drop_to == self.start && end - self.start <= old.capacity => {
                let at = self.len - self.start..end - self.start;
                let keys = self.write(&old.keys, keys, at.clone())?;
                Buffers { keys, values: self.write(&old.values, values, at)?, capacity: old.capacity }
            }
            old => {
                let capacity = capacity(self.layout, end - drop_to);
                let kept = drop_to - self.start..self.len - self.start;
                let pad = capacity - (end - drop_to);
                let grow = |old: Option<&Array>, new: &Array| self.rebuild(old, kept.clone(), new, pad);
                let keys = grow(old.as_deref().map(|b| &b.keys), keys)?;
                Buffers { keys, values: grow(old.as_deref().map(|b| &b.values), values)?, capacity }
            }
        };
        let first = self.len;
        (self.len, self.start, self.buffers) = (end, drop_to, Some(Rc::new(buffers)));
        self.visible(first)
    }

    /// All positions held that the one at `position` or a later one sees.
    pub(super) fn visible(&self, position: usize) -> Result<Visible> {
        let Some(buffers) = &self.buffers else { return Err(Fault::internal("an empty cache was read")) };
        let start = self.first_visible(position).max(self.start);
        let range = start - self.start..self.len - self.start;
        let keys = raw::slice_axis(&buffers.keys, 2, range.clone())?;
        Ok(Visible { keys, values: raw::slice_axis(&buffers.values, 2, range)?, start })
    }

    /// The first position that the one at `position` sees.
    fn first_visible(&self, position: usize) -> usize {
        self.layout.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// The arrays that hold the cache's content.
    pub(super) fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.buffers.iter().flat_map(|buffers| [&buffers.keys, &buffers.values])
    }

    fn write(&self, buffer: &Array, rows: &Array, at: std::ops::Range<usize>) -> Result<Array> {
        let (heads, width) = (raw::dim(self.layout.kv_heads)?, raw::dim(self.layout.head_dim)?);
        let (start, stop) = (raw::dim(at.start)?, raw::dim(at.end)?);
        raw::slice_update(buffer, rows, &[0, 0, start, 0], &[1, heads, stop, width])
    }

    fn rebuild(&self, old: Option<&Array>, kept: std::ops::Range<usize>, new: &Array, pad: usize) -> Result<Array> {
        let old = match old {
            Some(old) if !kept.is_empty() => Some(raw::slice_axis(old, 2, kept)?),
            _ => None,
        };
        let padding = match pad {
            0 => None,
            _ => {
                let (heads, width) = (raw::dim(self.layout.kv_heads)?, raw::dim(self.layout.head_dim)?);
                Some(ops::zeros_dtype(&[1, heads, raw::dim(pad)?, width], new.dtype())?)
            }
        };
        let parts: Vec<&Array> = old.iter().chain([new]).chain(&padding).collect();
        Ok(ops::concatenate(&parts, 2)?)
    }
}

/// Positions of a new buffer that must hold `needed` of them.
fn capacity(layout: CacheLayout, needed: usize) -> usize {
    // A full window's buffer also has room for those that wait to be dropped.
    let needed = if layout.window.is_some() { needed + SLACK } else { needed };
    let eighth = (needed + 1).next_power_of_two() / 16;
    needed.next_multiple_of(eighth.max(STEP))
}

/// Bytes of a cache of `len` positions, with numbers of `width` bytes.
pub(super) fn expected_bytes(layout: CacheLayout, len: usize, width: usize) -> usize {
    if len == 0 {
        return 0;
    }
    let held = layout.window.map_or(len, |window| len.min(window + SLICE));
    2 * capacity(layout, held) * layout.kv_heads * layout.head_dim * width
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
