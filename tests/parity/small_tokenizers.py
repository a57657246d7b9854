"""Writes tests/data/tokenizers: small tokenizers of each kind, and what transformers makes of them.

    python tests/parity/small_tokenizers.py        (needs transformers)
"""

import json
import random
import tempfile
from pathlib import Path

import tokenizers as tk
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

OUT = Path(__file__).parent.parent / "data" / "tokenizers"

CORPUS = [
    "The harbour wakes before the town does, and the gulls wake before the harbour.",
    "Mara counted the boats twice: eleven at the quay, two at the buoys, one missing.",
    "It isn't that she didn't care; she'd simply learned not to show it.",
    "Prices rose by 12.5% in 2024, then fell to 3,900 crowns.",
    "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))",
    "Smör och bröd, käse und brot, fromage à la crème.",
    "  leading blanks,   inner   blanks, trailing blanks   ",
] * 3

TEXTS = [
    "",
    " ",
    "The harbour wakes.",
    " The harbour  wakes ",
    "She didn't say\n\n\tanything.",
    "naïve café 日本語 😀",
    "a" * 40,
    "<s>",
    "Mara<|end|> counted <|end|>",
    "<|tool|>boats<|tool|> <mark> twice",
    "x <mask> y <extra>z",
    "1234567890 12.5%",
    "e\u0301 is not é",
]


def byte_level():
    t = tk.Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    split = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(tk.Regex(split), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    t.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    )
    t.add_tokens([tk.AddedToken("<|end|>", special=True, normalized=False)])
    t.add_tokens([tk.AddedToken("<|tool|>", special=False, normalized=False)])
    n = t.get_vocab_size()
    return t, {
        "eos_token": "<|end|>",
        "pad_token": "<|end|>",
        "add_bos_token": True,
        # One that tokenizer.json doesn't have, with the id that it gets.
        "added_tokens_decoder": {
            str(n): {"content": "<mark>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False,
                     "special": False}
        },
    }


def llama():
    t = tk.Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    # Trained on words, then used on whole texts, as SentencePiece does.
    t.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=special))
    saved = json.loads(t.to_str())
    saved["pre_tokenizer"] = None
    saved["added_tokens"] = [a for a in saved["added_tokens"] if not a["content"].startswith("<0x")]
    saved["truncation"] = {"direction": "Right", "max_length": 6, "strategy": "LongestFirst", "stride": 0}
    saved["padding"] = {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                        "pad_type_id": 0, "pad_token": "<unk>"}
    t = tk.Tokenizer.from_str(json.dumps(saved))
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t, {"bos_token": "<s>", "eos_token": {"content": "</s>", "__type": "AddedToken"}, "unk_token": "<unk>",
               "add_bos_token": False, "add_eos_token": True}


def unigram():
    t = tk.Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(tk.Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    t.decoder = decoders.Metaspace(prepend_scheme="first", split=True)
    t.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(vocab_size=150, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>"),
    )
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    # `<mask>` is nowhere in the vocabulary, and `▁` is a token of the model that a name makes special.
    return t, {"eos_token": "</s>", "pad_token": "<pad>", "sep_token": "▁",
               "additional_special_tokens": ["</s>", "<pad>"]}


def main():
    random.seed(1)
    for name, make in [("byte_level", byte_level), ("llama", llama), ("unigram", unigram)]:
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer, config = make()
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n")
        with tempfile.TemporaryDirectory() as copy:
            for file in folder.glob("tokenizer*.json"):
                (Path(copy) / file.name).write_bytes(file.read_bytes())
            reference = AutoTokenizer.from_pretrained(copy)
        size = len(reference)
        lists = [[random.randrange(size) for _ in range(random.randrange(1, 14))] for _ in range(40)]
        expected = {
            "vocab_size": size,
            "special": sorted(i for i, t in reference.added_tokens_decoder.items() if t.special),
            "texts": [
                {"text": t, "ids": reference.encode(t, add_special_tokens=False, truncation=False, padding=False),
                 "with_special": reference.encode(t, truncation=False, padding=False)}
                for t in TEXTS
            ],
            "ids": [
                {"ids": ids, "text": reference.decode(ids),
                 "without_special": reference.decode(ids, skip_special_tokens=True)}
                for ids in lists
            ],
        }
        (folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=0) + "\n")
        print(name, size, expected["special"])


if __name__ == "__main__":
    main()
