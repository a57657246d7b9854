"""Writes tokenizers without a tokenizer.json to tests/data/tokenizers, and what the references make of them.

    python tests/parity/converted_tokenizers.py        (needs transformers, sentencepiece, tiktoken)

SentencePiece models are trained here; for those that transformers converts by SentencePiece's own settings, the ids are
compared with SentencePiece's, too, and texts on which the two differ are printed.
"""

import base64
import io
import json
import random
import tempfile
from pathlib import Path

import sentencepiece as spm
import tiktoken
from small_tokenizers import CORPUS, OUT, TEXTS
from transformers import AutoTokenizer

MORE = [
    "a  b   c    d          e",
    "\n\n\n a\r\n\tb\x00c",
    "日本語のテキスト、漢字とかな。한국어 텍스트",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇨🇭",
    "नमस्ते ทดสอบ العربية עברית",
    "for (int i = 0; i < 10; ++i) { x[i] *= 2; }  // ok",
    "▁ already ▁▁escaped ▁",
    "\ufb01 \u00bd \u212b A\u030a \u00a0\u3000x\u200b",
    "<|im_start|>user\nHi<|im_end|>",
    "<0x41> <unk> </s><s>boats</s> ",
    "\ufffd\U0010ffff\ue000",
    "<b>bold</b><b> <b>  boats",
    "DON'T don't I'LL 1234567 12 3",
    "中文abc中文ABC Éclair",
]

RULES = "\ufb01\tfi\n\u00bd\t1/2\n\u212b\t\u00c5\n\u3000\t \nA\ta\n"


def rule_file(folder):
    path = Path(folder) / "rules.tsv"
    lines = []
    for line in RULES.splitlines():
        source, target = line.split("\t")
        spell = lambda text: " ".join(f"{ord(c):X}" for c in text)
        lines.append(f"{spell(source)}\t{spell(target)}\n")
    path.write_text("".join(lines))
    return str(path)


def train(**options):
    model = io.BytesIO()
    settings = dict(
        vocab_size=400, byte_fallback=True, character_coverage=0.99, normalization_rule_name="identity",
        remove_extra_whitespaces=False, user_defined_symbols=["<b>", "</b>"], control_symbols=["<|im_start|>"],
        num_threads=1, minloglevel=2,
    )
    settings.update(options)
    spm.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=model, **settings)
    return model.getvalue()


def ranks(size=340):
    """Joins the most frequent pair again and again."""
    tokens = [bytes([byte]) for byte in range(256)]
    words = [[bytes([b]) for b in w.encode()] for line in CORPUS for w in line.replace(" ", "\0 ").split("\0")]
    while len(tokens) < size:
        counts = {}
        for word in words:
            for pair in zip(word, word[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        best = max(counts, key=lambda pair: (counts[pair], pair))
        tokens.append(best[0] + best[1])
        for word in words:
            at = 0
            while at + 1 < len(word):
                if (word[at], word[at + 1]) == best:
                    word[at : at + 2] = [best[0] + best[1]]
                at += 1
    return {token: rank for rank, token in enumerate(tokens)}


def spelled(ranks):
    return b"".join(base64.b64encode(token) + f" {rank}\n".encode() for token, rank in ranks.items())


def added(content, special=True):
    return {"content": content, "special": special, "lstrip": False, "rstrip": False, "normalized": False,
            "single_word": False}


LETTERS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}")
KIMI = "|".join([
    r"[\p{Han}]+",
    rf"[^\r\n\p{{L}}\p{{N}}]?[{LETTERS[1]}&&[^\p{{Han}}]]*[{LETTERS[2]}&&[^\p{{Han}}]]+{LETTERS[0]}",
    rf"[^\r\n\p{{L}}\p{{N}}]?[{LETTERS[1]}&&[^\p{{Han}}]]+[{LETTERS[2]}&&[^\p{{Han}}]]*{LETTERS[0]}",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
])
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+")


class Tiktoken:
    """The interface of transformers over tiktoken, for families whose tokenizers are code beside the model."""

    def __init__(self, ranks, pattern, special):
        self.encoding = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
        self.special = set(special.values())

    def __len__(self):
        return self.encoding.n_vocab

    def encode(self, text, add_special_tokens=True):
        return self.encoding.encode(text, allowed_special="all")

    def decode(self, ids, skip_special_tokens=False):
        return self.encoding.decode([i for i in ids if not (skip_special_tokens and i in self.special)])


class Rwkv:
    """RWKV's tokenizer with the interface of transformers: added tokens first, then the longest token at each byte."""

    def __init__(self, tokens, added, before=()):
        self.tokens, self.added, self.before = tokens, added, list(before)
        self.special = set(added.values())
        self.bytes = {i: token for token, i in tokens.items()} | {i: text.encode() for text, i in added.items()}

    def __len__(self):
        return len(self.bytes)

    def encode(self, text, add_special_tokens=True):
        ids = self.before[:] if add_special_tokens else []
        data, at = text.encode(), 0
        names = [(name.encode(), i) for name, i in self.added.items()]
        while at < len(data):
            found = [(name, i) for name, i in names if data.startswith(name, at)]
            if found:
                token, i = max(found, key=lambda pair: len(pair[0]))
            else:
                end = min((p for name, _ in names if (p := data.find(name, at)) >= 0), default=len(data))
                token = max((t for t in self.tokens if data.startswith(t, at, end)), key=len)
                i = self.tokens[token]
            ids.append(i)
            at += len(token)
        return ids

    def decode(self, ids, skip_special_tokens=False):
        kept = (i for i in ids if not (skip_special_tokens and i in self.special))
        return b"".join(self.bytes[i] for i in kept).decode(errors="replace")


def rwkv(size=700):
    """Every byte, then beginnings of the corpus's words with and without what is before, cut anywhere."""
    tokens = {bytes([byte]): byte + 1 for byte in range(256)}
    data = "\n\n".join(CORPUS + MORE).encode()
    for at in range(0, len(data), 3):
        for token in (data[at : at + 2], data[at : at + 3 + at % 7]):
            if len(tokens) < size:
                tokens.setdefault(token, len(tokens) + 1)
    for token in (b"\n\n", b"\n\n\n", "日本".encode(), "日".encode()[:2]):
        tokens.setdefault(token, len(tokens) + 1)
    return tokens


def listed(tokens):
    """As RWKV's file has them."""
    lines = []
    for token, i in tokens.items():
        try:
            lines.append(f"{i} {token.decode()!r} {len(token)}\n")
        except UnicodeDecodeError:
            lines.append(f"{i} {token!r} {len(token)}\n")
    return "".join(lines).encode()


def cases(folder):
    bos = {"add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>",
           "unk_token": "<unk>"}
    bpe, plain = train(model_type="bpe"), train(model_type="bpe", user_defined_symbols=[], control_symbols=[])
    yield "sp_bpe", "mistral", {"tokenizer.model": bpe}, {
        **bos, "tokenizer_class": "LlamaTokenizer",
        "added_tokens_decoder": {"0": added("<unk>"), "1": added("<s>"), "2": added("</s>")}}, None
    yield "sp_first", "mistral", {"tokenizer.model": bpe}, {**bos, "legacy": False}, None
    yield "sp_llama", "llama", {"tokenizer.model": plain}, {
        **bos, "tokenizer_class": "LlamaTokenizer", "legacy": False, "add_eos_token": True}, None
    yield "sp_llama_legacy", "llama", {"tokenizer.model": bpe}, {
        **bos, "tokenizer_class": "LlamaTokenizerFast", "legacy": True}, None
    yield "sp_gemma", "gemma2", {"tokenizer.model": train(
        model_type="bpe", add_dummy_prefix=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3, bos_piece="<bos>",
        eos_piece="<eos>", user_defined_symbols=["<mask>", "▁▁", "▁▁▁", "\n\n"])}, {
        "tokenizer_class": "GemmaTokenizer", "add_bos_token": True, "bos_token": "<bos>", "eos_token": "<eos>"}, None
    rules = rule_file(folder)
    # A map for each name of the rules may not be given; the file's rules are all there is.
    yield "sp_unigram", "internlm2", {"tokenizer.model": train(
        model_type="unigram", vocab_size=356, remove_extra_whitespaces=True, normalization_rule_name="",
        normalization_rule_tsv=rules)}, {**bos, "add_eos_token": True}, None
    yield "sp_no_bytes", "glm", {"tokenizer.model": train(
        model_type="bpe", vocab_size=160, byte_fallback=False, user_defined_symbols=[], control_symbols=[])}, {}, None
    table = ranks()
    yield "tiktoken", "llama", {"tokenizer.model": spelled(table)}, {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "added_tokens_decoder": {
            "340": added("<|im_start|>"), "343": added("<|im_end|>")}}, None
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|extra_{n}|>" for n in range(205)]
    yield "tiktoken_qwen", "qwen", {"qwen.tiktoken": spelled(table)}, {"tokenizer_class": "QWenTokenizer"}, Tiktoken(
        table, QWEN, {name: 340 + n for n, name in enumerate(names)})
    yield "tiktoken_kimi", "kimi_k2", {"tiktoken.model": spelled(table)}, {
        "tokenizer_class": "TikTokenTokenizer", "added_tokens_decoder": {
            "340": added("<|im_start|>"), "341": added("<|im_end|>")}}, Tiktoken(
        table, KIMI, {"<|im_start|>": 340, "<|im_end|>": 341})
    tokens = rwkv()
    file, end = "rwkv_vocab_v20230424.txt", "<|rwkv_tokenizer_end_of_text|>"
    yield "rwkv", "rwkv7", {file: listed(tokens)}, {
        "tokenizer_class": "RwkvTokenizer", "bos_token": end, "eos_token": "\n\n", "add_bos_token": True,
        "added_tokens_decoder": {"0": added(end), str(tokens[b"\n\n"]): added("\n\n")},
    }, Rwkv(tokens, {end: 0, "\n\n": tokens[b"\n\n"]}, [0])
    yield "rwkv_plain", "rwkv7", {file: listed(tokens)}, {"tokenizer_class": "RwkvTokenizer"}, Rwkv(tokens, {end: 0})


def main():
    random.seed(1)
    with tempfile.TemporaryDirectory() as scratch:
        for name, model_type, files, config, reference in cases(scratch):
            folder = OUT / name
            folder.mkdir(parents=True, exist_ok=True)
            for file, content in files.items():
                (folder / file).write_bytes(content)
            (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n")
            (folder / "config.json").write_text(json.dumps({"model_type": model_type}) + "\n")
            if reference is None:
                with tempfile.TemporaryDirectory() as copy:
                    for file in [*files, "tokenizer_config.json", "config.json"]:
                        (Path(copy) / file).write_bytes((folder / file).read_bytes())
                    reference = AutoTokenizer.from_pretrained(copy)
            write(folder, reference)
            if name in ("sp_bpe", "sp_first", "sp_unigram", "sp_no_bytes"):
                model = spm.SentencePieceProcessor(model_proto=files["tokenizer.model"])
                for text in TEXTS + MORE:
                    ours, theirs = reference.encode(text, add_special_tokens=False), model.encode(text)
                    if ours != theirs:
                        print(f"{name}: {text!r}: transformers {ours}, SentencePiece {theirs}")


def write(folder, reference):
    size = len(reference)
    special = reference.special if isinstance(reference, (Tiktoken, Rwkv)) else {
        i for i, t in reference.added_tokens_decoder.items() if t.special}
    lists = [[random.randrange(size) for _ in range(random.randrange(1, 14))] for _ in range(40)]
    expected = {
        "vocab_size": size,
        "special": sorted(special),
        "texts": [{"text": t, "ids": reference.encode(t, add_special_tokens=False), "with_special": reference.encode(t)}
                  for t in TEXTS + MORE],
        "ids": [{"ids": ids, "text": reference.decode(ids),
                 "without_special": reference.decode(ids, skip_special_tokens=True)} for ids in lists],
    }
    (folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=0) + "\n")
    print(folder.name, type(reference).__name__, size, len(special))


if __name__ == "__main__":
    main()
