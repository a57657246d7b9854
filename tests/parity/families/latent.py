"""Families with latent attention."""

from .common import BASE, LATENT, LINEAR, YARN, longrope

GLM_DSA = LATENT | {
    "rope_theta": None, "rope_parameters": {"rope_theta": 10000.0}, "num_experts_per_tok": 3, "index_head_dim": 32,
    "index_n_heads": 12, "index_topk": 9, "topk_method": "noaux_tc", "scoring_func": "sigmoid",
    "norm_topk_prob": True, "n_group": 1, "topk_group": 1, "moe_layer_freq": 1, "attention_bias": False,
}  # fmt: skip
MISTRAL4 = LATENT | {
    "norm_topk_prob": True, "topk_group": 1, "n_group": 1, "num_experts_per_tok": 3,
    "rope_parameters": {
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
        "llama_4_scaling_beta": 0.4, "mscale": 1.0, "mscale_all_dim": 1.0,
    },
}  # fmt: skip

LONGCAT = {key: value for key, value in LATENT.items() if key not in ("num_hidden_layers", "moe_intermediate_size")} | {
    "attention_method": "MLA", "zero_expert_type": "identity", "ffn_hidden_size": 128, "moe_topk": 4,
    "expert_ffn_hidden_size": 64, "zero_expert_num": 4, "num_layers": 1, "mla_scale_q_lora": True,
    "mla_scale_kv_lora": True, "attention_bias": False, "kv_lora_rank": 32, "q_lora_rank": 32,
}  # fmt: skip

# A layer with the window alone, one that makes and chooses entries, one that chooses from the same, one that makes others.
V41 = {
    "num_hidden_layers": 4, "head_dim": 32, "q_lora_rank": 64, "qk_rope_head_dim": 8, "o_groups": 2, "o_lora_rank": 32,
    "moe_intermediate_size": 64, "n_routed_experts": 8, "num_experts_per_tok": 3, "swiglu_limit": 1.5,
    "sliding_window": 9, "compress_ratios": [0, 2, 2, 2], "kv_source_layer_ids": [1, 3],
    "index_source_layer_ids": [1, 2], "candidate_source_layer_id": 1, "candidate_topk_blocks": 3,
    "candidate_block_size": 3, "index_n_heads": 12, "index_head_dim": 32, "index_topk": 5, "hc_mult": 4,
    "hc_sinkhorn_iters": 4, "hc_eps": 0.01, "routed_scaling_factor": 1.5, "compress_rope_theta": 160000.0,
    "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 16, "beta_slow": 2},
}  # fmt: skip
# Entries of one position and of three; widths that mlx-lm rounds nothing in.
V41_OTHER = V41 | {
    "head_dim": 48, "qk_rope_head_dim": 16, "o_groups": 1, "o_lora_rank": 16,
    "scoring_func": "sigmoid", "gate_temp": 1.5, "norm_topk_prob": False, "swiglu_limit": 0.0, "hc_mult": 2,
    "hc_sinkhorn_iters": 1, "compress_ratios": [1, 1, 3, 3], "kv_source_layer_ids": [0, 2],
    "index_source_layer_ids": [0, 2], "candidate_source_layer_id": -1, "index_head_dim": 24, "index_topk": 7,
    "rope_scaling": None, "routed_scaling_factor": 1.0, "compress_rope_theta": 500.0,
}  # fmt: skip

NGRAM = LONGCAT | {"ngram_vocab_size_ratio": 2}

FAMILIES = {
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
    "youtu_llm": ("latent attention", ["max_position_embeddings", "num_key_value_heads"], {
        "plain": LATENT,
        "untied": LATENT | {
            "q_lora_rank": None, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False,
            "rope_traditional": False, "rope_scaling": LINEAR, "v_head_dim": 32, "kv_lora_rank": 64,
        },
    }),
    # With few heads many positions have a sum of zero, and which of them are chosen is nobody's promise.
    "deepseek_v32": ("latent attention, absorbed; chosen positions; sigmoid routing", [
        "max_position_embeddings", "num_key_value_heads", "topk_method", "scoring_func",
    ], {
        "plain": LATENT | {
            "rope_scaling": YARN | {"type": "yarn"}, "num_experts_per_tok": 3, "index_head_dim": 32,
            "index_n_heads": 16, "index_topk": 8,
        },
        "groups": LATENT | {
            "q_lora_rank": 32, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 2, "moe_layer_freq": 2,
            "first_k_dense_replace": 0, "n_shared_experts": None, "attention_bias": True, "norm_topk_prob": False,
            "routed_scaling_factor": 1.0, "v_head_dim": 48, "index_head_dim": 16, "index_n_heads": 12,
            "index_topk": 17, "indexer_rope_interleave": True,
        },
        "all": LATENT | {"num_experts_per_tok": 3, "index_head_dim": 32, "index_n_heads": 2, "index_topk": 64},
    }),
    "glm_moe_dsa": ("latent attention, absorbed; chosen positions; sigmoid routing", [
        "max_position_embeddings", "num_key_value_heads", "topk_method", "scoring_func", "rope_scaling",
        "rope_theta",
    ], {
        "plain": GLM_DSA,
        "groups": GLM_DSA | {
            "q_lora_rank": 32, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 2, "moe_layer_freq": 2,
            "first_k_dense_replace": 0, "n_shared_experts": None, "attention_bias": True, "norm_topk_prob": False,
            "routed_scaling_factor": 1.0, "v_head_dim": 48,
            "rope_parameters": YARN | {"rope_theta": 500.0}, "index_topk": 20, "indexer_rope_interleave": False,
        },
    }),
    "mistral4": ("latent attention, absorbed; queries that grow; softmax routing", [
        "max_position_embeddings", "num_key_value_heads", "head_dim", "qk_head_dim", "rope_theta", "rope_scaling",
    ], {
        "plain": MISTRAL4,
        "groups": MISTRAL4 | {
            "q_lora_rank": None, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 2, "first_k_dense_replace": 0,
            "attention_bias": True, "norm_topk_prob": False, "routed_scaling_factor": 1.0, "v_head_dim": 48,
            "tie_word_embeddings": True, "rope_interleave": False, "n_shared_experts": 2,
            "rope_parameters": {
                "rope_theta": 500.0, "llama_4_scaling_beta": 0.2, "original_max_position_embeddings": 8,
            },
        },
    }),
    "longcat_flash": ("latent attention, absorbed; experts beside the next block; choices that are no experts", [
        "max_position_embeddings", "attention_method", "zero_expert_type", "mla_scale_q_lora", "mla_scale_kv_lora",
        "norm_topk_prob",
    ], {
        "plain": LONGCAT,
        # So many blocks make of rounding, with scales of powers of two, what no check can tell.
        "pairs": LONGCAT | {"num_layers": 2, "_floats": True},
        "other": LONGCAT | {
            "zero_expert_num": 2, "moe_topk": 3, "attention_bias": True, "router_bias": True, "norm_topk_prob": True,
            "rope_scaling": YARN | {"type": "yarn"}, "v_head_dim": 32,
        },
    }),
    "longcat_flash_ngram": ("as longcat_flash, with embeddings of n-grams", [
        "max_position_embeddings", "zero_expert_type", "mla_scale_q_lora", "mla_scale_kv_lora", "norm_topk_prob",
    ], {
        "plain": NGRAM | {"emb_neighbor_num": 3, "emb_split_num": 1},
        "many": NGRAM | {"ngram_vocab_size_ratio": 3},
        "other": NGRAM | {
            "emb_neighbor_num": 2, "emb_split_num": 2, "zero_expert_num": 2, "moe_topk": 3, "attention_bias": True,
            "router_bias": True, "norm_topk_prob": True, "rope_scaling": YARN | {"type": "yarn"}, "v_head_dim": 32,
        },
    }),
    "deepseek_v41": ("as deepseek_v41_text, in a model that also sees", ["engram_layer_ids"], {
        "plain": {"text_config": BASE | V41 | {
            "scoring_func": "softmax", "rope_scaling": {"type": "yarn", "factor": 4.0}, "max_position_embeddings": 64,
        }, "_jumps": True, "_tokens": 30},
    }),
    # With fewer tokens there are more cases without a number that is close to a jump.
    "deepseek_v41_text": ("hyper-connections; chosen entries beside a window", ["engram_layer_ids"], {
        "plain": V41 | {"_jumps": True, "_tokens": 30}, "other": V41_OTHER | {"_jumps": True},
    }),
}  # fmt: skip
