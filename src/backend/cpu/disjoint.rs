//! A slice that several threads write, each its own part.

use std::marker::PhantomData;

/// Hands out exclusive parts of a slice by trust.
pub(super) struct Disjoint<'a> {
    start: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a mutable slice of plain numbers; `part` leaves it to its callers that no number is shared.
unsafe impl Sync for Disjoint<'_> {}
// SAFETY: as above.
unsafe impl Send for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    /// Takes the slice over for as long as parts are in use.
    pub fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The numbers from `start` on.
    ///
    /// # Safety
    ///
    /// No other part in use at the same time may share a number with it.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(start <= self.len && len <= self.len - start, "numbers {start}..+{len} of {}", self.len);
        // SAFETY: the range lies in the slice that we hold exclusively, and the caller promises not to share it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
