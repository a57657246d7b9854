"""A conversation as text, the same as the chat template gives, in pieces that say which tokens the model answers for."""

import json

START, END = "<|im_start|>", "<|im_end|>"


def describe(tool):
    """The lines of one tool in the system message."""
    function = tool["function"]
    parameters = function["parameters"]
    lines = [f"{function['name']}: {function['description']}"]
    for key, value in parameters["properties"].items():
        kind = value["type"] + (": " + ", ".join(value["enum"]) if "enum" in value else "")
        kind += "" if key in parameters["required"] else ", optional"
        lines.append(f"- {key} ({kind})" + (f": {value['description']}" if "description" in value else ""))
    return "\n".join(lines)


def answer(message):
    """The text of an assistant's message."""
    calls = []
    for call in message.get("tool_calls", []):
        function = call["function"]
        arguments = json.dumps(function["arguments"], ensure_ascii=False)
        calls.append(f"<tool_call>\n{{\"name\": \"{function['name']}\", \"arguments\": {arguments}}}\n</tool_call>")
    return "\n".join(filter(None, [message["content"], *calls]))


def segments(system, tools, messages):
    """Pairs of text and whether the assistant wrote it."""
    out = []
    if system or tools:
        listed = "\n".join(["# Tools", *map(describe, tools)]) if tools else ""
        body = "\n\n".join(filter(None, [system, listed]))
        out.append((f"{START}system\n{body}{END}\n", False))
    for message in messages:
        if message["role"] == "assistant":
            out += [(f"{START}assistant\n", False), (answer(message) + END, True), ("\n", False)]
        elif message["role"] == "tool":
            out.append((f"{START}user\n<tool_response>\n{message['content']}\n</tool_response>{END}\n", False))
        else:
            out.append((f"{START}{message['role']}\n{message['content']}{END}\n", False))
    return out
