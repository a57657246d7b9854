"""Tools put together from an action and what it is done to, or from a thing that is wanted, with ever new combinations."""

from . import words
from .grammar import expand
from .tool_more import BESIDE
from .tool_parts import ARGUMENTS, Tool, everyday_value, mention, value_of
from .tool_values import LISTS

ACTIONS = """polish paint repair clean wash dry fold iron pack unpack wrap move lift push pull park load fill empty heat cool freeze melt boil fry roast peel mix stir weigh measure mark label sort stack store
check inspect test scan record film photograph copy print sign stamp register order rent borrow return collect carry deliver load guard watch protect cover fix mend glue screw nail drill sand varnish decorate
illuminate dim brighten mute amplify tune calibrate align adjust tighten loosen connect disconnect plug charge reset restart pause resume mow trim prune plant harvest feed walk groom brush shave dress comb bandage massage
train coach teach instruct greet welcome interview pay bill refund reward praise warn notify remind visit contact escort transport drive sail fly tow launch dock anchor sweep mop dust scrub rinse spray soak
bake season taste toast chop grind crush squeeze cancel confirm approve reject archive publish upload download encrypt compress merge split rename translate summarise proofread draw sketch carve sculpt mould knit sew stitch""".split()
DOUBLED = {"wrap": "wrapp", "scan": "scann", "plug": "plugg", "trim": "trimm", "mop": "mopp", "scrub": "scrubb", "chop": "chopp", "knit": "knitt", "dim": "dimm", "stir": "stirr", "split": "splitt"}
THINGS = [item for item in words.ITEMS if item not in words.HELD_WORDS]
# Irregular past forms; others take -ed.
DONE = {"return": "returned", "feed": "fed", "pay": "paid", "teach": "taught", "drive": "driven", "fly": "flown", "sew": "sewn", "draw": "drawn", "grind": "ground", "freeze": "frozen", "mow": "mown", "split": "split", "mend": "mended"}
# What an action is done to: the word for it, and its kind of value.
OBJECTS = [("garment", "garment"), ("piece", "furniture"), ("vehicle", "vehicle"), ("plant", "plant"), ("device", "device"), ("room", "room"), ("food", "vegetable"), ("dish", "dish"), ("animal", "animal"), ("document", "document"), ("tool", "handtool"), ("machine", "machine"), ("instrument", "instrument"), ("item", "item"), ("place", "place"), ("product", "item"), ("thing", "item"),
           ("field", "field_name"), ("file", "filename"), ("folder", "folder"), ("server", "server"), ("part", "part"), ("person", "person"), ("customer", "person"), ("patient", "person"), ("guest", "person"), ("city", "city"), ("box", "id"), ("order", "id"), ("body part", "body"), ("drink", "drink"), ("ingredient", "ingredient"), ("fabric", "fabric"), ("material", "material"), ("shape", "shape"), ("song", "song")]
NAKED = {"person", "city", "filename", "folder", "id", "song", "field_name"}  # no article before these
EXTRAS = ["day", "time", "count", "minutes", "colour", "person", "priority", "level", "price", "room", "city", "destination", "text", "size", "language"]
NAMES = ["{a}_{o}", "{a}_{o}", "{a}", "{o}_{i}", "auto_{a}", "{i}", "do_{i}", "{i}_service", "{a}_{x}", "{o}_{a}er", "start_{i}", "{a}_the_{o}", "request_{i}", "{a}_now"]
DESCRIPTIONS = ["{A} [a|the] {o}[.|]", "{I} of a {o}[.|]", "[Lets you|Used to|Can] {a} [a|any] {o}.", "{I} [service|help][| for a {o}][.|]", "[Have|Get] [a|the] {o} {d}.", "{A} it.", "{A} [something|things|what the user names].", "For {i}.", "[Starts|Does|Orders] the {i}[| of a {o}]."]
KEYS = ["{o}", "{o}", "{o}", "what", "item", "target", "object", "thing", "{o}_name", "which_{o}", "{x}", "{a}_what", "the_{o}"]
# `t` is the thing with or without its article, `m` the mentions of further arguments.
REQUESTS = [
    "[||||please |can you |could you |hey, |I'd like you to |would you |ok, |let's |time to |I want to |I need to |someone has to |we should |help me ]{a} {t} {m}[||.|!| please|?]", "{t} [needs|needs some|could use some|is due for|wants|calls for] {i} {m}[||.|!]", "{t} [has to be|must be|should be|needs to be|ought to be|is to be] {d} {m}[||.|!]", "[I want|I need|I'd like|we want|I'd love] {t} {d} {m}[||.|!| please]",
    "[get|have] {t} {d} {m}[||.| please]", "{v}: {a} {m}", "{a} {v} {m}", "[is it|would it be|is it still] possible to {a} {t} {m}?", "[who|when can someone|can anybody|could somebody] {a} {t} {m}?", "{t}, [please |just |]{a} it {m}[.|!|]", "[nobody has|I haven't|we haven't|you haven't] {d} {t} [yet|so far|for weeks|in ages] {m}[, do it|, please do|.|]",
    "{i} {t} {m}[ would be nice| please|, thanks|.|]", "[how about|what about|time for|I'm thinking of|let's try] {i} {t} {m}[?|.]", "{I} for {v} {m}", "[I can't|I don't want to|I have no time to|I'm too lazy to|my arms are too tired to] {a} {t} {m}[, you do it|, help|, please take over|.]", "[look at|remember|don't forget|here is|I give you] {t}: {a} it {m}", "{t} {m}, {a} it [now|please|for me|quickly]", "[did anyone|has anyone|did you] {a} {t}? [Do it|If not, go|Then do it] {m}", "[it's|the] {t} again, {a} {m}",
]
# A thing that the user wants; `n` is the thing, `s` its plural.
WANTED_NAMES = ["order_{n}", "get_{n}", "{n}_service", "{n}s", "{n}_order", "bring_{n}", "{n}", "new_{n}", "{n}_shop", "buy_{n}", "{n}_delivery", "rent_{n}", "{n}_request", "make_{n}", "{n}_maker", "{x}_{n}", "{n}_{x}", "find_{n}"]
WANTED_DESCRIPTIONS = ["[Order|Get|Bring|Make|Buy|Find|Send] [a|some] {n}[.|]", "[Orders|Gives|Delivers] {s}.", "{N}[.|s.| for the user.]", "For everybody who wants {s}.", "[One or more|All kinds of|Different] {s}."]
WANTED = [
    "[I want|I need|I'd like|I could use|give me|get me|bring me|let me have|how about|what about|can I have|could we get|may I have|order|buy|we're out of|I dream of|nothing beats|let's have] [a|some|another] {q}{n} {m}[||?|.|!| please]", "[I want|I need|I'd like|give us|get us|bring|we'll take|make it|could we have|let's order|send] {c} {q}{s} {m}[||?|.|!| please]", "{c} {q}{s} {m}[||.| please|, please]", "[a|one|another] {q}{n} {m}[||.| please|, please|!]", "[no|where are my|who has] {s} {m}[?|!]", "{q}{n} {m}[?|!| please|]", "{s} {m}, {c} of them", "{n}[, | - |: ]{c} {m}", "{q}{s}, {c} [in all|please|should do|for us] {m}",
    "[my|our] {n} is [gone|broken|lost|too old], [a new one|I need a new one|get another] {m}", "[is there a {q}{n}|are there any {q}{s}] {m}?",
]


def ing(verb):
    """The -ing form."""
    stem = DOUBLED.get(verb) or (verb[:-1] if verb.endswith("e") and not verb.endswith(("ee", "ye")) else verb)
    return stem + "ing"


def done(verb):
    """The past participle."""
    if verb in DONE:
        return DONE[verb]
    stem = DOUBLED.get(verb, verb)
    return stem + "d" if stem.endswith("e") else stem[:-1] + "ied" if stem.endswith("y") and stem[-2] not in "aeiou" else stem + "ed"


def identifier(rng, template, **slots):
    """A tool's name or an argument's key."""
    return expand(template, rng, **slots).replace(" ", "_").lower()


def further(ctx, properties, taken):
    """Up to two more arguments as (key, kind, value or None if the user leaves it out)."""
    rng, found = ctx.rng, []
    for kind in rng.sample([kind for kind in EXTRAS if kind not in taken], rng.choice([0, 0, 1, 1, 2])):
        names, description, schema, _ = ARGUMENTS[kind]
        key = rng.choice(names.split())
        if ctx.chance(0.15):
            key = f"{key}_{ctx.made_up()}"
        if key in properties:
            continue
        properties[key] = {"type": schema} | ({"description": expand(description, rng)} if ctx.chance(0.6) else {})
        found.append((key, kind))
    return found


def finish(ctx, name, description, properties, optional):
    """The definition of a tool."""
    order = ctx.rng.sample(list(properties), len(properties))
    required = [key for key in order if key not in optional and ctx.chance(0.85)]
    parameters = {"type": "object", "properties": {key: properties[key] for key in order}, "required": required}
    return {"type": "function", "function": {"name": name, "description": description[0].upper() + description[1:], "parameters": parameters}}


def spoken(ctx, extras):
    """Values for further arguments, and how the user mentions those that are given."""
    given = {key: (kind, value_of(ctx, kind)) for key, kind in extras if ctx.chance(0.75)}
    said = [mention(ctx, key, kind, value) for key, (kind, value) in given.items()]
    return {key: value for key, (_, value) in given.items()}, " ".join(said)


def in_order(definition, values):
    """Arguments in the order of the definition."""
    return {key: values[key] for key in definition["function"]["parameters"]["properties"] if key in values}


def tidy(text):
    """Text without the gaps that empty slots leave."""
    return " ".join(text.split()).replace(" ,", ",").replace(" .", ".").replace(" ?", "?").replace(" !", "!")


def action_tool(ctx):
    """A tool that does something to something."""
    rng = ctx.rng
    verb = rng.choice(ACTIONS) if ctx.chance(0.8) else words.made_up(rng, ctx.held, real=0.0)
    word, kind = rng.choice(OBJECTS)
    slots = dict(a=verb, A=verb.capitalize(), i=ing(verb), I=ing(verb).capitalize(), d=done(verb), o=word, x=ctx.made_up())
    name = identifier(rng, rng.choice(NAMES), **slots)
    key = identifier(rng, rng.choice(KEYS), **slots)
    properties = {key: {"type": "string"}}
    if key == slots["x"] or ctx.chance(0.4):
        properties[key]["description"] = expand("[The|Which|A] {o}[| to {a}|.]", rng, **slots)
    if kind in LISTS and ctx.chance(0.08):
        properties[key]["enum"] = rng.sample(LISTS[kind], min(5, len(LISTS[kind])))
    extras = further(ctx, properties, {"person", "city"} & {kind} | ({"room"} if kind == "room" else set()) | ({"person"} if kind == "person" else set()))
    definition = finish(ctx, name, expand(rng.choice(DESCRIPTIONS), rng, **slots), properties, {extra for extra, _ in extras if ctx.chance(0.4)})

    def request(ctx):
        value = ctx.rng.choice(properties[key]["enum"]) if "enum" in properties[key] else everyday_value(ctx, kind)
        bare = kind in NAKED or str(value).startswith(("the ", "my "))
        thing = value if bare else ctx.rng.choice(["the", "my", "the", "our", "this", "that"]) + f" {value}"
        given, said = spoken(ctx, extras)
        text = ctx.fill(ctx.rng.choice(REQUESTS), t=thing, v=value, m=said, **{form: ctx.value(slots[form]) for form in "aidI"})
        text = ctx.unfamiliar(text) if ctx.chance(0.06) else text
        return tidy(text), in_order(definition, {key: value} | given)

    return Tool(definition, f"{verb} {word}", request)


def wanted_tool(ctx):
    """A tool that gives a thing."""
    rng = ctx.rng
    noun = words.choose(rng, THINGS, ctx.held) if ctx.chance(0.45) else words.made_up(rng, ctx.held, real=0.15)
    plural = words.plural(noun)
    slots = dict(n=noun, s=plural, N=noun.capitalize(), x=ctx.made_up())
    name = identifier(rng, rng.choice(WANTED_NAMES), **slots)
    properties, kinds = {}, []
    for kind in rng.sample(["count", "size", "colour"], rng.choice([1, 1, 2, 2, 3])):
        names, description, schema, _ = ARGUMENTS[kind]
        key = rng.choice(names.split()) if ctx.chance(0.75) else rng.choice([f"{noun}_{kind}", ctx.made_up(), plural if kind == "count" else f"{kind}_of_{noun}", f"how_many_{plural}" if kind == "count" else f"which_{kind}"])
        if key in properties:
            continue
        properties[key] = {"type": schema} | ({"description": expand(description, rng)} if ctx.chance(0.5) or key.isalpha() and kind not in key and ctx.chance(0.7) else {})
        kinds.append((key, kind))
    extras = further(ctx, properties, {"count", "size", "colour", "text", "level", "minutes"})
    definition = finish(ctx, name, expand(rng.choice(WANTED_DESCRIPTIONS), rng, **slots), properties, set())

    def request(ctx):
        given, said = spoken(ctx, extras)
        values = {kind: (key, value_of(ctx, kind)) for key, kind in kinds}
        qualities = [values[kind] for kind in ("size", "colour") if kind in values and ctx.chance(0.8)]
        slots = dict(n=noun, s=plural, m=said, q="".join(f"{value} " for _, value in qualities))
        text = ctx.fill(ctx.rng.choice(WANTED if "count" in values else [wanted for wanted in WANTED if "{c}" not in wanted]), c=values.get("count", (0, 0))[1], **slots)
        told = (qualities if "q" in ctx.used else []) + ([values["count"]] if "c" in ctx.used else [])
        return tidy(text), in_order(definition, dict(told) | given)

    return Tool(definition, noun, request)
