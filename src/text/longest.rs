//! Texts cut into the longest tokens that there are, from the first byte on.

use tokenizers::{OffsetReferential, OffsetType};

/// Tokens by their bytes. Every byte is one, so that any text can be cut.
#[derive(Debug)]
pub(super) struct LongestMatch {
    /// Sorted, so that those with one beginning lie side by side, the shortest first.
    tokens: Vec<(Vec<u8>, u32)>,
    /// In front of a text whose special tokens are wanted.
    before: Option<u32>,
}

impl LongestMatch {
    /// # Errors
    /// Which byte is no token.
    pub(super) fn new(mut tokens: Vec<(Vec<u8>, u32)>, before: Option<u32>) -> Result<Self, String> {
        tokens.sort();
        for byte in 0..=u8::MAX {
            if tokens.binary_search_by(|(token, _)| token.as_slice().cmp(&[byte])).is_err() {
                return Err(format!("no token is the byte 0x{byte:02X} alone"));
            }
        }
        Ok(Self { tokens, before })
    }

    /// The ids of a text. `backend` finds the added tokens in it.
    pub(super) fn encode(&self, backend: &tokenizers::Tokenizer, text: &str, add_special: bool) -> Vec<u32> {
        let mut ids: Vec<u32> = self.before.filter(|_| add_special).into_iter().collect();
        let pieces = backend.get_added_vocabulary().extract_and_normalize(backend.get_normalizer(), text);
        for (piece, _, added) in pieces.get_splits(OffsetReferential::Original, OffsetType::None) {
            match added {
                Some(tokens) => ids.extend(tokens.iter().map(|token| token.id)),
                None => self.cut(piece.as_bytes(), &mut ids),
            }
        }
        ids
    }

    fn cut(&self, mut bytes: &[u8], ids: &mut Vec<u32>) {
        while let Some((len, id)) = self.longest(bytes) {
            ids.push(id);
            bytes = &bytes[len..];
        }
    }

    /// The longest token that the bytes begin with; none of no bytes.
    fn longest(&self, bytes: &[u8]) -> Option<(usize, u32)> {
        let (mut left, mut found) = (self.tokens.as_slice(), None);
        for (depth, byte) in bytes.iter().enumerate() {
            // All that are left begin with the bytes before this one; a token that ends there comes first.
            left = &left[left.partition_point(|(token, _)| token.get(depth).is_none_or(|other| other < byte))..];
            left = &left[..left.partition_point(|(token, _)| token.get(depth) == Some(byte))];
            match left.first() {
                None => break,
                Some((token, id)) if token.len() == depth + 1 => found = Some((depth + 1, *id)),
                Some(_) => {}
            }
        }
        found
    }
}
