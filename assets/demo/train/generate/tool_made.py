"""Tools put together from a verb, a noun and arguments, and the requests for them."""

import json

from . import words
from .grammar import expand
from .tool_more import BESIDE
from .tool_parts import ARGUMENTS, NOUNS, VERBS, Tool, mention, value_of

DESCRIPTIONS = ["[{v} the {n}|{v} a {n}|{v} {n}][.|]", "[Can|Used to|Lets you] {v} the {n}.", "{n}: {v}[.|]", "[This tool will|Will] {v} the {n}.", "{v} the user's {n}.", "[State|Times|Level|Status|List|Price|Details|Position|Result|Plan] of [the|a|my] {n}[| at a place| on a day| for someone].", "[Everything|All|Facts] about [the|a] {n}.", "{n} [and more|service|helper|control|for you|in one step][.|]", "[Give|Send|Make|Do|Have|Move|Bring|Start] [a |the |some |]{n}[| to a place| for someone| in a room].", "[Old and new|Small and big|Good and bad|All] {n}[| of the house| for someone| in short]."]
NEEDS = {"send": ["to_person", "text"], "convert": ["count"], "call": ["person"], "assign": ["to_person"]}
# Kinds whose values look alike; one such argument alone needs no telling words.
CLASS = {kind: "name" for kind in ("city", "origin", "destination", "person", "to_person")} | {kind: "number" for kind in ("count", "people", "level", "id")} | {kind: "word" for kind in ("colour", "room", "size", "language", "event", "priority", "text", "title", "query")}
CHOICES = {"size": words.SIZES, "priority": ["low", "normal", "high"]}
COMMON = ["city", "person", "day", "time", "count", "level", "text", "title", "query"]


def style_name(rng, parts, style):
    """Words joined as an identifier."""
    parts = [piece for part in parts for piece in part.split("_")]
    if style == "camel":
        return parts[0] + "".join(piece.capitalize() for piece in parts[1:])
    return {"snake": "_", "kebab": "-", "dot": "."}[style].join(parts)


def make_tool(ctx, style, named=False):
    """A random tool of a verb, sometimes an odd one, and a noun."""
    rng = ctx.rng
    verb = rng.choice(list(VERBS))
    strange = named or ctx.chance(0.2)
    odd = None if ctx.strict or not ctx.chance(0.2) else words.made_up(rng, ctx.held, real=0.5)
    noun = ctx.made_up() if strange else words.choose(rng, NOUNS, ctx.held)
    synonym = odd or rng.choice(ctx.bank.get(f"tools.names.{verb}", [VERBS[verb][0]])[0].split())
    order = [synonym, noun] if ctx.chance(0.8) else [noun, synonym]
    if not ctx.strict and ctx.chance(0.12):  # only the description tells what it is for
        order = [ctx.made_up() for _ in range(rng.randint(1, 3))]
    name = noun if ctx.chance(0.07) else style_name(rng, order, style)
    kinds = list(NEEDS.get(verb, [])) if ctx.chance(0.7) else []
    pool = [kind for kind in ARGUMENTS if kind not in kinds]
    for _ in range(rng.choice([0, 1, 1, 1, 2]) if kinds else rng.choice([0, 1, 1, 1, 2, 2, 2, 3])):
        kind = rng.choice([k for k in COMMON if k in pool] or pool) if ctx.chance(0.5) else rng.choice(pool)
        pool.remove(kind)
        kinds.append(kind)
    if "person" in kinds and "to_person" in kinds:
        kinds.remove("person")
    arguments, properties = [], {}
    for kind in rng.sample(kinds, len(kinds)):
        names, description, schema, _ = ARGUMENTS[kind]
        names = ctx.bank.get(f"tools.names.{kind}", [names])[0]
        key = rng.choice(names.split())
        if not ctx.strict and kind != "state" and ctx.chance(0.3):
            key = rng.choice([ctx.made_up(), f"{ctx.made_up()}_{ctx.made_up()}", f"{key}_{ctx.made_up()}"])
        elif kind != "state" and ctx.chance(0.1):
            key = f"{rng.choice(words.ADJECTIVES)}_{key}" if ctx.chance(0.5) else f"{noun.split('_')[0]}_{key}"
        if key in properties:
            continue
        properties[key] = {"type": "number" if schema == "integer" and ctx.chance(0.3) else schema}
        if ctx.chance(0.8):
            properties[key]["description"] = expand(description, rng)
        if kind in CHOICES and ctx.chance(0.4):
            properties[key]["enum"] = CHOICES[kind]
        arguments.append((key, kind, ctx.chance(0.85)))
    said = noun.replace("_", " ")
    description = expand(rng.choice(DESCRIPTIONS), rng, v=rng.choice([verb, synonym.replace("_", " ")]), n=said)
    parameters = {"type": "object", "properties": properties, "required": [key for key, _, required in arguments if required]}
    function = {"name": name, "description": description[0].upper() + description[1:], "parameters": parameters}
    definition = {"type": "function", "function": function}
    return Tool(definition, said, lambda ctx: request(ctx, name, odd or verb, said, arguments))


def inflect(ctx, noun):
    """Another form of a word: asked for in one form, a tool may be named in another."""
    if ctx.chance(0.5):
        return words.plural(noun)
    stem = noun[:-1] if noun[-1] in "ey" else noun
    return stem + ctx.rng.choice(["ing", "ed", "er", "s", "ation", "ings", "y", "ers"])


def beside(ctx, left, thing, noun):
    """Move one argument out of `left` and next to the thing, if one fits there."""
    for key, (kind, value) in left.items():
        if kind in BESIDE:
            del left[key]
            said = expand(ctx.rng.choice(BESIDE[kind]), ctx.rng, n=noun, v=value, q=f'"{value}"', w=ctx.made_up())
            return said, said
    return thing, noun


def request(ctx, name, verb, noun, parts):
    """A user's text that asks for a tool, and the arguments that it gives; `parts` are (key, kind, required)."""
    given = {key: (kind, value_of(ctx, kind)) for key, kind, required in parts if required or ctx.chance(0.5)}
    rng = ctx.rng
    if not ctx.strict and ctx.chance(0.25):
        noun = inflect(ctx, noun)
    if given and ctx.chance(0.12):
        pairs = [f"{key}{rng.choice([' ', ' = ', ': ', '='])}{json.dumps(v, ensure_ascii=False) if ctx.chance(0.5) or isinstance(v, bool) else v}" for key, (_, v) in given.items()]
        user = ctx.ask("tools.named", tool=name, list=rng.choice([", ", " and "]).join(pairs))
    else:
        act = ctx.ask(f"tools.verb.{verb}") if verb in VERBS else verb
        thing = ctx.ask("tools.object", noun=noun)
        classes = [CLASS.get(kind, kind) for kind, _ in given.values()]
        left = dict(given)
        if not ctx.strict and ctx.chance(0.25):
            thing, noun = beside(ctx, left, thing, noun)
        spoken = [mention(ctx, key, kind, value, classes.count(CLASS.get(kind, kind)) == 1) for key, (kind, value) in left.items()]
        free = [i for i, (kind, _) in enumerate(left.values()) if kind in ("text", "title", "query")]
        rng.shuffle(spoken) if not free else spoken.sort(key=lambda said: any(q in said for q in "\"'") and rng.random() < 0.7)
        act = act[0].lower() + act[1:] if not act.startswith("I") else act
        if not ctx.strict and ctx.chance(0.3):
            user = ctx.ask("tools.noun", n=noun, m=" ".join(spoken))
            return " ".join(user.replace(" ,", ",").split()), {key: value for key, (_, value) in given.items()}
        act = " ".join([act, thing if left != given else thing[0].lower() + thing[1:], *spoken])
        user = ctx.unfamiliar(act) if not ctx.strict and ctx.chance(0.12) else ctx.ask("tools.ask", act=act, tool=name)
    return user, {key: value for key, (_, value) in given.items()}
