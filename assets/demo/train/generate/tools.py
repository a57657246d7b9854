"""Tools that the prompt describes: picking one, filling its arguments, using its result, or leaving them alone."""

import json

from . import words
from .context import Turn
from .grammar import expand
from .tool_domains import DOMAINS as EVERYDAY
from .tool_more import BESIDE, BY_KEY, BY_NOUN, DOMAINS as MORE, FRAMES
from .tool_parts import ARGUMENTS, BOOLEAN_SAID, NOUNS, VERBS, everyday_value, value_of

DOMAINS = EVERYDAY | MORE
PHRASES = {
    "tools.ask": ["[|||please |hey, |can you |could you |hi, |I want you to |would you |ok, |now |so, |quickly, ]{act}[||| please| for me|, thanks]", "[use|call|run] [the |]{tool} [tool |]and {act}", "[I need your help: |one more thing: |a favour: |next: |first, ]{act}"],
    "tools.noun": BY_NOUN,
    "tools.object": ["[the|a|the|my|this|some|one|another|] {noun}", "the {noun}", "{noun}"],
    "tools.named": ["[use|call|run|invoke|execute] [the tool |the function ||]{tool} with {list}", "{tool} with {list}[| please]", "[please |][run|call] {tool}, {list}"],
}
PHRASES["tools.ask"] += FRAMES
PHRASES |= {f"tools.verb.{verb}": [said] for verb, (_, said) in VERBS.items()}
PHRASES |= {f"tools.argument.{kind}": [said] for kind, (*_, said) in ARGUMENTS.items() if said}
PHRASES |= {f"tools.domain.{domain}": asks for domain, (*_, asks) in DOMAINS.items()}
INTEGERS = ("minutes", "number", "degrees", "count", "people", "level", "price")
DESCRIPTIONS = ["[{v} the {n}|{v} a {n}|{v} {n}][.|]", "[Can|Used to|Lets you] {v} the {n}.", "{n}: {v}[.|]", "[This tool will|Will] {v} the {n}.", "{v} the user's {n}.", "[State|Times|Level|Phase|Status|List|Price|Details|Position|Result|Plan] of [the|a|my] {n}[| at a place| on a day| for someone].", "[Everything|All|Facts] about [the|a] {n}.", "{n} [and more|service|helper|control|for you|in one step][.|]", "[Give|Send|Make|Do|Have|Move|Bring|Start] [a |the |some |]{n}[| to a place| for someone| in a room].", "[High and low|Old and new|Small and big|Open and closed] {n}[| at a place| on a day]."]
NEEDS = {"send": ["to_person", "text"], "convert": ["count"], "call": ["person"], "assign": ["to_person"]}
# Kinds whose values look alike; one such argument alone needs no telling words.
CLASS = {kind: "name" for kind in ("city", "origin", "destination", "person", "to_person")} | {kind: "number" for kind in ("count", "people", "level", "id")} | {kind: "word" for kind in ("colour", "room", "size", "language", "event", "priority", "text", "title", "query")}
CHOICES = {"size": words.SIZES, "priority": ["low", "normal", "high"]}
COMMON = ["city", "person", "day", "time", "count", "level", "text", "title", "query"]
OUTCOMES = {"temperature": lambda r: r.randint(-20, 40), "status": lambda r: r.choice(["done", "open", "ready", "pending", "active", "closed"]), "price": lambda r: r.randint(1, 999), "sky": lambda r: r.choice(["sunny", "cloudy", "rain", "snow", "fog"]),
            "total": lambda r: r.randint(1, 9999), "name": lambda r: words.syllables(r).capitalize(), "distance": lambda r: r.randint(1, 9000), "time": lambda r: f"{r.randint(0, 23):02}:{r.randint(0, 59):02}", "result": lambda r: r.choice([r.randint(0, 9999), words.syllables(r)]),
            "id": lambda r: words.syllables(r)[:3].upper() + str(r.randint(1, 999)), "humidity": lambda r: r.randint(0, 100), "colour": lambda r: r.choice(words.COLOURS), "city": lambda r: r.choice(words.CITIES), "seats": lambda r: r.randint(1, 200),
            "speed": lambda r: r.randint(1, 300), "balance": lambda r: r.randint(0, 9999), "title": lambda r: words.syllables(r).capitalize(), "rating": lambda r: r.randint(1, 10), "day": lambda r: r.choice(words.DAYS)}


def style_name(rng, parts, style):
    """Words joined as an identifier."""
    parts = [piece for part in parts for piece in part.split("_")]
    if style == "camel":
        return parts[0] + "".join(piece.capitalize() for piece in parts[1:])
    return {"snake": "_", "kebab": "-", "dot": "."}[style].join(parts)


def make_tool(ctx, style, named=False):
    """A random tool: its definition, its verb (sometimes an odd one) and noun, and its arguments as (key, kind, required)."""
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
    return {"type": "function", "function": function}, odd or verb, said, arguments


def everyday_tool(ctx, domains):
    """A tool of a known domain, in the same form as `make_tool`; its noun is the domain."""
    rng = ctx.rng
    names, descriptions, slots, _ = domains[domain := rng.choice(list(domains))]
    used, properties, arguments = set(), {}, []
    for slot, (keys, kind) in slots.items():
        key = rng.choice([key for key in keys.split() if key not in used])
        used.add(key)
        properties[key] = {"type": "integer" if kind in INTEGERS else "string"}
        if ctx.chance(0.5):
            properties[key]["description"] = f"The {slot}" + rng.choice(["", "."])
        arguments.append((key, slot, kind))
    required = [key for key in properties if ctx.chance(0.7)] or list(properties)[:1]
    parameters = {"type": "object", "properties": properties, "required": required}
    function = {"name": rng.choice(names.split()), "description": expand(rng.choice(descriptions), rng), "parameters": parameters}
    return {"type": "function", "function": function}, None, domain, arguments


def everyday_request(ctx, tool):
    """The same as `request` for an everyday tool."""
    _, _, domain, arguments = tool
    values = {slot: everyday_value(ctx, kind) for _, slot, kind in arguments}
    user = ctx.ask(f"tools.domain.{domain}", **values)
    return user, {key: values[slot] for key, slot, _ in arguments if slot in ctx.used}


def make_tools(ctx, count=None, named=False, domains=DOMAINS):
    """Some different tools."""
    style = ctx.rng.choice(["snake", "snake", "snake", "camel", "kebab", "dot"])
    tools, names = [], set()
    everyday = 0 if named else ctx.rng.choice([0, 0.2, 0.5, 0.8, 1])
    for _ in range(count or ctx.rng.choice([1, 1, 2, 2, 3, 4])):
        tool = everyday_tool(ctx, domains) if ctx.chance(everyday) else make_tool(ctx, style, named and not tools)
        words_used = {tool[0]["function"]["name"], tool[2]}
        if not words_used & names:
            tools.append(tool)
            names |= words_used
    return tools


def mention(ctx, key, kind, value, alone=False):
    """How the user words one argument."""
    if kind == "state":
        return expand(BOOLEAN_SAID[value], ctx.rng, name=key.replace("_", " "))
    quoted = value if not isinstance(value, str) else f'"{value}"' if ctx.chance(0.5) else value if ctx.chance(0.6) else f"'{value}'"
    if not ctx.strict and ctx.chance(0.15):
        return expand(ctx.rng.choice(BY_KEY), ctx.rng, k=key.replace("_", " "), v=quoted if kind in ("text", "title", "query") else value)
    if not ctx.strict and alone and ctx.chance(0.15):
        filler = " ".join(ctx.made_up() for _ in range(ctx.rng.choice([0, 1, 1, 2, 3])))
        return f"{filler} {quoted}".strip()
    text = ctx.ask(f"tools.argument.{kind}", v=value, q=quoted)
    return text[0].lower() + text[1:] if ctx.used and not text.startswith(str(value)) else text


def beside(ctx, left, thing, noun):
    """Move one argument out of `left` and next to the thing, if one fits there."""
    for key, (kind, value) in left.items():
        if kind in BESIDE:
            del left[key]
            said = expand(ctx.rng.choice(BESIDE[kind]), ctx.rng, n=noun, v=value, q=f'"{value}"', w=ctx.made_up())
            return said, said
    return thing, noun


def request(ctx, tool):
    """A user's text that asks for a tool, and the arguments that it gives."""
    definition, verb, noun, parts = tool
    given = {key: (kind, value_of(ctx, kind)) for key, kind, required in parts if required or ctx.chance(0.5)}
    name, rng = definition["function"]["name"], ctx.rng
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
        user = ctx.ask("tools.ask", act=" ".join([act, thing if left != given else thing[0].lower() + thing[1:], *spoken]), tool=name)
    return user, {key: value for key, (_, value) in given.items()}


def outcome(ctx):
    """What a tool gives back, and how to report it."""
    rng, draw = ctx.rng, ctx.rng.random()
    if draw < 0.15:
        return rng.choice(['{"status": "ok"}', "ok", "done", '{"success": true}', "OK", '{"ok": true}']), "Done."
    if draw < 0.25:
        reason = rng.choice(["not found", "no access", "the server is busy", "unknown name", "timeout", "not allowed", "invalid value", "no connection", f"unknown {words.syllables(rng)}"])
        return rng.choice([json.dumps({"error": reason}), f"error: {reason}", f"Error: {reason}"]), f"That didn't work: {reason}."
    keys = rng.sample(list(OUTCOMES), rng.choice([1, 1, 2, 2, 3]))
    values = {key: OUTCOMES[key](rng) for key in keys}
    if draw < 0.35:
        text = rng.choice([f"{values[keys[0]]}", f"{keys[0]}: {values[keys[0]]}"])
        return text, f"Here is the result: {text}."
    said = [f"the {key} is {value}" for key, value in values.items()]
    text = said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]
    return json.dumps(values, ensure_ascii=False), f"{text[0].upper()}{text[1:]}."


def call_message(name, arguments):
    """An assistant's message that calls a tool."""
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]}


def tool_call(ctx, tools, which=0):
    """A request and the call it needs."""
    ask = request if tools[which][1] else everyday_request
    user, arguments = ask(ctx, tools[which])
    name = tools[which][0]["function"]["name"]
    return Turn([{"role": "user", "content": user}, call_message(name, arguments)], {"kind": "call", "name": name, "arguments": arguments})


def tool_result(ctx):
    """The result of a call and the answer that uses it."""
    result, reply = outcome(ctx)
    value = reply.rstrip(".")
    return Turn([{"role": "tool", "content": result}, {"role": "assistant", "content": reply}], {"kind": "contains", "value": value})
