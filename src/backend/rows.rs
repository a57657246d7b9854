//! The rows of a batch.

/// Which rows of a batch belong to which sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    segments: Vec<Segment>,
}

/// Consecutive rows of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// First row of the batch.
    pub start: usize,
    /// Number of rows, at least 1.
    pub len: usize,
    /// Absolute position of the first row: the number of positions that the caches of the sequence hold.
    pub position: usize,
}

impl Rows {
    /// Rows for sequences of the given `(position, len)`, in this order.
    pub fn new(sequences: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut start = 0;
        let segments = sequences.into_iter().map(|(position, len)| {
            let segment = Segment { start, len, position };
            start += len;
            segment
        });
        Self { segments: segments.collect() }
    }

    /// The segments, in the order of their rows.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.segments.last().map_or(0, |s| s.start + s.len)
    }
}
