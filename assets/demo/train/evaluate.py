"""Asks a model every case of the evaluation, greedily, and prints how many answers are right.

    evaluate.py --engine pocketmlx --command target/release/pocketmlx
    evaluate.py --engine mlx-lm
"""

import argparse
import json
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from generate.cases import all_cases
from generate.judge import right
from generate.render import answer

HERE = Path(__file__).parent
LIMIT = 200


def report(cases, found, failures):
    """A table by skill and kind, as text; what went wrong is written to a file."""
    total, good, ended = Counter(), Counter(), Counter()
    with open(failures, "w") as out:
        for case, (text, stopped) in zip(cases, found):
            key = case["skill"], case["kind"]
            ok = right(case["check"], text)
            total[key] += 1
            good[key] += ok
            ended[key] += stopped
            if not ok or not stopped:
                asked = json.dumps([m["content"] for m in case["messages"][-7:]], ensure_ascii=False)
                out.write(f"{case['skill']}/{case['kind']} {asked}\n  wanted {answer(case['reference'])!r}\n  got    {text!r}{'' if stopped else ' (no end)'}\n")
    lines = [f"{'skill':12} {'kind':9} right        ended"]
    for key, count in total.items():
        lines.append(f"{key[0]:12} {key[1]:9} {good[key]:3}/{count} {good[key] / count:6.1%}  {ended[key]:3}")
    return "\n".join(lines)


def repeats(text):
    """Whether a text ends in the same few words over and over."""
    words = text.split()
    return any(len(words) >= 4 * size and words[-size:] * 4 == words[-4 * size :] for size in range(1, 13))


def questions_report(cases, found, path):
    """Counts of what must not happen in chat; the answers are written to a file."""
    with open(path, "w") as out:
        for case, (text, stopped) in zip(cases, found):
            out.write(f"> {case['messages'][-1]['content']}\n{text}{'' if stopped else ' (no end)'}\n\n")
    empty = sum(not text.strip() for text, _ in found)
    endless = sum(not stopped for _, stopped in found)
    return f"{len(found)} questions: {empty} empty, {endless} without end, {sum(repeats(text) for text, _ in found)} repeating"


def with_text_arguments(message):
    """A message in OpenAI's shape, where the arguments of a call are text."""
    if "tool_calls" not in message:
        return message
    calls = [{"type": "function", "function": call["function"] | {"arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)}} for call in message["tool_calls"]]
    return message | {"tool_calls": calls}


def ask_command(command, folder, extra, case):
    """One answer from the command."""
    request = {"messages": [with_text_arguments(m) for m in case["messages"]], "max_tokens": LIMIT, "temperature": 0}
    if case["tools"]:
        request["tools"] = case["tools"]
    arguments = [command, "generate", *(["-m", str(folder)] if folder else []), "--request", "-", "--json", "--temp", "0", *extra]
    done = subprocess.run(arguments, input=json.dumps(request), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"(failed: {done.stderr.strip()[:300]})", False
    reply = json.loads(done.stdout)
    text = reply.get("text") or ""
    for call in reply.get("tool_calls") or []:
        function = call.get("function", call)
        arguments = function["arguments"] if isinstance(function["arguments"], str) else json.dumps(function["arguments"], ensure_ascii=False)
        text += f"<tool_call>\n{{\"name\": {json.dumps(function['name'])}, \"arguments\": {arguments}}}\n</tool_call>"
    return text, reply.get("finish_reason") in ("stop", "end", "tool_calls", "eos")


def mlx_answers(folder, cases):
    """Answers from mlx-lm."""
    from mlx_lm import load, stream_generate
    from mlx_lm.sample_utils import make_sampler

    model, tokenizer = load(str(folder))
    for case in cases:
        prompt = tokenizer.apply_chat_template(case["messages"], tools=case["tools"] or None, add_generation_prompt=True)
        parts = list(stream_generate(model, tokenizer, prompt, max_tokens=LIMIT, sampler=make_sampler(temp=0.0)))
        yield "".join(part.text for part in parts), parts[-1].finish_reason == "stop"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["pocketmlx", "mlx-lm"], default="pocketmlx")
    parser.add_argument("--command", default="pocketmlx")
    parser.add_argument("--folder", type=Path, default=HERE.parent)
    parser.add_argument("--embedded", action="store_true", help="let the command use the model inside it")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--skill", help="only this skill")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("extra", nargs="*", help="further arguments for the command, after --")
    args = parser.parse_args()
    cases = [case for case in all_cases(args.cases) if args.skill in (None, case["skill"])]
    lines = (HERE / "questions.txt").read_text().splitlines()
    asked = [{"messages": [{"role": "user", "content": line}], "tools": []} for line in lines if line]
    if args.engine == "mlx-lm":
        found = list(mlx_answers(args.folder, cases + asked))
    else:
        folder = None if args.embedded else args.folder
        with ThreadPoolExecutor(args.jobs) as pool:
            found = list(pool.map(lambda case: ask_command(args.command, folder, args.extra, case), cases + asked))
    print(report(cases, found, args.out / "failures.txt"))
    print(questions_report(asked, found[len(cases) :], args.out / "answers.txt"))


if __name__ == "__main__":
    main()
