"""Tiny configurations of every model_type that runs here: variants that between them vary every field of mlx-lm's
`ModelArgs`, or list it as inert because neither side's answers depend on it."""

BASE = {
    "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 96, "max_position_embeddings": 512, "rms_norm_eps": 0.01,
    "rope_theta": 10000.0, "eos_token_id": 95,
}  # fmt: skip

LINEAR = {"type": "linear", "factor": 4.0}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 16, "beta_slow": 2,
    "mscale": 0.7, "mscale_all_dim": 0.2,
}  # fmt: skip
DYNAMIC = {"type": "dynamic", "factor": 2.0}


def longrope(pairs):
    long = [1.0 + 0.5 * i * i for i in range(pairs)]
    return {
        "type": "longrope", "original_max_position_embeddings": 16, "short_factor": [1.0] * pairs, "long_factor": long,
    }  # fmt: skip


def sliding(layers, full):
    return ["full_attention" if i in full else "sliding_attention" for i in range(layers)]


MOE = {"num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 64}
LOCAL = {"num_local_experts": 6, "num_experts_per_tok": 3, "intermediate_size": 64}
GRANITE = {
    "logits_scaling": 2.0, "attention_multiplier": 0.3, "embedding_multiplier": 3.0, "residual_multiplier": 0.7,
    "attention_bias": False,
}  # fmt: skip
GLM_MOE = {
    "head_dim": 16, "moe_intermediate_size": 64, "norm_topk_prob": True, "n_group": 1, "topk_group": 1,
    "n_shared_experts": 1, "n_routed_experts": 8, "routed_scaling_factor": 1.5, "num_experts_per_tok": 3,
    "first_k_dense_replace": 1, "rope_scaling": None, "use_qk_norm": True, "tie_word_embeddings": False,
    "attention_bias": False, "partial_rotary_factor": 0.5, "num_hidden_layers": 3,
}  # fmt: skip
GEMMA4 = {
    "num_hidden_layers": 5, "head_dim": 16, "global_head_dim": 32, "vocab_size_per_layer_input": 96,
    "num_kv_shared_layers": 2, "hidden_size_per_layer_input": 32, "sliding_window": 9, "sliding_window_pattern": 2,
    "final_logit_softcapping": 5.0,
}  # fmt: skip
MINISTRAL = {
    "rope_parameters": {
        "rope_type": "yarn", "type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
        "original_max_position_embeddings": 16, "llama_4_scaling_beta": 0.4, "mscale": 1.0, "mscale_all_dim": 1.0,
    },
}  # fmt: skip

LFM = {"num_hidden_layers": 3, "norm_eps": 0.01, "conv_bias": False, "conv_L_cache": 3}
DELTA = {
    "num_hidden_layers": 3, "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16,
    "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4, "head_dim": 32, "full_attention_interval": 2,
}  # fmt: skip

LATENT = {
    "num_hidden_layers": 3, "moe_intermediate_size": 64, "n_shared_experts": 1, "n_routed_experts": 8,
    "routed_scaling_factor": 1.5, "kv_lora_rank": 32, "q_lora_rank": 64, "qk_rope_head_dim": 16, "v_head_dim": 16,
    "qk_nope_head_dim": 32, "first_k_dense_replace": 1, "num_key_value_heads": 4,
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

GEMMA3N = BASE | {
    "model_type": "gemma3n_text", "num_hidden_layers": 3, "head_dim": 16, "num_kv_shared_layers": 1,
    "vocab_size_per_layer_input": 96, "sliding_window": 9, "rope_local_base_freq": 500.0,
    "final_logit_softcapping": 5.0, "layer_types": sliding(3, [1]),
    "activation_sparsity_pattern": [0.95, 0.8, 0.0], "hidden_size_per_layer_input": 32, "altup_num_inputs": 4,
    "altup_coef_clip": 0.7, "altup_correct_scale": True, "altup_active_idx": 0, "laurel_rank": 32,
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

# model_type -> (what it has, inert fields, variants by name). A variant is what it changes of BASE; None removes a key.
FAMILIES = {
    "llama": ("GQA, rope scaling, sliding layers", [], {
        "plain": {"num_hidden_layers": 3},
        "biases": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False, "head_dim": 32},
        "llama3": {"rope_scaling": LLAMA3, "num_key_value_heads": None},
        "linear": {"rope_scaling": LINEAR, "rope_traditional": True},
        "yarn": {"rope_scaling": YARN},
        "dynamic": {"rope_scaling": DYNAMIC},
        "longrope": {"rope_scaling": longrope(8)},
        "sliding": {"num_hidden_layers": 3, "layer_types": sliding(3, [1]), "sliding_window": 9},
    }),
    "mistral": ("llama", [], {"plain": {"tie_word_embeddings": False, "sliding_window": 9}}),
    "qwen2": ("biases on queries, keys, values", [], {
        "plain": {},
        "untied": {"tie_word_embeddings": False, "rope_traditional": True, "rope_scaling": YARN},
    }),
    "qwen3": ("norms on heads", [], {
        "plain": {"head_dim": 16, "tie_word_embeddings": True},
        "untied": {"head_dim": 32, "tie_word_embeddings": False, "rope_scaling": YARN},
        "parameters": {
            "head_dim": 16, "tie_word_embeddings": True, "rope_theta": None,
            "rope_parameters": LINEAR | {"rope_theta": 5000.0},
        },
    }),
    "phi3": ("fused projections, partial rotation, longrope", [], {
        "plain": {"partial_rotary_factor": 0.5},
        "longrope": {
            "rope_scaling": longrope(8), "original_max_position_embeddings": 16, "tie_word_embeddings": True,
            "rope_traditional": True,
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
    "gemma": ("scaled embeddings, GELU", [], {
        "plain": {"head_dim": 16},
        "traditional": {"head_dim": 32, "rope_traditional": True, "num_key_value_heads": 1},
    }),
    "gemma2": ("sandwich norms, capped scores and logits", [], {
        "plain": {"head_dim": 16, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0},
        "traditional": {"head_dim": 32, "rope_traditional": True, "query_pre_attn_scalar": 24.0},
    }),
    "gemma3_text": ("sliding layers with a base of their own", ["max_position_embeddings"], {
        "plain": {
            "head_dim": 16, "sliding_window": 9, "sliding_window_pattern": 3, "num_hidden_layers": 4,
            "rope_local_base_freq": 500.0, "query_pre_attn_scalar": 24.0,
        },
        "linear": {"head_dim": 32, "sliding_window": 20, "sliding_window_pattern": 2, "rope_scaling": LINEAR},
    }),
    "gemma3": ("text part", ["model_type"], {
        "plain": {"text_config": {
            "model_type": "gemma3_text", "hidden_size": 64, "num_hidden_layers": 3, "intermediate_size": 128,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 0.01,
            "sliding_window": 9, "sliding_window_pattern": 2,
        }},
    }),
    "gemma4_text": ("two head widths, shared KV, per-layer inputs, experts", [
        "global_partial_rotary_factor", "partial_rotary_factor", "pad_token_id",
    ], {
        "plain": GEMMA4,
        "keys": GEMMA4 | {
            "attention_k_eq_v": True, "num_global_key_value_heads": 1, "num_kv_shared_layers": 0,
            "hidden_size_per_layer_input": 0, "use_double_wide_mlp": False, "final_logit_softcapping": None,
            "layer_types": sliding(4, [1, 3]), "num_hidden_layers": 4, "tie_word_embeddings": False,
        },
        "experts": GEMMA4 | {
            "enable_moe_block": True, "num_experts": 6, "top_k_experts": 2, "moe_intermediate_size": 64,
            "num_kv_shared_layers": 0, "hidden_size_per_layer_input": 0,
            "rope_parameters": {
                "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.5, "rope_theta": 5000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
            },
            "rope_traditional": True,
        },
    }),
    "gemma4": ("text part", ["model_type"], {
        "plain": {"text_config": GEMMA4 | {
            "model_type": "gemma4_text", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
            "num_key_value_heads": 2, "rms_norm_eps": 0.01,
        }},
    }),
    "gpt_oss": ("sinks, sliding layers, experts with biases", [], {
        "plain": LOCAL | {"head_dim": 16, "sliding_window": 9, "rope_scaling": YARN},
        "types": LOCAL | {"head_dim": 32, "sliding_window": 20, "layer_types": sliding(3, [0]), "num_hidden_layers": 3},
    }),
    "phi": ("parallel blocks, layer norm, partial rotation", ["max_position_embeddings"], {
        "plain": {"layer_norm_eps": 0.01, "partial_rotary_factor": 0.5},
        "grouped": {"layer_norm_eps": 0.02, "partial_rotary_factor": 1.0, "num_key_value_heads": None},
    }),
    "phimoe": ("sparse mixer, layer norm, longrope", [], {
        "plain": LOCAL | {"rope_scaling": None},
        "longrope": LOCAL | {
            "rope_scaling": longrope(8) | {"short_mscale": 1.1, "long_mscale": 1.2},
            "original_max_position_embeddings": 16, "router_jitter_noise": 0.3,
        },
    }),
    "smollm3": ("layers without rotation", [], {
        "plain": {"no_rope_layer_interval": 2, "num_hidden_layers": 3},
        "list": {
            "no_rope_layers": [0, 1], "attention_bias": True, "tie_word_embeddings": False, "head_dim": 32,
            "mlp_bias": True, "rope_traditional": True, "rope_scaling": LLAMA3, "layer_types": sliding(2, [0]),
            "sliding_window": 9,
        },
    }),
    "granite": ("multipliers", ["max_position_embeddings"], {
        "plain": GRANITE | {"mlp_bias": False},
        "biases": GRANITE | {
            "mlp_bias": True, "attention_bias": True, "tie_word_embeddings": False, "rope_scaling": YARN,
        },
    }),
    "granitemoe": ("multipliers, experts", ["max_position_embeddings"], {
        "plain": GRANITE | LOCAL,
        "biases": GRANITE | LOCAL | {"attention_bias": True, "tie_word_embeddings": False, "rope_scaling": YARN},
    }),
    "cohere": ("parallel blocks, layer norm, scaled logits", [], {
        "plain": {"layer_norm_eps": 0.01, "logit_scale": 0.3},
        "normed": {
            "layer_norm_eps": 0.02, "use_qk_norm": True, "attention_bias": True, "layer_norm_bias": True,
            "logit_scale": 0.5,
        },
    }),
    "cohere2": ("sliding layers alone are rotated", [], {
        "plain": {
            "layer_norm_eps": 0.01, "logit_scale": 0.3, "head_dim": 16, "sliding_window": 9,
            "sliding_window_pattern": 2, "num_hidden_layers": 3,
        },
        "biases": {
            "layer_norm_eps": 0.01, "head_dim": 16, "attention_bias": True, "layer_norm_bias": True,
            "sliding_window": 20, "sliding_window_pattern": 3, "num_hidden_layers": 3, "logit_scale": 0.5,
        },
    }),
    "olmo2": ("norms after blocks and over all heads", ["max_position_embeddings"], {
        "plain": {},
        "biases": {
            "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False, "head_dim": 32,
            "rope_traditional": True, "rope_scaling": LLAMA3, "num_key_value_heads": None,
        },
    }),
    "olmo3": ("olmo2 with sliding layers", ["max_position_embeddings"], {
        "plain": {"sliding_window": 9, "num_hidden_layers": 4},
        "types": {
            "sliding_window": 9, "layer_types": sliding(2, [0]), "attention_bias": True, "head_dim": 32,
            "tie_word_embeddings": True, "rope_scaling": YARN, "num_key_value_heads": None,
        },
    }),
    "olmoe": ("experts, norms over all heads", ["max_position_embeddings"], {
        "plain": {"num_experts": 6, "num_experts_per_tok": 3, "intermediate_size": 64},
        "biases": {
            "num_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 64, "norm_topk_prob": True,
            "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False, "head_dim": 32,
            "rope_traditional": True, "rope_scaling": LINEAR, "num_key_value_heads": None,
        },
    }),
    "stablelm": ("layer norm, partial rotation, norms on heads", [], {
        "plain": {"layer_norm_eps": 0.01, "use_qkv_bias": True, "partial_rotary_factor": 0.5},
        "parallel": {
            "layer_norm_eps": 0.02, "use_qkv_bias": False, "partial_rotary_factor": 0.25, "qk_layernorm": True,
            "use_parallel_residual": True,
        },
    }),
    "starcoder2": ("layer norm, plain MLP", [], {
        "plain": {"norm_epsilon": 0.01},
        "untied": {"norm_epsilon": 0.02, "tie_word_embeddings": False},
    }),
    "internlm2": ("grouped projections", ["max_position_embeddings"], {
        "plain": {"bias": False},
        "biases": {
            "bias": True, "tie_word_embeddings": True, "rope_traditional": True, "rope_scaling": LINEAR,
            "num_key_value_heads": None,
        },
        "dynamic": {"bias": False, "rope_scaling": DYNAMIC},
    }),
    "internlm3": ("llama with biases", ["max_position_embeddings"], {
        "plain": {},
        "biases": {
            "bias": True, "qkv_bias": True, "tie_word_embeddings": True, "rope_traditional": True,
            "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "num_key_value_heads": None,
        },
        "dynamic": {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    }),
    "exaone4": ("norms after blocks, global layers without rotation", ["max_position_embeddings"], {
        "plain": {
            "head_dim": 16, "tie_word_embeddings": False, "rope_scaling": LLAMA3, "sliding_window": 9,
            "sliding_window_pattern": "LLG", "num_hidden_layers": 4,
        },
        "full": {
            "head_dim": 32, "tie_word_embeddings": True, "rope_scaling": LINEAR, "sliding_window": None,
            "sliding_window_pattern": None,
        },
    }),
    "glm": ("pairs of neighbours, fused MLP", ["max_position_embeddings"], {
        "plain": {"head_dim": 16},
        "biases": {"head_dim": 32, "attention_bias": True, "tie_word_embeddings": False},
    }),
    "glm4": ("sandwich norms, partial rotation", ["max_position_embeddings"], {
        "plain": {"head_dim": 16, "attention_bias": True, "partial_rotary_factor": 0.5},
        "halves": {"head_dim": 32, "attention_bias": False, "partial_rotary_factor": 1.0, "rope_traditional": False},
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
    "mistral3": ("text part", ["model_type"], {
        "llama": {"text_config": BASE | {"model_type": "mistral", "head_dim": 32}},
        "ministral": {"text_config": BASE | MINISTRAL | {"model_type": "ministral3", "tie_word_embeddings": True}},
    }),
    "ministral3": ("queries that grow", ["max_position_embeddings"], {
        "plain": MINISTRAL,
        "sliding": MINISTRAL | {
            "tie_word_embeddings": False, "head_dim": 32, "layer_types": sliding(2, [0]), "sliding_window": 9,
            "num_key_value_heads": None,
        },
    }),
    "minicpm": ("scaled embeddings, residuals and logits", [
        # mlx-lm cannot load a tied checkpoint: it makes up a head and then has no place for it.
        "max_position_embeddings", "tie_word_embeddings",
    ], {
        "plain": {"dim_model_base": 32, "scale_depth": 1.4, "scale_emb": 3.0},
        "scaled": {
            "dim_model_base": 48, "scale_depth": 0.9, "scale_emb": 2.0, "rope_scaling": LINEAR,
            "rope_traditional": True,
        },
    }),
    "ernie4_5": ("pairs of neighbours", ["max_position_embeddings"], {
        "plain": {"head_dim": None, "use_bias": False, "tie_word_embeddings": True},
        "biases": {"head_dim": 32, "use_bias": True, "tie_word_embeddings": False},
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
    "hunyuan_v1_dense": ("norms after rotation", ["max_position_embeddings"], {
        "plain": {"rope_scaling": {"alpha": 50.0, "factor": 1.0, "type": "dynamic"}, "head_dim": 16},
        "biases": {"attention_bias": True, "use_qk_norm": False, "tie_word_embeddings": True, "head_dim": 32},
    }),
    "nemotron": ("layer norm, squared ReLU", ["max_position_embeddings", "hidden_act", "rope_traditional"], {
        "plain": {"norm_eps": 0.01, "hidden_act": "relu2"},
        "biases": {
            "norm_eps": 0.02, "hidden_act": "relu2", "attention_bias": True, "mlp_bias": True, "head_dim": 32,
            "partial_rotary_factor": 0.25, "rope_scaling": LINEAR, "tie_word_embeddings": True,
        },
    }),
    "seed_oss": ("llama with biases", ["max_position_embeddings"], {
        "plain": {"head_dim": 16, "tie_word_embeddings": False},
        "biases": {
            "head_dim": 32, "attention_bias": True, "attention_out_bias": True, "mlp_bias": True,
            "tie_word_embeddings": False, "rope_traditional": True, "rope_scaling": YARN,
        },
        # mlx-lm multiplies by the table as if it were dense.
        "tied": {"head_dim": 16, "tie_word_embeddings": True, "_floats": True},
    }),
    "helium": ("pairs of neighbours", ["head_dim", "max_position_embeddings"], {
        "plain": {"head_dim": 16, "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False},
        "biases": {"head_dim": 16, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
    }),
    "mimo": ("biases on queries, keys, values", ["max_position_embeddings", "num_nextn_predict_layers"], {
        "plain": {},
        "tied": {"tie_word_embeddings": True, "rope_traditional": True, "rope_scaling": YARN},
    }),
    "apertus": ("xIELU, norms on heads", ["max_position_embeddings", "attention_bias", "post_norm", "qk_norm"], {
        "plain": {
            "mlp_bias": False, "attention_bias": False, "post_norm": False, "qk_norm": True,
            "tie_word_embeddings": False,
        },
        "biases": {
            "mlp_bias": True, "attention_bias": False, "post_norm": False, "qk_norm": True,
            "tie_word_embeddings": True, "rope_traditional": True, "rope_scaling": LLAMA3,
        },
    }),
    "gpt2": ("learned positions", ["n_ctx", "num_key_value_heads"], {
        "plain": {
            "n_ctx": 512, "n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 512, "layer_norm_epsilon": 0.01,
            "num_key_value_heads": None,
        },
    }),
    "gpt_neox": ("parallel blocks, partial rotation", ["max_position_embeddings", "num_key_value_heads"], {
        "plain": {"layer_norm_eps": 0.01, "rotary_emb_base": 10000, "rotary_pct": 0.25, "num_key_value_heads": None},
        "sequence": {
            "layer_norm_eps": 0.02, "rotary_emb_base": 500, "rotary_pct": 1.0, "use_parallel_residual": False,
            "num_key_value_heads": None,
        },
    }),
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
        },
    }),
    "qwen3_5": ("gated delta nets, gated attention", ["model_type"], {
        "plain": {"text_config": BASE | DELTA | {"model_type": "qwen3_5_text"}},
        "parameters": {"text_config": BASE | DELTA | {
            "tie_word_embeddings": True, "attention_bias": True, "linear_num_key_heads": 4,
            "full_attention_interval": 3,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1],
            },
        }},
        "alone": DELTA,
    }),
    "qwen3_5_moe": ("gated delta nets, gated attention, experts, a gated shared expert", ["model_type"], {
        "plain": {"text_config": BASE | DELTA | MOE | {"shared_expert_intermediate_size": 64}},
        "weights": {"text_config": BASE | DELTA | MOE | {
            "shared_expert_intermediate_size": 96, "norm_topk_prob": False, "tie_word_embeddings": True,
        }},
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
    "exaone": ("llama with other names", ["max_position_embeddings"], {
        "plain": {"num_layers": 2, "layer_norm_epsilon": 0.01},
        "biases": {
            "num_layers": 2, "layer_norm_epsilon": 0.02, "attention_bias": True, "mlp_bias": True, "head_dim": 16,
            "tie_word_embeddings": False, "rope_traditional": True, "rope_scaling": LLAMA3,
        },
    }),
    "qwen2_vl": ("text part", ["model_type"], {"plain": {"text_config": BASE | {"model_type": "qwen2"}}}),
    "qwen3_vl": ("text part", ["model_type"], {
        "plain": {"text_config": BASE | {
            "model_type": "qwen3", "head_dim": 16, "tie_word_embeddings": True,
            "rope_scaling": {"rope_type": "mrope", "type": "mrope", "mrope_section": [2, 3, 3]},
        }},
    }),
    "qwen3_vl_moe": ("text part", ["model_type"], {
        "plain": {"text_config": BASE | MOE | {
            "model_type": "qwen3_moe", "head_dim": 16, "decoder_sparse_step": 1, "mlp_only_layers": [],
            "tie_word_embeddings": False, "norm_topk_prob": True,
        }},
    }),
    "deepseek_v2": ("latent attention, experts in groups", ["max_position_embeddings", "num_key_value_heads"], {
        "plain": LATENT | {"topk_method": "gready", "rope_scaling": YARN | {"type": "yarn"}, "num_experts_per_tok": 3},
        "groups": LATENT | {
            "q_lora_rank": None, "topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2,
            "num_experts_per_tok": 3, "first_k_dense_replace": 0, "moe_layer_freq": 2, "n_shared_experts": None,
            "attention_bias": True, "rope_scaling": {"type": "yarn", "factor": 2.0}, "routed_scaling_factor": 1.0,
        },
    }),
    "deepseek_v3": ("latent attention, absorbed; sigmoid routing", [
        "max_position_embeddings", "num_key_value_heads", "topk_method", "scoring_func",
    ], {
        "plain": LATENT | {"rope_scaling": YARN | {"type": "yarn"}, "num_experts_per_tok": 3},
        "groups": LATENT | {
            "q_lora_rank": None, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 2, "moe_layer_freq": 2,
            "first_k_dense_replace": 0, "n_shared_experts": None, "attention_bias": True, "norm_topk_prob": False,
            "routed_scaling_factor": 1.0, "v_head_dim": 48,
        },
    }),
    "glm4_moe_lite": ("latent attention, absorbed; sigmoid routing", [
        "max_position_embeddings", "num_key_value_heads", "topk_method", "scoring_func", "attention_dropout",
        "partial_rotary_factor", "tie_word_embeddings", "num_nextn_predict_layers", "quantization",
    ], {
        "plain": LATENT | {"num_experts_per_tok": 3},
        "groups": LATENT | {
            "n_group": 4, "topk_group": 2, "num_experts_per_tok": 2, "moe_layer_freq": 2, "q_lora_rank": None,
            "first_k_dense_replace": 0, "n_shared_experts": None, "attention_bias": True, "norm_topk_prob": False,
            "routed_scaling_factor": 1.0, "v_head_dim": 48, "rope_scaling": YARN | {"type": "yarn"},
        },
    }),
    "minicpm3": ("latent attention, multipliers", [
        "max_position_embeddings", "rope_traditional", "num_key_value_heads",
    ], {
        "plain": LATENT | {
            "dim_model_base": 32, "scale_depth": 1.4, "scale_emb": 3.0, "rope_scaling": longrope(8),
            "qk_rope_head_dim": 16,
        },
        "tied": LATENT | {
            "dim_model_base": 32, "scale_depth": 0.9, "scale_emb": 2.0, "rope_scaling": longrope(8) | {
                "original_max_position_embeddings": 32,
            }, "qk_rope_head_dim": 16, "attention_bias": True, "tie_word_embeddings": True,
        },
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
        "plain": KIMI_LINEAR | {"num_shared_experts": 1, "routed_scaling_factor": 1.5},
        "groups": KIMI_LINEAR | {
            "qk_nope_head_dim": 48, "v_head_dim": 24, "num_expert_group": 4, "topk_group": 2, "moe_layer_freq": 2,
            "first_k_dense_replace": 0, "moe_renormalize": False, "tie_word_embeddings": True,
            "moe_router_activation_func": "softmax", "num_experts_per_token": 2, "qk_rope_head_dim": 32,
            "linear_attn_config": {"kda_layers": [2, 3], "num_heads": 4, "head_dim": 16, "short_conv_kernel_size": 3},
        },
    }),
    "gemma3n": ("four residual streams, side branches, sparse activations, per-layer inputs, shared KV", ["model_type"], {
        "plain": {"text_config": GEMMA3N},
        "other": {"text_config": GEMMA3N | {
            "num_hidden_layers": 4, "altup_num_inputs": 3, "altup_active_idx": 1, "altup_coef_clip": None, "altup_correct_scale": False,
            "laurel_rank": 16, "num_kv_shared_layers": 0, "activation_sparsity_pattern": [0.0, 0.5, 0.0, 0.0],
            "intermediate_size": [128, 64, 128, 96], "final_logit_softcapping": 3.0, "vocab_size_per_layer_input": 90,
            "layer_types": sliding(4, [0, 3]), "rope_local_base_freq": 300.0, "head_dim": 32,
        }},
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
    "youtu_llm": ("latent attention", ["max_position_embeddings", "num_key_value_heads"], {
        "plain": LATENT,
        "untied": LATENT | {
            "q_lora_rank": None, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False,
            "rope_traditional": False, "rope_scaling": LINEAR, "v_head_dim": 32, "kv_lora_rank": 64,
        },
    }),
    "telechat3": ("llama with biases", ["max_position_embeddings"], {
        "plain": {},
        "biases": {
            "attention_bias": True, "mlp_bias": True, "head_dim": 32, "tie_word_embeddings": True,
            "rope_scaling": LINEAR,
        },
    }),
    "pixtral": ("text part", ["model_type"], {"plain": {"text_config": BASE | {"model_type": "mistral"}}}),
    "lfm2-vl": ("text part", ["model_type"], {
        "plain": {"text_config": BASE | LFM | {
            "model_type": "lfm2", "full_attn_idxs": [1], "block_dim": 64, "block_multiple_of": 32,
            "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False, "block_ff_dim": 128,
        }},
    }),
    "kimi_vl": ("text part", ["model_type"], {
        "plain": {"text_config": BASE | LATENT | {"num_experts_per_tok": 3}},
    }),
    "kimi_k25": ("text part", ["model_type"], {
        "plain": {"text_config": BASE | LATENT | {"num_experts_per_tok": 3}},
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
    # Within index_topk positions the indexer changes nothing.
    "deepseek_v32": ("latent attention, absorbed; sigmoid routing; up to index_topk positions", [
        "max_position_embeddings", "num_key_value_heads", "topk_method", "scoring_func", "index_head_dim",
        "index_n_heads", "index_topk", "indexer_rope_interleave",
    ], {
        "plain": LATENT | {
            "rope_scaling": YARN | {"type": "yarn"}, "num_experts_per_tok": 3, "index_head_dim": 32,
            "index_n_heads": 2, "index_topk": 64,
        },
        "groups": LATENT | {
            "q_lora_rank": 32, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 2, "moe_layer_freq": 2,
            "first_k_dense_replace": 0, "n_shared_experts": None, "attention_bias": True, "norm_topk_prob": False,
            "routed_scaling_factor": 1.0, "v_head_dim": 48, "index_head_dim": 32, "index_n_heads": 2,
        },
    }),
    "nemotron-nas": ("llama whose layers lack parts or have sizes of their own", ["max_position_embeddings"], {
        "plain": {"num_hidden_layers": 3, "block_configs": [
            {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 2.5}},
            {"attention": {"no_op": True}, "ffn": {"ffn_mult": 7.0}},
            {"attention": {"n_heads_in_group": 4}, "ffn": {"no_op": True}},
        ]},
        "matrices": {
            "num_hidden_layers": 4, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True,
            "hidden_act": "gelu", "rope_scaling": LLAMA3, "block_configs": [
                {"attention": {"replace_with_linear": True}, "ffn": {"ffn_mult": 2.5}},
                {"attention": {"n_heads_in_group": 1}, "ffn": {"replace_with_linear": True}},
                {"attention": {"no_op": True}, "ffn": {"no_op": True}},
                {"attention": {"replace_with_linear": True}, "ffn": {"replace_with_linear": True}},
            ],
        },
    }),
}  # fmt: skip

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
    kept = {key: value for key, value in merged.items() if not key.startswith("_")}
    return {key: value for key, value in kept.items() if value is not None or changes.get(key, 0) is None}

# The variants that tests hold without Python: all but those of families with cases in tests/data/cases.json.
COMMITTED = [
    (model_type, variant, ("f32", "4bit-g32", "mxfp4", "f32", "8bit", "nvfp4", "f32", "mxfp8")[i % 8])
    for i, (model_type, variant) in enumerate(
        (model_type, variant)
        for model_type, (_, _, variants) in FAMILIES.items()
        for variant, changes in variants.items()
        if model_type not in ("llama", "mistral", "qwen2", "qwen3", "phi3") and not changes.get("_floats")
    )
]
