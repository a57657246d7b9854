"""Greedy answers from the PyTorch model, many at a time."""

import torch

from data import END
from generate.render import START, segments


def prompt_text(case):
    """The rendered prompt of a case, as the chat template gives it."""
    messages = case["messages"]
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    rest = messages[1:] if system else messages
    return "".join(text for text, _ in segments(system, case["tools"], rest)) + f"{START}assistant\n"


@torch.no_grad()
def greedy(model, prompts, limit=200, rows=512):
    """Token ids of each prompt's answer, without the end token, and whether it ended by itself."""
    device = model.cos.device
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [None] * len(prompts)
    for start in range(0, len(order), rows):
        live = order[start : start + rows]
        ids = torch.zeros(len(live), max(len(prompts[i]) for i in live) + limit, dtype=torch.long, device=device)
        sizes = torch.tensor([len(prompts[i]) for i in live], device=device)
        for row, i in enumerate(live):
            ids[row, : len(prompts[i])] = torch.tensor(prompts[i], device=device)
        for step in range(limit):
            hidden = model.hidden(ids[:, : int(sizes.max())])
            token = model.logits(hidden[torch.arange(len(live), device=device), sizes - 1]).float().argmax(-1)
            ids[torch.arange(len(live), device=device), sizes] = token
            sizes = sizes + 1
            done = (token == END).tolist()
            if any(done):
                for row in (row for row, ended in enumerate(done) if ended):
                    answers[live[row]] = (ids[row, len(prompts[live[row]]) : int(sizes[row]) - 1].tolist(), True)
                keep = [row for row, ended in enumerate(done) if not ended]
                live, ids, sizes = [live[row] for row in keep], ids[keep], sizes[keep]
            if not live:
                break
        for row, i in enumerate(live):
            answers[i] = (ids[row, len(prompts[i]) : int(sizes[row])].tolist(), False)
    return answers


def answer_cases(model, tokenizer, cases, limit=200):
    """Texts of the answers to cases, and whether each ended by itself."""
    prompts = [tokenizer.encode(prompt_text(case), add_special_tokens=False).ids for case in cases]
    found = greedy(model, prompts, limit)
    return [(tokenizer.decode(ids, skip_special_tokens=False), ended) for ids, ended in found]
