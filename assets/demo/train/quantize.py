"""MLX's affine quantization, and writing an MLX folder."""

import json

import torch
from safetensors.torch import save_file

GROUP, BITS = 64, 4


def affine(weight, group=GROUP, bits=BITS):
    """Integers, scales and biases of each group of a row; scales and biases already rounded to bfloat16.

    As in MLX, the end of the range with the larger magnitude is hit exactly and zero stays zero.
    """
    top = 2**bits - 1
    groups = weight.float().unflatten(-1, (-1, group))
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = ((high - low) / top).clamp(min=1e-7)
    negative = low.abs() > high.abs()
    scale = torch.where(negative, scale, -scale)
    edge = torch.where(negative, low, high)
    steps = (edge / scale).round()
    zero = steps == 0
    scale = torch.where(zero, scale, edge / torch.where(zero, torch.ones_like(steps), steps))
    bias = torch.where(zero, torch.zeros_like(edge), edge)
    scale, bias = scale.bfloat16().float(), bias.bfloat16().float()
    integers = ((groups - bias) / scale).round().clamp(0, top)
    return integers, scale, bias


def fake(weight):
    """The weight as it is after quantization."""
    integers, scale, bias = affine(weight)
    return (integers * scale + bias).flatten(-2)


def packed(weight):
    """The three tensors of a quantized weight in an MLX checkpoint."""
    integers, scale, bias = affine(weight)
    integers = integers.flatten(-2).to(torch.int64).unflatten(-1, (-1, 32 // BITS))
    shifts = torch.arange(32 // BITS, device=weight.device) * BITS
    words = (integers << shifts).sum(-1)
    words = torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)
    return words.contiguous().view(torch.uint32), scale.squeeze(-1).bfloat16().contiguous(), bias.squeeze(-1).bfloat16().contiguous()


def tensors(parameters):
    """The tensors of an MLX checkpoint: matrices in 4 bits, norms in bfloat16."""
    out = {}
    for name, weight in parameters.items():
        weight = weight.detach().cpu()
        if weight.ndim == 2:
            base = name.removesuffix(".weight")
            out[name], out[base + ".scales"], out[base + ".biases"] = packed(weight)
        else:
            out[name] = weight.bfloat16().contiguous()
    return out


def save_full(parameters, folder, shard=15_000_000):
    """Write all weights in float32, in files of at most about `shard` bytes, with their index."""
    folder.mkdir(parents=True, exist_ok=True)
    shards, sizes = [{}], [0]
    for name in sorted(parameters):
        weight = parameters[name].detach().float().cpu().contiguous()
        if sizes[-1] + weight.nbytes > shard:
            shards.append({})
            sizes.append(0)
        shards[-1][name] = weight
        sizes[-1] += weight.nbytes
    files = [f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)]
    for file, tensors_ in zip(files, shards):
        save_file(tensors_, folder / file, metadata={"format": "mlx"})
    index = {"metadata": {"total_size": sum(sizes)}, "weight_map": {name: file for file, tensors_ in zip(files, shards) for name in tensors_}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def save(parameters, path):
    """Write model.safetensors."""
    save_file(tensors(parameters), path, metadata={"format": "mlx"})
