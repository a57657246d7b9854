"""mlx-lm on a model folder, greedy, one sequence: prints one line of JSON.

usage: reference.py MODEL PROMPT_TOKENS NEW_TOKENS REPEATS
"""

import json
import statistics
import sys
import time

import mlx.core as mx
from mlx_lm import load
from mlx_lm.generate import generate_step


def run(model, prompt, new_tokens):
    """Seconds to the first token, and tokens per second after it."""
    began, first, count = time.perf_counter(), None, 0
    for _ in generate_step(prompt, model, max_tokens=new_tokens):
        first = first or time.perf_counter()
        count += 1
    assert count == new_tokens
    return first - began, (count - 1) / (time.perf_counter() - first)


def main(folder, prompt_tokens, new_tokens, repeats):
    began = time.perf_counter()
    model, _ = load(folder)
    load_seconds = time.perf_counter() - began
    prompt = mx.array([(i * 7919 + 13) % 500 for i in range(prompt_tokens)])
    run(model, prompt[:2], 2)
    runs = [run(model, prompt, new_tokens) for _ in range(repeats)]
    ttft = statistics.median(run[0] for run in runs)
    report = {
        "engine": "mlx-lm",
        "device": str(mx.default_device()),
        "load_seconds": round(load_seconds, 3),
        "ttft_seconds": round(ttft, 4),
        "prefill_tokens_per_second": round(prompt_tokens / ttft, 2),
        "decode_tokens_per_second": round(statistics.median(run[1] for run in runs), 3),
    }
    print(json.dumps(report))


main(sys.argv[1], *map(int, sys.argv[2:5]))
