"""Families with layers that keep a state."""

from .common import BASE, GRANITE, LFM, LINEAR, LOCAL, LONG, MOE, sliding

DELTA = {
    "num_hidden_layers": 3, "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16,
    "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4, "head_dim": 32, "full_attention_interval": 2,
}  # fmt: skip
MAMBA2 = {
    "mamba_n_heads": 4, "mamba_d_head": 32, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_n_groups": 2,
    "mamba_proj_bias": False, "mamba_conv_bias": True,
}  # fmt: skip
NEMOTRON_H = {
    "num_hidden_layers": None, "attention_bias": False, "mamba_num_heads": 4, "mamba_head_dim": 32,
    "mamba_proj_bias": False, "ssm_state_size": 16, "conv_kernel": 4, "n_groups": 2, "mlp_bias": False,
    "layer_norm_epsilon": 0.01, "use_bias": False, "use_conv_bias": True,
}  # fmt: skip
NEMOTRON_MOE = {
    "moe_intermediate_size": 64, "n_routed_experts": 8, "num_experts_per_tok": 3, "routed_scaling_factor": 1.5,
    "n_group": 1, "topk_group": 1, "norm_topk_prob": True,
}  # fmt: skip
JAMBA = {
    "num_hidden_layers": 3, "attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1,
    "expert_layer_period": 2, "mamba_d_conv": 4, "mamba_d_state": 16, "mamba_expand": 2, "num_experts": 6,
    "num_experts_per_tok": 2, "mamba_dt_rank": 32,
}  # fmt: skip
KIMI_LINEAR = {
    "num_hidden_layers": 3, "head_dim": 32, "model_max_length": 512, "num_experts": 8, "moe_intermediate_size": 64,
    "kv_lora_rank": 32, "qk_rope_head_dim": 16, "first_k_dense_replace": 1, "num_experts_per_token": 3,
    "num_key_value_heads": 4,
    "linear_attn_config": {"kda_layers": [1, 3], "num_heads": 2, "head_dim": 32, "short_conv_kernel_size": 4},
}  # fmt: skip

PLAMO2 = {
    "num_hidden_layers": 3, "hidden_size_per_head": 16, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_num_heads": 4,
    "mamba_step": 2,
}  # fmt: skip
OLMO_HYBRID = {
    "num_hidden_layers": 4, "linear_num_value_heads": 4, "linear_num_key_heads": 4, "linear_key_head_dim": 16,
    "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4, "linear_allow_neg_eigval": True,
    "tie_word_embeddings": False, "attention_bias": False, "layer_norm_epsilon": 0.01,
}  # fmt: skip

GEAR = {
    "num_hidden_layers": 3, "head_dim": 16, "layer_types": ["conv_mixer", "full_attention", "sliding_attention"],
    "sliding_window": 9,
}  # fmt: skip
RING = {
    "num_hidden_layers": 4, "first_k_dense_replace": 1, "moe_intermediate_size": 64, "num_experts": 8,
    "num_shared_experts": 1, "norm_topk_prob": True, "num_experts_per_tok": 3, "layer_group_size": 2,
    "group_norm_size": 2,
}  # fmt: skip
RING_LATENT = RING | {
    "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.5, "head_dim": 16, "kv_lora_rank": 32,
    "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 16, "q_lora_rank": 32, "num_key_value_heads": 4,
}  # fmt: skip
BAILING_V3 = {
    "num_hidden_layers": 4, "moe_intermediate_size": 64, "moe_shared_expert_intermediate_size": 64, "num_experts": 8,
    "num_experts_per_tok": 3, "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2, "layer_group_size": 2,
    "head_dim": 16, "q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16,
    "v_head_dim": 16, "num_key_value_heads": None,
}  # fmt: skip

PACKED = {
    "quantization": {"bits": 2, "group_size": 128, "mode": "affine"}, "gdn_activation_layout": "grouped",
    "_packed": True,
}  # fmt: skip
WIDE = DELTA | {
    "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2, "linear_key_head_dim": 64,
    "linear_value_head_dim": 128, "head_dim": 128, "model_type": "qwen3_5_text",
}  # fmt: skip


def packed(blocks):
    """The manifest of matrices with a rotation over so many columns."""
    of = lambda path, block: {"path": path, "block": block, "embedding": "embed" in path, "dtype": "float16"}
    return [of(path, block) for path, block in blocks.items()]


RWKV = {
    "norm_eps": 0.01, "head_dim": 16, "a_low_rank_dim": 32, "v_low_rank_dim": 64, "gate_low_rank_dim": 96,
    "decay_low_rank_dim": 128, "num_hidden_layers": 3,
}  # fmt: skip
RECURRENT_GEMMA = {
    "num_hidden_layers": 3, "attention_bias": False, "conv1d_width": 4, "logits_soft_cap": 5.0, "num_key_value_heads": 1,
    "attention_window_size": 9, "lru_width": 64, "intermediate_size": 192,
}  # fmt: skip
BAICHUAN = {
    "num_hidden_layers": 3, "sliding_window": 9, "sliding_window_layers": [0, 2], "conv_window": 2,
}  # fmt: skip

FAMILIES = {
    "lfm2": ("short convolutions, norms on heads", ["max_position_embeddings"], {
        "plain": LFM | {
            "full_attn_idxs": [1], "block_dim": 64, "block_multiple_of": 32, "block_ffn_dim_multiplier": 1.0,
            "block_auto_adjust_ff_dim": False, "block_ff_dim": 128, "num_key_value_heads": None,
        },
        "adjusted": LFM | {
            "layer_types": ["conv", "full_attention", "conv"], "block_dim": 64, "block_multiple_of": 64,
            "block_ffn_dim_multiplier": 1.3, "block_auto_adjust_ff_dim": True, "conv_bias": True, "conv_L_cache": 4,
            "rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}, "intermediate_size": 192,
        },
    }),
    "lfm2_moe": ("short convolutions, experts", ["max_position_embeddings"], {
        "plain": LFM | MOE | {
            "norm_topk_prob": True, "use_expert_bias": True, "num_dense_layers": 1, "full_attn_idxs": [1],
            "routed_scaling_factor": 1.5,
        },
        "biases": LFM | MOE | {
            "norm_topk_prob": False, "use_expert_bias": False, "num_dense_layers": 0, "conv_bias": True,
            "layer_types": ["conv", "full_attention", "conv"], "conv_L_cache": 4,
            "rope_parameters": {"rope_theta": 500.0},
        },
    }),
    "qwen3_next": ("gated delta nets, gated attention, experts, a gated shared expert", ["max_position_embeddings"], {
        "plain": DELTA | MOE | {
            "decoder_sparse_step": 1, "shared_expert_intermediate_size": 64, "mlp_only_layers": [],
            "partial_rotary_factor": 0.5, "norm_topk_prob": True,
        },
        "mixed": DELTA | MOE | {
            "decoder_sparse_step": 2, "shared_expert_intermediate_size": 96, "mlp_only_layers": [1],
            "partial_rotary_factor": 1.0, "tie_word_embeddings": True, "attention_bias": True,
            "full_attention_interval": 3, "linear_num_key_heads": 4, "rope_scaling": LINEAR, "num_hidden_layers": 4,
            "linear_conv_kernel_dim": 3,
        } | LONG,
    }),
    "qwen3_5": ("gated delta nets, gated attention", [
        "model_type", "rope_scaling", "partial_rotary_factor", "decoder_sparse_step",
    ], {
        "plain": {"text_config": BASE | DELTA | {"model_type": "qwen3_5_text"}},
        "parameters": {"text_config": BASE | DELTA | {
            "tie_word_embeddings": True, "attention_bias": True, "linear_num_key_heads": 4,
            "full_attention_interval": 3,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1],
            },
        }},
        "alone": DELTA | LONG,
    }),
    "prism_hadamard_qwen35": ("matrices of two bits with a rotation folded in, gated delta nets, gated attention", [
        "gdn_activation_layout",
    ], {
        "plain": PACKED | {
            "schema_version": 2, "tensor_namespace": "mlx-vlm-qwen3_5", "text_config": BASE | WIDE,
            "modules": packed({
                "model.embed_tokens": 512, "lm_head": 512, "model.layers.0.linear_attn.in_proj_qkv": 512,
                "model.layers.0.linear_attn.in_proj_z": 512, "model.layers.0.linear_attn.out_proj": 0,
                "model.layers.0.mlp.gate_proj": 512, "model.layers.0.mlp.up_proj": 0,
                "model.layers.0.mlp.down_proj": 1024, "model.layers.1.self_attn.q_proj": 512,
                "model.layers.1.self_attn.k_proj": 512, "model.layers.1.self_attn.o_proj": 512,
                "model.layers.1.mlp.down_proj": 512,
            }),
        },
        "alone": PACKED | {
            "schema_version": 1, "tensor_namespace": "mlx-lm-text",
            "text_config": BASE | WIDE | {"tie_word_embeddings": True},
            "modules": packed({"model.embed_tokens": 512, "model.layers.1.mlp.up_proj": 512}),
        },
    }),
    "qwen3_5_moe": ("gated delta nets, gated attention, experts, a gated shared expert", ["model_type"], {
        "plain": {"text_config": BASE | DELTA | MOE | {"shared_expert_intermediate_size": 64}},
        "weights": {"text_config": BASE | DELTA | MOE | {
            "shared_expert_intermediate_size": 96, "norm_topk_prob": False, "tie_word_embeddings": True,
        }} | LONG,
    }),
    "mamba": ("state spaces", [], {
        "plain": {"state_size": 16, "conv_kernel": 4, "use_bias": False, "use_conv_bias": True, "time_step_rank": "auto"},
        "normed": {
            "state_size": 24, "conv_kernel": 3, "use_bias": True, "use_conv_bias": False, "time_step_rank": 32,
            "tie_word_embeddings": False, "use_bcdt_rms": True, "mixer_rms_eps": 0.01,
        },
    }),
    "mamba2": ("state spaces with heads", ["time_step_rank", "max_position_embeddings"], {
        "plain": {
            "num_heads": 4, "head_dim": 32, "state_size": 16, "layer_norm_epsilon": 0.01, "conv_kernel": 4,
            "n_groups": 1, "use_bias": False, "use_conv_bias": True, "tie_word_embeddings": False,
            "time_step_limit": [0.2, 0.9], "time_step_rank": "auto",
        },
        "groups": {
            "num_heads": 4, "head_dim": 16, "state_size": 32, "ssm_state_size": 24, "layer_norm_epsilon": 0.02,
            "conv_kernel": 3, "n_groups": 2, "use_bias": True, "use_conv_bias": False, "tie_word_embeddings": True,
            "time_step_limit": [0.0, 1e9], "time_step_rank": 4,
        },
    }),
    "nemotron_h": ("Mamba-2, attention, MLPs and experts in layers of their own", [
        "max_position_embeddings", "use_bias", "time_step_min", "time_step_max",
    ], {
        "plain": NEMOTRON_H | {"hybrid_override_pattern": "M-*-M", "head_dim": 32},
        "experts": NEMOTRON_H | NEMOTRON_MOE | {
            "layers_block_type": ["mamba", "moe", "attention", "moe", "mlp"], "n_shared_experts": 1,
            "moe_shared_expert_intermediate_size": 96, "mamba_proj_bias": True, "attention_bias": True,
            "mlp_bias": True, "use_conv_bias": False, "time_step_limit": [0.2, 0.9], "n_groups": 4,
        },
        "narrow": NEMOTRON_H | NEMOTRON_MOE | {
            "layer_types": ["linear_attention", "moe", "full_attention", "moe"], "moe_latent_size": 32, "n_group": 4,
            "topk_group": 2, "norm_topk_prob": False, "mlp_bias": True, "ssm_state_size": 24, "conv_kernel": 3,
        },
    }),
    "granitemoehybrid": ("Mamba-2 and attention, multipliers, experts", ["max_position_embeddings"], {
        "plain": GRANITE | MAMBA2 | {
            "layer_types": ["mamba", "attention", "mamba"], "num_hidden_layers": 3, "mlp_bias": True,
            "position_embedding_type": "nope",
        },
        "experts": GRANITE | MAMBA2 | LOCAL | {
            "layer_types": ["mamba", "attention", "mamba"], "num_hidden_layers": 3, "shared_intermediate_size": 96,
            "attention_bias": True, "mamba_proj_bias": True, "mamba_conv_bias": False, "mamba_d_conv": 3,
            "tie_word_embeddings": False, "time_step_limit": [0.2, 0.9], "rope_parameters": {"rope_theta": 500.0},
            "mamba_n_groups": 1, "mamba_d_state": 24,
        },
        "attention": GRANITE | {"layer_types": ["attention", "attention"]},
    }),
    "falcon_h1": ("attention and Mamba-2 side by side", [
        "attention_in_multiplier", "attention_out_multiplier", "key_multiplier", "initializer_range",
        "mamba_chunk_size", "mamba_expand", "mamba_use_mlp", "max_position_embeddings", "mlp_expansion_factor",
        "mlp_multipliers", "ssm_in_multiplier", "ssm_multipliers", "ssm_out_multiplier",
    ], {
        "plain": MAMBA2 | {
            "head_dim": 16, "mamba_d_ssm": 128, "embedding_multiplier": 4.0, "lm_head_multiplier": 2.0,
        },
        "normed": MAMBA2 | {
            "head_dim": 32, "mamba_d_ssm": 128, "mamba_rms_norm": True, "attention_bias": True, "mlp_bias": True,
            "mamba_proj_bias": True, "projectors_bias": False, "mamba_conv_bias": False, "mamba_n_groups": 1,
            "tie_word_embeddings": False, "rope_traditional": True, "mamba_d_conv": 3, "mamba_d_state": 24,
        },
        "before": MAMBA2 | {
            "head_dim": 16, "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_ssm": 128, "mamba_rms_norm": True,
            "mamba_norm_before_gate": True, "projectors_bias": True, "rope_scaling": LINEAR,
            "embedding_multiplier": 2.0, "lm_head_multiplier": 3.0,
        },
    }),
    "jamba": ("state spaces with norms, attention without rotation, experts", ["max_position_embeddings"], {
        "plain": JAMBA,
        "biases": JAMBA | {
            "layers_block_type": ["mamba", "mamba", "attention"], "mamba_dt_rank": "auto", "mamba_proj_bias": True,
            "mamba_conv_bias": False, "tie_word_embeddings": False, "mamba_d_state": 24, "mamba_d_conv": 3,
            "expert_layer_offset": 0, "num_experts_per_tok": 3,
        },
    }),
    "kimi_linear": ("delta nets with a decay for each column, latent attention without rotation, experts", [
        "rope_scaling", "use_grouped_topk", "mla_use_nope",
    ], {
        "plain": KIMI_LINEAR | LONG | {"num_shared_experts": 1, "routed_scaling_factor": 1.5},
        "groups": KIMI_LINEAR | {
            "qk_nope_head_dim": 48, "v_head_dim": 24, "num_expert_group": 4, "topk_group": 2, "moe_layer_freq": 2,
            "first_k_dense_replace": 0, "moe_renormalize": False, "tie_word_embeddings": True,
            "moe_router_activation_func": "softmax", "num_experts_per_token": 2, "qk_rope_head_dim": 32,
            "linear_attn_config": {"kda_layers": [2, 3], "num_heads": 4, "head_dim": 16, "short_conv_kernel_size": 3},
        },
    }),
    "plamo2": ("Mamba with heads, norms with weights for each head, sandwich norms with offsets of their own", [
        "max_position_embeddings", "attention_window_size", "full_attention_idx", "mamba_chunk_size",
    ], {
        "plain": PLAMO2,
        "other": PLAMO2 | {
            "mamba_d_state": 24, "mamba_d_conv": 3, "mamba_num_heads": 2, "mamba_step": 4, "num_hidden_layers": 4,
            "hidden_size_per_head": 32, "tie_word_embeddings": False,
        },
        "attention": PLAMO2 | {"mamba_enabled": False, "num_hidden_layers": 2},
    }),
    "olmo_hybrid": ("gated delta nets whose memory may change its sign, norms over all heads", [
        "max_position_embeddings",
    ], {
        "plain": OLMO_HYBRID | LONG,
        "other": OLMO_HYBRID | {
            "linear_allow_neg_eigval": False, "tie_word_embeddings": True, "attention_bias": True, "head_dim": 32,
            "linear_num_key_heads": 4, "linear_key_head_dim": 32, "linear_value_head_dim": 16,
            "linear_conv_kernel_dim": 3, "layer_norm_epsilon": 0.02,
            "layer_types": ["full_attention", "linear_attention"], "num_hidden_layers": 2,
            "rope_parameters": {"rope_theta": None}, "num_key_value_heads": None,
        },
    }),
    "gear": ("gated convolutions of keys and values, sliding layers with a base of their own, sandwich norms", [
        "max_position_embeddings", "attention_dropout", "use_bidirectional_attention",
    ], {
        "plain": GEAR,
        "other": GEAR | {
            "head_dim": 32, "hidden_activation": "silu", "attention_bias": True, "query_pre_attn_scalar": 24.0,
            "layer_types": ["sliding_attention", "conv_mixer", "full_attention"], "sliding_window": 7,
            "conv_L_cache": 4, "rope_scaling": LINEAR, "tie_word_embeddings": False, "num_key_value_heads": 4,
            "final_logit_softcapping": 5.0, "attn_logit_softcapping": 2.0, "rope_local_base_freq": 300.0,
        },
    }),
    "bailing_moe_linear": ("linear attention, sigmoid or softmax routing, shared expert", [
        "max_position_embeddings", "norm_head", "norm_softmax", "moe_router_enable_routed_scaling", "use_rmsnorm",
    ], {
        "plain": RING,
        "groups": RING | {
            "score_function": "sigmoid", "n_group": 4, "topk_group": 2, "use_bias": True, "use_qkv_bias": True,
            "use_qk_norm": True, "tie_word_embeddings": True, "partial_rotary_factor": 0.5, "norm_topk_prob": False,
            "moe_router_enable_expert_bias": True, "routed_scaling_factor": 1.5, "rope_scaling": LINEAR,
            "moe_shared_expert_intermediate_size": 96, "num_shared_experts": 2, "first_k_dense_replace": 0,
            "num_experts_per_tok": 2, "intermediate_size": 64, "rope_traditional": True, "head_dim": 32,
            "num_attention_heads": 4, "num_hidden_layers": 5, "layer_group_size": 3, "group_norm_size": 4,
        },
        "alone": RING | {
            "moe_router_enable_shared_expert": False, "num_attention_heads": 6, "num_key_value_heads": 3,
            "hidden_size": 96, "group_norm_size": 3,
        },
    }),
    "bailing_hybrid": ("linear attention, latent attention, absorbed, sigmoid routing, shared expert", [
        "max_position_embeddings", "num_nextn_predict_layers",
    ], {
        "plain": RING_LATENT,
        "other": RING_LATENT | {
            "n_group": 4, "topk_group": 2, "use_bias": True, "use_qkv_bias": True, "use_qk_norm": False,
            "tie_word_embeddings": True, "partial_rotary_factor": 1.0, "norm_topk_prob": False,
            "moe_router_enable_expert_bias": False, "score_function": "softmax", "rope_interleave": False,
            "rope_scaling": LINEAR, "moe_shared_expert_intermediate_size": 96, "num_shared_experts": 2,
            "first_k_dense_replace": 0, "num_experts_per_tok": 2, "intermediate_size": 64, "q_lora_rank": None,
            "num_hidden_layers": 5, "layer_group_size": 3,
        },
    }),
    "bailing_moe_v3": ("delta nets with a bounded decay for each column, latent attention gated head by head", [
        "max_position_embeddings", "kda_safe_gate", "no_kda_lora", "rope_interleave",
    ], {
        "plain": BAILING_V3 | LONG,
        "other": BAILING_V3 | {
            "moe_shared_expert_intermediate_size": 96, "num_shared_experts": 2, "first_k_dense_replace": 0,
            "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "routed_scaling_factor": 1.5, "head_dim": 32,
            "q_lora_rank": None, "short_conv_kernel_size": 3, "kda_lower_bound": -2.0, "tie_word_embeddings": True,
            "rope_scaling": LINEAR, "num_hidden_layers": 5, "layer_group_size": 3, "v_head_dim": 32,
        },
    }),
    "rwkv7": ("time mixing and channel mixing", [], {
        "plain": RWKV | LONG,
        "other": RWKV | {
            "head_dim": 24, "hidden_size": 96, "a_low_rank_dim": 64, "v_low_rank_dim": 32, "gate_low_rank_dim": 64,
            "decay_low_rank_dim": 64, "norm_eps": 0.02, "tie_word_embeddings": True, "intermediate_size": 160,
            "num_hidden_layers": 2,
        },
        # Ranks that 8 bits in groups of 64 fit, which mlx-lm's convert takes whatever the others have.
        "alone": RWKV | {"head_dim": 64, "num_hidden_layers": 2, "a_low_rank_dim": 64, "gate_low_rank_dim": 128},
    }),
    "recurrent_gemma": ("gated linear recurrences, attention within a window", [
        "attention_bias", "max_position_embeddings",
    ], {
        "plain": RECURRENT_GEMMA | {"block_types": ["recurrent", "recurrent", "attention"]},
        "other": RECURRENT_GEMMA | {
            "_block_types": ["recurrent", "attention"], "logits_soft_cap": 0.0, "attention_window_size": 7,
            "embeddings_scale_by_sqrt_dim": False, "num_attention_heads": 2, "rms_norm_eps": 0.1,
        },
    }),
    "baichuan_m1": ("convolutions of keys and values, sliding layers with heads of their own", [
        "conv_window", "tie_word_embeddings",
    ], {
        "plain": BAICHUAN,
        "other": BAICHUAN | {
            "sliding_window_layers": [1], "sliding_window": 7, "num_swa_attention_heads": 2,
            "num_swa_key_value_heads": 1,
        },
    }),
}  # fmt: skip
