"""Families with mixtures of experts."""

from .common import BASE, GRANITE, LINEAR, LLAMA3, LOCAL, MOE, YARN, longrope, sliding

GLM_MOE = {
    "head_dim": 16, "moe_intermediate_size": 64, "norm_topk_prob": True, "n_group": 1, "topk_group": 1,
    "n_shared_experts": 1, "n_routed_experts": 8, "routed_scaling_factor": 1.5, "num_experts_per_tok": 3,
    "first_k_dense_replace": 1, "rope_scaling": None, "use_qk_norm": True, "tie_word_embeddings": False,
    "attention_bias": False, "partial_rotary_factor": 0.5, "num_hidden_layers": 3,
}  # fmt: skip
DOTS = {
    "num_hidden_layers": 3, "first_k_dense_replace": 1, "moe_intermediate_size": 64, "n_routed_experts": 8,
    "n_shared_experts": 1, "norm_topk_prob": True, "num_experts_per_tok": 3, "routed_scaling_factor": 1.5,
    "scoring_func": "noaux_tc",
}  # fmt: skip
BAILING = {
    "num_hidden_layers": 3, "first_k_dense_replace": 1, "moe_intermediate_size": 64, "num_experts": 8,
    "num_shared_experts": 1, "norm_topk_prob": True, "num_experts_per_tok": 3,
}  # fmt: skip
AFMOE = MOE | {"num_hidden_layers": 3, "layer_types": sliding(3, [1]), "sliding_window": 9}

DEEPSEEK = {
    "num_hidden_layers": 3, "moe_intermediate_size": 64, "n_shared_experts": 2, "n_routed_experts": 8,
    "num_experts_per_tok": 3, "first_k_dense_replace": 1,
}  # fmt: skip
MELLUM = {
    "head_dim": 16, "tie_word_embeddings": False, "norm_topk_prob": True, "sliding_window": 9, "num_hidden_layers": 3,
    "layer_types": sliding(3, [1]), "rope_parameters": {
        "full_attention": YARN | {"rope_theta": 500.0}, "sliding_attention": {"rope_theta": 10000.0},
    },
}  # fmt: skip
HUNYUAN = {
    "attention_bias": False, "moe_topk": 2, "num_experts": 4, "num_shared_expert": 1, "use_mixed_mlp_moe": True,
    "use_qk_norm": True, "use_cla": False, "cla_share_factor": 2,
    "rope_scaling": {"alpha": 50.0, "factor": 1.0, "type": "dynamic"},
}  # fmt: skip

LAGUNA = MOE | {
    "num_hidden_layers": 4, "head_dim": 16, "sliding_window": 9, "layer_types": sliding(4, [1, 3]),
    "num_attention_heads_per_layer": [4, 2, 6, 4], "mlp_layer_types": ["dense", "sparse", "sparse", "dense"],
    "shared_expert_intermediate_size": 64, "rope_parameters": {
        "full_attention": YARN | {"rope_theta": 500.0, "partial_rotary_factor": 0.5},
        "sliding_attention": {"rope_theta": 10000.0},
    },
}  # fmt: skip
STEP = {
    "num_hidden_layers": 3, "num_attention_groups": 2, "head_dim": 16, "sliding_window": 9,
    "layer_types": sliding(3, [1]), "moe_num_experts": 6, "moe_top_k": 3, "moe_intermediate_size": 64,
    "share_expert_dim": 64, "attention_other_setting": {"num_attention_heads": 6, "num_attention_groups": 3},
    "num_key_value_heads": None,
}  # fmt: skip
KLEAR = {
    "attention_bias": False, "mlp_only_layers": [], "decoder_sparse_step": 1, "n_shared_experts": 1,
    "norm_topk_prob": True,
}  # fmt: skip
MIMO = {
    "num_hidden_layers": 3, "num_experts_per_tok": 3, "hybrid_layer_pattern": [1, 0, 1], "moe_layer_freq": [0, 1, 1],
    "add_swa_attention_sink_bias": True, "add_full_attention_sink_bias": False, "sliding_window_size": 9,
    "moe_intermediate_size": 64, "n_shared_experts": None, "n_routed_experts": 8, "routed_scaling_factor": None,
    "topk_method": "noaux_tc", "scoring_func": "sigmoid", "norm_topk_prob": True, "n_group": 1, "topk_group": 1,
    "layernorm_epsilon": 0.01, "swa_rope_theta": 500.0, "swa_num_attention_heads": 6, "swa_num_key_value_heads": 3,
    "head_dim": 32, "v_head_dim": 24, "swa_head_dim": 16, "swa_v_head_dim": 16, "partial_rotary_factor": 0.5,
}  # fmt: skip
LLAMA4_MOE = {
    "model_type": "llama4_text", "attention_bias": False, "attention_chunk_size": 9, "head_dim": 16,
    "interleave_moe_layer_step": 1, "intermediate_size": 64, "intermediate_size_mlp": 128, "num_experts_per_tok": 1,
    "num_hidden_layers": 5, "num_local_experts": 6, "rope_scaling": None, "use_qk_norm": True, "floor_scale": 8,
    "attn_scale": 0.4,
}  # fmt: skip

FAMILIES = {
    "dbrx": ("clipped queries, keys and values, layer norms, experts in tensors of their own", [], {
        "plain": {
            "d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 512,
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 1.5, "rope_theta": 10000.0},
            "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 6, "moe_top_k": 3},
        },
        "wide": {
            "d_model": 128, "n_layers": 3, "n_heads": 8, "max_seq_len": 512,
            "attn_config": {"kv_n_heads": 8, "clip_qkv": 2.5, "rope_theta": 500.0},
            "ffn_config": {
                "ffn_hidden_size": 96, "moe_num_experts": 4, "moe_top_k": 1, "moe_normalize_expert_weights": 1,
                "ffn_act_fn": {"name": "silu"},
            },
        },
    }),
    "qwen3_moe": ("experts, norms on heads", ["max_position_embeddings", "rope_scaling"], {
        "plain": MOE | {
            "head_dim": 16, "decoder_sparse_step": 1, "mlp_only_layers": [], "tie_word_embeddings": False,
            "norm_topk_prob": True,
        },
        "mixed": MOE | {
            "head_dim": 32, "decoder_sparse_step": 2, "mlp_only_layers": [3], "tie_word_embeddings": True,
            "norm_topk_prob": False, "num_hidden_layers": 4,
        },
    }),
    "qwen2_moe": ("experts, a gated shared expert", ["rope_scaling", "tie_word_embeddings", "intermediate_size"], {
        "plain": MOE | {"shared_expert_intermediate_size": 96},
        "traditional": MOE | {"shared_expert_intermediate_size": 64, "rope_traditional": True, "rope_theta": 500.0},
    }),
    "mixtral": ("experts", ["rope_scaling"], {
        "plain": LOCAL,
        "tied": LOCAL | {"tie_word_embeddings": True, "rope_traditional": True},
    }),
    "gpt_oss": ("sinks, sliding layers, experts with biases", [], {
        "plain": LOCAL | {"head_dim": 16, "sliding_window": 9, "rope_scaling": YARN},
        "types": LOCAL | {"head_dim": 32, "sliding_window": 20, "layer_types": sliding(3, [0]), "num_hidden_layers": 3},
    }),
    "phimoe": ("sparse mixer, layer norm, longrope", [], {
        "plain": LOCAL | {"rope_scaling": None},
        "longrope": LOCAL | {
            "rope_scaling": longrope(8) | {"short_mscale": 1.1, "long_mscale": 1.2},
            "original_max_position_embeddings": 16, "router_jitter_noise": 0.3,
        },
    }),
    "granitemoe": ("multipliers, experts", ["max_position_embeddings"], {
        "plain": GRANITE | LOCAL,
        "biases": GRANITE | LOCAL | {"attention_bias": True, "tie_word_embeddings": False, "rope_scaling": YARN},
    }),
    "olmoe": ("experts, norms over all heads", ["max_position_embeddings"], {
        "plain": {"num_experts": 6, "num_experts_per_tok": 3, "intermediate_size": 64},
        "biases": {
            "num_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 64, "norm_topk_prob": True,
            "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False, "head_dim": 32,
            "rope_traditional": True, "rope_scaling": LINEAR, "num_key_value_heads": None,
        },
    }),
    "glm4_moe": ("sigmoid routing, shared expert", [
        "max_position_embeddings", "rope_scaling", "tie_word_embeddings", "scoring_func", "topk_method",
    ], {
        "plain": GLM_MOE,
        "groups": GLM_MOE | {
            "n_group": 4, "topk_group": 2, "norm_topk_prob": False, "use_qk_norm": False, "attention_bias": True,
            "n_shared_experts": None, "first_k_dense_replace": 0, "partial_rotary_factor": 1.0, "head_dim": 32,
        },
    }),
    "ernie4_5_moe": ("experts in the middle layers", ["max_position_embeddings", "moe_capacity", "moe_use_aux_free"], {
        "plain": {
            "use_bias": False, "tie_word_embeddings": True, "moe_num_experts": 6, "moe_k": 2,
            "moe_layer_start_index": 1, "moe_intermediate_size": 64, "moe_num_shared_experts": 2,
            "num_hidden_layers": 3,
        },
        "sigmoid": {
            "use_bias": True, "tie_word_embeddings": False, "moe_num_experts": 6, "moe_k": 3, "head_dim": 32,
            "moe_layer_end_index": 1, "moe_layer_interval": 2, "moe_gate_act": "sigmoid", "num_hidden_layers": 4,
            "intermediate_size": 64,
        },
    }),
    "minimax": ("experts, norms over all heads", [
        "max_position_embeddings", "shared_intermediate_size", "scoring_func",
    ], {
        "plain": LOCAL | {"shared_intermediate_size": 0, "rotary_dim": 16},
        "partial": LOCAL | {
            "shared_intermediate_size": 0, "rotary_dim": 8, "head_dim": 32, "use_qk_norm": False,
            "tie_word_embeddings": True,
        },
    }),
    "dots1": ("sigmoid routing, norms on heads, shared expert", [
        "max_position_embeddings", "scoring_func", "attention_bias",
    ], {
        "plain": DOTS,
        "groups": DOTS | {
            "n_group": 4, "topk_group": 2, "norm_topk_prob": False, "n_shared_experts": 2, "first_k_dense_replace": 0,
            "head_dim": 32, "mlp_bias": True, "tie_word_embeddings": True, "rope_scaling": LINEAR,
            "routed_scaling_factor": 1.0, "num_experts_per_tok": 2,
        },
    }),
    "bailing_moe": ("fused projections, sigmoid or softmax routing, shared expert", [
        "max_position_embeddings", "norm_head", "norm_softmax", "moe_router_enable_routed_scaling",
    ], {
        "plain": BAILING,
        "groups": BAILING | {
            "score_function": "sigmoid", "n_group": 4, "topk_group": 2, "use_bias": True, "use_qkv_bias": True,
            "use_qk_norm": True, "tie_word_embeddings": True, "partial_rotary_factor": 0.5, "norm_topk_prob": False,
            "moe_router_enable_expert_bias": True, "routed_scaling_factor": 1.5, "rope_scaling": LINEAR,
            "moe_shared_expert_intermediate_size": 96, "num_shared_experts": 2, "first_k_dense_replace": 0,
            "num_experts_per_tok": 2, "intermediate_size": 64,
        },
        "alone": BAILING | {"moe_router_enable_shared_expert": False, "rotary_dim": 8, "num_shared_experts": 1},
    }),
    "solar_open": ("sigmoid routing, shared expert", [
        "max_position_embeddings", "rope_scaling", "tie_word_embeddings", "scoring_func", "topk_method",
    ], {
        "plain": {key: value for key, value in GLM_MOE.items() if key not in ("use_qk_norm", "attention_bias")},
        "groups": GLM_MOE | {
            "n_group": 4, "topk_group": 2, "norm_topk_prob": False, "use_qk_norm": True, "attention_bias": True,
            "first_k_dense_replace": 0, "partial_rotary_factor": 1.0, "head_dim": 32,
        },
    }),
    "afmoe": ("gated attention, sliding layers alone are rotated, sandwich norms, sigmoid routing", [
        "max_position_embeddings",
    ], {
        "plain": AFMOE | {"head_dim": 16, "num_shared_experts": 1, "num_dense_layers": 1, "route_scale": 1.5},
        "groups": AFMOE | {
            "head_dim": 32, "num_shared_experts": 0, "num_dense_layers": 0, "n_group": 4, "topk_group": 2,
            "route_norm": False, "score_func": "softmax", "mup_enabled": False, "tie_word_embeddings": True,
            "rope_scaling": LINEAR, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
            "sliding_window": 20, "layer_types": sliding(3, [0]),
        },
    }),
    "exaone_moe": ("sliding layers alone are rotated, sigmoid routing", [
        "max_position_embeddings", "scoring_func", "topk_method",
    ], {
        "plain": AFMOE | {
            "head_dim": 16, "num_shared_experts": 1, "is_moe_layer": [False, True, True],
            "rope_parameters": {"rope_theta": 500.0},
        },
        "full": AFMOE | {
            "head_dim": 32, "num_shared_experts": 0, "is_moe_layer": [True, True, False], "n_group": 3,
            "topk_group": 2, "norm_topk_prob": False, "routed_scaling_factor": 1.5, "tie_word_embeddings": True,
            "rope_scaling": LINEAR, "num_experts_per_tok": 2, "layer_types": sliding(3, [0, 1, 2]),
        },
    }),
    "deepseek": ("experts in later layers, shared expert", ["max_position_embeddings"], {
        "plain": DEEPSEEK,
        "biases": DEEPSEEK | {
            "n_shared_experts": None, "num_experts_per_tok": 2, "moe_layer_freq": 2, "first_k_dense_replace": 0,
            "rope_scaling": LINEAR, "attention_bias": True, "n_routed_experts": 6,
        },
    }),
    "mellum": ("experts, norms on heads, sliding layers with an embedding of their own", ["max_position_embeddings"], {
        "plain": MOE | MELLUM,
        "tied": MOE | MELLUM | {
            "head_dim": 32, "tie_word_embeddings": True, "norm_topk_prob": False, "layer_types": sliding(3, [0]),
            "sliding_window": 7, "num_experts": 8, "num_experts_per_tok": 2, "rope_parameters": {
                "full_attention": {"rope_theta": 10000.0}, "sliding_attention": LLAMA3 | {"rope_theta": 500.0},
            },
        },
    }),
    "phixtral": ("parallel blocks, experts with biases and no gate", [], {
        "plain": {
            "num_vocab": 96, "model_dim": 64, "num_heads": 4, "num_layers": 2, "rotary_dim": 8,
            "num_experts_per_tok": 2, "num_local_experts": 4,
        },
        "more": {
            "num_vocab": 100, "model_dim": 96, "num_heads": 3, "num_layers": 3, "rotary_dim": 32,
            "num_experts_per_tok": 3, "num_local_experts": 6,
        },
    }),
    "hunyuan": ("experts beside a shared MLP, norms after rotation, keys and values that layers share", [
        "tie_word_embeddings",
    ], {
        "plain": HUNYUAN,
        "shared": HUNYUAN | {
            "use_cla": True, "cla_share_factor": 2, "num_hidden_layers": 4, "attention_bias": True,
            "moe_topk": [1, 2, 3, 2], "num_shared_expert": [1, 2, 1, 2], "moe_intermediate_size": [64, 96, 64, 96],
            "rope_scaling": {"alpha": 1000.0, "factor": 1.0, "type": "dynamic"},
        },
        "dense": HUNYUAN | {
            "num_experts": 1, "use_qk_norm": False, "use_cla": True, "cla_share_factor": 3, "num_hidden_layers": 4,
            "use_mixed_mlp_moe": False,
        },
        "alone": HUNYUAN | {"use_mixed_mlp_moe": False, "moe_intermediate_size": 64, "num_experts": 6},
    }),
    "laguna": ("attention gated head by head by a softplus, heads by layer, sigmoid routing, shared expert", [
        "max_position_embeddings",
    ], {
        "plain": LAGUNA,
        "other": LAGUNA | {
            "head_dim": 32, "gating": False, "attention_bias": True, "qkv_bias": True, "tie_word_embeddings": True,
            "partial_rotary_factor": 0.5, "rope_parameters": None, "layer_types": None, "mlp_layer_types": None,
            "num_attention_heads_per_layer": None, "moe_routed_scaling_factor": 1.5,
            "moe_router_logit_softcapping": 1.5, "moe_router_score_func": "sqrtsoftplus", "num_experts_per_tok": 2,
            "shared_expert_intermediate_size": 96,
        },
    }),
    "step3p5": ("attention gated head by head, layers with heads and bases of their own, limited gates, experts", [
        "max_position_embeddings", "tie_word_embeddings",
    ], {
        "plain": STEP | {"rope_scaling": LLAMA3 | {"type": "llama3"}, "yarn_only_types": ["full_attention"]},
        "lists": STEP | {
            "layer_types": None, "rope_theta": [500.0, 10000.0, 300.0], "partial_rotary_factors": [0.5, 1.0, 0.25],
            "attention_other_setting": None, "use_head_wise_attn_gate": False, "moe_layers_enum": "0,2",
            "norm_expert_weight": False, "moe_router_scaling_factor": 1.5, "swiglu_limits": [0.5, 0.0, 0.3],
            "swiglu_limits_shared": [0.4, 0.2, 0.0], "head_dim": 32, "moe_top_k": 2, "rope_scaling": LINEAR,
        },
    }),
    "Klear": ("experts and a shared one that each row balances, norms on heads", ["max_position_embeddings"], {
        "plain": MOE | KLEAR,
        "mixed": MOE | KLEAR | {
            "attention_bias": True, "mlp_only_layers": [1], "decoder_sparse_step": 2, "num_hidden_layers": 4,
            "n_shared_experts": 2, "norm_topk_prob": False, "num_experts": 8, "num_experts_per_tok": 2,
        },
    }),
    "mimo_v2_flash": ("narrow values, sinks, sliding layers with sizes of their own, experts", [
        "max_position_embeddings", "topk_method", "scoring_func",
    ], {
        "plain": MIMO,
        "other": MIMO | {
            "add_swa_attention_sink_bias": False, "add_full_attention_sink_bias": True, "n_shared_experts": 2,
            "n_group": 4, "topk_group": 2, "norm_topk_prob": False, "routed_scaling_factor": 1.5,
            "attention_value_scale": 0.7, "v_head_dim": 16, "partial_rotary_factor": 1.0, "num_experts_per_tok": 2,
            "hybrid_layer_pattern": [0, 1, 0], "moe_layer_freq": [1, 0, 1],
        },
    }),
    "llama4": ("text part; attention within chunks, weighed inputs of experts", [
        "model_type", "max_position_embeddings",
    ], {
        "plain": {"text_config": BASE | LLAMA4_MOE},
        "other": {"text_config": BASE | LLAMA4_MOE | {
            "attention_bias": True, "head_dim": 32, "attention_chunk_size": 7, "interleave_moe_layer_step": 2,
            "use_qk_norm": False, "rope_scaling": LLAMA3, "attn_temperature_tuning": 0, "num_local_experts": 4,
        }},
    }),
}  # fmt: skip
