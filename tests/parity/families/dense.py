"""Families whose layers have attention and a dense MLP."""

from .common import BASE, GEMMA4, GRANITE, LINEAR, LLAMA3, MINISTRAL, YARN, longrope, sliding

DYNAMIC = {"type": "dynamic", "factor": 2.0}
GEMMA3N = BASE | {
    "model_type": "gemma3n_text", "num_hidden_layers": 3, "head_dim": 16, "num_kv_shared_layers": 1,
    "vocab_size_per_layer_input": 96, "sliding_window": 9, "rope_local_base_freq": 500.0,
    "final_logit_softcapping": 5.0, "layer_types": sliding(3, [1]),
    "activation_sparsity_pattern": [0.95, 0.8, 0.0], "hidden_size_per_layer_input": 32, "altup_num_inputs": 4,
    "altup_coef_clip": 0.7, "altup_correct_scale": True, "altup_active_idx": 0, "laurel_rank": 32,
}  # fmt: skip

GPT = {
    "n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 512, "layer_norm_epsilon": 0.01,
    "num_key_value_heads": None,
}  # fmt: skip
OPENELM = {
    "head_dim": 16, "num_transformer_layers": 3, "model_dim": 64, "ffn_dim_divisor": 32,
    "num_query_heads": [4, 4, 6], "num_kv_heads": [2, 4, 3], "ffn_multipliers": [1.0, 2.2, 1.6],
}  # fmt: skip
OLMO = {
    "d_model": 64, "n_layers": 2, "mlp_hidden_size": 256, "n_heads": 4, "embedding_size": 96, "vocab_size": 90,
}  # fmt: skip
LLAMA4 = {
    "intermediate_size_mlp": 128, "head_dim": 16, "tie_word_embeddings": False, "use_qk_norm": True,
    "num_hidden_layers": 3,
}  # fmt: skip

PHI3_SMALL = {
    "ff_intermediate_size": 96, "gegelu_limit": 1.5, "layer_norm_epsilon": 0.01, "dense_attention_every_n_layers": 2,
    "mup_attn_multiplier": 1.5, "mup_embedding_multiplier": 3.0, "mup_width_multiplier": 2.0,
    "blocksparse_block_size": 32, "blocksparse_num_local_blocks": 1, "blocksparse_vert_stride": 2,
    "vocab_size": 104, "dummy_token_indices": [97, 100, 101], "_steps": True,
    "_tokens": 72,
}  # fmt: skip
AFM = {
    "hidden_dim": 64, "num_layers": 3, "num_kv_reuse_layers": 1, "num_heads": 4, "num_kv_heads": 2,
    "hidden_dim_scale_factor": 1.5, "rms_norm_eps": 0.01,
}  # fmt: skip

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
    "phi": ("parallel blocks, layer norm, partial rotation", ["max_position_embeddings"], {
        "plain": {"layer_norm_eps": 0.01, "partial_rotary_factor": 0.5},
        "grouped": {"layer_norm_eps": 0.02, "partial_rotary_factor": 1.0, "num_key_value_heads": None},
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
    "helium": ("pairs of neighbours", ["head_dim", "max_position_embeddings", "tie_word_embeddings"], {
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
    "exaone": ("llama with other names", ["max_position_embeddings"], {
        "plain": {"num_layers": 2, "layer_norm_epsilon": 0.01},
        "biases": {
            "num_layers": 2, "layer_norm_epsilon": 0.02, "attention_bias": True, "mlp_bias": True, "head_dim": 16,
            "tie_word_embeddings": False, "rope_traditional": True, "rope_scaling": LLAMA3,
        },
    }),
    "gemma3n": ("four residual streams, side branches, sparse activations, per-layer inputs, shared KV", [
        "model_type", "rope_scaling",
    ], {
        "plain": {"text_config": GEMMA3N},
        "other": {"text_config": GEMMA3N | {
            "num_hidden_layers": 4, "altup_num_inputs": 3, "altup_active_idx": 1, "altup_coef_clip": None, "altup_correct_scale": False,
            "laurel_rank": 16, "num_kv_shared_layers": 0, "activation_sparsity_pattern": [0.0, 0.5, 0.0, 0.0],
            "intermediate_size": [128, 64, 128, 96], "final_logit_softcapping": 3.0, "vocab_size_per_layer_input": 90,
            "layer_types": sliding(4, [0, 3]), "rope_local_base_freq": 300.0, "head_dim": 32,
        }},
    }),
    "telechat3": ("llama with biases", ["max_position_embeddings"], {
        "plain": {},
        "biases": {
            "attention_bias": True, "mlp_bias": True, "head_dim": 32, "tie_word_embeddings": True,
            "rope_scaling": LINEAR,
        },
    }),
    "nemotron-nas": ("llama whose layers lack parts or have sizes of their own", [
        "max_position_embeddings", "sparsify", "window_length", "num_sink_tokens", "unshifted_sink",
        "use_prefill_window_in_sink_attention",
    ], {
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
    "lille-130m": ("fused projections, pairs of neighbours", ["tie_word_embeddings"], {
        "plain": {"n_embd": 64, "n_head": 4, "n_kv_heads": 2, "n_layer": 2, "block_size": 512, "layer_norm_eps": 0.01},
        "other": {"n_embd": 96, "n_head": 3, "n_kv_heads": 1, "n_layer": 2, "block_size": 256, "layer_norm_eps": 0.02},
    }),
    "gpt_bigcode": ("learned positions, one key head", ["num_key_value_heads"], {
        "plain": GPT | {"n_inner": 128},
        "heads": GPT | {
            "n_inner": 192, "multi_query": False, "attention_bias": False, "mlp_bias": False,
            "tie_word_embeddings": False,
        },
    }),
    "gptj": ("parallel blocks, pairs of neighbours, partial rotation", [], {
        "plain": GPT | {"rotary_dim": 8},
        "whole": GPT | {"rotary_dim": 0, "layer_norm_epsilon": 0.02},
    }),
    "openelm": ("layers with sizes of their own, norms on heads", ["ffn_with_glu"], {
        "plain": OPENELM,
        "untied": OPENELM | {
            "head_dim": 32, "ffn_dim_divisor": 64, "num_query_heads": [2, 4, 4], "num_kv_heads": [1, 1, 2],
            "ffn_multipliers": [2.1, 0.5, 1.3], "normalize_qk_projections": False, "share_input_output_layers": False,
            "rms_norm_eps": 0.02, "rope_freq_constant": 500.0,
        },
    }),
    "olmo": ("layer norms without weights", ["vocab_size"], {
        "plain": OLMO,
        "other": OLMO | {
            "mlp_hidden_size": 192, "rope_traditional": True, "rope_theta": 500.0, "n_heads": 2,
        },
        "ratio": OLMO | {"mlp_hidden_size": None, "mlp_ratio": 2, "weight_tying": True},
    }),
    "qwen": ("fused projections with biases", ["max_position_embeddings"], {
        "plain": {"kv_channels": 16, "layer_norm_epsilon": 0.01, "num_key_value_heads": None},
        "biases": {
            "kv_channels": 32, "num_attention_heads": 2, "layer_norm_epsilon": 0.02, "no_bias": False,
            "num_key_value_heads": None,
        },
    }),
    "plamo": ("parallel blocks, query heads that share key heads by turns", [], {
        "plain": {"n_shared_head": 2},
        "traditional": {"n_shared_head": 3, "num_attention_heads": 6, "hidden_size": 96, "rope_traditional": True},
    }),
    # mlx-lm's cache holds a position less than its mask shows, so only whole prompts count.
    "plamo3": ("sandwich norms with offsets of their own, norms on heads, sliding layers", [
        "max_position_embeddings", "image_token_id", "image_feature_size", "image_proj_type", "linear_type",
    ], {
        "plain": {
            "head_dim": 16, "num_hidden_layers": 4, "sliding_window_pattern": 2, "window_size": 9, "_whole": True,
        },
        "untied": {
            "head_dim": 32, "num_hidden_layers": 4, "sliding_window_pattern": 3, "sliding_window": 7,
            "rope_local_theta": 300.0, "tie_word_embeddings": False, "_whole": True,
        },
    }),
    "nanochat": ("norms without weights, norms after rotation, capped logits", ["max_position_embeddings"], {
        "plain": {},
        "other": {"rope_theta": 500.0, "num_key_value_heads": 1, "intermediate_size": 192},
    }),
    "llama4_text": ("norms without weights on heads, layers without rotation", ["intermediate_size"], {
        "plain": LLAMA4 | {"no_rope_layers": [1, 1, 0]},
        "traditional": LLAMA4 | {
            "no_rope_layers": [0, 1, 1], "head_dim": 32, "use_qk_norm": False, "intermediate_size_mlp": 192,
            "tie_word_embeddings": True, "_floats": True,
        },
    }),
    "muse_glimmer": ("gated attention, norms of embeddings and without weights on heads, sandwich norms", [
        "max_position_embeddings", "hidden_activation",
    ], {
        "plain": {"head_dim": 16, "num_hidden_layers": 4, "sliding_window": 9, "post_norm_eps": 0.01, "final_logit_softcapping": 1.0},
        "other": {
            "head_dim": 32, "num_hidden_layers": 3, "sliding_window": 7, "layer_types": sliding(3, [0]),
            "layer_rope_theta": [500.0, 0.0, 500.0], "rope_parameters": {"rope_theta": 500.0},
            "qk_scale_factor": 2.0, "post_norm_eps": 0.02, "tie_word_embeddings": True,
            "final_logit_softcapping": 7.0, "output_multiplier": 0.5,
        },
    }),
    "spark2_5": ("attention gated head by head, rotary embeddings by kind of layer", [
        "max_position_embeddings", "hidden_act", "gate_attn_act_mode", "headwise_attn_output_gate",
    ], {
        "plain": {
            "head_dim": 16, "sliding_window": 9, "num_hidden_layers": 4, "rope_parameters": {
                "full_attention": {"rope_theta": 500.0, "partial_rotary_factor": 0.5},
                "sliding_attention": {"rope_theta": 10000.0},
            },
        },
        "biases": {
            "head_dim": 32, "sliding_window": 7, "num_hidden_layers": 3, "layer_types": sliding(3, [0]),
            "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False, "rope_parameters": {
                "full_attention": {}, "sliding_attention": {"rope_theta": 300.0, "partial_rotary_factor": 0.25},
            },
        },
    }),
    "nanbeige": ("llama whose layers run several times", [
        "max_position_embeddings", "enable_double_loop_split", "loop_share_kv", "enable_depth_attention",
    ], {
        "plain": {"head_dim": 16},
        "loops": {
            "num_loops": 2, "head_dim": 32, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True,
            "rope_scaling": LLAMA3,
        },
        "bare": {"loop_loss_weights": [0.5], "skip_loop_final_norm": True, "head_dim": 16},
    }),
    "bitnet": ("ternary matrices, squared ReLU with a gate, norms before the last projections", [], {
        "plain": {"num_hidden_layers": 3, "max_position_embeddings": None},
        "biases": {
            "head_dim": 16, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False,
            "rope_traditional": True, "num_key_value_heads": 4,
        },
        "llama3": {
            "rope_scaling": LLAMA3, "hidden_size": 128, "intermediate_size": 160, "num_key_value_heads": 1,
            "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear"},
        },
    }),
    "phi3small": ("sparse blocks that differ from head to head, limited GEGLU, muP", [
        "dense_attention_every_n_layers", "max_position_embeddings",
    ], {
        "plain": PHI3_SMALL,
        "other": PHI3_SMALL | {
            "mup_use_scaling": False, "mup_embedding_multiplier": 0, "mup_width_multiplier": 0,
            "rope_embedding_base": 500.0, "rope_position_scale": 0.5, "blocksparse_vert_stride": 3,
            "gegelu_limit": 4.0, "num_hidden_layers": 3, "num_key_value_heads": 1, "dummy_token_indices": None,
        },
        "large": PHI3_SMALL | {"blocksparse_block_size": 64, "mup_attn_multiplier": 2.0},
    }),
    "talkie": ("norms without weights, learned factors of branches, the embedding added after every layer", [
        "max_position_embeddings",
    ], {
        "plain": {"head_dim": 16},
        "wide": {"head_dim": 32, "num_hidden_layers": 3, "num_attention_heads": 3, "rms_norm_eps": 0.1},
    }),
    "afm7": ("keys and values rounded to 8 bits, last layers that share them", [], {
        "plain": AFM,
        "other": AFM | {
            "num_layers": 5, "num_kv_reuse_layers": 2, "num_kv_heads": 1, "hidden_dim_scale_factor": 2.0,
            "rope_theta": 500.0, "rms_norm_eps": 0.05,
        },
    }),
    "iquestloopcoder": ("layers that run twice and attend twice the second time", ["loop_num"], {
        "plain": {"head_dim": 16, "loop_window_size": 9, "num_hidden_layers": 3},
        "biases": {
            "head_dim": 32, "loop_window_size": 7, "attention_bias": True, "mlp_bias": True,
            "tie_word_embeddings": True, "rope_scaling": LLAMA3, "max_position_embeddings": 256,
        },
    }),
}  # fmt: skip
