"""Writes tests/data/quantize.json: the codes, scales and biases that MLX gives to known numbers, in every format.

The numbers come from the generator that tests/support/numbers.rs has, too; `kind` says what is done with them. Bytes are
kept as FNV-1a hashes. Run with a Python that has mlx-lm: `python tests/parity/quantize.py > tests/data/quantize.json`
"""

import json

import mlx.core as mx
import numpy as np
from checkpoint import F32, FNV_BASIS, Numbers, fnv1a

ROWS, COLUMNS = 4, 256
DTYPES = {"f32": mx.float32, "f16": mx.float16, "bf16": mx.bfloat16}
FORMATS = [("affine", bits, group) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)]
FORMATS += [("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16)]


def numbers(kind):
    n = Numbers(7, kind, ROWS * COLUMNS)
    x = n.signed()
    if kind == "small":
        x = x * F32(1 / 1024)
    elif kind == "steps":  # many ties
        x = np.rint(x * F32(16)) / F32(4)
    elif kind == "sparse":  # groups of zeros, of one sign, of one number
        x = np.where(np.arange(x.size) // 32 % 3 == 0, F32(0), np.abs(x))
        x = np.where(np.arange(x.size) // 32 % 5 == 1, F32(0.375), x)
        x = np.where(np.arange(x.size) // 32 % 7 == 2, -x, x)
    return x.astype(F32).reshape(ROWS, COLUMNS)


def digest(array):
    if array.dtype == mx.bfloat16:
        array = array.view(mx.uint16)
    return f"{fnv1a(FNV_BASIS, np.array(array).tobytes()):016x}"


cases = []
for kind in ("plain", "small", "steps", "sparse"):
    for name, dtype in DTYPES.items():
        weight = mx.array(numbers(kind)).astype(dtype)
        for mode, bits, group in FORMATS:
            parts = mx.quantize(weight, group_size=group, bits=bits, mode=mode)
            cases.append([kind, name, mode, bits, group, *map(digest, parts)])
lines = ",\n".join(json.dumps(case) for case in cases)
print(f'{{"mlx": "{mx.__version__}", "rows": {ROWS}, "columns": {COLUMNS}, "cases": [\n{lines}\n]}}')
