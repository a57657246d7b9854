"""Sentences that are hardly sentences: what is said about each field in any order, with stray words between."""

from . import words

NAME = "{v}|by {v}|with {v}|for {v}|to {v}|says {v}|it's {v}|{v} again|as {v} told us|thanks to {v}|{v} is there|about {v}|ask {v}|{v} knows|dear {v}|{v} as always"
TRAVELLER = "{v}|{v} again|says {v}|it's {v}|as {v} told us|with {v}|dear {v}|ask {v}|{v} as always|a trip of {v}"
PLACE = "in {v}|near {v}|at home in {v}|all the way from {v}|back in {v}|outside {v}|around {v}|{v} is the place|somewhere in {v}|downtown {v}|right in {v}|the streets of {v}"
DAY = "on {v}|this {v}|{v} that is|until {v}|{v} at last|every {v}|by {v}|since {v}|{v} will do|starting {v}|not before {v}"
TIME = "at {v}|{v} sharp|around {v}|{v} or so|from {v}|by {v}|not before {v}|when it is {v}|exactly {v}"
THING = "the {v}|a {v}|one {v}|that {v}|this {v}|some {v}|their {v}|our {v}|the good {v}|the same {v}|no other {v}|a kind of {v}|just a {v}"
# domain: {field: phrases}
SALAD = {
    "person": {"who": NAME, "age": "{v} years old|aged {v}|{v} years of age|age {v}|{v} by now|only {v} years|{v} years young|{v} since spring", "city": PLACE, "job": "a {v}|as a {v}|the {v}|working as {v}|{v} by trade|{v} in daily life|once a {v}|employed as a {v}|a trained {v}|the best {v}|{v} for years|a {v} with heart"},
    "order": {"who": NAME, "item": "{count} {colour} {items}|{count} {items} in {colour}|{items}, {count} of them, {colour}|{colour} {items}, {count} pieces|{items}: {count}, {colour}|{count} of those {colour} {items}|{count} {items}, {colour} if possible|a box of {count} {colour} {items}|{colour} {items} ({count})|{count} {items}, the {colour} sort|{count} times {items} in {colour}|all {count} {items} are {colour}"},
    "event": {"title": THING, "day": DAY, "time": TIME, "city": "in the {v}|at the {v}|inside the {v}|the {v} again|near the {v}|where the {v} is|the whole {v}|this time the {v}|back to the {v}"},
    "pet": {"pet": "called {v}|named {v}|{v}|the name is {v}|good old {v}|{v} by name|it answers to {v}|we call it {v}|{v} is what they call it", "kind": "a {v}|the {v}|a small {v}|that {v}|one lazy {v}|a kind of {v}|{v} through and through|a real {v}|every inch a {v}", "age": "{v} years old|aged {v}|{v} years of age|age {v}|{v} by now|only {v} years|{v} years", "who": "owned by {v}|{v}'s|belongs to {v}|at {v}'s place|with owner {v}|in the care of {v}|{v} feeds it|the house of {v}|home is with {v}"},
    "contact": {"who": NAME, "phone": "phone {v}|call {v}|{v} by phone|tel. {v}|ring {v}|number {v}|{v}|under {v}|{v} day and night|pick up the phone: {v}", "city": PLACE, "mail": "mail {v}|write to {v}|{v}|at {v}|letters to {v}|send it to {v}|{v} works too|or else {v}|a note to {v}|electronic post: {v}|or use {v}"},
    "price": {"item": THING, "price": "{v} dollars|for {v} euros|at {v} dollars|{v} euros in all|only {v} dollars|costs {v} euros|as much as {v} dollars|down to {v} euros|{v} dollars and not less|you pay {v} euros|take it for {v} dollars", "colour": "in {v}|{v} of course|all {v}|painted {v}|{v} as the sky|coloured {v}|the {v} kind|bright {v}", "shop": "at {v}|from {v}|{v} has it|{v} sells|down at {v}|at {v}'s|in the shop {v}|{v} store|see {v}|seller: {v}|{v} round the corner|{v} across the street|only {v}"},
    "weather": {"city": PLACE, "degrees": "{v} degrees|{v} degrees in the shade|up to {v} degrees|{v} degrees at noon|about {v} degrees|no more than {v} degrees|the glass shows {v}", "sky": "{v}|{v} again|rather {v}|{v} all day|a {v} morning|mostly {v}|looks {v}|so {v}|a {v} sky", "day": DAY},
    "likes": {"who": NAME, "food": "eats {v}|a plate of {v}|loves {v} for dinner|cooks {v}|{v} to eat|hungry for {v}|{v} on the table|a bowl of {v}|tastes {v}|makes {v}|{v} for lunch|prepares {v}", "colour": "in {v}|dressed in {v}|paints it {v}|the colour {v}|everything {v}|a {v} door|{v} shoes|loves the colour {v}", "hobby": "does {v}|goes {v}|{v} all weekend|a fan of {v}|tired from {v}|after {v}|between two hours of {v}|never without {v}|stops {v}|{v} as a hobby|done with {v}|practises {v}"},
    "task": {"who": NAME, "task": "to {v}|please {v}|will {v}|must {v}|the job: {v}|somebody has to {v}|time to {v}|go and {v}|so {v}|not done yet: {v}|asked to {v}|it takes an hour to {v}", "day": DAY, "level": "{v} priority|priority {v}|as {v}|it's {v}|urgency {v}|marked {v}|how urgent? {v}|the level is {v}|that's {v}|treated as {v}"},
}
SUBJECTS = {"team": {"team": "{v} won|victory for {v}|winner: {v}|{v} on top|{v} celebrates|the cup goes to {v}|hooray {v}", "other": "against {v}|{v} lost|over {v}|poor {v}|{v} goes home|no chance for {v}|beaten: {v}|a sad day for {v}", "goals": "{v} goals|{v} points|with {v} goals|after {v} points|{v} times into the net|score {v}", "city": PLACE},
            "trip": {"who": TRAVELLER, "from": "from {v}|out of {v}|leaves {v}|starting in {v}|away from {v}|{v} first|goodbye {v}|departs {v}", "to": "to {v}|into {v}|for {v}|reaches {v}|bound for {v}|ending in {v}|all the way to {v}|hello {v}|arrives in {v}", "day": DAY},
            "book": {"title": "\"{v}\"|read \"{v}\"|the book \"{v}\"|a copy of \"{v}\"|\"{v}\" again|called \"{v}\"|known for \"{v}\"", "who": "by {v}|{v} wrote it|from the pen of {v}|author {v}|{v}'s|thanks to {v}|{v} at a desk|written by {v}", "year": "in {v}|{v}|back in {v}|since {v}|the year {v}|printed {v}|around {v}|anno {v}", "pages": "{v} pages|{v} pages long|all {v} pages|on {v} pages|{v} pages later"}}
SALAD = {domain: {field: said.split("|") for field, said in fields.items()} for domain, fields in (SALAD | SUBJECTS).items()}
SMALL = "here there again today now back still too once almost only just also even then maybe always never soon really well far away off up down out on and but so as it that he she they we you".split()


def salad(ctx, domain):
    """A template of phrases for some fields of a domain, in any order."""
    rng = ctx.rng
    fields = SALAD[domain]
    chosen = rng.sample(list(fields), min(len(fields), rng.choice([1, 2, 2, 3, 3, 4])))
    parts = []
    for field in chosen:
        parts.append(rng.choice(fields[field]).replace("{v}", "{" + field + "}"))
        if ctx.chance(0.5):
            stray = [rng.choice(SMALL) if ctx.chance(0.6) else words.made_up(rng, ctx.held, real=0.8) for _ in range(rng.choice([1, 1, 2, 3]))]
            parts.append(" ".join(stray))
    if ctx.chance(0.3):
        parts.insert(0, rng.choice(SMALL) if ctx.chance(0.5) else words.made_up(rng, ctx.held, real=0.8))
    text = parts[0]
    for part in parts[1:]:
        text += rng.choice([" ", " ", " ", ", ", ", ", " and ", ": ", " - ", "; ", ", but ", ", so ", " when ", " while "]) + part
    return text[0].upper() + text[1:] + rng.choice([".", ".", ".", "!", ""])
