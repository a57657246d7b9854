"""Everyday tools: known kinds with wordings of their own, described in ever new ways."""

import re
from functools import lru_cache

from . import words
from .grammar import expand
from .noise import wrap
from .tool_parts import ARGUMENTS, Tool, everyday_value
from .tool_values import CLOSED, LISTS

INTEGERS = ("minutes", "number", "degrees", "count", "people", "level", "price", "percent")
SAID_KEY = ["The {s}", "The {s}.", "Which {s}", "{S}", "the {s} to use", "{S} of it", "{S}, as the user says it", "The {s}, for example {v}", "{S}, e.g. {v}", "{S}: {v}, for instance"]


# Words that say nothing about what a tool is for.
COMMON = set("""about again also another anybody anything away back been before best better both bring call call called came change check come comes could does done down enough every everybody find first from give gets getting going good
have help here into keep know last leave less like list long look looks make makes many more move much must near need needs next nobody once only open order other over part people place please really right same second send should show
some somebody someone something still stop take tell than that their them then there they thing things this time today tomorrow turn under until used user using very want wants week were what when where which whole will with without word work works would your""".split())


SLOT = re.compile(r"(\{\w+\})")


@lru_cache(maxsize=None)
def literal(template):
    """The words of a template, without its slots."""
    return SLOT.sub(" ", template).lower()


@lru_cache(maxsize=None)
def beginning(word):
    """Patterns of a word at the beginning of a word: as it is, and with a capital."""
    return re.compile(rf"(?<![A-Za-z]){word}"), re.compile(rf"(?<![A-Za-z]){word.capitalize()}|(?<=[a-z]){word.capitalize()}")


@lru_cache(maxsize=50000)
def telling(name, description, asks):
    """The words that a tool's name or description has in common with some wordings, with those wordings."""
    found = {word.lower() for word in re.findall(r"[A-Za-z][a-z]{3,}", f"{name} {description}")} - COMMON
    found = {word[:-1] if word.endswith("s") else word for word in found}
    return {word: with_it for word in sorted(found) if (with_it := [ask for ask in asks if beginning(word)[0].search(literal(ask))])}


def renamed(text, new):
    """Text with some words, also where they only begin a word, replaced; slots stay."""
    def swap(part):
        for word, other in new.items():
            plain, capital = beginning(word)
            part = capital.sub(other.capitalize(), plain.sub(other, part))
        return part

    return "".join(piece if piece.startswith("{") else swap(piece) for piece in SLOT.split(text))


def disguise(ctx, name, description, asks):
    """The same tool under words that nobody knows: name, description and the wordings that then still fit, or None."""
    common = telling(name, description, tuple(asks))
    if not common:
        return None
    chosen = [word for word in common if ctx.chance(0.7)] or [ctx.rng.choice(list(common))]
    new = {word: ctx.made_up() for word in chosen}
    fitting = {ask for word in chosen for ask in common[word]}
    return renamed(name, new), renamed(description, new), [renamed(ask, new) for ask in asks if ask in fitting]


def style(ctx, name):
    """A tool's name in another way of writing identifiers, now and then."""
    parts = name.split("_")
    if len(parts) == 1 or not ctx.chance(0.2):
        return name
    return ctx.rng.choice([parts[0] + "".join(part.capitalize() for part in parts[1:]), "-".join(parts), ".".join(parts), "".join(part.capitalize() for part in parts), "_".join(parts[1:] + parts[:1])])


def named(ctx, names, description):
    """A name and a description; at least one of the two says what the tool is for."""
    rng, draw = ctx.rng, ctx.rng.random()
    name = style(ctx, rng.choice(names.split()))
    if draw < 0.07:  # only the description tells
        return "_".join(ctx.made_up() for _ in range(rng.randint(1, 2))), description
    if draw < 0.14:  # only the name tells
        other = " ".join(rng.choice(names.split()).split("_"))
        return name, rng.choice([other.capitalize() + ".", "Does it.", "A tool of the house.", f"{ctx.made_up().capitalize()} {ctx.made_up()}.", other])
    if draw < 0.2:
        return name, description.rstrip(".") + rng.choice([f" ({ctx.made_up()}).", ", quickly.", " for the user.", " at once.", f" with {ctx.made_up().capitalize()}."])
    return name, description


def describe_key(ctx, slot, kind, properties, key):
    """Sometimes say what an argument is, or which values it takes."""
    rng, said = ctx.rng, slot.replace("_", " ")
    if kind in CLOSED and ctx.chance(0.35):
        properties[key]["enum"] = LISTS.get(kind) or {"size": words.SIZES, "priority": ["low", "normal", "high"], "onoff": ["on", "off"]}[kind]
    if kind in ARGUMENTS and ctx.chance(0.2):
        properties[key]["description"] = expand(ARGUMENTS[kind][1], rng)
    elif ctx.chance(0.55):
        properties[key]["description"] = expand(rng.choice(SAID_KEY), rng, s=said, S=said.capitalize(), v=everyday_value(ctx, kind))


def everyday_tool(ctx, kinds, kind_name=None):
    """A tool of one of the kinds."""
    rng = ctx.rng
    names, descriptions, slots, _ = kinds[kind_name := kind_name or rng.choice(list(kinds))]
    used, properties, arguments = set(), {}, []
    order = list(slots.items())
    if not ctx.strict and ctx.chance(0.5):
        rng.shuffle(order)
    for slot, (keys, kind) in order:
        key = rng.choice([key for key in keys.split() if key not in used])
        made = not ctx.strict and ctx.chance(0.1)
        if made:  # only its description, its type or its being alone tells
            key = ctx.made_up() if ctx.chance(0.6) else f"{rng.choice([ctx.made_up(), rng.choice(words.ADJECTIVES)])}_{key}"
        while key in used:
            key = f"{key}_{ctx.made_up()}"
        used.add(key)
        properties[key] = {"type": "integer" if kind in INTEGERS else "string"}
        if ctx.strict:
            if ctx.chance(0.5):
                properties[key]["description"] = f"The {slot}" + rng.choice(["", "."])
        else:
            describe_key(ctx, slot, kind, properties, key)
            if made and len(slots) > 1:
                properties[key].setdefault("description", f"The {slot.replace('_', ' ')}")
            if kind in INTEGERS and ctx.chance(0.2):
                properties[key]["type"] = "number"
        arguments.append((key, slot, kind))
    required = [key for key in properties if ctx.chance(0.7)] or list(properties)[:1]
    parameters = {"type": "object", "properties": properties, "required": required}
    name, description = rng.choice(names.split()), expand(rng.choice(descriptions), rng)
    unknown = disguise(ctx, style(ctx, name), description, kinds[kind_name][3]) if not ctx.strict and ctx.chance(0.35) else None
    if unknown:
        name, description, asks = unknown
    elif not ctx.strict:
        name, description = named(ctx, names, description)
    definition = {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
    return Tool(definition, name if unknown else kind_name, lambda ctx: everyday_request(ctx, kind_name, arguments, asks if unknown else None))


def everyday_request(ctx, kind_name, arguments, asks=None):
    """A user's text that asks for a tool of a kind, and the arguments that it gives; `asks` are wordings of this one tool."""
    values = {slot: everyday_value(ctx, kind) for _, slot, kind in arguments}
    user = ctx.fill(ctx.rng.choice(asks), **values) if asks else ctx.ask(f"tools.domain.{kind_name}", **values)
    given = {key: values[slot] for key, slot, _ in arguments if slot in ctx.used}
    if not ctx.strict and ctx.chance(0.06):
        user = ctx.unfamiliar(user)
    elif not ctx.strict and ctx.chance(0.1) and user[-1] != '"' and not user.startswith(tuple(map(str, given.values()))):
        user = wrap(user, ctx.rng)
    return user, given
