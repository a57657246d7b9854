use super::*;
use crate::text::{TextFiles, TokenizerFile};

/// Tokens of all the kinds that decoders know, each with an id of its own.
const TOKENS: [&str; 36] = [
    "<s>", "</s>", "<unk>", "▁", "▁a", "▁the", "b", "é", "日", "▁▁", " ", "  ", "##in", "##", "low", "end</w>",
    "x</w>", "</w>", ".", "n't", "Ġ", "Ġw", "Ċ", "Ã", "©", "ð", "Ł", "ĺ", "<0x0A>", "<0x41>", "<0xC3>", "<0xA9>",
    "<0xE2>", "<0x82>", "<0xAC>", "<0xFF>",
];

fn tokenizer(decoder: &str) -> Tokenizer {
    let vocab: serde_json::Map<_, _> = TOKENS.iter().enumerate().map(|(id, t)| ((*t).to_owned(), id.into())).collect();
    let added = |id: u32, special: bool| {
        serde_json::json!({"id": id, "content": TOKENS[id as usize], "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": special})
    };
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [added(0, true), added(1, true), added(2, false)],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": serde_json::from_str::<serde_json::Value>(decoder).unwrap(),
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    });
    let files = TextFiles { tokenizer: TokenizerFile::Json(json.to_string().into_bytes()), ..TextFiles::default() };
    Tokenizer::from_files(&files, &[]).unwrap()
}

fn stream(tokenizer: &Tokenizer, context: &[u32], ids: &[u32]) -> Result<String> {
    let mut decoder = StreamDecoder::new(tokenizer, context)?;
    let mut text = String::new();
    for id in ids {
        text += &decoder.push(*id)?;
    }
    Ok(text + &decoder.finish()?)
}

const LLAMA: &str = r#"{"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}"#;
const BYTE_LEVEL: &str = r#"{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}"#;

const DECODERS: [&str; 14] = [
    LLAMA,
    BYTE_LEVEL,
    "null",
    r#"{"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]}"#,
    r#"{"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "▁",
        "prepend_scheme": "first", "split": false}]}"#,
    r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": true}"#,
    r###"{"type": "WordPiece", "prefix": "##", "cleanup": true}"###,
    r###"{"type": "WordPiece", "prefix": "##", "cleanup": false}"###,
    r#"{"type": "BPEDecoder", "suffix": "</w>"}"#,
    r#"{"type": "Sequence", "decoders": [{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
        "use_regex": true}, {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]}"#,
    r#"{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"Regex": "▁+"}, "content": " "},
        {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 2, "stop": 2}]}"#,
    r#"{"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"Regex": "▁+a?"},
        "content": " "}]}"#,
    r#"{"type": "CTC", "pad_token": "<unk>", "word_delimiter_token": "▁", "cleanup": true}"#,
    r#"{"type": "Sequence", "decoders": [{"type": "Strip", "content": "▁", "start": 1, "stop": 0},
        {"type": "BPEDecoder", "suffix": "</w>"}, {"type": "Fuse"}]}"#,
];

fn random_ids(state: &mut u64, longest: u64) -> Vec<u32> {
    let mut random = |n: u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (*state >> 40) % n
    };
    // Some ids have no token.
    (0..random(longest)).map(|_| random(TOKENS.len() as u64 + 2) as u32).collect()
}

#[test]
fn pieces_add_up_to_the_decoded_whole() {
    let mut state = 1;
    for decoder in DECODERS {
        let tokenizer = tokenizer(decoder);
        let mut compared = 0;
        for _ in 0..3000 {
            let ids = random_ids(&mut state, 12);
            // The decoder of the crate itself fails where Strip meets an empty text.
            if let Ok(whole) = tokenizer.decode(&ids, true) {
                assert_eq!(stream(&tokenizer, &[], &ids).unwrap(), whole, "{decoder} {ids:?}");
                compared += 1;
            }
        }
        assert!(compared > 2000, "{decoder}");
    }
}

#[test]
fn text_goes_on_where_the_context_ended() {
    let mut state = 2;
    for decoder in DECODERS {
        let tokenizer = tokenizer(decoder);
        let mut compared = 0;
        for _ in 0..3000 {
            let (context, ids) = (random_ids(&mut state, 8), random_ids(&mut state, 8));
            let before = tokenizer.decode(&context, true);
            let both = tokenizer.decode(&[context.as_slice(), &ids].concat(), true);
            let (Ok(before), Ok(both)) = (before, both) else { continue };
            // Where bytes are bad, or later tokens change earlier text, there is no difference to compare with.
            if both.contains('\u{FFFD}') || before.contains('\u{FFFD}') || decoder.contains("CTC") {
                continue;
            }
            if let Some(new) = both.strip_prefix(&before) {
                assert_eq!(stream(&tokenizer, &context, &ids).unwrap(), new, "{decoder} {context:?} {ids:?}");
                compared += 1;
            }
        }
        assert!(compared > 500 || decoder.contains("CTC"), "{decoder}: {compared}");
    }
}

fn ids(texts: &[&str]) -> Vec<u32> {
    texts.iter().map(|t| TOKENS.iter().position(|token| token == t).unwrap() as u32).collect()
}

#[test]
fn a_leading_blank_depends_on_the_context() {
    let tokenizer = tokenizer(LLAMA);
    let new = ids(&["▁the", "▁a"]);
    assert_eq!(stream(&tokenizer, &[], &new).unwrap(), "the a");
    assert_eq!(stream(&tokenizer, &ids(&["<s>"]), &new).unwrap(), "the a");
    assert_eq!(stream(&tokenizer, &ids(&["<s>", "low", "</s>"]), &new).unwrap(), " the a");
    // Text further back than the window still counts as text.
    let mut context = ids(&["low"]);
    context.extend([0; 100]);
    assert_eq!(stream(&tokenizer, &context, &new).unwrap(), " the a");
}

#[test]
fn characters_come_whole_and_at_once() {
    let tokenizer = tokenizer(BYTE_LEVEL);
    let mut decoder = StreamDecoder::new(&tokenizer, &[]).unwrap();
    let pieces: Vec<String> =
        ids(&["Ġw", "Ã", "©", "ð", "Ł"]).into_iter().map(|id| decoder.push(id).unwrap()).collect();
    assert_eq!(pieces, [" w", "", "é", "", ""]);
    assert_eq!(decoder.finish().unwrap(), "\u{FFFD}");
}

#[test]
fn an_unfinished_character_of_the_context_is_finished() {
    assert_eq!(stream(&tokenizer(BYTE_LEVEL), &ids(&["low", "Ã"]), &ids(&["©", "b"])).unwrap(), "éb");
    let spm = tokenizer(LLAMA);
    assert_eq!(stream(&spm, &ids(&["low", "<0xC3>"]), &ids(&["<0xA9>", "b"])).unwrap(), "éb");
    // A finished one belongs to the context.
    assert_eq!(stream(&spm, &ids(&["low", "<0x0A>"]), &ids(&["b"])).unwrap(), "b");
}

#[test]
fn special_tokens_are_left_out_wherever_they_are() {
    let tokenizer = tokenizer(LLAMA);
    let with = ids(&["<s>", "<0xE2>", "</s>", "<0x82>", "<0xAC>", "<unk>", "</s>"]);
    assert_eq!(stream(&tokenizer, &[], &with).unwrap(), "€<unk>");
    assert_eq!(tokenizer.decode(&with, false).unwrap(), "<s>\u{FFFD}</s>\u{FFFD}\u{FFFD}<unk></s>");
}

#[test]
fn long_texts_take_linear_time() {
    for decoder in [LLAMA, BYTE_LEVEL] {
        let tokenizer = tokenizer(decoder);
        for token in ["low", "<0xE2>", "ð", "▁"] {
            let id = ids(&[token])[0];
            let start = std::time::Instant::now();
            let mut decoder = StreamDecoder::new(&tokenizer, &[]).unwrap();
            for _ in 0..200_000 {
                decoder.push(id).unwrap();
            }
            decoder.finish().unwrap();
            assert!(start.elapsed().as_secs() < 10, "{token}: {:?}", start.elapsed());
        }
    }
}
