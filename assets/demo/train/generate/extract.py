"""A sentence turned into a JSON object with given keys."""

import json

from . import words
from .context import chat
from .grammar import expand
from .extract_more import REQUESTS, SENTENCES
from .extract_clauses import AFTER, ASIDES, BEFORE, CLAUSES, FREE
from .extract_salad import salad

KEYS_SAID = "[with the keys|with keys|with the fields|using the keys|using keys|with the properties|and the keys|keys:|fields:|with these keys:|with exactly the keys|having the keys|that has the keys|with]"
MAKE = "[turn|convert|change|transform|rewrite|put|make|parse|format|translate|bring]"
PHRASES = {"extract.ask": [
    MAKE + " [this|this sentence|the sentence|the following|the text|this text|this line|this message] [into|to|in] [JSON|a JSON object|json|valid JSON] " + KEYS_SAID + " {keys}: {text}",
    "[extract|get|pull out|find|read|take|collect|pick] {keys} [from|out of] [this|this sentence|the sentence|the text|the following text|this message] [as|in|and write] [JSON|a JSON object|json]: {text}",
    "[extract|give me|write|return|output|make|create|produce|I need|I want] [a |the |]JSON [object |][|for this |from this |of this ]" + KEYS_SAID + " {keys}: {text}",
    "[JSON|json|To JSON|As JSON|Write as JSON|JSON please|Make JSON]: {text} [Keys|Use the keys|The keys are|Fields]: {keys}",
    "{text} [Turn|Convert|Make|Put] [this|that|it] [into|to] [JSON|a JSON object] " + KEYS_SAID + " {keys}[.|]",
    "{text}[ |\n]" + "[Extract|Give me|Return|Write|Get] {keys} as [JSON|a JSON object|json][.|]",
    "[Fill|Complete|Write] a JSON object " + KEYS_SAID + " {keys} from [this|the|the following] [sentence|text]: {text}",
    "[What are|Tell me] {keys} [here|in this sentence|in this text]? [Answer|Reply|Respond] [in|with|as] JSON[.|:] {text}",
    "[Sentence|Text|Input]: {text}[ |\n][Keys|Fields]: {keys}[ |\n][JSON|Output|Answer|Object]:",
    "[Keys|Fields|JSON keys]: {keys}[. |\n| - ][Sentence|Text]: {text}",
    "[Please |Can you |Could you ||]" + "[read|take] [this|the sentence] and [give|return|write|output|make] [me |]a JSON object " + KEYS_SAID + " {keys}: {text}",
    "[As|In] JSON " + KEYS_SAID + " {keys}: {text}", "[Structure|Encode|Represent|Express|Describe|Store] [this|the sentence|this text] as JSON " + KEYS_SAID + " {keys}: {text}",
    "[Look at|Consider|Take|Use|Analyse|Study|Go through|Scan|Process|Handle] [this|the following|the next line|the sentence below|the text][:| -] {text} [Then |]" + "[give|write|return|make|build|create|send|show][ me|] [a |]JSON [object |record |][of|with|for|containing|holding|including|listing] {keys}[.|]",
    "[Your task|The task|Task|Job|Exercise][:| is] [JSON|a JSON object|json] [with|of|from|containing] {keys}[. |: |\n]" + "[The text|Text|Here it is|The sentence|Source|Data][:| is:] {text}",
    "[Only|Just] [JSON|a JSON object|json][, please| please|, no other words|]: {keys}[.|;] {text}", "{text} [-|=>|->] [JSON|json][:| with] {keys}", "[JSON|json] ({keys}): {text}", "[JSON|json] {keys} [<-|from|for|of|out of] {text}",
    "[Build|Form|Construct|Compose|Generate|Prepare|Assemble|Derive] [a |]JSON [object|record|] [out of|from|based on|using] {text} [The keys are|Keys:|It has the keys|It needs|It must have] {keys}[.|]",
    "[Map|Translate|Transfer|Transcribe|Reduce|Pack|Boil down|Condense|Summarise|Sum up] [this|the text|the sentence|this line] [to|into|onto|as] [JSON|a JSON object] [({keys})|with {keys}|having {keys}|whose keys are {keys}|that has {keys}|made of {keys}]: {text}",
    "[What|Which] JSON [object |][has|holds|gives|stores|contains] {keys} of [this|the sentence]: {text}", "[I'd like|I want|I need|Give me|Show me|Let me have|Send me|We need] {keys} [as|in|in the form of|formatted as] [JSON|a JSON object|json][. |: |, ]" + "[from|Text:|out of|here:|source:|taken from|] {text}",
    "{text} [Please|Now|Next|Then|So][ |, ]" + "[list|give|write|show|put|return] {keys} [as|in|in a|as a] JSON [object|form|record|][.|]", "[Data|Record|Note|Line]: {text} [Desired|Wanted|Needed|Required] [keys|fields]: {keys}[.|]",
    "[pull|take|pick|read|fetch] [the |]{keys} [out of|from] [this|this text|the following|the sentence]: {text}", "[which|what] {keys} [does this mention|do you find here|are in this]? {text}",
    "[I have|Here is|This is|Here comes] a [sentence|text|message]: {text} [Please |]" + "[turn|convert] it [into|to] JSON " + KEYS_SAID + " {keys}[.|]",
]}
# domain: ({field: (kind, key names)}, sentences)
DOMAINS = {
    "person": ({"who": ("person", "name person first_name who"), "age": ("age", "age years"), "city": ("city", "city town place home"), "job": ("job", "job profession occupation work")}, [
        "{who} is {age} years old and lives in {city}.", "{who} is a {job} from {city}.", "{who}, {age}, works as a {job} in {city}.", "My [friend|neighbour|cousin|colleague] {who} is {age} and works as a {job}.",
        "I'm {who}, a {age}-year-old {job} from {city}.", "The {job} {who} lives in {city}[ and is {age} years old|].", "In {city} lives {who}, a {job} of {age}.", "{who} turned {age} [today|last week] and moved to {city}.", "At {age}, {who} became a {job} in {city}.", "Our new {job} is {who} from {city}, aged {age}.", "[Meet|This is] {who}: {age} years old, {job}, living in {city}.", "My name is {who}, I'm {age} and I live in {city}."]),
    "order": ({"count": ("count", "quantity count amount number"), "item": ("item", "item product article thing"), "colour": ("colour", "colour color"), "who": ("person", "customer name buyer client")}, [
        "{who} [orders|ordered|wants|would like|bought|buys|needs] {count} {colour} {items}.", "[Please send|Send|Ship] {count} {colour} {items} to {who}.", "I [want|need|would like to order|will take] {count} {items} in {colour}.", "[An order|New order] from {who}: {count} {items}, {colour}.", "{who} asked for {count} {items}, all of them {colour}.", "The customer {who} [takes|wants] {count} {colour} {items}.", "[We|I] sold {count} {colour} {items} to {who} [today|yesterday].", "{count} {colour} {items} for {who}, please.", "For {who} we packed {count} {items} in {colour}."]),
    "event": ({"title": ("event", "title event name what"), "day": ("day", "day weekday date when"), "time": ("time", "time hour start"), "city": ("place", "place location room where")}, [
        "The {title} is on {day} at {time} in the {city}.", "[On|This|Next] {day} at {time} we have a {title} in the {city}.", "[There is|There will be] a {title} in the {city} on {day} at {time}.", "We meet for the {title} on {day}, {time}, in the {city}.", "The {title} starts at {time} on {day}[ in the {city}|].", "Don't forget the {title} on {day} at {time}, it's in the {city}.", "{day}, {time}: {title} in the {city}.", "The {city} is booked for the {title} at {time} on {day}.", "Come to the {city} on {day} at {time} for the {title}."]),
    "trip": ({"from": ("city", "from origin start departure"), "to": ("city", "to destination end arrival"), "day": ("day", "day date weekday when"), "who": ("person", "traveller passenger name who")}, [
        "{who} [travels|flies|goes|drives|takes the train] from {from} to {to} on {day}.", "On {day} {who} [travels|flies|goes] from {from} to {to}.", "[Book|I need|Get] a [ticket|flight|seat] from {from} to {to} for {who} on {day}.", "{who} leaves {from} on {day} and [goes|travels] to {to}.", "The [train|flight|bus] of {who} goes from {from} to {to} on {day}.", "{who} will be going to {to} from {from} [next|this] {day}.", "A trip for {who}: {from} to {to}, {day}.", "Next {day} {who} leaves {from} for {to}."]),
    "pet": ({"pet": ("person", "name pet pet_name"), "kind": ("animal", "animal species kind type"), "age": ("age", "age years"), "who": ("person", "owner person keeper")}, [
        "{who} has a {kind} [named|called] {pet} that is {age} years old.", "The {kind} {pet} is {age} years old and belongs to {who}.", "{pet} is a {age}-year-old {kind}[ owned by {who}|].", "My {kind} is called {pet}, it is {age}.", "{who}'s {kind} {pet} is {age} years old.", "{who} owns {pet}, a {kind} of {age} years.", "{pet}, the {kind} of {who}, turned {age}."]),
    "contact": ({"who": ("person", "name contact person"), "phone": ("phone", "phone number tel telephone"), "city": ("city", "city town address"), "mail": ("mail", "email mail e_mail")}, [
        "{who} lives in {city}, phone {phone}[, email {mail}|].", "You can [call|reach] {who} at {phone} or [write to|mail] {mail}.", "{who}'s [number|phone number|phone] is {phone} and the email is {mail}.", "Contact {who} in {city}: {phone}, {mail}.", "[Write to|Email] {who} at {mail} or call {phone}.", "The number of {who} from {city} is {phone}.", "{who} ({mail}) can be called at {phone}."]),
    "book": ({"title": ("title", "title book name"), "who": ("person", "author writer by"), "year": ("year", "year published date"), "pages": ("count", "pages length page_count")}, [
        "{who} wrote \"{title}\" in {year}.", "The book \"{title}\" by {who} [appeared|came out|was published] in {year}[ and has {pages} pages|].", "\"{title}\" is a book by {who} with {pages} pages, from {year}.", "In {year} {who} published \"{title}\".", "\"{title}\" ({year}) was written by {who}.", "{who}'s book \"{title}\" has {pages} pages."]),
    "price": ({"item": ("item", "item product name article"), "price": ("price", "price cost amount value"), "colour": ("colour", "colour color"), "shop": ("person", "shop store seller")}, [
        "The {colour} {item} costs {price} [dollars|euros].", "A {colour} {item} is {price} [dollars|euros] at {shop}.", "{shop} sells a {colour} {item} for {price} [dollars|euros].", "I [bought|paid for] a {colour} {item} at {shop} for {price} [dollars|euros].", "[You pay|I paid] {price} [dollars|euros] for the {item} at {shop}.", "At {shop} the {item} in {colour} is {price} [dollars|euros].", "For {price} [dollars|euros] you get a {colour} {item} from {shop}."]),
    "weather": ({"city": ("city", "city place location"), "degrees": ("count", "temperature degrees temp"), "sky": ("sky", "sky weather condition"), "day": ("day", "day date when")}, [
        "[On|Last] {day} it was {degrees} degrees and {sky} in {city}.", "In {city} it is {sky} with {degrees} degrees.", "It is {sky} in {city}, {degrees} degrees[, on {day}|].", "{city} had {degrees} degrees on {day} and it was {sky}.", "The weather in {city} on {day}: {sky}, {degrees} degrees.", "{day} will be {sky} in {city} at {degrees} degrees."]),
    "likes": ({"who": ("person", "name person who"), "food": ("food", "food dish meal favourite_food"), "colour": ("colour", "colour color favourite_colour"), "hobby": ("hobby", "hobby sport activity")}, [
        "{who} likes {food} and the colour {colour}.", "{who} loves {hobby} and eats {food}.", "The favourite colour of {who} is {colour} and the favourite food is {food}.", "{who}'s hobby is {hobby}, and {who} likes the colour {colour}.", "For lunch {who} eats {food}, and after that it's time for {hobby}.", "{who} enjoys {hobby}, {food} and everything {colour}.", "My friend {who} does {hobby} and wears {colour}."]),
    "task": ({"who": ("person", "assignee name person who"), "task": ("task", "task todo action what"), "day": ("day", "due day deadline date"), "level": ("level", "priority level urgency")}, [
        "{who} must {task} by {day}, priority {level}.", "{who} has to {task} [until|before|by] {day}.", "[Remind|Ask|Tell] {who} to {task} on {day}.", "By {day} {who} should {task}, the priority is {level}.", "The task of {who} is to {task}, due on {day} with {level} priority.", "With {level} priority: {who} will {task} on {day}."]),
    "team": ({"team": ("person", "team club winner"), "other": ("person", "opponent rival loser"), "goals": ("count", "goals points score"), "city": ("city", "city place stadium")}, [
        "{team} beat {other} in {city} and scored {goals} [goals|points].", "In {city} {team} scored {goals} [points|goals] against {other}.", "{team} won against {other} with {goals} [points|goals].", "With {goals} [goals|points] {team} defeated {other} in {city}."]),
}
PLACES = "park school church museum theatre station square harbour hotel castle stadium barn".split()
EVENTS = "meeting concert party lunch dinner workshop lecture class exam picnic wedding rehearsal interview market parade webinar training reading match tour".split()
SKIES = "sunny cloudy rainy windy foggy snowy stormy clear dry icy".split()
LEVELS = "low medium high urgent normal".split()
# Kinds whose values show by themselves what they are, as long as no other of their sort is near.
SORTS = {"person": "name", "city": "name", "title": "name", "mail": "mail", "phone": "phone", "age": "number", "count": "number", "year": "number", "price": "number", "degrees": "number", "day": "day", "time": "time"}
VERBS = "clean paint fix check wash sell bring pack print sort move order".split()


def value_of(ctx, kind):
    """A random value of a kind of field."""
    rng = ctx.rng
    lists = {"colour": words.COLOURS, "job": words.JOBS, "animal": words.ANIMALS, "food": words.FOODS, "hobby": words.HOBBIES}
    if kind in lists:
        return ctx.word(lists[kind], 0.35)
    if kind == "person":
        return ctx.person() + (f" {words.syllables(rng).capitalize()}" if ctx.chance(0.15) and not ctx.lower else "")
    makers = {"city": ctx.place, "age": lambda: ctx.number(1, 99), "count": lambda: ctx.number(2, 99), "item": lambda: ctx.word(words.ITEMS, 0.35),
              "year": lambda: rng.randint(1500, 2030), "event": lambda: ctx.made_up() if ctx.chance(0.25) else ctx.value(rng.choice(EVENTS)), "day": lambda: ctx.value(rng.choice(words.DAYS)), "time": lambda: words.clock(rng, ctx.held),
              "place": lambda: ctx.word(words.ROOMS + PLACES, 0.25), "sky": lambda: ctx.made_up() if ctx.chance(0.2) else rng.choice(SKIES), "level": lambda: rng.choice(LEVELS),
              "phone": lambda: f"{rng.randint(100, 999)}-{rng.randint(1000, 9999)}", "price": lambda: ctx.number(1, 500), "title": lambda: f"The {rng.choice(words.ADJECTIVES).capitalize()} {ctx.made_up().capitalize() if ctx.chance(0.4) else ctx.word(words.ITEMS).capitalize()}",
              "mail": lambda: f"{ctx.made_up()}@{words.syllables(rng)}.{rng.choice(['com', 'org', 'net', 'io'])}", "task": lambda: f"{rng.choice(VERBS)} the {ctx.word(words.ITEMS)}"}
    return makers[kind]()


def key_list(ctx, keys):
    """Keys as a user would list them."""
    if ctx.chance(0.15):
        keys = [f'"{key}"' for key in keys]
    draw = ctx.rng.random()
    if draw < 0.4 or len(keys) == 1:
        return ", ".join(keys)
    return ", ".join(keys[:-1]) + (" and " if draw < 0.9 else ", and ") + keys[-1]


def composed(ctx, domain):
    """A template of a sentence put together from clauses."""
    rng = ctx.rng
    subject, said, following = CLAUSES[domain]
    clauses = {field: rng.choice(options.split("|")) for field, options in said.items()}
    fields = rng.sample(list(clauses), rng.randint(1, len(clauses)))
    after = [field for field in following if field not in fields]
    head = "{" + subject + "}" if domain != "event" else "[The|Our|A] {title}"
    if after and ctx.chance(0.5):
        follow = rng.choice(following[rng.choice(after)].split("|"))
        head += follow + ("," if follow.startswith(",") and ctx.chance(0.5) else "")
    parts = [clauses[field] for field in fields]
    if ctx.chance(0.25):
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(ASIDES))
    joined = parts[0] if len(parts) == 1 else rng.choice([", ", " and ", ", then "]).join(parts[:-1]) + rng.choice([" and ", ", and ", " but ", " and also "]) + parts[-1]
    before = rng.choice(BEFORE) if ctx.chance(0.75) else f"{ctx.made_up().capitalize()}{rng.choice([', ', ': ', ' ', ' and so '])}"
    return f"{before}{head} {joined}{rng.choice(AFTER)}".replace(" ,", ",") + rng.choice([".", ".", ".", "!", ""])


def free(ctx):
    """An object of made-up keys."""
    rng = ctx.rng
    keys = {ctx.made_up() for _ in range(rng.randint(2, 5))} if ctx.chance(0.5) else set(rng.sample("name city colour size owner price weight date model brand status type level code unit rate title author year team guest room floor seat gate track label shape taste sound speed height origin target winner leader member driver".split(), rng.randint(2, 5)))
    values = {key: rng.choice([ctx.person, ctx.place, ctx.made_up, ctx.made_up, ctx.thing, lambda: ctx.number(0, 999)])() for key in sorted(keys)}
    order = rng.sample(list(values), len(values))
    text = rng.choice([", ", "; ", " and ", ", and "]).join(expand(rng.choice(FREE), rng, k=key, v=values[key]) for key in order) + rng.choice(["", "."])
    wanted = rng.sample(list(values), rng.randint(1, len(values)))
    result = {key: values[key] for key in wanted}
    return chat(ctx.ask("extract.ask", keys=key_list(ctx, wanted), text=text), json.dumps(result, ensure_ascii=False), kind="json", value=result)


def extract(ctx, domains=DOMAINS):
    """One sentence, some keys and the object."""
    fields, _ = domains[domain := ctx.rng.choice(list(domains))]
    values = {name: value_of(ctx, kind) for name, (kind, _) in fields.items()}
    plural = words.plural(values.get("item", "x"))
    if not ctx.strict and ctx.chance(0.2):
        return free(ctx)
    blurred = not ctx.strict and not ctx.lower and ctx.chance(0.12)
    if not ctx.strict and ctx.chance(0.25):
        text = ctx.fill(salad(ctx, domain), **values, items=plural)
    elif not ctx.strict and domain in CLAUSES and ctx.chance(0.4):
        text = ctx.fill(composed(ctx, domain), scrambled=4.0 * blurred, **values, items=plural)
    elif blurred:
        text = ctx.fill(ctx.rng.choice(ctx.bank[f"extract.{domain}"]), scrambled=4.0, **values, items=plural)
    else:
        text = ctx.ask(f"extract.{domain}", **values, items=plural)
    if "items" in ctx.used:
        values["item"] = plural
    present = [name for name in fields if name in ctx.used or (name == "item" and "items" in ctx.used)]
    if blurred:
        sorts = [SORTS.get(fields[name][0]) for name in present]
        present = [name for name, sort in zip(present, sorts) if sort and sorts.count(sort) == 1]
        if not present:
            return extract(ctx, domains)
    wanted = ctx.rng.sample(present, ctx.rng.randint(min(2, len(present)), len(present)))
    missing = [name for name in fields if name not in present]
    if missing and not ctx.held and ctx.chance(0.08):
        wanted.insert(ctx.rng.randrange(len(wanted) + 1), ctx.rng.choice(missing))
    result = {}
    for name in wanted:
        key = ctx.rng.choice(fields[name][1].split())
        if ctx.chance(0.06):
            key = key.capitalize()
        result[key] = values[name] if name in present else None
    if len(result) < len(wanted):
        return extract(ctx, domains)
    shown = f'"{text}"' if ctx.chance(0.4) and '"' not in text else text
    user = ctx.ask("extract.ask", keys=key_list(ctx, list(result)), text=shown)
    return chat(user, json.dumps(result, ensure_ascii=False), kind="json", value=result)


PHRASES["extract.ask"] += REQUESTS
PHRASES |= {f"extract.{domain}": sentences + SENTENCES[domain] for domain, (_, sentences) in DOMAINS.items()}
