"""Writes random checkpoints of every family and what mlx-lm computes for them in f32, for `cargo xtask parity`.

    python tests/parity/bench.py FOLDER --seed N [--formats f32,mxfp4,…] [MODEL_TYPE…]

Each case is a folder with config.json, model.safetensors, case.json and expected.bin: log-probabilities of every token
after each position, f32, row by row.
"""

import argparse
import copy
import inspect
import json
import re
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import is_dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
from checkpoint import Checkpoint, Numbers
from families import FAMILIES, FORMATS, config
from mlx.utils import tree_flatten, tree_map
from mlx_lm.utils import _get_classes
from model import load, logprobs

TOKENS = 40
# A case is drawn again when so small a change of its weights moves a log-probability by so much.
NUDGE = 1e-6
STEADY = 3e-3
DRAWS = 4
# Where a model rounds to few bits within: a number close to a jump may fall on either side of it.
STEADY_BETWEEN_JUMPS = 3e-4
DRAWS_BETWEEN_JUMPS = 40


def unvaried():
    """Fields of `ModelArgs` that no two variants of a family differ in, and that are not listed as inert. What a family
    hands to a class of another counts for both: the text parts of models that also see are varied there."""
    args_classes = {}
    for model_type, (_, inert, variants) in FAMILIES.items():
        configs = [config(model_type, variant) for variant in variants]
        for args_class, given in arguments(configs):
            known, never = args_classes.setdefault(args_class, ([], set()))
            known.append(given)
            never.update(inert)
    sizes = {
        "model_type", "hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "vocab_size",
        "num_key_value_heads", "rms_norm_eps", "rope_theta", "n_embd", "n_head", "n_layer", "n_positions",
        "layer_norm_epsilon", "norm_eps", "block_dim", "n_heads", "d_model", "n_layers", "model_dim", "num_heads",
        "num_layers", "num_transformer_layers", "hidden_dim",
    }  # fmt: skip
    for args_class, (configs, inert) in args_classes.items():
        for name, parameter in inspect.signature(args_class).parameters.items():
            values = {json.dumps(c.get(name, parameter.default), default=str) for c in configs}
            # A number that is given is no default: all is computed with it. A switch must be seen both ways.
            given = [c[name] for c in configs if c.get(name) is not None]
            if any(not isinstance(value, (bool, str)) for value in given):
                continue
            if name not in sizes and name not in inert and len(values) < 2:
                yield f"{args_class.__module__.rpartition('.')[2]}.{args_class.__name__}.{name}"


def arguments(configs):
    """The classes of arguments that mlx-lm makes of configurations, each with what it was given."""
    found = []
    for base in configs:
        model_class, args_class = _get_classes(base)
        modules = [module for name, module in sys.modules.items() if name.startswith("mlx_lm.models.")]
        values = {value for module in modules for value in vars(module).values() if inspect.isclass(value)}
        with ExitStack() as stack:
            for inner in filter(is_dataclass, values | {args_class}):
                stack.enter_context(recorded(inner, found))
            # mlx-lm's classes change what they are given.
            model_class(args_class.from_dict(copy.deepcopy(base)))
    return found


@contextmanager
def recorded(args_class, found):
    """Notes what instances of a class are made of."""
    init = args_class.__init__

    def __init__(self, *args, **kwargs):
        found.append((args_class, copy.deepcopy(kwargs)))
        init(self, *args, **kwargs)

    __init__.__wrapped__ = init
    args_class.__init__ = __init__
    try:
        yield
    finally:
        args_class.__init__ = init


def mixed(base, seed):
    """Different formats for different matrices, but one for all experts of a layer."""
    other = [{"group_size": 32, "bits": 8}, True, False, {"group_size": 32, "bits": 3, "mode": "affine"}]
    quantization = dict(base["quantization"])
    matrices = [name.removesuffix(".scales") for name in Checkpoint(base, seed).tensors if name.endswith(".scales")]
    kinds = list(dict.fromkeys(alike(path) for path in matrices))
    for path in matrices:
        if (choice := other[kinds.index(alike(path)) % len(other)]) is not True:
            quantization[path] = choice
    return quantization


def alike(path):
    """What the matrices of all experts of a layer have in common."""
    return re.sub(r"\.experts\.\d+\.", ".experts.", path)


def write(folder, model_type, variant, name, seed):
    """A case, and how often it had to be drawn again: where two experts are all but equally good, rounding chooses, and
    where small differences grow from layer to layer, it is all that is left to compare."""
    jumps = FAMILIES[model_type][2][variant].get("_jumps", False)
    steady_enough = STEADY_BETWEEN_JUMPS if jumps else STEADY
    for draw in range(DRAWS_BETWEEN_JUMPS if jumps else DRAWS):
        model, tokens = draw_case(folder, model_type, variant, name, seed + draw * 1_000_003)
        parts = slices(model_type, variant, tokens)
        right = logprobs(model, tokens, parts)
        if steady(model, tokens, parts, right, steady_enough):
            break
    right.astype(np.float32).tofile(folder / "expected.bin")
    case = {"model_type": model_type, "variant": variant, "format": name, "tokens": tokens}
    (folder / "case.json").write_text(json.dumps(case))
    return np.ma.masked_invalid(right).std(axis=-1).mean(), draw


def slices(model_type, variant, tokens):
    """How the reference takes a prompt: whole, unless mlx-lm is only right token by token."""
    return [1] * len(tokens) if FAMILIES[model_type][2][variant].get("_steps") else None


def draw_case(folder, model_type, variant, name, seed):
    dtype, quantization = FORMATS[name]
    base = copy.deepcopy(config(model_type, variant))
    if quantization is not None:
        base["quantization"] = dict(quantization)
    if name == "mixed":
        base["quantization"] = mixed(base, seed)
    count = FAMILIES[model_type][2][variant].get("_tokens", TOKENS)
    tokens = [int(x) for x in Numbers(seed, "tokens", count).word() % np.uint32(96)]
    checkpoint = Checkpoint(base, seed, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    return load(base, checkpoint, folder=folder), tokens


def steady(model, tokens, parts, right, enough):
    """Whether the result stays when each number of the weights is a little off, one way and the other."""
    weights = model.parameters()
    for nudge in (NUDGE, -NUDGE):
        numbers = np.random.default_rng(0)

        def change(x):
            if not mx.issubdtype(x.dtype, mx.floating):
                return x
            return x * (1 + mx.array(nudge * numbers.choice([-1, 1], x.shape), dtype=x.dtype))

        model.update(tree_map(change, weights))
        # What is minus infinity stays so.
        changed = np.ma.masked_invalid(logprobs(model, tokens, parts)) - np.ma.masked_invalid(right)
        if abs(changed).max() > enough:
            return False
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--formats", default="f32,4bit-g64")
    parser.add_argument("model_types", nargs="*")
    args = parser.parse_intermixed_args()
    mx.set_default_device(mx.cpu)
    if missing := list(unvaried()):
        sys.exit(f"never varied, nor listed as inert: {', '.join(missing)}")
    for model_type in args.model_types or FAMILIES:
        if model_type not in FAMILIES:
            sys.exit(f"no configurations of {model_type}; there are {', '.join(FAMILIES)}")
        start, spreads, again = time.monotonic(), [], 0
        for variant, changes in FAMILIES[model_type][2].items():
            for name in args.formats.split(","):
                if (changes.get("_floats") or changes.get("_packed")) and FORMATS[name][1] is not None:
                    continue
                folder = args.folder / f"{model_type}--{variant}--{name}"
                spread, draws = write(folder, model_type, variant, name, args.seed)
                spreads.append(spread)
                again += draws
        redrawn = f", {again} drawn again" if again else ""
        took = time.monotonic() - start
        print(f"{model_type:20} {len(spreads)} cases, spread {min(spreads):.2f}{redrawn}, {took:.1f} s", flush=True)
    families = {name: {"features": features} for name, (features, _, _) in FAMILIES.items()}
    (args.folder / "families.json").write_text(json.dumps(families))


if __name__ == "__main__":
    main()
