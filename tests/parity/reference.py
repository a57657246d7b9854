"""Writes tests/data/reference/*.json: what mlx-lm computes in f32 for the cases of tests/data/cases.json.

Run with a Python that has mlx-lm 0.32.2 (`pip install mlx-lm==0.32.2 'mlx[cpu]==0.32.4'`):

    python tests/parity/reference.py [CASE ...]

The checkpoints come from a generator of their own (tests/support/numbers.rs, tensors.rs; the same here in numpy), are
loaded by mlx-lm as it loads any model, and run with every float in f32. Each case is also run in slices through the
cache, which must agree, and with slightly wrong settings, which must not: a case that a wrong epsilon passes is none.
Checkpoints in f16 or bf16 also run as stored: `low_precision` is mlx-lm's own error, over the numbers in `next`.
"""

import copy
import json
import math
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import _get_classes, load_model

DATA = Path(__file__).resolve().parent.parent / "data"
MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
FNV_BASIS = 0xCBF29CE484222325
F32 = np.float32


def splitmix64(state):
    """Of an int or of an array of u64; both wrap around."""
    wide = (lambda x: x) if isinstance(state, np.ndarray) else (lambda x: x & MASK)
    number = np.uint64 if isinstance(state, np.ndarray) else int
    z = wide(state + number(GOLDEN))
    z = wide((z ^ (z >> number(30))) * number(0xBF58476D1CE4E5B9))
    z = wide((z ^ (z >> number(27))) * number(0x94D049BB133111EB))
    return z ^ (z >> number(31))


def fnv1a(value, data):
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


class Numbers:
    """The numbers of one tensor."""

    def __init__(self, seed, name, count):
        key = splitmix64(seed) ^ fnv1a(FNV_BASIS, name.encode())
        self.bits = splitmix64(np.uint64(key) + np.arange(count, dtype=np.uint64) * np.uint64(GOLDEN))

    def word(self):
        return (self.bits >> np.uint64(32)).astype(np.uint32)

    def unit(self):
        return (self.bits >> np.uint64(40)).astype(F32) / F32(1 << 24)

    def signed(self):
        return F32(2) * self.unit() - F32(1)


def to_bf16(x):
    """The upper halves of f32, rounded to nearest, ties to even."""
    bits = x.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


class Checkpoint:
    """The tensors of a case: name -> (dtype, shape, bytes)."""

    def __init__(self, case):
        self.seed, self.dtype = case["seed"], case.get("dtype", "f32")
        self.quantization = case["config"].get("quantization")
        self.tensors = {}
        # Names and shapes are those of mlx-lm's own modules.
        model_class, args_class = _get_classes(case["config"])
        model = model_class(args_class.from_dict(case["config"]))
        for path, module in model.named_modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                self.matrix(path, *module.weight.shape)
                if "bias" in module:
                    self.floats(f"{path}.bias", module.bias.shape, lambda n: F32(0.5) * n.signed())
            elif isinstance(module, nn.RMSNorm):
                self.floats(f"{path}.weight", module.weight.shape, lambda n: F32(1) + F32(0.25) * n.signed())
        self.tensors = dict(sorted(self.tensors.items()))

    def format(self, path):
        if self.quantization is None or self.quantization.get(path) is False:
            return None
        layer = self.quantization.get(path)
        layer = layer if isinstance(layer, dict) else self.quantization
        return layer["bits"], layer["group_size"]

    def matrix(self, path, outputs, inputs):
        bound = F32(math.sqrt(3) * 1.6 / math.sqrt(inputs))
        if (format := self.format(path)) is None:
            self.floats(f"{path}.weight", (outputs, inputs), lambda n: n.signed() * bound)
            return
        bits, group = format
        words = inputs * bits // 32
        codes = Numbers(self.seed, f"{path}.weight", outputs * words).word()
        self.tensors[f"{path}.weight"] = ("U32", (outputs, words), codes.tobytes())
        groups = (outputs, inputs // group)
        wide = bound * (F32(0.75) + F32(0.5) * Numbers(self.seed, f"{path}.scales", math.prod(groups)).unit())
        step = F32(2 / ((1 << bits) - 1))
        self.floats(f"{path}.scales", groups, lambda n: wide * step)
        self.floats(f"{path}.biases", groups, lambda n: -(wide * (F32(0.9) + F32(0.2) * n.unit())))

    def floats(self, name, shape, number):
        x = number(Numbers(self.seed, name, math.prod(shape)))
        assert x.dtype == F32, name
        dtype, data = {
            "f32": lambda: ("F32", x),
            "f16": lambda: ("F16", x.astype(np.float16)),
            "bf16": lambda: ("BF16", to_bf16(x)),
        }[self.dtype]()
        self.tensors[name] = (dtype, tuple(shape), data.tobytes())

    def checksum(self):
        value = FNV_BASIS
        for name, (_, _, data) in self.tensors.items():
            value = fnv1a(fnv1a(value, name.encode()), data)
        return f"{value:016x}"

    def write(self, path):
        header, start = {}, 0
        for name, (dtype, shape, data) in self.tensors.items():
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + len(data)]}
            start += len(data)
        text = json.dumps(header).encode()
        data = b"".join(data for _, _, data in self.tensors.values())
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def load(config, checkpoint, upcast=True):
    """The model as mlx-lm loads it, with all floats in f32 unless told otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "config.json").write_text(json.dumps(config))
        checkpoint.write(folder / "model.safetensors")
        model, _ = load_model(folder)
    if upcast:
        model.set_dtype(mx.float32)
    names = {name for name, _ in tree_flatten(model.parameters())}
    assert names == set(checkpoint.tensors), names ^ set(checkpoint.tensors)
    return model


def logprobs(model, tokens, slices=None):
    if slices is None:
        logits = model(mx.array([tokens]))
    else:
        cache, parts = make_prompt_cache(model), []
        for length in slices:
            parts.append(model(mx.array([tokens[:length]]), cache=cache))
            mx.eval(parts)
            tokens = tokens[length:]
        logits = mx.concatenate(parts, axis=1)
    x = np.array(logits[0].astype(mx.float32)).astype(np.float64)
    x -= x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


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


def reference(case, tokens):
    config, checkpoint = case["config"], Checkpoint(case)
    model = load(config, checkpoint)
    right = logprobs(model, tokens)

    sliced = logprobs(model, tokens, [13, 1, 9] + [1] * (len(tokens) - 23))
    assert np.abs(sliced - right).max() < 2e-4, ("cache", np.abs(sliced - right).max())
    for what, other in wrong(config):
        error = np.abs(logprobs(load(other, checkpoint), tokens) - right).max()
        assert error > 5e-3, (what, error)

    low_precision = None
    if checkpoint.dtype != "f32":
        rows = np.arange(len(tokens) - 1)
        error = np.abs(logprobs(load(config, checkpoint, upcast=False), tokens) - right)[rows, tokens[1:]]
        low_precision = {"max": round(float(error.max()), 5), "mean": round(float(error.mean()), 5)}

    top = np.argsort(-right, axis=-1, kind="stable")[:, :5]
    return {
        "checksum": checkpoint.checksum(),
        "next": [round(float(right[i, token]), 5) for i, token in enumerate(tokens[1:])],
        "top": [[[int(id), round(float(right[i, id]), 5)] for id in ids] for i, ids in enumerate(top)],
        "low_precision": low_precision,
        "rope": rope(model),
    }, right


def main():
    mx.set_default_device(mx.cpu)
    data = json.loads((DATA / "cases.json").read_text())
    wanted = set(sys.argv[1:]) or {case["name"] for case in data["cases"]}
    for case in data["cases"]:
        if case["name"] not in wanted:
            continue
        case["config"] = data["base"] | case["config"]
        result, right = reference(case, data["tokens"])
        text = json.dumps(result, separators=(",", ":")) + "\n"
        assert len(text) < 10_000, (case["name"], len(text))
        (DATA / "reference" / f"{case['name']}.json").write_text(text)
        print(f"{case['name']:20} spread {right.std(axis=-1).mean():.2f}, {len(text)} bytes")


if __name__ == "__main__":
    main()
