//! SentencePiece models: the few fields of `sentencepiece_model.proto` that a tokenizer needs.

/// The most pieces; the largest real vocabularies have 300,000.
const MAX_PIECES: usize = 1 << 22;

/// What reading can fail with.
type Result<T> = std::result::Result<T, String>;

/// What a piece is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::text) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    /// By the numbers of SentencePiece and GGUF.
    pub(in crate::text) fn of(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }
}

/// An entry of the vocabulary; its place is its id.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

/// How a model was trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Unigram,
    Bpe,
}

/// A model, with SentencePiece's values for what the file leaves out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SentencePiece {
    pub(super) pieces: Vec<Piece>,
    pub(super) algorithm: Algorithm,
    /// Characters without a piece are spelled as `<0x..>`.
    pub(super) byte_fallback: bool,
    /// A vocabulary without it has a negative one.
    pub(super) unk_id: i32,
    pub(super) unk_piece: String,
    /// The texts of BOS and EOS, where the model has them.
    pub(super) bos_piece: Option<String>,
    pub(super) eos_piece: Option<String>,
    /// Rules for characters, as a trie.
    pub(super) charsmap: Vec<u8>,
    /// A blank before the text.
    pub(super) add_dummy_prefix: bool,
    /// No blanks at both ends, one in between.
    pub(super) remove_extra_whitespaces: bool,
    /// Blanks as `▁`.
    pub(super) escape_whitespaces: bool,
}

impl SentencePiece {
    /// # Errors
    /// What is malformed, and where.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut model = Self {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            byte_fallback: false,
            unk_id: 0,
            unk_piece: "<unk>".into(),
            bos_piece: None,
            eos_piece: None,
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        };
        let mut trainer = &[][..];
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(piece)) => {
                    let id = model.pieces.len();
                    if id == MAX_PIECES {
                        return Err(format!("it has more than {MAX_PIECES} pieces"));
                    }
                    model.pieces.push(self::piece(piece).map_err(|e| format!("piece {id}: {e}"))?);
                }
                (2, Value::Bytes(spec)) => trainer = spec,
                (3, Value::Bytes(spec)) => model.normalizer(spec)?,
                (1..=3, other) => return Err(format!("a part of the model is {other:?} instead of a message")),
                _ => {}
            }
        }
        model.trainer(trainer)?;
        Ok(model)
    }

    fn trainer(&mut self, spec: &[u8]) -> Result<()> {
        let (mut bos, mut eos) = ((1, "<s>".to_owned()), (2, "</s>".to_owned()));
        for field in Fields(spec) {
            match field? {
                (3, Value::Number(1)) => self.algorithm = Algorithm::Unigram,
                (3, Value::Number(2)) => self.algorithm = Algorithm::Bpe,
                (3, Value::Number(other)) => {
                    return Err(format!("model type {other}; known are 1 (unigram) and 2 (BPE)"));
                }
                (35, Value::Number(flag)) => self.byte_fallback = flag != 0,
                // Negative numbers are written as 64 bits.
                (40, Value::Number(id)) => self.unk_id = id as i32,
                (41, Value::Number(id)) => bos.0 = id as i32,
                (42, Value::Number(id)) => eos.0 = id as i32,
                (45, Value::Bytes(text)) => self.unk_piece = utf8(text)?,
                (46, Value::Bytes(text)) => bos.1 = utf8(text)?,
                (47, Value::Bytes(text)) => eos.1 = utf8(text)?,
                _ => {}
            }
        }
        self.bos_piece = (bos.0 >= 0).then_some(bos.1);
        self.eos_piece = (eos.0 >= 0).then_some(eos.1);
        Ok(())
    }

    fn normalizer(&mut self, spec: &[u8]) -> Result<()> {
        for field in Fields(spec) {
            match field? {
                (2, Value::Bytes(map)) => self.charsmap = map.to_vec(),
                (3, Value::Number(flag)) => self.add_dummy_prefix = flag != 0,
                (4, Value::Number(flag)) => self.remove_extra_whitespaces = flag != 0,
                (5, Value::Number(flag)) => self.escape_whitespaces = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

fn piece(message: &[u8]) -> Result<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: Kind::Normal };
    for field in Fields(message) {
        match field? {
            (1, Value::Bytes(text)) => piece.text = utf8(text)?,
            (2, Value::Word(bits)) => piece.score = f32::from_bits(bits),
            (3, Value::Number(kind)) => {
                piece.kind = i64::try_from(kind).ok().and_then(Kind::of).ok_or_else(|| format!("type {kind}"))?;
            }
            _ => {}
        }
    }
    Ok(piece)
}

fn utf8(bytes: &[u8]) -> Result<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|e| format!("a text is not UTF-8: {e}"))
}

/// A value as protobuf's wire format has it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    Number(u64),
    Word(u32),
    Long,
    Bytes(&'a [u8]),
}

/// The fields of a message, by number; ends behind the first that is malformed.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Long)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Word(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.0.len();
        if left == 0 {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| format!("it is cut off or no protobuf, {left} bytes before an end")))
    }
}
