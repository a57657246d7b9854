"""Writes what mlx-lm computes in f32 for the cases that the tests hold without Python.

    python tests/parity/reference.py [CASE|MODEL_TYPE ...]

There are two kinds: those of tests/data/cases.json, whose checkpoints tests/support/tensors.rs can make with any
setting changed, and one of each variant of families/, kept in tests/data/models with the recipes of its tensors.
The checkpoints are loaded by mlx-lm as it loads any model, and run with every float in f32. Each case is also run in
slices through the cache, which must agree, and those of cases.json with slightly wrong settings, which must not: a case
that a wrong epsilon passes is none. Checkpoints in f16 or bf16 also run as stored: `low_precision` is mlx-lm's own
error, over the numbers in `next`.
"""

import copy
import json
import sys
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from checkpoint import FNV_BASIS, Checkpoint, Numbers, fnv1a
from families import FAMILIES, FORMATS, config
from model import load, logprobs

DATA = Path(__file__).resolve().parent.parent / "data"


def rope(model):
    """Inverse frequencies and magnitude."""
    rope = model.layers[0].self_attn.rope
    if isinstance(rope, nn.RoPE):
        exponents = np.arange(0, rope.dims, 2) / rope.dims
        return {"inverse_frequencies": numbers(rope.scale * float(rope.base) ** -exponents), "magnitude": 1.0}
    magnitude = getattr(rope, "_scale", getattr(rope, "mscale", 1.0))
    return {"inverse_frequencies": numbers(1 / np.array(rope._freqs)), "magnitude": magnitude}


def numbers(values):
    return [float(f"{x:.7g}") for x in values]


def wrong(config):
    """Configurations that differ in one setting, and what that is."""

    def changed(what, change):
        other = copy.deepcopy(config)
        change(other)
        return what, other

    def scale(object, key, factor):
        object[key] = [x * factor for x in object[key]] if isinstance(object[key], list) else object[key] * factor

    if config["rms_norm_eps"] >= 1e-3:
        yield changed("epsilon", lambda c: scale(c, "rms_norm_eps", 2))
    holder = "rope_parameters" if config.get("rope_parameters") else None
    yield changed("base", lambda c: scale(c[holder] if holder else c, "rope_theta", 1.5))
    if "layer_types" in config:
        yield changed("window", lambda c: scale(c, "sliding_window", 2))
    for holder in ("rope_scaling", "rope_parameters"):
        for key in ("factor", "long_factor"):
            if key in (config.get(holder) or {}):
                yield changed(key, lambda c: scale(c[holder], key, 1.5))
    if config["model_type"] == "llama" and not config.get("rope_scaling"):
        traditional = not config.get("rope_traditional", False)
        yield changed("traditional", lambda c: c.update(rope_traditional=traditional))


def answers(config, checkpoint, tokens, whole=False, steps=False):
    """The model, its log-probabilities, and what is kept of them. `whole` and `steps` are for models that mlx-lm
    computes right only in one piece, or only token by token."""
    model = load(config, checkpoint)
    right = logprobs(model, tokens, [1] * len(tokens) if steps else None)
    sliced = right if whole or steps else logprobs(model, tokens, [13, 1, 9] + [1] * (len(tokens) - 23))
    # What is minus infinity is so both times.
    difference = np.ma.masked_invalid(sliced) - np.ma.masked_invalid(right)
    assert np.abs(difference).max() < 3e-4, ("cache", np.abs(difference).max())
    top = np.argsort(-right, axis=-1, kind="stable")[:, :5]
    return model, right, {
        "checksum": checkpoint.checksum(),
        "next": [round(float(right[i, token]), 5) for i, token in enumerate(tokens[1:])],
        "top": [[[int(id), round(float(right[i, id]), 5)] for id in ids] for i, ids in enumerate(top)],
    }


def reference(case, tokens):
    config, checkpoint = case["config"], Checkpoint(case["config"], case["seed"], case.get("dtype", "f32"))
    model, right, kept = answers(config, checkpoint, tokens)
    for what, other in wrong(config):
        error = np.abs(logprobs(load(other, checkpoint), tokens) - right).max()
        assert error > 5e-3, (what, error)

    low_precision = None
    if checkpoint.dtype != "f32":
        rows = np.arange(len(tokens) - 1)
        error = np.abs(logprobs(load(config, checkpoint, upcast=False), tokens) - right)[rows, tokens[1:]]
        low_precision = {"max": round(float(error.max()), 5), "mean": round(float(error.mean()), 5)}
    return kept | {"low_precision": low_precision, "rope": rope(model)}


def variants():
    """The variants that tests hold without Python, each in one format: all but those of families with cases in
    tests/data/cases.json. A case that is there keeps its format and seed."""
    formats = ("f32", "4bit-g32", "mxfp4", "f32", "8bit", "nvfp4", "f32", "mxfp8")
    for model_type, (_, _, all_of_them) in FAMILIES.items():
        for variant, changes in all_of_them.items():
            if model_type in ("llama", "mistral", "qwen2", "qwen3", "phi3") or changes.get("_floats"):
                continue
            for name in FORMATS:
                path = DATA / "models" / f"{model_type}-{variant}-{name}.json"
                if path.exists():
                    yield model_type, variant, name, json.loads(path.read_text())["seed"]
                    break
            else:
                seed = fnv1a(FNV_BASIS, f"{model_type}-{variant}".encode()) % 100_000
                yield model_type, variant, "f32" if changes.get("_packed") else formats[seed % len(formats)], seed


def committed(wanted):
    """The cases of tests/data/models."""
    for model_type, variant, name, seed in variants():
        if wanted and f"{model_type}-{variant}-{name}" not in wanted and model_type not in wanted:
            continue
        dtype, quantization = FORMATS[name]
        base = copy.deepcopy(config(model_type, variant))
        if quantization is not None:
            base["quantization"] = dict(quantization)
        checkpoint = Checkpoint(base, seed, dtype)
        count = FAMILIES[model_type][2][variant].get("_tokens", 32)
        tokens = [int(x) for x in Numbers(seed, "tokens", count).word() % np.uint32(96)]
        ways = [FAMILIES[model_type][2][variant].get(way, False) for way in ("_whole", "_steps")]
        _, _, kept = answers(base, checkpoint, tokens, *ways)
        yield f"{model_type}-{variant}-{name}", {
            "config": base, "seed": seed, "dtype": dtype, "tokens": tokens, "tensors": checkpoint.recipes, **kept,
        }  # fmt: skip


def write(path, result):
    text = json.dumps(result, separators=(",", ":")) + "\n"
    assert len(text) < 20_000, (path, len(text))
    path.write_text(text)
    print(f"{path.stem:40} {len(text)} bytes")


def main():
    mx.set_default_device(mx.cpu)
    data = json.loads((DATA / "cases.json").read_text())
    wanted = set(sys.argv[1:])
    for case in data["cases"]:
        if not wanted or case["name"] in wanted:
            case["config"] = data["base"] | case["config"]
            write(DATA / "reference" / f"{case['name']}.json", reference(case, data["tokens"]))
    (DATA / "models").mkdir(exist_ok=True)
    for name, result in committed(wanted):
        write(DATA / "models" / f"{name}.json", result)


if __name__ == "__main__":
    main()
