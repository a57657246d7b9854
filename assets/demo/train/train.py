"""Trains the model on one GPU for a fixed time and writes the 4-bit MLX folder's weights."""

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from data import END, PAD, Loader
from evaluate import questions_report, report
from generate.cases import all_cases
from model import Config, Model, causal, config_json
from optim import Optimizer
from quantize import BITS, GROUP, save, save_full
from torch_answers import answer_cases

HERE = Path(__file__).parent
USER_WEIGHT = 0.05


def rate_factor(progress):
    """Warm up, hold, then fall to zero."""
    return min(1.0, progress / 0.01 + 0.02, (1.0 - progress) / 0.55 + 0.001)


def flex_parts(shape):
    """Attention that stays inside one conversation of a packed row, and its mask; `shape` is a batch's."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def mask_for(numbers):
        def inside(row, _head, q, k):
            return (q >= k) & (numbers[row, q] == numbers[row, k])

        rows, length = numbers.shape
        return make_mask(inside, rows, None, length, length, device=numbers.device)

    make_mask = torch.compile(create_block_mask)
    try:
        mask_for(torch.zeros(shape, dtype=torch.int32, device="cuda"))
    except Exception as error:  # noqa: BLE001
        print(f"masks are made without compiling ({str(error)[:500]})", flush=True)
        make_mask = create_block_mask

    return mask_for, lambda q, k, v, mask: flex_attention(q, k, v, block_mask=mask, enable_gqa=True)


def to_device(batch, device, user_weight):
    """Inputs, targets, loss weights and conversation numbers."""
    batch = torch.from_numpy(batch.astype(np.int32))
    batch = batch.pin_memory().to(device, non_blocking=True) if device == "cuda" else batch
    ids, mask, numbers = batch.unbind(1)
    same = (numbers[:, 1:] == numbers[:, :-1]) & (numbers[:, 1:] > 0)
    weights = torch.where(mask[:, 1:] > 0, 1.0, user_weight) * same
    return ids[:, :-1].long(), ids[:, 1:].long(), weights, numbers[:, :-1].contiguous()


def train(args, model, device):
    """The training loop; returns the optimizer, whose master weights are the result."""
    loader = Loader(args.folder / "tokenizer.json", args.length + 1, args.batch, args.workers, args.seed)
    fast = device == "cuda"
    mask_for, attend = flex_parts((args.batch, args.length)) if fast else (lambda numbers: None, causal)
    step_model = torch.compile(model, dynamic=False) if fast else model
    optimizer = Optimizer(model, args.rate, args.other_rate, compiled=fast)
    begin, steps, seen, last = None, 0, 0, time.time()
    tail = []
    while True:
        ids, targets, weights, numbers = to_device(loader.next(), device, args.user_weight)
        if fast and steps == 0:  # compile before the clock starts
            try:
                step_model(ids, targets, weights, mask_for(numbers), attend).backward()
            except Exception as error:  # noqa: BLE001
                print(f"flex attention failed ({str(error)[:2000]}); conversations in a row now see each other", flush=True)
                mask_for, attend = (lambda numbers: None), causal
                step_model(ids, targets, weights, None, attend).backward()
            optimizer.step(0.0)
            optimizer.publish(True)
            model.zero_grad()
            optimizer.count = 0
            print(f"compiled in {time.time() - args.started:.0f} s", flush=True)
        begin = begin or time.time()
        progress = (time.time() - begin) / (args.minutes * 60)
        if progress >= 1 or steps == args.steps:
            break
        quantized = progress >= args.quantize_from
        optimizer.publish(quantized)
        loss = step_model(ids, targets, weights, mask_for(numbers), attend)
        loss.backward()
        optimizer.step(rate_factor(progress))
        model.zero_grad()
        steps, seen = steps + 1, seen + ids.numel()
        tail.append(loss.detach())
        if steps % args.log_every == 0:
            mean = torch.stack(tail).mean().item()
            print(f"step {steps} {progress:.1%} loss {mean:.4f} tokens {seen / 1e6:.0f} M, {args.log_every * ids.numel() / (time.time() - last) / 1e6:.2f} M/s{' 4-bit' if quantized else ''}", flush=True)
            tail, last = [], time.time()
    again = loader.again / max(1, steps * args.batch // loader.block) if fast else 0.0
    print(f"{steps} steps, {seen / 1e6:.0f} M tokens in {time.time() - begin:.0f} s, {again:.1%} of the rows seen again", flush=True)
    loader.close()
    return optimizer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=HERE.parent, help="where tokenizer.json is")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--steps", type=int, default=-1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=15)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--other-rate", type=float, default=3e-3)
    parser.add_argument("--quantize-from", type=float, default=0.5)
    parser.add_argument("--user-weight", type=float, default=USER_WEIGHT, help="weight of the tokens that the assistant didn't write")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--mlp", type=int, default=704)
    parser.add_argument("--log-every", type=int, default=100)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--keep-full", action="store_true", help="also write OUT/full, the same model in float32")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.started = time.time()
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer.from_file(str(args.folder / "tokenizer.json"))
    config = Config(vocab_size=tokenizer.get_vocab_size(), hidden_size=args.width, num_hidden_layers=args.layers, intermediate_size=args.mlp)
    model = Model(config)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    model = model.to(device, torch.bfloat16 if device == "cuda" else torch.float32)
    model.cos, model.sin = model.cos.float(), model.sin.float()
    optimizer = train(args, model, device)
    save(optimizer.master, args.out / "model.safetensors")
    (args.out / "config.json").write_text(config_json(config, END, PAD, {"group_size": GROUP, "bits": BITS, "mode": "affine"}))
    if args.keep_full:
        save_full(optimizer.master, args.out / "full")
        (args.out / "full" / "config.json").write_text(config_json(config, END, PAD, {}))
    cases = all_cases(args.cases)
    optimizer.publish(True)
    begin = time.time()
    found = answer_cases(model, tokenizer, cases)
    print(f"4-bit, in {time.time() - begin:.0f} s")
    print(report(cases, found, args.out / "failures.txt"), flush=True)
    lines = (HERE / "questions.txt").read_text().splitlines()
    asked = [{"messages": [{"role": "user", "content": line}], "tools": []} for line in lines if line]
    print(questions_report(asked, answer_cases(model, tokenizer, asked), args.out / "answers.txt"), flush=True)


if __name__ == "__main__":
    main()
