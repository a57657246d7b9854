//! Rotary position embedding.

use std::cell::RefCell;
use std::rc::Rc;

use crate::arch::spec;
use crate::backend::Rows;
use crate::error::{Error, Result};

/// Rotary frequencies, and the angles of the step that runs: all layers with this rope use the same ones.
pub(crate) struct Rope {
    dims: usize,
    traditional: bool,
    inverse_frequencies: Vec<f32>,
    magnitude: f32,
    last: RefCell<Option<(Rows, Rc<Angles>)>>,
}

/// Cosines and sines of each row.
pub(super) struct Angles {
    /// For each row and pair, the cosine and sine times the rope's magnitude.
    table: Vec<(f32, f32)>,
    pairs: usize,
    traditional: bool,
}

impl Rope {
    /// Checks and keeps the frequencies.
    pub(super) fn load(rope: &spec::Rope) -> Result<Self> {
        if !rope.dims.is_multiple_of(2) || rope.inverse_frequencies.len() != rope.dims / 2 {
            return Err(Error::internal(format!(
                "rope over {} dimensions with {} frequencies",
                rope.dims,
                rope.inverse_frequencies.len()
            )));
        }
        Ok(Self {
            dims: rope.dims,
            traditional: rope.traditional,
            inverse_frequencies: rope.inverse_frequencies.clone(),
            magnitude: rope.magnitude,
            last: RefCell::new(None),
        })
    }

    /// Rotated dimensions of a head.
    pub(super) fn dims(&self) -> usize {
        self.dims
    }

    /// The angles of all rows.
    pub(super) fn angles(&self, rows: &Rows) -> Rc<Angles> {
        if let Some((last, angles)) = &*self.last.borrow()
            && last == rows
        {
            return angles.clone();
        }
        let mut table = Vec::with_capacity(rows.len() * self.inverse_frequencies.len());
        for segment in rows.segments() {
            for position in segment.position..segment.position + segment.len {
                table.extend(self.inverse_frequencies.iter().map(|frequency| {
                    // The angle is a product of f32, as in MLX. It can be large, and f64 reduces its range exactly.
                    let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
                    (cos as f32 * self.magnitude, sin as f32 * self.magnitude)
                }));
            }
        }
        let angles = Rc::new(Angles { table, pairs: self.inverse_frequencies.len(), traditional: self.traditional });
        *self.last.borrow_mut() = Some((rows.clone(), angles.clone()));
        angles
    }
}

impl Angles {
    /// Rotates one head of a row in place.
    pub fn rotate(&self, row: usize, head: &mut [f32]) {
        let turns = &self.table[row * self.pairs..][..self.pairs];
        if self.traditional {
            for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                let [a, b] = *pair;
                *pair = [a * cos - b * sin, a * sin + b * cos];
            }
        } else {
            let (first, rest) = head.split_at_mut(self.pairs);
            for ((first, second), (cos, sin)) in first.iter_mut().zip(rest).zip(turns) {
                let (a, b) = (*first, *second);
                *first = a * cos - b * sin;
                *second = a * sin + b * cos;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(dims: usize, traditional: bool, magnitude: f32) -> Rope {
        let inverse_frequencies = (0..dims / 2).map(|i| 10_000f32.powf(-2.0 * i as f32 / dims as f32)).collect();
        Rope::load(&spec::Rope { dims, traditional, inverse_frequencies, magnitude }).unwrap()
    }

    #[test]
    fn pairs_turn_by_their_angle() {
        for (traditional, magnitude, dims) in [(false, 1.0, 8), (true, 1.5, 8), (false, 2.0, 4), (true, 1.0, 0)] {
            let rope = rope(dims, traditional, magnitude);
            let rows = Rows::new([(0, 2), (5000, 3)]);
            let angles = rope.angles(&rows);
            for (row, position) in [0usize, 1, 5000, 5001, 5002].into_iter().enumerate() {
                let head: Vec<f32> = (0..8).map(|i| i as f32 - 3.5).collect();
                let mut got = head.clone();
                angles.rotate(row, &mut got);
                let mut want: Vec<f64> = head.iter().map(|x| f64::from(*x)).collect();
                for i in 0..dims / 2 {
                    let (a, b) = if traditional { (2 * i, 2 * i + 1) } else { (i, i + dims / 2) };
                    let (sin, cos) = f64::from(position as f32 * rope.inverse_frequencies[i]).sin_cos();
                    let (x, y) = (f64::from(head[a]), f64::from(head[b]));
                    want[a] = f64::from(magnitude) * (x * cos - y * sin);
                    want[b] = f64::from(magnitude) * (x * sin + y * cos);
                }
                for (got, want) in got.iter().zip(&want) {
                    assert!((f64::from(*got) - want).abs() < 2e-6, "{got} {want}");
                }
            }
        }
    }

    #[test]
    fn angles_are_kept_for_the_next_layer() {
        let rope = rope(8, false, 1.0);
        let first = rope.angles(&Rows::new([(3, 2)]));
        assert!(Rc::ptr_eq(&first, &rope.angles(&Rows::new([(3, 2)]))));
        assert!(!Rc::ptr_eq(&first, &rope.angles(&Rows::new([(4, 2)]))));
    }

    #[test]
    fn wrong_numbers_of_frequencies_are_errors() {
        let rope = spec::Rope { dims: 8, traditional: false, inverse_frequencies: vec![1.0; 3], magnitude: 1.0 };
        assert!(Rope::load(&rope).is_err());
    }
}
