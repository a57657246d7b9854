//! Tokens that stand for bytes, and text out of bytes that come in pieces.

/// The byte of a token like `<0x0A>`.
pub(super) fn byte_token(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    // A sign is no digit, whatever the parser of numbers says.
    if hex.len() == 2 && hex.bytes().all(|b| b.is_ascii_hexdigit()) { u8::from_str_radix(hex, 16).ok() } else { None }
}

/// The byte that a character of a byte-level vocabulary stands for: printable ones of Latin-1 for themselves, the
/// others in order from U+0100 on.
pub(super) fn byte_of_char(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7F).ok(),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// The character that stands for a byte in a byte-level vocabulary.
pub(super) fn char_of_byte(byte: u8) -> char {
    let code = u32::from(byte);
    let code = match byte {
        0..=0x20 => code + 0x100,
        0x7F..=0xA0 => code - 0x7F + 0x121,
        0xAD => 0x143,
        _ => code,
    };
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// What is left at the end of `bytes` of a character that isn't complete.
pub(super) fn incomplete_tail(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Err(error) = std::str::from_utf8(rest) {
        match error.error_len() {
            Some(len) => rest = &rest[error.valid_up_to() + len..],
            None => return &rest[error.valid_up_to()..],
        }
    }
    &[]
}

/// Bytes to text; a character comes when it is complete, bytes that are none become replacement characters just as
/// [`String::from_utf8_lossy`] of all of them has it.
#[derive(Debug, Clone, Default)]
pub(super) struct Utf8Stream {
    pending: Vec<u8>,
}

impl Utf8Stream {
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let tail = incomplete_tail(&self.pending).len();
        let complete = self.pending.len() - tail;
        let text = String::from_utf8_lossy(&self.pending[..complete]).into_owned();
        self.pending.drain(..complete);
        text
    }

    pub(super) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_tokens_have_two_digits() {
        assert_eq!(byte_token("<0x0A>"), Some(10));
        assert_eq!(byte_token("<0xff>"), Some(255));
        for token in ["<0x-1>", "<0x+1>", "<0x1>", "<0x001>", "<0x0G>", "0x0A", "<0x0A", "", "<0xé>"] {
            assert_eq!(byte_token(token), None, "{token}");
        }
    }

    #[test]
    fn every_byte_has_one_character() {
        let mut bytes: Vec<u8> = (0..0x200).filter_map(char::from_u32).filter_map(byte_of_char).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<_>>());
        assert!((0..=255).all(|byte| byte_of_char(char_of_byte(byte)) == Some(byte)));
        for (c, byte) in [('Ġ', b' '), ('Ċ', b'\n'), ('a', b'a'), ('Ń', 0xAD), ('ł', 0xA0)] {
            assert_eq!(byte_of_char(c), Some(byte), "{c}");
        }
    }

    #[test]
    fn text_is_the_same_however_the_bytes_are_cut() {
        let mut state = 3u64;
        let mut random = move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) % n
        };
        let pool = [0x41, 0x80, 0xBF, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80, 0xED, 0xA0, 0xFF, 0xC0];
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random(12)).map(|_| pool[random(16) as usize]).collect();
            let mut stream = Utf8Stream::default();
            let mut text = String::new();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at((1 + random(4) as usize).min(rest.len()));
                text += &stream.push(piece);
                rest = tail;
            }
            text += &stream.finish();
            assert_eq!(text, String::from_utf8_lossy(&bytes), "{bytes:x?}");
        }
    }

    #[test]
    fn characters_come_as_soon_as_they_are_complete() {
        let mut stream = Utf8Stream::default();
        assert_eq!(stream.push("a€".as_bytes()), "a€");
        assert_eq!(stream.push(&"😀".as_bytes()[..3]), "");
        assert_eq!(stream.push(&"😀".as_bytes()[3..]), "😀");
        assert_eq!(stream.finish(), "");
    }
}
