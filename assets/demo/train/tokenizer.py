"""Trains the byte-level BPE and writes tokenizer.json and tokenizer_config.json.

Capitalised words and digits never carry a leading space, so a name has the same tokens wherever it stands.
"""

import argparse
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from generate.conversation import conversation
from generate.render import segments

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKERS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
SMALL = r"[\p{Ll}\p{Lo}\p{Lm}\p{Lt}\p{M}]"
WORDS = rf"'(?:s|t|re|ve|m|ll|d)(?!\p{{L}})| ?{SMALL}+|\p{{Lu}}{SMALL}+|\p{{Lu}}+(?!{SMALL})|\p{{Lu}}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+|\s*[\r\n]|\s+(?!\S)|\s"
HERE = Path(__file__).parent


def train(size, conversations, seed):
    """A tokenizer learned from generated conversations."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    rng = random.Random(seed)

    def texts():
        for _ in range(conversations):
            talk = conversation(rng)
            text = "".join(text for text, _ in segments(talk.system, talk.tools, talk.messages))
            for marker in SPECIAL + MARKERS:
                text = text.replace(marker, "\n")
            yield text

    trainer = trainers.BpeTrainer(vocab_size=size - len(MARKERS), special_tokens=SPECIAL, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False)
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in MARKERS])
    return tokenizer


def config(context):
    """The contents of tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context, "clean_up_tokenization_spaces": False, "add_bos_token": False,
        "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None,
        "chat_template": (HERE / "template.jinja").read_text().strip(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parent)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--conversations", type=int, default=60000)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = train(args.size, args.conversations, args.seed)
    tokenizer.save(str(args.out / "tokenizer.json"), pretty=False)
    (args.out / "tokenizer_config.json").write_text(json.dumps(config(args.context), indent=1, ensure_ascii=False) + "\n")
    print(f"{tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
