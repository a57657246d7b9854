"""Writes tests/data/quantization.json: what MLX makes of random matrices in every affine format.

Run with a Python that has mlx: `python tests/parity/quantization.py > tests/data/quantization.json`
"""

import json

import mlx.core as mx
import numpy as np

INPUTS = 128
random = np.random.default_rng(7)
cases = []
for bits in (2, 3, 4, 5, 6, 8):
    for group_size in (32, 64, 128):
        dtype = (mx.float32, mx.float16, mx.bfloat16)[len(cases) % 3]
        weight = mx.array(random.standard_normal((2, INPUTS)).astype(np.float32)).astype(dtype)
        codes, scales, biases = mx.quantize(weight, group_size=group_size, bits=bits)
        # In f32, so that the expected numbers don't carry the rounding of a shorter format.
        scales, biases = scales.astype(mx.float32), biases.astype(mx.float32)
        numbers = mx.dequantize(codes, scales, biases, group_size=group_size, bits=bits)
        cases.append(
            {
                "bits": bits,
                "group_size": group_size,
                "dtype": {mx.float32: "f32", mx.float16: "f16", mx.bfloat16: "bf16"}[dtype],
                "codes": np.array(codes).ravel().tolist(),
                "scales": [float(x) for x in np.array(scales).ravel()],
                "biases": [float(x) for x in np.array(biases).ravel()],
                "numbers": [float(f"{x:.7g}") for x in np.array(numbers).ravel()],
            }
        )

lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
print(f'{{"mlx": "{mx.__version__}", "inputs": {INPUTS}, "cases": [\n{lines}\n]}}')
