"""Families of which the text part runs."""

from .common import BASE, GEMMA4, LATENT, LFM, LONG, MINISTRAL, MOE, YARN, sliding

MINIMAX_M3 = {
    "model_type": "minimax_m3", "num_hidden_layers": 3, "head_dim": 16, "intermediate_size": 64,
    "dense_intermediate_size": 128, "shared_intermediate_size": 64, "num_local_experts": 6, "num_experts_per_tok": 3,
    "mlp_layer_types": ["dense", "sparse", "sparse"],
    "sparse_attention_config": {
        "sparse_num_index_heads": 2, "sparse_index_dim": 16, "sparse_block_size": 4, "sparse_topk_blocks": 3,
        "sparse_local_block": 1, "sparse_attention_freq": [0, 1, 1],
    },
}  # fmt: skip

MUSE_SPARK = {
    "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "vocab_size": 96, "rms_norm_eps": 0.01, "post_norm_eps": 0.02, "rope_parameters": {"rope_theta": 10000.0},
    "layer_rope_theta": [10000.0, 10000.0, 0.0, 10000.0], "layer_types": sliding(4, [2]), "sliding_window": 9,
    "final_logit_softcapping": 3.0, "output_multiplier": 0.5, "num_local_experts": 6, "num_experts_per_tok": 3,
    "moe_hidden_size": 32, "moe_intermediate_size": 64,
}  # fmt: skip

NVFP4 = {"group_size": 16, "bits": 4, "mode": "nvfp4"}

KIMI_K3 = {
    "model_type": "kimi_linear", "num_hidden_layers": 3, "num_key_value_heads": 4, "num_experts": 8,
    "moe_intermediate_size": 64, "kv_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 16,
    "first_k_dense_replace": 1, "num_experts_per_token": 3, "hidden_act": "situ", "attn_res_block_size": 2,
    "linear_attn_config": {
        "kda_layers": [1, 3], "num_heads": 2, "head_dim": 32, "short_conv_kernel_size": 4, "gate_lower_bound": -5.0,
    },
}  # fmt: skip

FAMILIES = {
    "gemma3": ("text part", ["model_type"], {
        "plain": {"text_config": {
            "model_type": "gemma3_text", "hidden_size": 64, "num_hidden_layers": 3, "intermediate_size": 128,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 0.01,
            "sliding_window": 9, "sliding_window_pattern": 2,
        }},
    }),
    "gemma4": ("text part", ["model_type"], {
        "plain": {"text_config": GEMMA4 | {
            "model_type": "gemma4_text", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
            "num_key_value_heads": 2, "rms_norm_eps": 0.01,
        }},
    }),
    "mistral3": ("text part", ["model_type"], {
        "llama": {"text_config": BASE | {"model_type": "mistral", "head_dim": 32}},
        "ministral": {"text_config": BASE | MINISTRAL | {"model_type": "ministral3", "tie_word_embeddings": True}},
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
    "pixtral": ("text part", ["model_type"], {"plain": {"text_config": BASE | {"model_type": "mistral"}}}),
    "lfm2-vl": ("text part", ["model_type"], {
        "plain": {"text_config": BASE | LFM | {
            "model_type": "lfm2", "full_attn_idxs": [1], "block_dim": 64, "block_multiple_of": 32,
            "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False, "block_ff_dim": 128,
        }},
    }),
    "kimi_vl": ("text part", ["model_type", "topk_method", "scoring_func"], {
        "plain": {"text_config": BASE | LATENT | {"num_experts_per_tok": 3}},
        "groups": {"text_config": BASE | LATENT | {
            "n_group": 4, "topk_group": 2, "num_experts_per_tok": 2, "moe_layer_freq": 2, "first_k_dense_replace": 0,
            "attention_bias": True, "norm_topk_prob": False, "rope_scaling": YARN | {"type": "yarn"},
        }},
    }),
    "kimi_k25": ("text part", ["model_type"], {
        "plain": {"text_config": BASE | LATENT | {"num_experts_per_tok": 3}},
    }),
    "kimi_k3": ("text part; delta nets, gated latent attention, narrow experts, attention to residual streams", [
        "model_type", "hidden_act", "max_position_embeddings", "mla_use_nope", "moe_router_activation_func",
        "use_grouped_topk",
    ], {
        "plain": {"text_config": BASE | KIMI_K3 | {
            "q_lora_rank": 64, "mla_use_output_gate": True, "num_shared_experts": 1, "routed_scaling_factor": 1.5,
            "routed_expert_hidden_size": 32, "latent_moe_use_norm": True, "activation_situ_beta": 1.5,
            "activation_situ_linear_beta": 2.0,
            "linear_attn_config": KIMI_K3["linear_attn_config"] | {"use_full_rank_gate": True},
        }},
        "groups": {"text_config": BASE | KIMI_K3 | {
            "qk_nope_head_dim": 48, "v_head_dim": 24, "num_expert_group": 4, "topk_group": 2, "moe_layer_freq": 2,
            "first_k_dense_replace": 0, "moe_renormalize": False, "tie_word_embeddings": True,
            "num_experts_per_token": 2, "qk_rope_head_dim": 32, "num_hidden_layers": 4, "num_shared_experts": 2,
            "routed_expert_hidden_size": 96, "attn_res_block_size": 3,
            "linear_attn_config": {
                "kda_layers": [2, 3], "num_heads": 4, "head_dim": 16, "short_conv_kernel_size": 3,
            },
        }},
        "alone": KIMI_K3 | {
            "model_type": "kimi_k3", "attn_res_block_size": None, "num_experts": None, "num_hidden_layers": 3,
            "activation_situ_linear_beta": 1.5, "mla_use_output_gate": True,
        } | LONG,
    }),
    "muse_spark": (
        "text part; gated attention with norms of all heads, narrow experts normed one by one, weighed residual streams", [
            "model_type", "vision_config", "image_token_id", "out_hidden_size", "projector_hidden_size",
            "num_shared_experts", "mlp_layer_types",
        ], {
        "plain": {"text_config": MUSE_SPARK},
        "other": {"text_config": MUSE_SPARK | {
            "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32,
            "rms_norm_eps": 0.05, "post_norm_eps": 0.5, "rope_parameters": {"rope_theta": 500.0, "rope_type": "default"},
            "layer_rope_theta": [0.0, 500.0, 500.0], "layer_types": sliding(3, [0, 1]), "sliding_window": 7,
            "final_logit_softcapping": 7.0, "output_multiplier": 1.5, "num_local_experts": 4, "num_experts_per_tok": 2,
            "moe_hidden_size": 96, "moe_intermediate_size": 32, "qk_scale_factor": 2.0, "routed_scaling_factor": 2.5,
            "num_shared_experts": 0, "mlp_layer_types": ["sparse"] * 3,
        }},
        "scaled": {"text_config": MUSE_SPARK, "_packed": True, "quantization": NVFP4 | {
            f"model.language_model.layers.{layer}.mlp.experts.{part}": NVFP4 | {"global_scale": part != "up_proj" or layer > 1}
            for layer in range(4) for part in ("gate_proj", "up_proj", "down_proj")
        }},
        "sliding": {"text_config": MUSE_SPARK | {
            "num_hidden_layers": 2, "layer_rope_theta": [10000.0, 10000.0], "layer_types": ["sliding_attention"] * 2,
            "num_experts_per_tok": 1, "post_norm_eps": 0.2,
        }},
    }),
    "minimax_m3_vl": ("text part; chosen blocks of positions; experts with clipped gates", ["model_type"], {
        "plain": {"text_config": BASE | MINIMAX_M3 | {"partial_rotary_factor": 0.25}},
        "other": {"text_config": BASE | MINIMAX_M3 | {
            "dense_intermediate_size": 96, "shared_intermediate_size": 96, "num_experts_per_tok": 2, "head_dim": 32,
            "rotary_dim": 8, "tie_word_embeddings": True, "routed_scaling_factor": 1.5, "use_qk_norm": False,
            "use_gemma_norm": False, "swiglu_alpha": 1.2, "swiglu_limit": 0.8, "moe_layer_freq": [1, 0, 1],
            "mlp_layer_types": None, "sparse_attention_config": None, "rope_parameters": YARN | {
                "rope_theta": 500.0, "partial_rotary_factor": 0.25,
            },
        }},
        "flat": {"text_config": BASE | MINIMAX_M3 | {
            "sparse_attention_config": None, "index_n_heads": 1, "index_head_dim": 8, "index_block_size": 2,
            "index_topk_blocks": 6, "index_local_blocks": 2, "rotary_dim": 16,
            "num_hidden_layers": 5, "mlp_layer_types": ["dense", "sparse", "sparse", "dense", "dense"],
            "layer_types": ["minimax_m3_sparse", "full_attention"] + ["minimax_m3_sparse"] * 3,
        }},
        "bare": {"text_config": BASE | MINIMAX_M3 | {
            "sparse_attention_config": None, "index_n_heads": 2, "index_head_dim": 32, "index_block_size": 1,
            "index_topk_blocks": 7, "index_local_blocks": 0, "sparse_attention_freq": [1, 0, 1],
            "use_gemma_norm": False, "rotary_dim": 8,
        }},
    }),
}  # fmt: skip
