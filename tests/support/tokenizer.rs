//! A byte-level BPE tokenizer of 320 tokens: 256 bytes (id = byte), 61 merges, three special tokens.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// Tokens of the tokenizer.
pub const VOCAB: usize = 320;
/// The ids of the special tokens.
pub const END_OF_TEXT: u32 = 317;
pub const IM_START: u32 = 318;
pub const IM_END: u32 = 319;

/// Pairs to merge, most urgent first; their ids follow those of the bytes. Ġ is a space, Ċ a newline.
const MERGES: [&str; 61] = [
    "Ġ t", "h e", "i n", "r e", "Ġ a", "o n", "a t", "e r", "Ġ w", "Ġt he", "n d", "o u", "Ġ s", "e s", "in g", "l l",
    "a n", "Ġa nd", "i t", "o r", "e d", "Ġ b", "Ġ c", "Ġ f", "Ġ h", "Ġ m", "Ġ p", "Ġ i", "Ġ o", "Ġ d", "Ġ l", "Ġ n",
    "a r", "a s", "e n", "i s", "l e", "o m", "u r", "v e", "Ġt o", "Ġo f", "Ġi n", "Ġw as", "y ou", "Ġ you", "H e",
    "He ll", "Hell o", "Ġw or", "l d", "Ġwor ld", "a y", "o w", "Ġ Ġ", "Ċ Ċ", "' s", "s t", "t h", "on e", "i m",
];

const CHAT_TEMPLATE: &str = "{% for message in messages %}\
    {{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}\
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// Writes tokenizer.json and tokenizer_config.json.
pub fn write(folder: &Path) {
    let text = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    fs::write(folder.join("tokenizer.json"), text(&tokenizer())).unwrap();
    fs::write(folder.join("tokenizer_config.json"), text(&tokenizer_config())).unwrap();
}

/// The content of tokenizer.json.
pub fn tokenizer() -> Value {
    let mut vocab: Map<String, Value> = (0..=255).map(|byte| (byte_char(byte).to_string(), byte.into())).collect();
    for merge in MERGES {
        let (left, right) = merge.split_once(' ').unwrap();
        assert!(vocab.contains_key(left) && vocab.contains_key(right), "{merge:?} merges what isn't there");
        let id = vocab.len();
        vocab.insert(format!("{left}{right}"), id.into());
    }
    assert_eq!(vocab.len(), END_OF_TEXT as usize);
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [
            special(END_OF_TEXT, "<|endoftext|>"),
            special(IM_START, "<|im_start|>"),
            special(IM_END, "<|im_end|>"),
        ],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": MERGES.as_slice(),
        },
    })
}

/// The content of tokenizer_config.json.
pub fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 512,
        "clean_up_tokenization_spaces": false,
        "chat_template": CHAT_TEMPLATE,
    })
}

/// The printable character that stands for a byte, as GPT-2 chose them: itself if printable, else the next of those
/// from 256 on.
fn byte_char(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    match printable(byte) {
        true => byte as char,
        false => char::from_u32(256 + (0..byte).filter(|&b| !printable(b)).count() as u32).unwrap(),
    }
}
