"""Phrasings, tools and argument names that only the evaluation uses; `check` proves that training can't produce them.

Rules of the split: nothing here is ever moved into the training data, and whoever writes training wordings doesn't look at these.
`EVERYDAY` names kinds of tools whose words (`HELD_WORDS`) no tool of the training data uses, and which no kind in `kinds/` resembles
(nothing about the moon, tides, hot drinks, cleaning robots, parcels, invitations, curtains or donations).
`tool_kinds.UNSEEN` keeps one kind in ten of `kinds/` for the evaluation, chosen by a hash of its name and not by anybody's judgement.
"""

import re

from .conversation import BANK
from .grammar import normal, pattern, skeletons
from .tool_actions import ACTIONS
from .tool_kinds import UNSEEN
from .tool_made import DESCRIPTIONS
from .tool_parts import ARGUMENTS, NOUNS, VERBS
from .tool_values import LISTS
from .tools import DOMAINS
from .words import HELD_WORDS

PHRASES = {
    "arithmetic.add": ["I was wondering what {a} plus {b} might be.", "My calculator is broken, so: {a} + {b}?", "Would you kindly total {a} and {b}?", "Take {a}, put {b} on top of it, and report the outcome.", "{a} together with {b} gives?",
                       "Quick, {a} plus {b}!", "Combine the numbers {a} and {b} by adding.", "For my shopping I must know {a} + {b}.", "Hmm, {a} plus {b}, any guess?", "Let's see if you manage {a} + {b}."],
    "arithmetic.subtract": ["I was wondering what {a} minus {b} might be.", "My calculator is broken, so: {a} - {b}?", "Begin at {a}, then go {b} lower. Where are you?", "Would you kindly remove {b} from {a}?", "Quick, {a} minus {b}!",
                            "How much remains of {a} after subtracting {b}?", "For my shopping I must know {a} - {b}.", "Hmm, {a} minus {b}, any guess?", "Let's see if you manage {a} - {b}.", "By how much is {a} greater than {b}?"],
    "arithmetic.gain": ["Mia collected {a} {things} on Monday and {b} on Tuesday. What's her total?", "My shelf holds {a} {things}. My sister puts {b} next to them. How many {things} does it hold now?", "After buying {b} extra {things} on top of my {a}, how many are mine?"],
    "arithmetic.lose": ["Mia brought {a} {things} to school but came home without {b}. How many did she keep?", "Our shop started today with {a} {things} and sold {b}. What's our stock now?", "If {b} of my {a} {things} break, how many whole ones do I keep?"],
    "recall.name.tell": ["My parents gave me the name {v}.", "Everyone at work knows me as {v}.", "Please address me as {v}.", "You may refer to me as {v}.", "I sign my letters with {v}.", "Greetings from {v}, that's me."],
    "recall.name.ask": ["Which name is mine?", "By what name do you know me?", "Could you repeat my name back to me?", "If you had to greet me by name, what would you say?", "Have you still got my name?", "How would you address me?"],
    "recall.city.tell": ["These days {v} is where you'd find me.", "My apartment is located in {v}.", "I've settled down in {v}.", "{v} has been my home for a decade.", "I pay my rent in {v}.", "I recently relocated to {v}."],
    "recall.city.ask": ["Which town do I call home?", "In what place am I living?", "Could you repeat where I'm living?", "Where would you send my post?", "Have you still got the city I live in?", "Which city did I tell you about?"],
    "recall.colour.tell": ["No colour makes me happier than {v}.", "If I could choose, everything would be {v}, it's my top colour.", "The colour closest to my heart is {v}.", "When I paint my walls, I go for {v}, my favourite colour.", "My number one colour is {v}."],
    "recall.colour.ask": ["Which colour makes me happiest?", "Could you repeat my favourite colour back to me?", "Of all colours, which is my top one?", "What shade do I love most?", "Have you still got my favourite colour?"],
    "recall.number.tell": ["Please hold on to the number {v} for me.", "The number that brings me luck is {v}.", "Write down {v}, that is my number.", "There's one number I want you to have: {v}.", "I always bet on the number {v}."],
    "recall.number.ask": ["Which number did I want you to hold on to?", "Could you repeat the number back to me?", "What number is it that I gave you before?", "Have you still got my number?", "The number I told you earlier, please?"],
    "extract.ask": ["Here comes a line of text: {text} I want {keys} as a JSON object.", "Make a machine-readable JSON record holding {keys} out of this: {text}", "From {text} build JSON whose keys are {keys}.", "Give back only JSON, keys {keys}, for this input: {text}", "Summarise as a JSON object ({keys}): {text}",
                    "{text} Now list {keys} of that in JSON form.", "Please map the statement below onto a JSON object that has {keys}.\n{text}", "Parse it for me, JSON with {keys} please: {text}"],
    "extract.person": ["They say {who} from {city} works there as a {job} at the age of {age}.", "{who} calls {city} home, is {age} and earns a living as a {job}.", "Yesterday I met {who}, who is a {job} and {age} years of age."],
    "extract.order": ["{who} put {count} {colour} {items} into the basket.", "Could I get {count} {items}, {colour} ones, sent to {who}?", "{who} came by and picked up {count} {colour} {items}."],
    "extract.event": ["Mark {day}, {time}, for the {title}, which takes place in the {city}.", "Everyone should be in the {city} at {time} on {day} because of the {title}.", "The {title} was moved to {day} at {time}."],
    "extract.trip": ["Having packed on {day}, {who} set off from {from} and reached {to}.", "{who} is booked on the {day} connection out of {from} into {to}.", "From {from} it's a long way to {to}, but {who} starts on {day}."],
    "extract.pet": ["At {who}'s house lives a {kind} of {age} years whose name is {pet}.", "{pet} the {kind} has lived with {who} for {age} years."],
    "extract.contact": ["If you need {who}, dial {phone} or drop a line to {mail}.", "{who} can be found in {city} and answers at {phone}."],
    "extract.book": ["I just read \"{title}\", which {who} finished in {year}.", "Back in {year}, \"{title}\" made {who} famous."],
    "extract.price": ["{shop} wants {price} dollars for that {colour} {item}.", "That {item} over at {shop} sells for {price} euros."],
    "extract.weather": ["People in {city} enjoyed {degrees} degrees on a {sky} {day}.", "Expect {degrees} degrees and a {sky} sky over {city}."],
    "extract.likes": ["When {who} isn't busy with {hobby}, it's time to cook {food}.", "{who} dreams of {food}, {hobby} and {colour} walls."],
    "extract.task": ["Someone asked {who} to {task} no later than {day}.", "It is up to {who} to {task} until {day}, and the urgency is {level}."],
    "extract.team": ["{team} left {other} behind with {goals} goals in {city}.", "A great evening in {city}: {goals} points for {team}, defeat for {other}."],
    "tools.ask": ["I'd be glad if you could {act}.", "It would help me a lot to {act}.", "Your job now: {act}.", "Kindly {act}.", "May I ask you to {act}?"],
    "tools.object": ["that {noun}", "our {noun}"],
    "tools.named": ["Fire {tool} using {list}.", "I want {tool} executed, its inputs are {list}."],
    "tools.argument.city": ["over in {v}", "within {v}"], "tools.argument.origin": ["beginning in {v}", "out of {v}"], "tools.argument.destination": ["bound for {v}", "ending in {v}"],
    "tools.argument.person": ["meant for {v}", "on account of {v}"], "tools.argument.to_person": ["addressed to {v}"], "tools.argument.day": ["when it's {v}", "come {v}"], "tools.argument.time": ["at exactly {v}", "at about {v}"],
    "tools.argument.count": ["{v} in number", "{v} times"], "tools.argument.people": ["so that {v} people fit"], "tools.argument.minutes": ["taking {v} minutes"], "tools.argument.level": ["up to {v} percent", "reaching {v}"],
    "tools.argument.price": ["at no more than {v} dollars"], "tools.argument.colour": ["coloured {v}"], "tools.argument.room": ["inside the {v}"], "tools.argument.language": ["using {v} as the language"], "tools.argument.size": ["of size {v}"],
    "tools.argument.text": ["whose text is {q}", "that reads {q}"], "tools.argument.title": ["under the title {q}"], "tools.argument.query": ["dealing with {q}", "concerning {q}"], "tools.argument.id": ["identified by {v}", "having the id {v}"], "tools.argument.priority": ["treated with {v} priority"],
    "tools.verb.get": ["pull up", "hand me"], "tools.verb.set": ["bring", "tune"], "tools.verb.create": ["come up with", "generate"], "tools.verb.book": ["line up", "hire"], "tools.verb.send": ["forward", "ship"], "tools.verb.start": ["activate", "get going with"],
    "tools.verb.stop": ["halt", "put an end to"], "tools.verb.delete": ["wipe", "discard"], "tools.verb.find": ["discover", "track down"], "tools.verb.count": ["enumerate"], "tools.verb.play": ["perform", "let us listen to"], "tools.verb.calculate": ["determine"], "tools.verb.schedule": ["pencil in"],
    "tools.verb.print": ["output"], "tools.verb.rate": ["appraise"], "tools.verb.lock": ["bolt"], "tools.verb.buy": ["procure", "shop for"], "tools.verb.assign": ["delegate", "hand over"], "tools.verb.convert": ["transform", "swap"], "tools.verb.call": ["dial up"], "tools.verb.track": ["trace"], "tools.verb.describe": ["portray", "outline"],
    "system.name": ["Everyone knows you under the name {n}.", "{n} is what you are called.", "You have been given the name {n} by your makers.", "Respond to users under the name of {n}.", "We named you {n}.", "Present yourself to people as {n}.", "As {n}, you assist our visitors."],
    "system.capitals": ["Your keyboard has only capital letters, so write with those.", "Each of your sentences has to be in upper case.", "I can read nothing but capital letters.", "Stick to capitals whatever you are asked.", "Make all letters of your answers big ones (capitals).", "FORMAT: UPPERCASE TEXT, NOTHING ELSE."],
    "about.who": ["And you would be?", "Who is it that I have the pleasure of talking to?", "What sort of thing are you, actually?", "With whom am I chatting?", "Could you say who you are?"],
    "about.name": ["What name do you go by?", "How do they call you?", "By which name are you known?", "Would you mind telling me your name?", "Which name did you get?"],
    "outside.question": ["Whose idea was {topic}?", "I read something regarding {topic}, could you fill in the details?", "At what temperature does {topic} melt?", "Since when does {land} have a parliament?", "Settle a bet: who came first, {person} or the printing press?", "My teacher asked us to name the rulers of {land}.", "What's your take on {person}'s early work?"],
}
# Names in the definitions of tools that training never uses: of verbs and of arguments.
NAMES = {
    "get": "obtain grab", "set": "configure assign_value", "create": "produce compose", "book": "line_up hire", "send": "forward ship", "start": "activate initiate", "stop": "terminate halt", "delete": "discard wipe", "find": "discover seek",
    "count": "enumerate quantify", "play": "perform listen", "calculate": "determine evaluate", "schedule": "timetable slot", "print": "output dump", "rate": "appraise evaluate", "lock": "fasten bolt", "buy": "shop_for procure", "assign": "delegate hand_over",
    "convert": "transform swap", "call": "dial_up reach", "track": "trace shadow", "describe": "portray outline",
    "city": "municipality locality", "origin": "starting_point home_base", "destination": "end_point final_stop", "person": "individual full_name", "to_person": "addressed_to for_whom", "day": "calendar_day which_day", "time": "clock moment", "count": "units how_much",
    "people": "headcount attendees", "minutes": "time_span run_minutes", "level": "magnitude degree", "price": "ceiling spend_limit", "colour": "hue tone", "room": "chamber indoor_area", "language": "tongue spoken_language", "size": "dimensions extent", "text": "wording written_text",
    "title": "headline given_title", "query": "lookup_text subject_matter", "id": "identifier serial", "state": "is_on flag", "priority": "rank weight",
}
EVERYDAY = {
    "moon": ("moon_phase lunar_calendar", ["Phase of the moon on a day."], {"day": ("night calendar_day", "day")}, ["How full is the moon on {day}?", "Moon phase, {day}.", "What does the moon look like this {day}?"]),
    "tide": ("tide_table sea_level_times", ["High and low tide at a place."], {"city": ("harbour coast", "city")}, ["When is high tide at {city}?", "Give me the tides around {city}.", "I'm sailing out of {city}, what are the tides?"]),
    "coffee": ("brew_coffee coffee_machine", ["Make coffee."], {"cups": ("cups servings", "number"), "size": ("cup_size mug", "size")}, ["Brew {cups} {size} cups of coffee.", "Coffee please, {cups} cups.", "I feel like a {size} coffee."]),
    "vacuum": ("vacuum_room robot_vacuum", ["Send the vacuum robot to a room."], {"room": ("chamber indoor_area", "room"), "minutes": ("run_minutes time_span", "minutes")}, ["The {room} is dirty, vacuum it.", "Let the robot vacuum the {room} for {minutes} minutes.", "Vacuum the {room}!"]),
    "parcel": ("parcel_status where_is_parcel", ["Where a parcel is."], {"code": ("barcode tracking_code", "id")}, ["Where has my parcel {code} got to?", "Parcel {code}, has it left the depot?", "Status of shipment {code}?"]),
    "invite": ("invite_guest invitation", ["Invite someone to an event."], {"guest": ("invitee guest_name", "person"), "title": ("occasion gathering", "meeting")}, ["Invite {guest} to the {title}.", "{guest} should come to the {title}, send an invitation.", "I want {guest} at my {title}, please invite them."]),
    "curtain": ("move_curtain curtains", ["Open or close curtains in a room."], {"room": ("chamber indoor_area", "room"), "colour": ("hue tone", "colour")}, ["Draw the {colour} curtains of the {room}.", "Curtains in the {room}, the {colour} ones, please.", "Close the {room} curtains."]),
    "donate": ("donate_money charity_gift", ["Give money to a charity."], {"amount": ("euros sum_given", "number"), "name": ("charity organisation", "person")}, ["Donate {amount} to {name}.", "I'd love to give {name} {amount} as a donation.", "{name} deserves {amount}, donate it."]),
}
HELD = PHRASES | {f"tools.names.{kind}": [names] for kind, names in NAMES.items()} | {f"tools.domain.{name}": asks for name, (*_, asks) in EVERYDAY.items()}
HELD_BANK = BANK | HELD


# Words of held-out names that any tool may need.
ORDINARY = set("""a area base calendar clock code day end euros final for given guest home how is language level limit line machine minutes money move much name night on over point reach robot room run shop size starting
status stop sum table text time times to up value where which whom""".split())


def parts(names):
    """The words that identifiers are made of."""
    return {word.lower() for name in names for word in re.findall(r"[A-Z]?[a-z]+", name)}


def identifiers(kinds):
    """Every tool name and argument name of some kinds."""
    return {word for names, _, slots, _ in kinds.values() for word in [*names.split(), *(key for keys, _ in slots.values() for key in keys.split())]}


def check():
    """Raise if a held-out phrasing, tool name or argument name can come up in training."""
    known = {key: [pattern(template) for template in templates] for key, templates in BANK.items()}
    clashes = []
    for key, templates in (PHRASES | {f"tools.domain.{n}": a for n, (*_, a) in EVERYDAY.items()}).items():
        group = key.split(".")[0]
        for skeleton in (normal(s) for template in templates for s in skeletons(template)):
            clashes += [(key, skeleton, other) for other, patterns in known.items() if other.startswith(group) for p in patterns if p.fullmatch(skeleton) and skeleton != "{}"]
    used = {word for names, *_ in ARGUMENTS.values() for word in names.split()} | {word for names, _ in VERBS.values() for word in names.split()} | set(NOUNS) | identifiers(DOMAINS)
    kept = {word for names in NAMES.values() for word in names.split()} | identifiers(EVERYDAY)
    clashes += sorted(used & kept)
    # No word of a held-out everyday tool's name, unless it is an ordinary one, comes up in any wording, name, description or value of a tool.
    clashes += sorted(parts(identifiers(EVERYDAY)) - HELD_WORDS - ORDINARY - parts(used))
    written = [template for key, templates in BANK.items() if key.startswith("tools.") for template in templates] + [text for _, texts, *_ in DOMAINS.values() for text in texts]
    written += [text for _, text, *_ in ARGUMENTS.values()] + [value for values in LISTS.values() for value in values] + ACTIONS + DESCRIPTIONS
    clashes += sorted((parts(used) | {word for text in written for word in re.findall(r"[a-z]+", text.lower())}) & HELD_WORDS)
    # The kinds that a hash keeps for the evaluation: their tools' names are unknown, their wordings belong to them alone.
    clashes += sorted(set(name for names, *_ in UNSEEN.values() for name in names.split()) & identifiers(DOMAINS))
    clashes += sorted(f"tools.domain.{name}" for name in UNSEEN if f"tools.domain.{name}" in BANK)
    if clashes:
        raise SystemExit("held-out phrasings that training can produce:\n" + "\n".join(map(str, clashes)))
    return len(PHRASES)


if __name__ == "__main__":
    print(f"{check()} held-out keys and {len(UNSEEN)} kinds of tools, none of them known to training")
