//! Embeddings of the last few tokens together.

use serde::Serialize;

use super::Linear;

/// Tables of n-grams (LongCat Flash Lite). The embedding of a token and what the tables give for it are averaged. A table
/// has no row of its own for each n-gram: with `id` those of the token and of the ones before it (0 before the first), it is
/// `Σ id[-i] * vocab^i` modulo the table's rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ngrams {
    /// Of all tables.
    pub tables: Vec<NgramTable>,
}

/// A table of n-grams.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NgramTable {
    /// Tokens of an n-gram.
    pub tokens: usize,
    /// `[rows, width]`.
    pub table: Linear,
    /// `[hidden, width]`.
    pub projection: Linear,
}

impl Ngrams {
    /// Tokens that count beside the last.
    pub fn before(&self) -> usize {
        self.tables.iter().map(|table| table.tokens.saturating_sub(1)).max().unwrap_or(0)
    }

    pub(crate) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.tables.iter().flat_map(|table| [&table.table, &table.projection])
    }
}

impl NgramTable {
    /// The rows of some last tokens; those before them are given as well, as many as there are.
    pub fn rows(&self, before: &[u32], last: &[u32], vocab: usize) -> Vec<u32> {
        let (rows, vocab) = (self.table.outputs.max(1) as u64, vocab as u64);
        let token = |position: usize| match position.checked_sub(before.len()) {
            Some(index) => last.get(index),
            None => before.get(position),
        };
        let row = |position: usize| {
            let (mut sum, mut factor) = (0, 1);
            for back in 0..self.tokens {
                let id = position.checked_sub(back).and_then(token).copied().unwrap_or(0);
                sum = (sum + u64::from(id) * factor) % rows;
                factor = factor * vocab % rows;
            }
            sum as u32
        };
        (before.len()..before.len() + last.len()).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbers_of_the_last_tokens() {
        let linear = |outputs| Linear {
            name: String::new(),
            outputs,
            inputs: 4,
            bias: false,
            part: None,
            experts: None,
            bare: false,
            ternary: false,
        };
        let table = |rows| NgramTable { tokens: 3, table: linear(rows), projection: linear(8) };
        assert_eq!(table(1_000_000).rows(&[], &[7, 8, 9], 100), [7, 8 + 700, 9 + 800 + 70_000]);
        assert_eq!(table(1_000_000).rows(&[5, 6], &[7], 100), [7 + 600 + 50_000]);
        assert_eq!(table(1_000_000).rows(&[4, 5, 6], &[7], 100), [7 + 600 + 50_000]);
        assert_eq!(table(97).rows(&[5, 6], &[7], 100), [(7 + 600 + 50_000) % 97]);
        assert!(table(97).rows(&[5, 6], &[], 100).is_empty());
    }
}
