"""Writes tests/data/gguf_blocks.json: random blocks of every GGUF number format that is read, and the numbers that
gguf-py makes of them, as hexadecimal bytes of little-endian f32.

    python tests/parity/gguf_blocks.py [path of a llama.cpp's gguf-py]

Needs numpy, and gguf (from PyPI or the given path).
"""

import json
import pathlib
import sys

import numpy

sys.path[:0] = sys.argv[1:2]
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType  # noqa: E402
from gguf.quants import dequantize  # noqa: E402

# Where the f16 scales of a block are.
SCALES = {
    "F32": [], "F16": [], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
    "MXFP4": [],
}
NUMBERS = 512


def blocks(name, random):
    kind = GGMLQuantizationType[name]
    count, width = GGML_QUANT_SIZES[kind]
    if name in ("F32", "F16", "BF16"):
        return random.standard_normal(64).astype({"F16": "<f2"}.get(name, "<f4")).view(numpy.uint8).reshape(1, -1)
    rows = random.integers(0, 256, (max(NUMBERS // count // (8 if count == 32 else 1), 2), width), dtype=numpy.uint8)
    for index, row in enumerate(rows):
        for offset in SCALES[name]:
            # The first is below what f16 has normal numbers for.
            scale = random.uniform(-0.1, 0.1) if index else 3e-5
            row[offset : offset + 2] = numpy.frombuffer(numpy.float16(scale).tobytes(), dtype=numpy.uint8)
        if name == "MXFP4":
            row[0] = [0, 1, 2, 254][index] if index < 4 else 120
    return rows


def main():
    random = numpy.random.default_rng(7)
    out = {}
    for name in SCALES:
        bytes_ = blocks(name, random)
        numbers = dequantize(bytes_, GGMLQuantizationType[name]).astype("<f4")
        assert numpy.isfinite(numbers).all(), name
        out[name] = {
            "type": int(GGMLQuantizationType[name]),
            "blocks": bytes_.tobytes().hex(),
            "numbers": numbers.tobytes().hex(),
        }
    path = pathlib.Path(__file__).parents[1] / "data" / "gguf_blocks.json"
    path.write_text(json.dumps(out, indent=1) + "\n")


main()
