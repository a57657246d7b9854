use serde_json::Value;

use super::protobuf::{Kind, SentencePiece};
use super::*;
use crate::error::Code;
use crate::text::{StreamDecoder, Tokenizer};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tokenizers");

fn saved(path: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{path}")).unwrap()
}

fn json(path: &str) -> Value {
    serde_json::from_slice(&saved(path)).unwrap()
}

fn load(tokenizer: TokenizerFile) -> Result<Tokenizer> {
    Tokenizer::from_files(&TextFiles { label: "m".into(), tokenizer, ..TextFiles::default() }, &[])
}

fn model(name: &str, bytes: &[u8]) -> Result<Tokenizer> {
    load(TokenizerFile::Model(name.into(), bytes.to_vec()))
}

fn gguf(vocabulary: Vocabulary) -> Result<Tokenizer> {
    load(TokenizerFile::Vocabulary(Box::new(vocabulary)))
}

/// The message of a file that must be refused as corrupt.
fn refused(result: Result<Tokenizer>) -> String {
    let error = result.expect_err("refused");
    assert_eq!(error.code(), Code::CorruptFile, "{error}");
    error.message().to_owned()
}

/// A field of a protobuf message.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut message = varint(number << 3 | 2);
    message.extend(varint(bytes.len() as u64));
    message.extend(bytes);
    message
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7F {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn piece(text: &[u8], score: f32, kind: u64) -> Vec<u8> {
    let score = [vec![2 << 3 | 5], score.to_le_bytes().to_vec()].concat();
    field(1, &[field(1, text), score, number(3, kind)].concat())
}

/// A small BPE model, and something behind it.
fn small(more: &[u8]) -> Vec<u8> {
    let mut bytes = [("<unk>", 2), ("<s>", 3), ("</s>", 3), ("▁", 1), ("a", 1), ("b", 1), ("ab", 1), ("▁ab", 1)]
        .iter()
        .zip(0u8..)
        .flat_map(|((text, kind), id)| piece(text.as_bytes(), -f32::from(id), *kind))
        .collect::<Vec<u8>>();
    bytes.extend(field(2, &number(3, 2)));
    bytes.extend(more);
    bytes
}

#[test]
fn a_small_model_works() {
    let tokenizer = model("tokenizer.model", &small(&[])).unwrap();
    assert_eq!(tokenizer.encode("ab ab", false).unwrap(), [7, 7]);
    assert_eq!(tokenizer.encode("abc", false).unwrap(), [7, 0]);
    assert_eq!(tokenizer.decode(&[1, 7, 7, 2], true).unwrap(), "ab ab");
    // What the file itself names counts where no configuration does.
    assert_eq!(tokenizer.eos_ids(), [2]);
    assert!(tokenizer.is_special(1) && tokenizer.is_special(0) && !tokenizer.is_special(7));
}

#[test]
fn pieces_get_the_names_that_the_configuration_has_for_them() {
    let ids = |config: &str, text: &str| {
        let files = TextFiles {
            tokenizer: TokenizerFile::Model("tokenizer.model".into(), small(&piece(b"[UNUSED]", 0.0, 1))),
            tokenizer_config: Some(format!(r#"{{"added_tokens_decoder": {config}}}"#).into()),
            ..TextFiles::default()
        };
        Tokenizer::from_files(&files, &[]).unwrap().encode(text, false).unwrap()
    };
    assert_eq!(ids(r#"{"8": {"content": "<|end|>", "special": true}}"#, "ab<|end|>"), [7, 8]);
    // Two may change names; the name of a piece that keeps it is no other's.
    assert_eq!(ids(r#"{"4": {"content": "b"}, "5": {"content": "a"}}"#, "ab"), [5, 4]);
    assert_eq!(ids(r#"{"8": {"content": "ab"}}"#, "ab"), [7]);
    // Tokens behind the pieces keep their ids, too.
    assert_eq!(ids(r#"{"9": {"content": "<x>"}, "10": {"content": "<y>"}}"#, "<y><x>ab"), [10, 9, 7]);
}

#[test]
fn malformed_sentencepiece_models_are_errors() {
    let case = |bytes: &[u8], part: &str| {
        let message = refused(model("tokenizer.model", bytes));
        assert!(message.starts_with("m/tokenizer.model: ") && message.contains(part), "{part}: {message}");
    };
    case(b"", "the vocabulary is empty");
    case(b"\0\0", "the vocabulary is empty");
    case(&small(&piece(b"ab", 0.0, 1)), "tokens 6 and 8 are both \"ab\"");
    case(&small(&piece(b"", 0.0, 1)), "token 8 is empty");
    case(&small(&piece(b"\xff", 0.0, 1)), "piece 8: a text is not UTF-8");
    case(&small(&piece(b"x", f32::NAN, 1)), "the score of piece \"x\" is no number");
    case(&small(&piece(b"x", 0.0, 9)), "piece 8: type 9");
    case(&small(&number(1, 5)), "instead of a message");
    case(&small(&field(2, &number(3, 4))), "model type 4");
    // A group, which protobuf nests; a length beyond the end; a number without one.
    case(&small(&varint(1 << 3 | 3)), "cut off or no protobuf");
    case(&small(&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), "cut off or no protobuf");
    case(&small(&[0xFF; 20]), "cut off or no protobuf");
    for map in [&b"abc"[..], &[0xFF; 40], &[0, 0, 0, 0, b'a']] {
        case(&small(&field(3, &field(2, map))), "its character map");
    }
    let long = "x".repeat(60_000);
    case(&small(&piece(long.as_bytes(), 0.0, 1)), "too long to find their parts");
    case(&small(&piece("x".repeat(2_000_000).as_bytes(), 0.0, 4)), "user-defined pieces have 2000000 bytes");
    // A unigram model whose unknown piece is not there.
    case(&small(&field(2, &[number(3, 1), number(40, 99)].concat())), "`unk_id`");
}

#[test]
fn odd_pieces_are_only_texts() {
    let odd = [piece(b"<0x-1>", 0.0, 6), piece(b"<0xGG>", 0.0, 6), field(9, b"unknown field")].concat();
    let tokenizer =
        model("tokenizer.model", &small(&[odd, field(2, &[number(3, 2), number(35, 1)].concat())].concat()));
    let tokenizer = tokenizer.unwrap();
    assert_eq!(tokenizer.encode("é", false).unwrap(), [3, 0]);
    assert_eq!(tokenizer.decode(&[8, 9, 99], true).unwrap(), "<0x-1><0xGG>");
}

/// Broken files of all kinds are errors or work; nothing panics or hangs.
#[test]
fn any_bytes_are_taken() {
    let mut state = 7u64;
    let mut random = move |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % n
    };
    for name in ["sp_unigram/tokenizer.model", "tiktoken_qwen/qwen.tiktoken"] {
        let whole = saved(name);
        let file = name.split_once('/').unwrap().1;
        for round in 0..60 {
            let mut bytes = whole.clone();
            if round % 3 == 0 {
                bytes.truncate(random(whole.len()));
            }
            for _ in 0..random(6) {
                let at = random(bytes.len().max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random(256) as u8;
                }
            }
            match model(file, &bytes) {
                Ok(tokenizer) => drop(tokenizer.encode("The harbour é 日本 ﬁ", true)),
                Err(error) => assert_eq!(error.code(), Code::CorruptFile, "{error}"),
            }
        }
    }
}

#[test]
fn malformed_lists_of_ranks_are_errors() {
    let case = |list: &str, part: &str| {
        let message = refused(model("x.tiktoken", list.as_bytes()));
        assert!(message.starts_with("m/x.tiktoken: ") && message.contains(part), "{list:?}: {message}");
    };
    case("", "it has no ranks");
    case("IQ== 0\nIQ==", "line 2 is no token and rank: \"IQ==\"");
    case("IQ== 0\n!! 1", "line 2 is no token and rank");
    case("IQ== -1", "line 1");
    case("IQ== 4294967296", "line 1");
    case("IQ== 4294967295", "rank 4294967295 is too high");
    case("IQ== 0\nIg== 0", "two tokens have rank 0");
    case("IQ== 0\nIQ== 7", "ranks 0 and 7 are the same token");
    case(" 3", "rank 3 is no bytes");
    assert!(refused(model("x.tiktoken", b"\xff")).contains("no list of ranks"));
    // Holes between ids stay holes.
    let tokenizer = model("x.tiktoken", b"YQ== 5\nYg== 9\nYWI= 70\n").unwrap();
    assert_eq!(tokenizer.encode("abba", false).unwrap(), [70, 9, 5]);
    assert_eq!(tokenizer.decode(&[70, 6, 5], true).unwrap(), "aba");
    let config = |id: u32| TextFiles {
        tokenizer: TokenizerFile::Model("x.tiktoken".into(), b"YQ== 5\n".to_vec()),
        tokenizer_config: Some(format!(r#"{{"added_tokens_decoder": {{"{id}": {{"content": "<e>"}}}}}}"#).into()),
        ..TextFiles::default()
    };
    assert_eq!(Tokenizer::from_files(&config(8), &[]).unwrap().encode("a<e>", false).unwrap(), [5, 8]);
    assert!(refused(Tokenizer::from_files(&config(u32::MAX), &[])).contains("has id 4294967295"));
}

fn texts(value: &Value) -> Vec<(String, Vec<u32>)> {
    let ids = |value: &Value| value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    let cases = value["texts"].as_array().unwrap().iter();
    cases.map(|case| (case["text"].as_str().unwrap().to_owned(), ids(&case["with_special"]))).collect()
}

#[test]
fn pieces_of_a_gguf_file_do_what_the_model_does() {
    let source = SentencePiece::parse(&saved("sp_bpe/tokenizer.model")).unwrap();
    let kinds = [Kind::Normal, Kind::Unknown, Kind::Control, Kind::UserDefined, Kind::Unused, Kind::Byte];
    let number = |kind| 1 + kinds.iter().position(|other| *other == kind).unwrap() as i64;
    let vocabulary = Vocabulary {
        model: "llama".into(),
        tokens: source.pieces.iter().map(|piece| piece.text.clone()).collect(),
        scores: source.pieces.iter().map(|piece| piece.score).collect(),
        kinds: source.pieces.iter().map(|piece| number(piece.kind)).collect(),
        bos: Some(1),
        eos: Some(2),
        unk: Some(0),
        ..Vocabulary::default()
    };
    let tokenizer = gguf(vocabulary.clone()).unwrap();
    // Behind a token that is found first llama.cpp puts a blank, which SentencePiece doesn't.
    for (text, expected) in texts(&json("sp_bpe/expected.json")).iter().filter(|(text, _)| !text.contains("<b>")) {
        assert_eq!(tokenizer.encode(text, true).unwrap(), *expected, "{text:?}");
        let mut stream = StreamDecoder::new(&tokenizer, &[]).unwrap();
        let streamed: String = expected.iter().map(|id| stream.push(*id).unwrap()).collect();
        assert_eq!(streamed + &stream.finish().unwrap(), tokenizer.decode(expected, true).unwrap());
    }
    assert_eq!(tokenizer.eos_ids(), [2]);
    let bare = gguf(Vocabulary { add_bos: Some(false), add_space_prefix: Some(false), ..vocabulary }).unwrap();
    let boats = tokenizer.encode("boats", false).unwrap();
    assert_ne!(bare.encode("boats", true).unwrap(), boats);
    assert_eq!(bare.encode(" boats", true).unwrap(), boats);
}

fn byte_level_vocabulary() -> Vocabulary {
    let source = json("byte_level/tokenizer.json");
    let mut tokens = vec![String::new(); 331];
    for (token, id) in source["model"]["vocab"].as_object().unwrap() {
        tokens[id.as_u64().unwrap() as usize] = token.clone();
    }
    let mut kinds = vec![1; tokens.len()];
    for token in source["added_tokens"].as_array().unwrap() {
        let id = token["id"].as_u64().unwrap() as usize;
        tokens.resize(tokens.len().max(id + 1), String::new());
        kinds.resize(tokens.len(), 1);
        tokens[id] = token["content"].as_str().unwrap().into();
        kinds[id] = if token["special"] == true { 3 } else { 4 };
    }
    let merges = source["model"]["merges"].as_array().unwrap().iter();
    let merge = |merge: &Value| format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap());
    Vocabulary {
        model: "gpt2".into(),
        pre: Some("qwen2".into()),
        kinds,
        merges: merges.map(merge).collect(),
        tokens,
        ..Vocabulary::default()
    }
}

#[test]
fn bytes_of_a_gguf_file_do_what_the_model_does() {
    let vocabulary = byte_level_vocabulary();
    let end = vocabulary.tokens.iter().position(|token| token == "<|end|>").unwrap() as u32;
    let tokenizer = gguf(vocabulary.clone()).unwrap();
    // The model's own tokenizer composes characters, and has a token more.
    let plain = |text: &str| !text.contains('\u{301}') && !text.contains("<mark>");
    for (text, expected) in texts(&json("byte_level/expected.json")).iter().filter(|(text, _)| plain(text)) {
        assert_eq!(tokenizer.encode(text, true).unwrap(), *expected, "{text:?}");
        assert_eq!(tokenizer.decode(expected, false).unwrap(), *text);
    }
    // No key names it; its text does.
    assert_eq!(tokenizer.eos_ids(), [end]);
    let both = Vocabulary { bos: Some(end), eos: Some(0), add_bos: Some(true), add_eos: Some(true), ..vocabulary };
    assert_eq!(gguf(both.clone()).unwrap().encode("", true).unwrap(), [end, 0]);
    // In gpt-oss's format `<|end|>` ends no answer.
    let mut harmony = both;
    let answer = harmony.tokens.len() as u32;
    harmony.tokens.extend(["<|fim|>".to_owned(), "<|return|>".to_owned()]);
    harmony.kinds.extend([3, 3]);
    assert_eq!(gguf(harmony).unwrap().eos_ids(), [0, answer + 1]);
}

#[test]
fn malformed_vocabularies_are_errors() {
    let good = byte_level_vocabulary();
    let case = |change: &dyn Fn(&mut Vocabulary), part: &str| {
        let mut vocabulary = good.clone();
        change(&mut vocabulary);
        let message = refused(gguf(vocabulary));
        assert!(message.starts_with("m: ") && message.contains(part), "{part}: {message}");
    };
    case(&|v| v.tokens.clear(), "token_type has");
    case(&|v| (v.tokens, v.kinds) = (vec![], vec![]), "the vocabulary is empty");
    case(&|v| v.scores = vec![0.0], "tokenizer.ggml.scores has 1 entries for");
    case(&|v| v.tokens[7] = v.tokens[3].clone(), "tokens 3 and 7 are both");
    case(&|v| v.kinds[7] = 77, "token 7 has type 77");
    case(&|v| v.merges[0] = "nothing".into(), "merge 0 is \"nothing\" instead of two tokens");
    case(&|v| v.merges[1] = "Ġ nothing".into(), "merge 1 is of \"nothing\", which is no token");
    case(&|v| v.merges[1] = "z z".into(), "zz");
    case(&|v| (v.bos, v.add_bos) = (Some(9_999_999), Some(true)), "bos_token_id is 9999999, but there are");
    for (kind, pre, part) in [("bert", "default", "model \"bert\""), ("gpt2", "oracle", "pre \"oracle\"")] {
        let error = gguf(Vocabulary { model: kind.into(), pre: Some(pre.into()), ..good.clone() }).err().unwrap();
        assert_eq!(error.code(), Code::Unsupported);
        assert!(error.message().contains(part) && !error.hint().is_empty(), "{error}");
    }
    // An empty token keeps its id.
    let mut holes = good.clone();
    holes.tokens.push(String::new());
    holes.kinds.push(1);
    assert!(gguf(holes).is_ok());
}

#[test]
fn merges_follow_from_ids_where_a_file_has_none() {
    let tokens = ["a", "b", "c", "bc", "ab", "abc"].map(str::to_owned).to_vec();
    let vocabulary = Vocabulary { model: "gpt2".into(), pre: Some("gpt-2".into()), tokens, ..Vocabulary::default() };
    let tokenizer = gguf(vocabulary).unwrap();
    assert_eq!(tokenizer.encode("ab", false).unwrap(), [4]);
    // `bc` comes before `ab`, and `a bc` makes a token, too.
    assert_eq!(tokenizer.encode("abc", false).unwrap(), [5]);
    assert_eq!(tokenizer.encode("abab", false).unwrap(), [4, 4]);
}

#[test]
fn blanks_that_are_tokens_are_found_in_pieces() {
    let tokens = ["<unk>", "<s>", "</s>", "▁", "a", "▁▁", "▁▁▁", "<pad>"].map(str::to_owned).to_vec();
    let vocabulary = Vocabulary {
        model: "llama".into(),
        scores: vec![0.0; tokens.len()],
        kinds: vec![2, 3, 3, 1, 1, 4, 4, 4],
        tokens,
        add_bos: Some(false),
        add_space_prefix: Some(false),
        ..Vocabulary::default()
    };
    let tokenizer = gguf(vocabulary).unwrap();
    assert_eq!(tokenizer.encode("a     a a<pad>  ", false).unwrap(), [4, 6, 5, 4, 3, 4, 7, 5]);
    assert_eq!(tokenizer.decode(&[4, 6, 5, 4, 3, 4], true).unwrap(), "a     a a");
}

#[test]
fn lists_of_rwkv_are_checked() {
    let bytes: String = (0..=255u8).map(|byte| format!("{} b'\\x{byte:02x}' 1\n", u32::from(byte) + 1)).collect();
    let list = |more: &str| model("rwkv_vocab_v20230424.txt", format!("{bytes}{more}").as_bytes());
    let tokenizer = list("300 'a\\'\\\\\\u00e9\\U0001f41f' 9\n\n301 \"a'\" 2\r\n").unwrap();
    assert_eq!(tokenizer.encode("a'\\é🐟a'a", false).unwrap(), [300, 301, 98]);
    assert_eq!(tokenizer.encode("<|rwkv_tokenizer_end_of_text|>a", true).unwrap(), [0, 98]);
    assert_eq!(tokenizer.decode(&[300, 0, 301], true).unwrap(), "a'\\é🐟a'");
    // Long texts without a border take no longer than others.
    let long = "a".repeat(200_000);
    assert_eq!(tokenizer.encode(&long, false).unwrap().len(), 200_000);
    for (more, part) in [
        ("300 'ab' 3\n", "line 257"),
        ("300 'ab'\n", "line 257"),
        ("300 ab 2\n", "line 257"),
        ("300 'a'b' 3\n", "line 257"),
        ("300 'a\\q' 2\n", "line 257"),
        ("300 'a\\' 2\n", "line 257"),
        ("300 '\\ud800' 3\n", "line 257"),
        ("300 b'\\u0061' 1\n", "line 257"),
        ("300 b'é' 2\n", "line 257"),
        ("300 '' 0\n", "line 257"),
        ("-1 'ab' 2\n", "line 257"),
        ("4294967296 'ab' 2\n", "line 257"),
        ("300 'ab 2\n", "line 257"),
        ("300 'ab' 99999999999999999999\n", "line 257"),
        ("300 'ab' 2\n301 'a", "line 258"),
        ("300 'ab' 2\n301 'ab' 2\n", "line 258: tokens 300 and 301 are the same"),
        ("200 'ab' 2\n", "line 257: two tokens have the id 200"),
        (&format!("300 '{}' 1025\n", "a".repeat(1025)), "line 257: a token of 1025 bytes"),
    ] {
        let message = refused(list(more));
        assert!(message.contains("m/rwkv_vocab_v20230424.txt") && message.contains(part), "{more:?}: {message}");
    }
    for (bytes, part) in [
        (bytes.replace("66 b'\\x41' 1\n", "").into_bytes(), "0x41"),
        (Vec::new(), "0x00"),
        (b"1 'a' 1\n2 '\xff' 1\n".to_vec(), "line 2 is no UTF-8"),
    ] {
        let message = refused(model("rwkv_vocab_v20230424.txt", &bytes));
        assert!(message.contains("m/rwkv_vocab_v20230424.txt") && message.contains(part), "{message}");
    }
    // Ids may be far apart, and far beyond what a model has.
    assert_eq!(list("4294967295 'ab' 2\n").unwrap().encode("ab", false).unwrap(), [u32::MAX]);
    let files = TextFiles {
        tokenizer: TokenizerFile::Model("rwkv_vocab_v20230424.txt".into(), bytes.clone().into_bytes()),
        tokenizer_config: Some(br#"{"added_tokens_decoder": {"11": {"content": "\n\n"}}}"#.to_vec()),
        ..TextFiles::default()
    };
    let message = refused(Tokenizer::from_files(&files, &[]));
    assert!(message.contains("token 11 is not"), "{message}");
}
