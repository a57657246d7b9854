"""Muse Spark's reference in operations that every device has: mlx-lm calls kernels for Metal alone.

Each function computes what the kernel of its name does. The kernels round to the format of the activations (`T` there) after
each of their parts; in f32, which the bench compares, nothing is left of that. mlx-lm also makes bf16 of the first layer's
input and of what the head reads, whatever the weights are. The reference leaves both as they are, as all other floats:
`mx.bfloat16` is f32 in its module, except where `sanitize` makes weights.
"""

import importlib
import types

import mlx.core as mx

muse = importlib.import_module("mlx_lm.models.muse_spark")


def rms_norm(x, eps):
    return mx.fast.rms_norm(x, None, eps)


def expert_routing(logits, expert_bias, *, top_k, multiplier, score_eps, route_scale):
    scores = mx.sigmoid(logits * multiplier)
    # Of equal scores the first.
    chosen = mx.argsort(-(scores + expert_bias), axis=-1)[..., :top_k]
    weights = mx.take_along_axis(scores, chosen, axis=-1)
    return chosen, weights / (weights.sum(axis=-1, keepdims=True) + score_eps) * route_scale


def norm_add_norm(branch, stream, *, alpha, beta, post_weight, post_eps, next_norm):
    scaled = branch if post_weight is None else post_weight.astype(branch.dtype) * branch
    added = alpha * stream + beta * rms_norm(scaled, post_eps).astype(mx.float32)
    return added, None if next_norm is None else pre_norm(added, next_norm, dtype=branch.dtype)


def pre_norm(stream, norm, *, dtype):
    return norm(stream).astype(dtype)


def post_expert_norm_combine(experts, weights, *, norm_weight, eps):
    normed = rms_norm(experts * norm_weight, eps)
    return (normed * weights[..., None]).sum(axis=-2).astype(experts.dtype)


def qk_norm(qkvg, *, n_heads, n_kv_heads, head_dim, eps, query_scale):
    by_head = qkvg.reshape(*qkvg.shape[:-1], -1, head_dim)
    normed = rms_norm(by_head[..., : n_heads + n_kv_heads, :], eps)
    return normed[..., :n_heads, :] * query_scale, normed[..., n_heads:, :]


def qk_norm_rope(qkvg, *, rope_base, offset, **of_norm):
    turn = lambda x: mx.fast.rope(
        x.swapaxes(1, 2), x.shape[-1], traditional=True, base=rope_base, scale=1.0, offset=offset
    ).swapaxes(1, 2)
    return [turn(x) for x in qk_norm(qkvg, **of_norm)]


def rms_norm_sigmoid_gate(x, gate, *, eps):
    normed = rms_norm(x, eps).swapaxes(1, 2)
    return normed.reshape(gate.shape) * mx.sigmoid(gate)


for kernel in (
    expert_routing, norm_add_norm, post_expert_norm_combine, pre_norm, qk_norm, qk_norm_rope, rms_norm_sigmoid_gate,
):  # fmt: skip
    assert hasattr(muse, kernel.__name__), kernel.__name__
    setattr(muse, kernel.__name__, kernel)
muse.mx = types.SimpleNamespace(**(vars(mx) | {"bfloat16": mx.float32}))
muse.norm_gain = lambda weight: (1.0 + weight.astype(mx.float32)).astype(mx.bfloat16)
