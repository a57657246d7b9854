"""A tiny template language: `[a|b|]` is a choice, `{x}` a slot."""

import re
from functools import lru_cache

LITERAL, SLOT, CHOICE = 0, 1, 2


MARKS = re.compile(r"(\{\w+\}|[\[|\]])")


@lru_cache(maxsize=20000)
def parse(text):
    """The template as a tuple of (kind, value) nodes."""
    tokens = MARKS.split(text)  # literals at even places
    nodes, end = _sequence(tokens, 0, top=True)
    assert end == len(tokens), f"unbalanced template: {text!r}"
    return nodes


def _sequence(tokens, at, top=False):
    nodes, literal = [], ""
    while at < len(tokens):
        token = tokens[at]
        if at % 2 == 0:
            literal += token
        elif token in "|]":
            if not top:
                break
            literal += token
        else:
            if literal:
                nodes.append((LITERAL, literal))
                literal = ""
            if token == "[":
                options, at = _choice(tokens, at + 1)
                nodes.append((CHOICE, options))
            else:
                nodes.append((SLOT, token[1:-1]))
        at += 1
    if literal:
        nodes.append((LITERAL, literal))
    return tuple(nodes), at


def _choice(tokens, at):
    """The options of a choice, and where it ends."""
    options = []
    while True:
        nodes, at = _sequence(tokens, at)
        options.append(nodes)
        assert at < len(tokens), "unbalanced template"
        if tokens[at] == "]":
            return tuple(options), at
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
