"""Whether an answer is right, from its text alone."""

import json
import re

CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


def calls(text):
    """The tool calls in an answer's text; None for one that is no JSON."""
    found = []
    for body in CALL.findall(text):
        try:
            found.append(json.loads(body))
        except ValueError:
            found.append(None)
    return found


def loads(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def right(check, text):
    """Judge an answer by the `check` of its case."""
    kind = check.get("kind")
    if kind is None:
        return bool(text.strip())
    if kind == "number":
        numbers = re.findall(r"(?<![\w.])-?\d+", text)
        return bool(numbers) and int(numbers[-1]) == check["value"]
    if kind == "contains":
        return check["value"].lower() in text.lower()
    if kind == "any":
        return any(value in text for value in check["value"])
    if kind == "json":
        return loads(text) == check["value"]
    if kind == "call":
        return calls(text) == [{"name": check["name"], "arguments": check["arguments"]}]
    if kind == "no call":
        return "<tool_call>" not in text and right(check["inner"], text)
    if kind == "capitals":
        return text == text.upper() and any(c.isalpha() for c in text + "X" * (check["inner"].get("kind") == "number")) and right(check["inner"], text)
    if kind == "story":
        return len(text.split()) > 25 and check["value"].split(" ")[-1][:4].lower() in text.lower()
    raise ValueError(kind)
