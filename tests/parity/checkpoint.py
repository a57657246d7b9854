"""Random checkpoints of any model of mlx-lm, as a function of a configuration and a seed.

Names and shapes are those of mlx-lm's own modules; numbers come from a generator of our own, which exists a second time
in tests/support/numbers.rs, so that a checkpoint can be made again without Python.
"""

import json
import math

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models.prism_hadamard_qwen35 import HadamardQuantizedLinear
from mlx_lm.utils import _get_classes

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


def amplitude(fan_in):
    """Bound of uniform weights whose products with unit vectors have a standard deviation of 1.6."""
    return F32(math.sqrt(3) * 1.6 / math.sqrt(fan_in))


class Checkpoint:
    """The tensors of a model: name -> (dtype, shape, bytes). `recipes` say how each is made: name -> [recipe, shape]."""

    def __init__(self, config, seed, dtype="f32"):
        self.config, self.seed, self.dtype = config, seed, dtype
        self.tensors, self.recipes = {}, {}
        model_class, args_class = _get_classes(config)
        # mlx-lm's classes change what they are given.
        model = model_class(args_class.from_dict(json.loads(json.dumps(config))))
        matrices = {path: module for path, module in model.named_modules() if hasattr(module, "to_quantized")}
        packed = {path: module for path, module in model.named_modules() if isinstance(module, HadamardQuantizedLinear)}
        # Numbers depend on the name that a tensor has in the file.
        dropped = "language_model." if config.get("tensor_namespace") == "mlx-lm-text" else ""
        for own_name, value in tree_flatten(model.parameters()):
            own_path, name = own_name.rpartition(".")[0], own_name.removeprefix(dropped)
            path, _, leaf = name.rpartition(".")
            shape = tuple(value.shape)
            if own_path in packed:
                self.packed(path, leaf, shape, packed[own_path])
            elif own_path in matrices and leaf == "weight":
                self.matrix(path, shape)
            elif value.dtype == mx.uint8:
                self.ternary(name, shape)
            elif leaf == "weight_scale":
                self.floats(name, shape, "value 0.25")
            elif not shape:
                self.floats(name, shape, f"value {float(value)!r}")
            elif leaf in ("bias", "e_score_correction_bias", "sinks", "dt_bias") or leaf.endswith("_bias"):
                self.floats(name, shape, "bias")
            elif len(shape) == 1 or "norm" in name:
                self.floats(name, shape, "norm")
            else:
                fan_in = math.prod(shape[1:]) if "conv" in name else shape[-1]
                # Gates of recurrences that are all but shut keep all but everything, and f32 no longer tells how much.
                fan_in *= 16 if leaf == "recurrent_gate_weight" else 1
                self.floats(name, shape, f"matrix {fan_in}")
        self.tensors = dict(sorted(self.tensors.items()))

    def format(self, path, columns):
        """Mode, bits and group size of a matrix, if it is quantized."""
        quantization = self.config.get("quantization")
        if quantization is None or quantization.get(path) is False or "modules" in self.config:
            return None
        # mlx-lm's Kimi K3 reads these numbers themselves.
        if path.endswith("_res_proj"):
            return None
        # mlx-lm brings what Muse Spark's head reads into the format of the head's numbers, codes included.
        if self.config["model_type"] == "muse_spark" and path == "lm_head":
            return None
        layer = quantization.get(path)
        layer = layer if isinstance(layer, dict) else quantization
        mode, bits, group = layer.get("mode", "affine"), layer["bits"], layer["group_size"]
        return None if columns % group or columns * bits % 32 else (mode, bits, group)

    def matrix(self, path, shape):
        columns = shape[-1]
        if (format := self.format(path, columns)) is None:
            self.floats(f"{path}.weight", shape, f"matrix {columns}")
            return
        mode, bits, group = format
        codes, groups = (*shape[:-1], columns * bits // 32), (*shape[:-1], columns // group)
        self.codes(f"{path}.weight", codes, mode)
        if mode == "affine":
            self.floats(f"{path}.scales", groups, f"scales {columns} {bits}")
            self.floats(f"{path}.biases", groups, f"biases {columns}", drawn=f"{path}.scales")
        else:
            self.scale_bytes(f"{path}.scales", groups, mode, columns)
        own = self.config["quantization"].get(path)
        if isinstance(own, dict) and own.get("global_scale"):
            self.floats(f"{path}.global_scale", shape[:1], "global")

    def packed(self, path, leaf, shape, module):
        """A tensor of a matrix of two bits that a rotation is folded into."""
        columns = module.weight.shape[-1] * 32 // module.bits
        name = f"{path}.{leaf}"
        if leaf == "weight":
            self.codes(name, shape, "affine")
        elif leaf == "signs":
            self.floats(name, shape, "signs")
        elif leaf == "scales":
            self.floats(name, shape, f"scales {columns} {module.bits}")
        else:
            self.floats(name, shape, f"biases {columns}", drawn=f"{path}.scales")

    def codes(self, name, shape, mode):
        self.recipes[name] = ["codes8" if mode == "mxfp8" else "codes", list(shape)]
        words = Numbers(self.seed, name, math.prod(shape)).word()
        if mode == "mxfp8":
            # E4M3 has a code in each half that is not a number: all other bits of it set.
            data = words.view(np.uint8)
            words = np.where((data & 0x7F) == 0x7F, data & 0xFE, data).astype(np.uint8).view(np.uint32)
        self.tensors[name] = ("U32", shape, words.tobytes())

    def ternary(self, name, shape):
        """Bytes of four numbers from 0 to 2."""
        self.recipes[name] = ["ternary", list(shape)]
        data = (Numbers(self.seed, name, math.prod(shape)).word() & np.uint32(0xFF)).astype(np.uint8)
        data &= ~((data & (data >> 1) & 0x55) << 1)
        self.tensors[name] = ("U8", shape, data.tobytes())

    def scale_bytes(self, name, shape, mode, columns):
        """Scales that give the numbers about the spread of other matrices."""
        self.recipes[name] = [f"{mode} {columns}", list(shape)]
        numbers = Numbers(self.seed, name, math.prod(shape)).word()
        # Root mean squares of uniform codes: about 2.9 of E2M1, 100 of E4M3.
        wanted = 1.6 / math.sqrt(columns) / (100 if mode == "mxfp8" else 2.9)
        exponent = round(math.log2(wanted))
        if mode == "nvfp4":
            data = ((exponent + 7) << 3) + (numbers % np.uint32(8))
        else:
            data = 127 + exponent + (numbers % np.uint32(2)).astype(np.int64)
        self.tensors[name] = ("U8", shape, data.astype(np.uint8).tobytes())

    def floats(self, name, shape, recipe, drawn=None):
        self.recipes[name] = [recipe, list(shape)]
        kind, *args = recipe.split()
        n = Numbers(self.seed, name, math.prod(shape))
        if kind == "value":
            x = np.full(shape, float(args[0]), dtype=F32)
        elif kind == "bias":
            x = F32(0.5) * n.signed()
        elif kind == "norm":
            x = F32(1) + F32(0.25) * n.signed()
        elif kind == "global":
            # The largest of nvfp4's numbers, so that those of the matrix have their usual size.
            x = F32(2688) + F32(672) * n.signed()
        elif kind == "signs":
            x = np.where(n.word() & np.uint32(1), F32(1), F32(-1))
        elif kind == "matrix":
            x = n.signed() * amplitude(int(args[0]))
        else:
            # Codes cover [-bound, bound] about, wider in some groups than in others.
            draw = Numbers(self.seed, drawn or name, math.prod(shape))
            wide = amplitude(int(args[0])) * (F32(0.75) + F32(0.5) * draw.unit())
            if kind == "scales":
                x = wide * F32(2 / ((1 << int(args[1])) - 1))
            else:
                x = -(wide * (F32(0.9) + F32(0.2) * n.unit()))
        x = np.asarray(x)
        assert x.dtype == F32, name
        dtype, data = {
            "f32": lambda: ("F32", x),
            "f16": lambda: ("F16", x.astype(np.float16)),
            "bf16": lambda: ("BF16", to_bf16(np.atleast_1d(x))),
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
