"""Compares `pocketmlx score` with mlx-lm on a model folder of any size, in f32 and in the precision that it is stored in.

    python tests/parity/folder.py MODEL [--command target/release/pocketmlx] [--device cpu --device mlx-cpu] [--tokens 16]

In f32 (`--precision exact`) every log-probability that is printed must be within 1e-3 of mlx-lm's with all floats in f32.
Otherwise the error against that reference may be 1.5 times that of mlx-lm as the model is stored; the CPU backend's
integer products are held by their own rule instead (`tests/precision.rs`), so that its line is only printed.
mlx-lm takes minutes for a 0.6B model in bf16 on a processor.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm.utils import load_model
from model import Embedding, logprobs

TOLERANCE = 1e-3
LOW_PRECISION = 1.5
TOP = 20


def reference(folder, tokens, upcast):
    """mlx-lm's log-probabilities of every token after each position."""
    model, _ = load_model(folder)
    if upcast:
        model.set_dtype(mx.float32)
        for module in model.modules():
            if type(module) is nn.QuantizedEmbedding:
                module.__class__ = Embedding
    return logprobs(model, tokens)


def ours(command, folder, device, precision, tokens):
    """The log-probabilities that `pocketmlx score` prints: (position, id, value)."""
    ids = ",".join(map(str, tokens))
    flags = ["--device", device, "--precision", precision, "--ids", ids, "--top-k", str(TOP), "--json"]
    run = subprocess.run([command, "score", "-m", folder, *flags], stdout=subprocess.PIPE, check=True)
    score = json.loads(run.stdout)
    assert score["tokens"] == tokens
    for position, (token, value) in enumerate(zip(tokens[1:], score["logprobs"][1:])):
        yield position, token, value
    for position, top in enumerate(score["top"]):
        for token, value in top:
            yield position, token, value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--command", default="target/release/pocketmlx")
    parser.add_argument("--device", action="append", help="cpu, mlx-cpu or mlx-gpu; several times for several")
    parser.add_argument("--tokens", type=int, default=16)
    arguments = parser.parse_args()
    tokens = [(i * 7919 + 13) % 500 for i in range(arguments.tokens)]
    right = reference(arguments.model, tokens, True)
    stored = reference(arguments.model, tokens, False)
    print(f"spread of log-probabilities {right.std(axis=-1).mean():.2f}")
    wrong = 0
    for device in arguments.device or ["cpu"]:
        for precision in ["exact", "default"]:
            values = list(ours(arguments.command, arguments.model, device, precision, tokens))
            places = tuple(np.array([value[:2] for value in values]).T)
            errors = np.abs(np.array([value[2] for value in values]) - right[places])
            theirs = np.abs(stored[places] - right[places])
            if precision == "exact":
                passed = errors.max() <= TOLERANCE
            else:
                allowed = max(TOLERANCE, LOW_PRECISION * theirs.mean())
                passed = device == "cpu" or errors.mean() <= allowed
            wrong += not passed
            print(
                f"{device:8} {precision:8} {len(values)} values: ours off by {errors.mean():.2e}, at most "
                f"{errors.max():.2e}; mlx-lm as stored {theirs.mean():.2e}, at most {theirs.max():.2e}; "
                f"{'right' if passed else 'WRONG'}"
            )
    sys.exit(wrong > 0)


main()
