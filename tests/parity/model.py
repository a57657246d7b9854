"""What mlx-lm computes for a checkpoint."""

import json
import tempfile
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model


class Embedding(nn.QuantizedEmbedding):
    """In f32: MLX makes bf16 of numbers that have no float format of their own."""

    def __call__(self, x):
        return super().__call__(x).astype(mx.float32)


def load(config, checkpoint, upcast=True, folder=None):
    """The model as mlx-lm loads it, with all floats in f32 unless told otherwise. `folder` is kept if given."""
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return load(config, checkpoint, upcast, Path(temporary))
    (folder / "config.json").write_text(json.dumps(config))
    checkpoint.write(folder / "model.safetensors")
    model, _ = load_model(folder)
    if upcast:
        model.set_dtype(mx.float32)
        for module in model.modules():
            if type(module) is nn.QuantizedEmbedding:
                module.__class__ = Embedding
    names = {name for name, _ in tree_flatten(model.parameters())}
    assert names == set(checkpoint.tensors), names ^ set(checkpoint.tensors)
    return model


def logprobs(model, tokens, slices=None):
    """Of every token after each position; through the cache, because layers that share keys and values need one."""
    cache, parts = make_prompt_cache(model), []
    for length in slices or [len(tokens)]:
        parts.append(model(mx.array([tokens[:length]]), cache=cache))
        mx.eval(parts)
        tokens = tokens[length:]
    x = np.array(mx.concatenate(parts, axis=1)[0].astype(mx.float32)).astype(np.float64)
    x -= x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
