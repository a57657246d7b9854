"""Settings that several families share."""

BASE = {
    "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 96, "max_position_embeddings": 512, "rms_norm_eps": 0.01,
    "rope_theta": 10000.0, "eos_token_id": 95,
}  # fmt: skip
# Longer than two of the blocks that the memory of delta nets goes through.
LONG = {"_tokens": 140}
LINEAR = {"type": "linear", "factor": 4.0}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 16, "beta_slow": 2,
    "mscale": 0.7, "mscale_all_dim": 0.2,
}  # fmt: skip


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
LATENT = {
    "num_hidden_layers": 3, "moe_intermediate_size": 64, "n_shared_experts": 1, "n_routed_experts": 8,
    "routed_scaling_factor": 1.5, "kv_lora_rank": 32, "q_lora_rank": 64, "qk_rope_head_dim": 16, "v_head_dim": 16,
    "qk_nope_head_dim": 32, "first_k_dense_replace": 1, "num_key_value_heads": 4,
}  # fmt: skip
