//! Memory for f32 numbers, aligned for the widest vectors, and the list of freed pieces that later ones are cut from.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::memory::{Charge, PROCESS};
use crate::error::{Error, Result};

/// Floats in a cache line and in a vector of the kernels.
const LINE: usize = 16;

/// Freed bytes that are kept at most. More than the activations of a prefill slice need, less than a phone would miss.
const KEPT_BYTES: usize = 256 << 20;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Zeroed, aligned floats. The length is rounded up to whole cache lines.
pub(super) struct Lines(Vec<Line>);

impl Lines {
    /// At least `floats` zeros, or an error that says what they were for.
    pub fn zeroed(floats: usize, purpose: &str) -> Result<Self> {
        let count = floats.div_ceil(LINE);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| {
            Error::out_of_memory(format!("cannot allocate {} bytes for {purpose}", count.saturating_mul(64)))
                .with_hint("shorten the context, run fewer generations at a time, or choose a smaller model")
        })?;
        lines.resize(count, Line([0.0; LINE]));
        Ok(Self(lines))
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }
}

impl Deref for Lines {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a `Line` is exactly 16 initialised floats without padding (64 bytes, alignment 64).
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * LINE) }
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; any bits are valid floats, and the borrow of `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * LINE) }
    }
}

/// Bytes that f32 memory may hold instead: any bits are valid for them, and they need no more alignment.
pub(super) trait Plain: Copy + sealed::Plain {}

impl<T: Copy + sealed::Plain> Plain for T {}

mod sealed {
    pub trait Plain {}
    impl Plain for u8 {}
    impl Plain for i8 {}
    impl Plain for i16 {}
    impl Plain for i32 {}
    impl<T: Plain, const N: usize> Plain for [T; N] {}
}

/// The same memory as integers.
pub(super) fn cast<T: Plain>(floats: &[f32]) -> &[T] {
    // SAFETY: see `Plain`; the length in bytes is the same.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), size_of_val(floats) / size_of::<T>()) }
}

/// The same memory as integers.
pub(super) fn cast_mut<T: Plain>(floats: &mut [f32]) -> &mut [T] {
    // SAFETY: see `Plain`; the length in bytes is the same, any bits are valid floats, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), size_of_val(floats) / size_of::<T>()) }
}

/// Hands out buffers and takes them back, so that large activations don't cost a system call and page faults each.
#[derive(Default)]
pub(super) struct Arena {
    /// By the number of floats.
    free: RefCell<BTreeMap<usize, Vec<Lines>>>,
    cached: Cell<usize>,
}

impl Arena {
    /// A buffer of `len` floats with arbitrary content, for a while.
    pub fn allocate(self: &Rc<Self>, len: usize) -> Result<Buffer> {
        self.take(size_class(len), len)
    }

    /// The same for what is kept: nothing beside but the rest of a cache line.
    pub fn allocate_exact(self: &Rc<Self>, len: usize) -> Result<Buffer> {
        self.take(len.next_multiple_of(LINE), len)
    }

    /// A buffer of `len` of `class` floats.
    fn take(self: &Rc<Self>, class: usize, len: usize) -> Result<Buffer> {
        let reused = self.free.borrow_mut().get_mut(&class).and_then(Vec::pop);
        let lines = match reused {
            Some(lines) => {
                self.cached.set(self.cached.get() - lines.bytes());
                lines
            }
            None => Lines::zeroed(class, "activations")?,
        };
        let charge = PROCESS.charge(lines.bytes());
        Ok(Buffer { lines: Some(lines), len, arena: self.clone(), _charge: charge })
    }

    /// Bytes freed and kept.
    pub fn cached(&self) -> usize {
        self.cached.get()
    }

    /// Gives all that is kept back to the system.
    pub fn trim(&self) {
        self.free.borrow_mut().clear();
        self.cached.set(0);
    }

    fn give_back(&self, lines: Lines) {
        let cached = self.cached.get() + lines.bytes();
        if cached <= KEPT_BYTES {
            self.cached.set(cached);
            self.free.borrow_mut().entry(lines.len()).or_default().push(lines);
        }
    }
}

/// Rounds up to one of four sizes per power of two, so that batches of similar sizes reuse the same pieces.
fn size_class(floats: usize) -> usize {
    let lines = floats.div_ceil(LINE).max(1);
    let step = (lines.next_power_of_two() / 8).max(1);
    lines.next_multiple_of(step) * LINE
}

/// Floats of an [`Arena`], given back when dropped.
pub(super) struct Buffer {
    /// Present until dropped.
    lines: Option<Lines>,
    len: usize,
    arena: Rc<Arena>,
    _charge: Charge,
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.lines.as_ref().map_or(&[], |lines| &lines[..self.len])
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.lines.as_mut().map_or(&mut [], |lines| &mut lines[..self.len])
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(lines) = self.lines.take() {
            self.arena.give_back(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn buffers_are_aligned_and_reused() {
        let arena = Rc::new(Arena::default());
        let buffer = arena.allocate(1000).unwrap();
        let address = buffer.as_ptr() as usize;
        assert_eq!((buffer.len(), address % 64, arena.cached()), (1000, 0, 0));
        drop(buffer);
        assert!(arena.cached() >= 4000);
        let again = arena.allocate(990).unwrap();
        assert_eq!((again.as_ptr() as usize, arena.cached()), (address, 0));
        drop(again);
        let exact = arena.allocate_exact(1000).unwrap();
        assert_eq!((exact.len(), exact.lines.as_ref().unwrap().bytes()), (1000, 4032));
        drop(exact);
        arena.trim();
        assert_eq!(arena.cached(), 0);
    }

    #[test]
    fn classes_waste_at_most_a_quarter() {
        for floats in (1..5000).chain([1 << 20, (1 << 20) + 1]) {
            let class = size_class(floats);
            assert!(class >= floats && class <= (floats.next_multiple_of(16) * 5).div_ceil(4), "{floats} {class}");
        }
    }

    #[test]
    fn impossible_sizes_are_errors() {
        let error = Arena::allocate(&Rc::new(Arena::default()), usize::MAX / 64).err().unwrap();
        assert_eq!(error.code(), Code::OutOfMemory);
    }
}
