"""What mlx-lm computes for a checkpoint."""

import importlib
import json
import sys
import tempfile
import types
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import muse_kernels  # noqa: F401
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.models.base import create_attention_mask
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model


# OLMo's package is only asked whether it is there.
sys.modules.setdefault("hf_olmo", types.ModuleType("hf_olmo"))
olmo = importlib.import_module("mlx_lm.models.olmo")


def added_mask(h, cache):
    """mlx-lm's OLMo adds its mask to the scores, and fails where `create_attention_mask` gives a name."""
    mask = create_attention_mask(h, cache, return_array=True)
    return None if mask is None else mx.where(mask, 0.0, -mx.inf)


olmo.create_attention_mask = added_mask


phi3small = importlib.import_module("mlx_lm.models.phi3small")


class Phi3Small(phi3small.Model):
    """Without the ids of the published vocabulary that a small one does not have."""

    def __init__(self, args):
        super().__init__(args)
        unused = [i for i in self._dummy_tokenizer_ids.tolist() if i < args.vocab_size]
        self._dummy_tokenizer_ids = mx.array(unused, dtype=mx.int32)


phi3small.Model = Phi3Small
afm7 = importlib.import_module("mlx_lm.models.afm7")


def to_quantized(self, group_size=64, bits=4, mode="affine", **_):
    """mlx-lm's AFM knows nothing of modes, which MLX gives its layers."""
    sizes = self.input_dims, self.output_dims
    linear = afm7.FusedQuantizedLinear(*sizes, 32, 4)
    nn.QuantizedLinear.__init__(linear, sizes[0], sum(sizes[1]), bias=False, group_size=group_size, bits=bits, mode=mode)
    linear.weight, linear.scales, *biases = mx.quantize(self.weight, group_size=group_size, bits=bits, mode=mode)
    linear.biases = biases[0] if biases else None
    return linear


afm7.FusedLinear.to_quantized = to_quantized


prism = importlib.import_module("mlx_lm.models.prism_hadamard_qwen35")


def ternary_product(self, x, packed):
    """In operations that every device has: mlx-lm has a kernel for Metal alone."""
    rows = [(packed >> (2 * place)) & 3 for place in range(4)]
    weight = mx.concatenate(rows, axis=0)[: self.out_features].astype(mx.float32) - 1
    scale = 1 / self.weight_scale if self.invert_weight_scales else self.weight_scale
    return (x @ weight.T) * scale


importlib.import_module("mlx_lm.models.bitlinear_layers").BitLinear.execute_matmul_kernel = ternary_product


switch_layers = importlib.import_module("mlx_lm.models.switch_layers")
product = switch_layers.QuantizedSwitchLinear.__call__


def scaled_product(self, x, indices, sorted_indices=False):
    """Without a scale of each expert, which MLX knows on GPUs alone, and then multiplied by it."""
    scale, self.global_scale = self.global_scale, None
    y = product(self, x, indices, sorted_indices)
    self.global_scale = scale
    return y if scale is None else y * (scale / (6 * 448))[indices][..., None, None]


switch_layers.QuantizedSwitchLinear.__call__ = scaled_product


class PackedEmbedding(prism.HadamardQuantizedEmbedding):
    """In f32: mlx-lm makes f16 of the rows."""

    def __call__(self, indices):
        parts = [self.weight[indices], self.scales[indices], self.biases[indices]]
        rows = mx.dequantize(*parts, group_size=self.group_size, bits=self.bits)
        return prism.hadamard_rotate(rows, self.block, self.signs, inverse=True) if self.block else rows


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
            if type(module) is prism.HadamardQuantizedEmbedding:
                module.__class__ = PackedEmbedding
    if config["model_type"] == "phi3small":
        # mlx-lm takes no note of this setting.
        unused = config.get("dummy_token_indices") or []
        model._dummy_tokenizer_ids = mx.array(unused, dtype=mx.int32)
    names = {name for name, _ in tree_flatten(model.parameters())}
    if config.get("tensor_namespace") == "mlx-lm-text":
        names = {name.removeprefix("language_model.") for name in names}
    assert names == set(checkpoint.tensors), names ^ set(checkpoint.tensors)
    return model


def logprobs(model, tokens, slices=None):
    """Of every token after each position; through the cache, because layers that share keys and values need one."""
    cache, parts = make_prompt_cache(model), []
    for length in slices or [len(tokens)]:
        logits = model(mx.array([tokens[:length]]), cache=cache)
        # A tied OLMo gives its cache, too.
        parts.append(logits[0] if isinstance(logits, tuple) else logits)
        mx.eval(parts)
        tokens = tokens[length:]
    x = np.array(mx.concatenate(parts, axis=1)[0].astype(mx.float32)).astype(np.float64)
    x -= x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
