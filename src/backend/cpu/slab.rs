//! Memory for the blocks of caches, in huge pages where the system has them: a step with a long context reads so much
//! that finding each small page costs a quarter of its time.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::{Rc, Weak};

use memmap2::MmapMut;

use super::memory::{Charge, PROCESS};
use crate::error::{Error, Result};

/// Bytes of a slab at least. Only what blocks use of it takes memory.
const SLAB: usize = 8 << 20;

/// Bytes of a huge page, and the alignment of slabs.
const HUGE: usize = 2 << 20;

/// Hands out blocks of f32 numbers, and memory of blocks that are gone again. A slab without blocks is given back to
/// the system.
#[derive(Default)]
pub(super) struct Slabs {
    slabs: RefCell<Vec<Weak<Slab>>>,
}

/// Blocks of one size, side by side.
struct Slab {
    map: MmapMut,
    /// Number of the first block's first byte.
    start: usize,
    /// Numbers of a block.
    numbers: usize,
    blocks: usize,
    /// Blocks never used so far are those from this one on; they are zero.
    used: Cell<usize>,
    free: RefCell<Vec<usize>>,
}

/// Zeroed numbers in a slab, aligned to cache lines.
pub(super) struct SlabBlock {
    slab: Rc<Slab>,
    index: usize,
    _charge: Charge,
}

impl Slabs {
    /// A block of `numbers` zeros.
    ///
    /// # Errors
    /// `OutOfMemory` when the system has none left.
    pub fn allocate(&self, numbers: usize) -> Result<SlabBlock> {
        let numbers = numbers.checked_next_multiple_of(16).unwrap_or(usize::MAX);
        let mut slabs = self.slabs.borrow_mut();
        slabs.retain(|slab| slab.strong_count() > 0);
        let mut of_size = slabs.iter().filter_map(Weak::upgrade).filter(|slab| slab.numbers == numbers);
        if let Some(block) = of_size.find_map(|slab| slab.take()) {
            return Ok(block);
        }
        let slab = Slab::new(numbers)?;
        slabs.push(Rc::downgrade(&slab));
        slab.take().ok_or_else(|| Error::internal("a new slab is full"))
    }
}

impl Slab {
    fn new(numbers: usize) -> Result<Rc<Self>> {
        let error = |reason: String| {
            Error::out_of_memory(format!(
                "cannot allocate {numbers} numbers for 64 positions of the KV cache: {reason}"
            ))
            .with_hint("shorten the context, run fewer generations at a time, or choose a smaller model")
        };
        let bytes = numbers.checked_mul(size_of::<f32>()).filter(|bytes| *bytes < isize::MAX as usize / 2);
        let bytes = bytes.ok_or_else(|| error("too large".to_owned()))?.max(1);
        let blocks = (SLAB / bytes).max(1);
        let map =
            MmapMut::map_anon((blocks * bytes).next_multiple_of(HUGE) + HUGE).map_err(|e| error(e.to_string()))?;
        let start = map.as_ptr().align_offset(HUGE).min(HUGE);
        #[cfg(target_os = "linux")]
        if let Err(error) = map.advise(memmap2::Advice::HugePage) {
            tracing::debug!(%error, "no huge pages");
        }
        let (used, free) = (Cell::new(0), RefCell::default());
        Ok(Rc::new(Self { map, start, numbers, blocks, used, free }))
    }

    fn take(self: &Rc<Self>) -> Option<SlabBlock> {
        let block = |index| {
            let charge = PROCESS.charge(self.numbers * size_of::<f32>());
            SlabBlock { slab: Rc::clone(self), index, _charge: charge }
        };
        if let Some(index) = self.free.borrow_mut().pop() {
            let mut block = block(index);
            block.fill(0.0);
            return Some(block);
        }
        let index = self.used.get();
        (index < self.blocks).then(|| {
            self.used.set(index + 1);
            block(index)
        })
    }
}

impl SlabBlock {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        size_of_val::<[f32]>(self)
    }

    /// The first number, in memory of this block's own.
    fn address(&self) -> *const f32 {
        let offset = self.slab.start + self.index * self.slab.numbers * size_of::<f32>();
        self.slab.map.as_ptr().wrapping_add(offset).cast()
    }
}

impl Deref for SlabBlock {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the map has room for all blocks from `start` on and lives as long as `self`; it is aligned, any bits
        // are valid floats, and this part is written through a mutable borrow of `self` only.
        unsafe { std::slice::from_raw_parts(self.address(), self.slab.numbers) }
    }
}

impl DerefMut for SlabBlock {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above. An index is handed out once at a time, and nothing refers to the whole map as a slice.
        unsafe { std::slice::from_raw_parts_mut(self.address().cast_mut(), self.slab.numbers) }
    }
}

impl Drop for SlabBlock {
    fn drop(&mut self) {
        self.slab.free.borrow_mut().push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn blocks_are_apart_aligned_zeroed_and_used_again() {
        let slabs = Slabs::default();
        let mut blocks: Vec<_> = (0..100).map(|_| slabs.allocate(30_000).unwrap()).collect();
        for (i, block) in blocks.iter_mut().enumerate() {
            assert!(block.iter().all(|x| *x == 0.0));
            assert_eq!((block.as_ptr() as usize % 64, block.len(), block.bytes()), (0, 30_000, 120_000));
            block.fill(i as f32);
        }
        assert!(blocks.iter().enumerate().all(|(i, block)| block.iter().all(|x| *x == i as f32)));
        let address = blocks.remove(40).as_ptr();
        let again = slabs.allocate(30_000).unwrap();
        assert_eq!(again.as_ptr(), address);
        assert!(again.iter().all(|x| *x == 0.0));
        assert_ne!(slabs.allocate(16).unwrap().as_ptr(), address);
        let count = || slabs.slabs.borrow().iter().filter(|slab| slab.strong_count() > 0).count();
        assert_eq!(count(), 2);
        drop((again, blocks));
        assert_eq!(count(), 0);
    }

    #[test]
    fn large_blocks_have_slabs_of_their_own_and_impossible_ones_are_errors() {
        let slabs = Slabs::default();
        assert_eq!(slabs.allocate(5 << 20).unwrap().len(), 5 << 20);
        for numbers in [usize::MAX, usize::MAX / 4, usize::MAX / 16, 1 << 58] {
            assert_eq!(slabs.allocate(numbers).err().unwrap().code(), Code::OutOfMemory);
        }
    }
}
