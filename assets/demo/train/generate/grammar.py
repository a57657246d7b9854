"""A tiny template language: `[a|b|]` is a choice, `{x}` a slot."""

import re
from functools import lru_cache

LITERAL, SLOT, CHOICE = 0, 1, 2


@lru_cache(maxsize=20000)
def parse(text):
    """The template as a tuple of (kind, value) nodes."""
    nodes, end = _sequence(text, 0, top=True)
    assert end == len(text), f"unbalanced template: {text!r}"
    return nodes


def _sequence(text, at, top=False):
    nodes, literal = [], ""
    while at < len(text):
        char = text[at]
        if char in "|]" and not top:
            break
        if char == "[":
            if literal:
                nodes.append((LITERAL, literal))
                literal = ""
            options, at = _choice(text, at + 1)
            nodes.append((CHOICE, options))
        elif char == "{":
            if literal:
                nodes.append((LITERAL, literal))
                literal = ""
            close = text.index("}", at)
            nodes.append((SLOT, text[at + 1 : close]))
            at = close + 1
        else:
            literal += char
            at += 1
    if literal:
        nodes.append((LITERAL, literal))
    return tuple(nodes), at


def _choice(text, at):
    options = []
    while True:
        nodes, at = _sequence(text, at)
        options.append(nodes)
        assert at < len(text), f"unbalanced template: {text!r}"
        if text[at] == "]":
            return tuple(options), at + 1
        at += 1


def pieces(nodes, rng):
    """One random expansion as a flat list of (kind, value), choices resolved."""
    flat = []
    for kind, value in nodes:
        if kind == CHOICE:
            flat.extend(pieces(value[int(rng.random() * len(value))], rng))
        else:
            flat.append((kind, value))
    return flat


def expand(template, rng, **slots):
    """One random expansion of a template with its slots filled."""
    return "".join(v if k == LITERAL else str(slots[v]) for k, v in pieces(parse(template), rng))


def skeletons(template):
    """Every expansion of a template, its slots left as `{}`."""
    def walk(nodes):
        results = [""]
        for kind, value in nodes:
            if kind == LITERAL:
                tails = [value]
            elif kind == SLOT:
                tails = ["{}"]
            else:
                tails = [tail for option in value for tail in walk(option)]
            results = [head + tail for head in results for tail in tails]
        return results

    return walk(parse(template))


def normal(text):
    """Text reduced to its words, so that case and punctuation don't tell two phrasings apart."""
    return " ".join(re.findall(r"\{\}|[\w']+", text.lower()))


def pattern(template):
    """A regular expression that matches the `normal` form of every expansion of a template."""
    def walk(nodes):
        parts = []
        for kind, value in nodes:
            if kind == LITERAL:
                parts.append(re.sub(r"[^\w']+", " ", value.lower()).replace(" ", " *"))
            elif kind == SLOT:
                parts.append(r" *\{\} *")
            else:
                parts.append("(?:" + "|".join(walk(option) for option in value) + ")")
        return "".join(parts)

    return re.compile(" *" + walk(parse(template)) + " *")
