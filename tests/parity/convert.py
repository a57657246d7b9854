"""Converts random models with mlx-lm and with ours, and compares the two: every tensor, every format in config.json, and
what mlx-lm generates from ours. Then both make floats of what became quantized.

    python tests/parity/convert.py PROGRAM [MODEL_TYPE…]

PROGRAM is the command `pocketmlx`. Without names all families are converted, in the layout of mlx-lm's classes and, where
`published` knows it, in that of the models' makers.
"""

import copy
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
import model  # noqa: F401, with it come corrections of mlx-lm's classes
import numpy as np
from checkpoint import Checkpoint
from families import FAMILIES, config
from mlx_lm import generate, load, utils
from mlx_lm.convert import convert

DEMO = Path(__file__).parents[2] / "assets" / "demo"
# Out of the demo's folder: transformers would look into a tiny config.json and find fault with it.
load_tokenizer = utils.load_tokenizer
utils.load_tokenizer = lambda path, *arguments, **named: load_tokenizer(DEMO, *arguments, **named)
SETTINGS = {
    "plain": ([], {}),
    "4bit": (["--bits", "4", "--group", "32"], {"quantize": True, "q_bits": 4, "q_group_size": 32}),
    "f16": (["--group", "64", "--dtype", "f16"], {"quantize": True, "q_group_size": 64, "dtype": "float16"}),
    "mxfp4": (["--mode", "mxfp4"], {"quantize": True, "q_mode": "mxfp4"}),
    "nvfp4": (["--mode", "nvfp4"], {"quantize": True, "q_mode": "nvfp4"}),
    "mixed": (
        ["--recipe", "mixed_3_6", "--group", "32"],
        {"quantize": True, "q_group_size": 32, "quant_predicate": "mixed_3_6"},
    ),
}
# Of these floats are made again.
DEQUANTIZED = ("4bit", "f16", "mxfp4", "nvfp4")
# What ours does not convert, and says why.
REFUSED = ("baichuan_m1", "bitnet", "prism_hadamard_qwen35")
# What makers call the matrices of experts.
LETTERS = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
KIMI = ("kimi_k3", "kimi_linear")
LETTERED = ("mixtral", "phimoe", "minimax", "lfm2_moe") + KIMI
# The families whose makers keep keys and values of latent attention in one matrix, which mlx-lm divides.
LATENT = KIMI + (
    "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa", "bailing_hybrid", "bailing_moe_v3", "longcat_flash",
    "mistral4", "kimi_k25",
)  # fmt: skip
APART = LETTERED + (
    "qwen2_moe", "qwen3_moe", "qwen3_next", "olmoe", "deepseek_v2", "glm4_moe", "ernie4_5_moe", "jamba",
    "afmoe", "exaone_moe", "dots1", "deepseek_v3", "deepseek_v32", "glm4_moe_lite", "glm_moe_dsa", "bailing_hybrid",
    "bailing_moe_v3", "longcat_flash", "kimi_vl", "kimi_k25",
)  # fmt: skip
FUSED = {
    "qwen3_5_moe": ("experts.gate_up_proj", "experts.down_proj"),
    "granitemoe": ("input_linear.weight", "output_linear.weight"),
    "granitemoehybrid": ("input_linear.weight", "output_linear.weight"),
}
# What makers have in one row for all heads of RWKV.
ROWS = ("k_k", "k_a", "g_norm")
CONVOLUTIONS = ("qwen3_next", "qwen3_5", "qwen3_5_moe", "lfm2", "lfm2_moe", "mamba", "mamba2", "jamba", "recurrent_gemma")


def with_keys_beside_values(tensors):
    """`kv_b_proj` has for each head the rows that make its keys, and then those that make its values."""
    changed = {}
    for name, (dtype, shape, data) in tensors.items():
        numbers = lambda name: np.frombuffer(tensors[name][2], np.uint16).reshape(tensors[name][1])
        if name.endswith(".embed_q.weight"):
            values = numbers(name.replace(".embed_q.", ".unembed_out."))
            both = np.concatenate([numbers(name).transpose(0, 2, 1), values], axis=1).reshape(-1, shape[1])
            changed[name.replace(".embed_q.", ".kv_b_proj.")] = (dtype, both.shape, both.tobytes())
        elif not name.endswith(".unembed_out.weight"):
            changed[name] = (dtype, shape, data)
    return changed


def as_kimi(model_type, tensors):
    changed = {}
    sparse = {name.partition(".mlp.")[0] for name in tensors if name.endswith(".mlp.gate.weight")}
    for name, (dtype, shape, data) in tensors.items():
        if name.partition(".mlp.")[0] in sparse:
            name = name.replace(".mlp.e_score", ".mlp.gate.e_score").replace(".mlp.", ".block_sparse_moe.")
        name = name.replace("_conv.conv.", "_conv1d.").replace("_res_norm.weight", "_res.norm_weight")
        name = name.replace("_res_proj.weight", "_res.proj_weight")
        if "conv1d" in name:
            shape = (shape[0], shape[2], shape[1])
        if name.endswith("dt_bias"):
            heads = tensors[name.replace("dt_bias", "A_log")][1]
            shape = (max(heads), shape[0] // max(heads))
        if name.endswith("A_log"):
            shape = (1, 1, max(shape), 1)
        if ".qkv_" not in name:
            changed[name] = (dtype, shape, data)
            continue
        size = len(data) // 3
        for i, part in enumerate("qkv"):
            third = data[i * size : (i + 1) * size]
            changed[name.replace(".qkv_", f".{part}_")] = (dtype, (shape[0] // 3, *shape[1:]), third)
    if model_type == "kimi_k3":
        changed["vision_tower.patch_embed.weight"] = changed["mm_projector.linear.weight"] = ("BF16", (2,), bytes(4))
    return changed


def as_muse_spark(tensors):
    """Four projections apart, gates in place of what is made of them, and gate and up in one."""
    changed = {}
    for name, (dtype, shape, data) in tensors.items():
        layer, _, rest = name.partition(".self_attn.qkvg_proj.")
        block, _, expert = name.partition(".mlp.experts.")
        if rest:
            # Queries, keys, values, gates: as many values as keys, and as many gates as queries.
            queries = tensors[f"{layer}.self_attn.o_proj.weight"][1][1]
            rows = np.frombuffer(data, np.uint16).reshape(shape)
            ends = [queries, shape[0] // 2, shape[0] - queries]
            for part, own in zip(("q", "k", "v", "gate"), np.split(rows, ends)):
                changed[f"{layer}.self_attn.{part}_proj.{rest}"] = (dtype, own.shape, own.tobytes())
        elif name.endswith("_alpha"):
            kind = "attention" if name.endswith("attn_alpha") else "feedforward"
            changed[f"{name.rpartition('.')[0]}.post_{kind}_residual_gate.gate"] = (dtype, shape, data)
        elif expert == "gate_proj.weight":
            both = [np.frombuffer(tensors[f"{block}.mlp.experts.{part}.weight"][2], np.uint16) for part in ("gate_proj", "up_proj")]
            pair = np.concatenate([x.reshape(shape) for x in both], axis=1)
            changed[f"{block}.mlp.experts.gate_up_proj"] = (dtype, pair.shape, pair.tobytes())
        elif expert == "down_proj.weight":
            changed[f"{block}.mlp.experts.down_proj"] = (dtype, shape, data)
        elif not name.endswith("_beta") and expert != "up_proj.weight":
            changed[name] = (dtype, shape, data)
    changed["model.vision_tower.patch_embedder.patch_embedding.weight"] = ("BF16", (2,), bytes(4))
    return changed


def in_nvfp4(tensors):
    """Muse Spark as published, its inner experts in nvfp4 with a scale of each expert, and one of the rest, which nobody reads."""
    changed, layers = {}, {int(name.split(".")[3]) for name in tensors if name.startswith("model.language_model.layers.")}
    for name, (dtype, shape, data) in tensors.items():
        inner = ".mlp.experts." in name and name.endswith("_proj") and int(name.split(".")[3]) in sorted(layers)[1:-1]
        changed[name] = (dtype, shape, data)
        if inner:
            random = np.random.default_rng(len(name))
            parts = shape[:1] + ((2,) if name.endswith("gate_up_proj") else ())
            small = lambda columns: random.integers(0, 0x7E, (*shape[:2], columns), dtype=np.uint8)
            codes, scales = small(shape[2] // 2), small(shape[2] // 16)
            changed[name] = ("U8", codes.shape, codes.tobytes())
            changed[f"{name}_weight_scale"] = ("F8_E4M3", scales.shape, scales.tobytes())
            changed[f"{name}_weight_scale_2"] = ("F32", parts, random.random(parts, dtype=np.float32).tobytes())
            changed[f"{name}_input_scale"] = ("F32", (1,), bytes(4))
    return changed


def with_experts_below_each_other(tensors):
    """DBRX has one matrix of all experts, with the columns of `w2` for rows."""
    changed, experts = {}, {}
    for name, value in tensors.items():
        block, _, own = name.partition(".experts.")
        if not own:
            changed[name] = value
            continue
        expert, part, _ = own.split(".")
        experts.setdefault(f"{block}.experts.mlp.{part}", {})[int(expert)] = value
    for name, parts in experts.items():
        rows = [np.frombuffer(data, np.uint16).reshape(shape) for _, (_, shape, data) in sorted(parts.items())]
        whole = np.concatenate([part.T if name.endswith("w2") else part for part in rows])
        changed[name] = ("BF16", whole.shape, whole.tobytes())
    return changed


def published(model_type, tensors):
    """The same tensors as the makers lay them out; None where they are the same."""
    changed = {}
    for name, (dtype, shape, data) in tensors.items():
        block, _, rest = name.partition(".switch_mlp.")
        if not rest and model_type in ("afmoe", "dots1"):
            block, _, rest = name.partition(".experts.")
        part, _, leaf = rest.partition(".")
        if rest and model_type in APART and leaf == "weight":
            part = LETTERS[part] if model_type in LETTERED else part
            size = len(data) // shape[0]
            for e in range(shape[0]):
                changed[f"{block}.experts.{e}.{part}.{leaf}"] = (dtype, shape[1:], data[e * size : (e + 1) * size])
        elif rest and model_type in FUSED and part == "gate_proj":
            gate = np.frombuffer(data, np.uint16).reshape(shape)
            up = np.frombuffer(tensors[name.replace("gate_proj", "up_proj")][2], np.uint16).reshape(shape)
            pair = np.concatenate([gate, up], axis=1)
            changed[f"{block}.{FUSED[model_type][0]}"] = (dtype, pair.shape, pair.tobytes())
        elif rest and model_type in FUSED and part == "down_proj":
            changed[f"{block}.{FUSED[model_type][1]}"] = (dtype, shape, data)
        elif rest and model_type in FUSED:
            pass
        elif len(shape) == 3 and "conv" in name and model_type in CONVOLUTIONS:
            changed[name] = (dtype, (shape[0], shape[2], shape[1]), data)
        elif model_type == "rwkv7" and any(part in name for part in ROWS):
            changed[name] = (dtype, (shape[0] * shape[1],), data)
        else:
            changed[name] = (dtype, shape, data)
    if model_type == "dbrx":
        changed = with_experts_below_each_other(changed)
    if model_type in LATENT:
        changed = with_keys_beside_values(changed)
    if model_type == "muse_spark":
        changed = as_muse_spark(changed)
    if model_type in KIMI:
        changed = as_kimi(model_type, changed)
    if model_type.startswith("qwen3_5"):
        wrapped = {}
        for name, value in changed.items():
            name = name.replace("language_model.model.", "model.language_model.")
            wrapped[name.replace("language_model.lm_head", "lm_head")] = value
        changed = wrapped
    shapes = lambda all: {name: shape for name, (_, shape, _) in all.items()}
    return None if shapes(changed) == shapes(tensors) else changed


def write(folder, model_config, checkpoint, tensors):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(model_config | {"torch_dtype": "bfloat16"}))
    checkpoint.tensors = tensors
    checkpoint.write(folder / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(DEMO / name, folder)


def tensors_of(folder):
    tensors = {}
    for file in sorted(folder.glob("model*.safetensors")):
        tensors |= mx.load(str(file))
    return tensors


def same_bytes(a, b):
    view = lambda x: x.view(mx.uint16) if x.dtype == mx.bfloat16 else x
    return a.dtype == b.dtype and a.shape == b.shape and np.array(view(a)).tobytes() == np.array(view(b)).tobytes()


def of_gates(name, a, b):
    """Whether these are what becomes of a gate in both: exponentials of another program, which may differ in the last bit."""
    if not name.endswith(("_alpha", "_beta")) or (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    return bool(mx.allclose(a, b, rtol=1e-6, atol=0))


def formats(folder):
    quantization = json.loads((folder / "config.json").read_text()).get("quantization")
    if not quantization:
        return quantization
    whole = {key: value for key, value in quantization.items() if not isinstance(value, dict)}
    usual = {"group_size": 64, "mode": "affine"}
    return whole, {k: usual | v for k, v in quantization.items() if isinstance(v, dict)}


def compare_tensors(a, b):
    if a.keys() != b.keys():
        return f"only ours: {sorted(a.keys() - b.keys())[:4]}; only theirs: {sorted(b.keys() - a.keys())[:4]}"
    same = lambda name: same_bytes(a[name], b[name]) or of_gates(name, a[name], b[name])
    if wrong := [name for name in a if not same(name)]:
        first = wrong[0]
        return f"{len(wrong)} of {len(a)} tensors differ: {first} {a[first].dtype} {a[first].shape}, {b[first].dtype} {b[first].shape}"
    return ""


def compare_dequantized(program, quantized):
    """What differs between the floats that both make of a quantized model."""
    ours, theirs = (quantized.parent / f"{name}-floats" for name in ("ours", "theirs"))
    for made in (ours, theirs):
        shutil.rmtree(made, ignore_errors=True)
    convert(str(quantized), str(theirs), dequantize=True)
    run = subprocess.run([program, "convert", quantized, ours, "--dequantize"], capture_output=True, text=True)
    if run.returncode:
        return run.stderr.strip()
    a, b = tensors_of(ours), tensors_of(theirs)
    if left := {name.removesuffix(".scales") for name in a if name.endswith(".scales")}:
        return f"still quantized: {sorted(left)[:4]}"
    # Matrices of classes that mlx-lm does not know there keep their codes, which its own loader then refuses.
    unknown = {name.removesuffix(".scales") for name in b if name.endswith(".scales")}
    known = lambda tensors: {name: x for name, x in tensors.items() if name.rpartition(".")[0] not in unknown}
    if formats(ours) is not None:
        return f"quantization {formats(ours)} of floats"
    return compare_tensors(known(a), known(b))


def compare(program, folder, setting):
    """What differs; None when neither side can."""
    arguments, options = SETTINGS[setting]
    ours, theirs = folder.parent / "ours", folder.parent / "theirs"
    for made in (ours, theirs):
        shutil.rmtree(made, ignore_errors=True)
    try:
        convert(str(folder), str(theirs), **options)
    except Exception as error:  # e.g. a recipe for a family without down_proj
        expected = error
    else:
        expected = None
    run = subprocess.run([program, "convert", folder, ours, *arguments], capture_output=True, text=True)
    if expected is not None:
        return None if run.returncode == 1 else f"mlx-lm says {type(expected).__name__} {expected}, ours converts"
    if run.returncode:
        return run.stderr.strip()
    # mlx-lm's recipes quantize the queries of Kimi K3's residual streams, too, whose numbers it then can't read.
    queries = lambda name: setting == "mixed" and name.rpartition(".")[0].endswith("_res_proj")
    a, b = ({name: x for name, x in tensors_of(made).items() if not queries(name)} for made in (ours, theirs))
    if difference := compare_tensors(a, b):
        return difference
    a, b = (formats(made) for made in (ours, theirs))
    if b and setting == "mixed":
        b = b[0], {name: format for name, format in b[1].items() if not queries(f"{name}.weight")}
    if a != b:
        return f"quantization {a}, theirs {b}"
    if setting == "4bit":
        texts = [generate(*load(str(made)), prompt="a", max_tokens=6) for made in (ours, theirs)]
        if texts[0] != texts[1]:
            return f"mlx-lm generates {texts}"
    return ""


def main():
    program, *names = sys.argv[1:]
    failed = converted = 0
    for model_type in names or [name for name in FAMILIES if name not in REFUSED]:
        variants = [v for v in FAMILIES[model_type][2] if not FAMILIES[model_type][2][v].get("_floats")]
        for variant in variants[: 1 if not names else 2]:
            model_config = config(model_type, variant)
            checkpoint = Checkpoint(copy.deepcopy(model_config), 5, "bf16")
            layouts = {"mlx": dict(checkpoint.tensors), "published": published(model_type, checkpoint.tensors)}
            if model_type == "muse_spark":
                layouts["nvfp4"] = in_nvfp4(layouts["published"])
            for layout, tensors in layouts.items():
                if tensors is None:
                    continue
                settings = {"mlx": SETTINGS, "published": ("plain", "4bit"), "nvfp4": ("plain",)}[layout]
                extra = {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}} if layout == "nvfp4" else {}
                with tempfile.TemporaryDirectory() as place:
                    folder = Path(place) / "source"
                    write(folder, model_config | extra, checkpoint, tensors)
                    for setting in settings:
                        difference = compare(program, folder, setting)
                        if difference == "" and layout == "mlx" and setting in DEQUANTIZED:
                            if difference := compare_dequantized(program, folder.parent / "theirs"):
                                difference = f"as floats: {difference}"
                        if difference:
                            failed += 1
                            print(f"{model_type} {variant} {layout} {setting}: {difference}", flush=True)
                        elif difference is not None:
                            converted += 1
    print(f"{converted} models converted alike, {failed} not")
    sys.exit(failed > 0 or converted == 0)


main()
