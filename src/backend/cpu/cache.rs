//! Keys and values of one layer and sequence, in blocks of 64 positions that forks share.

use std::collections::VecDeque;
use std::rc::Rc;

use super::head::{BLOCK, Format};
use super::slab::{SlabBlock, Slabs};
use crate::backend::{Cache, CacheLayout};
use crate::error::{Error, Result};

/// Positions that a window keeps beyond what it sees, so that a few can be taken back.
const SLACK: usize = 64;

/// Keys and values of a sequence in one layer.
pub(crate) struct KvCache {
    layout: CacheLayout,
    format: Format,
    slabs: Rc<Slabs>,
    /// Blocks held, the oldest first: 64 positions, head by head.
    blocks: VecDeque<Rc<SlabBlock>>,
    /// Blocks dropped before them.
    dropped: usize,
    len: usize,
}

impl KvCache {
    /// Holds nothing yet.
    pub(super) fn new(layout: CacheLayout, format: Format, slabs: Rc<Slabs>) -> Self {
        let format = if layout.index { Format::F32 } else { format };
        Self { layout, format, slabs, blocks: VecDeque::new(), dropped: 0, len: 0 }
    }

    /// What it holds.
    pub(super) fn layout(&self) -> &CacheLayout {
        &self.layout
    }

    /// How it holds it.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Drops what no later position sees, and makes the blocks of the next `count` positions this cache's own.
    pub(super) fn reserve(&mut self, count: usize) -> Result<()> {
        let end = self.len.checked_add(count).ok_or_else(|| Error::invalid(format!("{count} positions at once")))?;
        let keep = self.first_visible(self.len).saturating_sub(SLACK) / BLOCK;
        while self.dropped < keep && self.blocks.pop_front().is_some() {
            self.dropped += 1;
        }
        let first = (self.len / BLOCK).checked_sub(self.dropped).ok_or_else(|| {
            Error::internal(format!("a cache was cut to {} positions, which were dropped before", self.len))
        })?;
        let numbers = numbers(&self.layout, self.format).unwrap_or(usize::MAX);
        for index in first..end.div_ceil(BLOCK).saturating_sub(self.dropped) {
            match self.blocks.get_mut(index) {
                Some(block) if Rc::strong_count(block) == 1 => {}
                Some(block) => {
                    let mut copy = self.slabs.allocate(block.len())?;
                    copy.copy_from_slice(block);
                    *block = Rc::new(copy);
                }
                None => self.blocks.push_back(Rc::new(self.slabs.allocate(numbers)?)),
            }
        }
        Ok(())
    }

    /// The blocks of the next `count` positions, with the first of them. They are reserved.
    pub(super) fn reserved(&mut self, count: usize) -> impl Iterator<Item = (usize, &mut [f32])> {
        let range = self.len / BLOCK..(self.len + count).div_ceil(BLOCK);
        let dropped = self.dropped;
        let blocks = self.blocks.iter_mut().enumerate().map(move |(index, block)| (index + dropped, block));
        blocks
            .filter(move |(index, _)| range.contains(index))
            .filter_map(|(index, block)| Some((index * BLOCK, &mut **Rc::get_mut(block)?)))
    }

    /// Counts `count` positions that have been written.
    pub(super) fn advance(&mut self, count: usize) {
        self.len += count;
    }

    /// The blocks held and the number of blocks dropped before.
    pub(super) fn blocks(&self) -> (usize, impl Iterator<Item = &[f32]>) {
        (self.dropped, self.blocks.iter().map(|block| &***block))
    }

    /// The first position that `position` sees.
    fn first_visible(&self, position: usize) -> usize {
        self.layout.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

impl Cache for KvCache {
    fn len(&self) -> usize {
        self.len
    }

    fn can_truncate(&self, len: usize) -> bool {
        len >= self.len || self.dropped * BLOCK <= self.first_visible(len)
    }

    fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.blocks.truncate(len.div_ceil(BLOCK).saturating_sub(self.dropped));
            if len == 0 {
                self.dropped = 0;
            }
        }
    }

    fn fork(&self) -> Self {
        let (slabs, blocks) = (Rc::clone(&self.slabs), self.blocks.clone());
        Self { slabs, blocks, ..*self }
    }

    fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.bytes()).sum()
    }
}

/// Bytes that a cache of `len` positions takes at most.
pub(super) fn bytes_of(layout: &CacheLayout, format: Format, len: usize) -> usize {
    let held = layout.window.map_or(len, |window| len.min(window.saturating_add(SLACK + BLOCK)));
    let block = numbers(layout, format).unwrap_or(0);
    held.div_ceil(BLOCK).saturating_mul(block).saturating_mul(size_of::<f32>())
}

/// Room for a block, counted in f32 numbers. An indexer has keys alone.
fn numbers(layout: &CacheLayout, format: Format) -> Option<usize> {
    let head = match layout.index {
        true => layout.head_dim.checked_mul(BLOCK),
        false => format.head_numbers(layout.head_dim),
    };
    head?.checked_mul(layout.kv_heads)
}
