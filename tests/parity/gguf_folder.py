"""Converts random models in GGUF files with ours, and compares what mlx-lm makes of the folders with what it makes of the
same numbers from gguf-py, and transformers' tokens and prompts with ours from the file.

    python tests/parity/gguf_folder.py PROGRAM [MODEL_TYPE…]

PROGRAM is the command `pocketmlx`. Files are written as llama.cpp's converter does it: names from gguf-py's tables.
"""

import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import mlx.core as mx
import numpy as np
from checkpoint import Checkpoint
from families import config
from gguf.tensor_mapping import get_tensor_name_map
from mlx_lm.utils import load_model
from model import load, logprobs
from transformers import AutoTokenizer

DEMO = Path(__file__).parents[2] / "assets" / "demo"
ARCH = gguf.MODEL_ARCH
TYPE = gguf.GGMLQuantizationType
TOLERANCE = 1e-3
VOCABULARY = 2048
TEXT = "Hello world, it's 2024!\n  ä 你好 <|im_end|> done"
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3["original_max_position_embeddings"] = 64

# model_type -> architecture, what is changed of the first variant, blocks of matrices, blocks of the embedding table.
MODELS = {
    "llama": (ARCH.LLAMA, {"rope_theta": 500000.0, "rope_scaling": LLAMA3}, TYPE.Q8_0, TYPE.Q4_0),
    "mistral": (ARCH.LLAMA, {"sliding_window": None}, TYPE.Q4_1, TYPE.F16),
    "mixtral": (ARCH.LLAMA, {}, TYPE.Q5_0, TYPE.Q8_0),
    "qwen2": (ARCH.QWEN2, {}, TYPE.Q5_1, TYPE.Q8_0),
    "qwen3": (ARCH.QWEN3, {}, TYPE.F16, TYPE.F16),
    "phi3": (ARCH.PHI3, {}, TYPE.Q4_0, TYPE.Q8_0),
    "gemma": (ARCH.GEMMA, {}, TYPE.Q8_0, TYPE.Q8_0),
    "gemma2": (ARCH.GEMMA2, {"query_pre_attn_scalar": 16}, TYPE.Q8_0, TYPE.Q8_0),
    "gemma3_text": (ARCH.GEMMA3, {"query_pre_attn_scalar": 16}, TYPE.Q8_0, TYPE.Q8_0),
    "qwen2_moe": (ARCH.QWEN2MOE, {}, TYPE.Q8_0, TYPE.Q4_0),
    "qwen3_moe": (ARCH.QWEN3MOE, {}, TYPE.BF16, TYPE.F32),
}


def numbers(tensor):
    return np.frombuffer(tensor[2], np.float32).reshape(tensor[1])


def swap_halves(weight, heads):
    """Rows of queries and keys as the converter has them."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def write_keys(writer, arch, c):
    head_dim = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_head_count_kv(c["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_rope_freq_base(c["rope_theta"])
    writer.add_rope_dimension_count(int(head_dim * c.get("partial_rotary_factor", 1)))
    if c.get("sliding_window"):
        writer.add_sliding_window(c["sliding_window"])
    if experts := c.get("num_experts") or c.get("num_local_experts"):
        writer.add_expert_count(experts)
        writer.add_expert_used_count(c["num_experts_per_tok"])
    if width := c.get("moe_intermediate_size"):
        writer.add_expert_feed_forward_length(width)
    if width := c.get("shared_expert_intermediate_size"):
        writer.add_expert_shared_feed_forward_length(width)
    if arch == ARCH.GEMMA2:
        writer.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(c["final_logit_softcapping"])
    if arch == ARCH.GEMMA3:
        writer.add_uint32("gemma3.attention.sliding_window_pattern", c["sliding_window_pattern"])
        writer.add_float32("gemma3.rope.freq_base_swa", c["rope_local_base_freq"])
    if scaling := c.get("rope_scaling"):
        turns = c["rope_theta"] ** (-np.arange(0, head_dim, 2) / head_dim) / (2 * np.pi)
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        smooth = np.clip((scaling["original_max_position_embeddings"] * turns - low) / (high - low), 0, 1)
        writer.add_tensor("rope_freqs.weight", (1 / ((1 - smooth) / scaling["factor"] + smooth)).astype(np.float32))


def write_vocabulary(writer):
    tokenizer = json.loads((DEMO / "tokenizer.json").read_text())
    tokens = {id: (text, gguf.TokenType.NORMAL) for text, id in tokenizer["model"]["vocab"].items()}
    tokens |= {token["id"]: (token["content"], gguf.TokenType.CONTROL) for token in tokenizer["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokens[id][0] for id in sorted(tokens)])
    writer.add_token_types([tokens[id][1] for id in sorted(tokens)])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(2)
    writer.add_chat_template(json.loads((DEMO / "tokenizer_config.json").read_text())["chat_template"])


def write_file(path, arch, c, checkpoint, of_matrices, of_table):
    """Writes the file, and puts what its blocks stand for into the checkpoint."""
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    write_keys(writer, arch, c)
    write_vocabulary(writer)
    names = get_tensor_name_map(arch, c["num_hidden_layers"])
    stored = {}
    for name, tensor in checkpoint.tensors.items():
        weight, path_, leaf = numbers(tensor), *name.rsplit(".", 1)
        path_ = path_.replace(".switch_mlp.", ".experts.").replace("block_sparse_moe.experts", "mlp.experts")
        new = names.get_name(path_) + "." + leaf
        kind = TYPE.F32
        if weight.ndim > 1 and "gate_inp" not in new:
            kind = of_table if "embed" in name or "lm_head" in name else of_matrices
        turned = weight
        if arch == ARCH.LLAMA and (".q_proj" in name or ".k_proj" in name):
            heads = c["num_attention_heads"] if ".q_proj" in name else c["num_key_value_heads"]
            turned = swap_halves(weight, heads)
        if arch in (ARCH.GEMMA, ARCH.GEMMA2, ARCH.GEMMA3) and name.endswith("norm.weight"):
            turned = turned + np.float32(1)
        turned = np.ascontiguousarray(turned.squeeze(0) if "shared_expert_gate" in name else turned)
        if kind == TYPE.F32:
            writer.add_tensor(new, turned)
            stored[name] = tensor
            continue
        quantized = lambda x: gguf.quants.quantize(np.ascontiguousarray(x), kind)
        writer.add_tensor(new, quantized(turned), raw_dtype=kind)
        numbers_ = gguf.quants.dequantize(quantized(weight), kind).reshape(weight.shape).astype(np.float32)
        stored[name] = (tensor[0], tensor[1], numbers_.tobytes())
    checkpoint.tensors = stored
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def difference(program, model_type, place):
    arch, changes, of_matrices, of_table = MODELS[model_type]
    c = config(model_type, "plain") | {"vocab_size": VOCABULARY, "eos_token_id": 2} | changes
    checkpoint = Checkpoint(copy.deepcopy(c), 5, "f32")
    file, folder = place / "model.gguf", place / "ours"
    write_file(file, arch, c, checkpoint, of_matrices, of_table)
    run = [program, "convert", "-m", file, folder, "--dtype", "f32"]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    tokens = [(i * 7919 + 13) % 500 for i in range(24)]
    ours = logprobs(load_model(folder)[0], tokens)
    worst = np.abs(ours - logprobs(load(c, checkpoint), tokens)).max()

    tokenizer = AutoTokenizer.from_pretrained(folder)
    said = lambda *arguments: subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout
    ids = json.loads(said("tokenize", "-m", file, TEXT, "--json"))["tokens"]
    if tokenizer.encode(TEXT) != ids:
        return f"tokens {tokenizer.encode(TEXT)}, ours {ids}"
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True)
    if prompt.strip() != (ours := said("render", "-m", file, "Hi")).strip():
        return f"prompt {prompt!r}, ours {ours!r}"
    print(f"{model_type}: log-probabilities differ by {worst:.1e}")
    return "" if worst < TOLERANCE else f"log-probabilities differ by {worst}"


def main():
    program, *names = sys.argv[1:]
    mx.set_default_device(mx.cpu)
    failed = 0
    for model_type in names or MODELS:
        with tempfile.TemporaryDirectory() as place:
            if found := difference(program, model_type, Path(place)):
                failed += 1
                print(f"{model_type}: {found}")
    print(f"{len(names or MODELS) - failed} files converted right, {failed} not")
    sys.exit(failed > 0)


main()
