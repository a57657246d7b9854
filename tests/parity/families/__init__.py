"""Tiny configurations of every model_type that runs here: variants that between them vary every field of mlx-lm's
`ModelArgs`, or list it as inert because neither side's answers depend on it."""

from . import dense, experts, latent, multimodal, recurrent
from .common import BASE

# What a variant says to the bench.
FLAGS = {"_floats", "_jumps", "_packed", "_steps", "_tokens", "_whole"}
# model_type -> (what it has, inert fields, variants by name). A variant is what it changes of BASE; None removes a key.
FAMILIES = dict(
    sorted((dense.FAMILIES | experts.FAMILIES | latent.FAMILIES | multimodal.FAMILIES | recurrent.FAMILIES).items())
)

FORMATS = {
    "f32": ("f32", None),
    "f16": ("f16", None),
    "bf16": ("bf16", None),
    "4bit-g32": ("f32", {"group_size": 32, "bits": 4, "mode": "affine"}),
    "4bit-g64": ("bf16", {"group_size": 64, "bits": 4}),
    "8bit": ("f16", {"group_size": 64, "bits": 8}),
    "mxfp4": ("bf16", {"group_size": 32, "bits": 4, "mode": "mxfp4"}),
    "mxfp8": ("bf16", {"group_size": 32, "bits": 8, "mode": "mxfp8"}),
    "nvfp4": ("bf16", {"group_size": 16, "bits": 4, "mode": "nvfp4"}),
    "mixed": ("f32", {"group_size": 64, "bits": 4}),
}


def config(model_type, variant):
    """The configuration of a variant."""
    changes = FAMILIES[model_type][2][variant]
    merged = BASE | {"model_type": model_type} | changes
    kept = {key: value for key, value in merged.items() if key not in FLAGS}
    return {key: value for key, value in kept.items() if value is not None or changes.get(key, 0) is None}
