"""What tools are made of: verbs, nouns, and arguments with the ways a user mentions them."""

from typing import Callable, NamedTuple

from . import words
from .grammar import expand
from .tool_domains import CURRENCIES, ERRANDS, MEETINGS, MODES, OPERATIONS
from .tool_more import BY_KEY, DOOR_ACTS
from .tool_values import FIXED, LISTS


class Tool(NamedTuple):
    """A tool as the prompt describes it, the thing it is about, and a function that asks for it and gives its arguments."""

    definition: dict
    noun: str
    request: Callable


# verb: (synonyms in tool names, ways to ask, each followed by the noun)
VERBS = {
    "get": ("get fetch show read retrieve", "[get|show me|give me|fetch|what is|tell me|I want to see|let me see|look up|find|I need|check|how is|read me]"),
    "set": ("set change adjust update put", "[set|change|adjust|put|update|please set|I want to set|switch|move]"),
    "create": ("create add make new insert", "[create|add|make|I need|set up|put in|enter|I want|make me|please add]"),
    "book": ("book reserve order request", "[book|reserve|order|get me|I'd like to book|I want|please book|arrange|I need]"),
    "send": ("send mail dispatch deliver post", "[send|mail|deliver|send off|post|please send|I want to send|transmit]"),
    "start": ("start run begin launch open", "[start|run|begin|launch|open|fire up|please start|kick off|turn on]"),
    "stop": ("stop end cancel close abort", "[stop|end|cancel|close|abort|please stop|shut down|turn off|kill]"),
    "delete": ("delete remove erase drop clear", "[delete|remove|erase|drop|clear|get rid of|throw away|please delete]"),
    "find": ("find search lookup query locate", "[find|search for|look for|look up|locate|where is|search|I'm looking for|help me find]"),
    "count": ("count measure total tally", "[count|measure|total|add up|how big is|tally]"),
    "play": ("play stream", "[play|put on|stream|I want to hear|please play|let me hear]"),
    "calculate": ("calculate compute estimate work_out", "[calculate|compute|estimate|work out|what is|figure out]"),
    "schedule": ("schedule plan arrange", "[schedule|plan|arrange|set up|put down|I'd like to plan|organise]"),
    "print": ("print export save", "[print|export|save|please print|write out|store]"),
    "rate": ("rate review score grade", "[rate|review|score|grade|judge]"),
    "lock": ("lock secure seal", "[lock|secure|seal|please lock]"),
    "buy": ("buy purchase acquire", "[buy|purchase|get|get me|I want to buy|pick up]"),
    "assign": ("assign give allocate", "[assign|give|allocate|hand out|pass on]"),
    "convert": ("convert change_unit exchange", "[convert|exchange|turn|change|I want to convert]"),
    "call": ("call ring phone contact", "[call|ring|phone|contact|please call|get hold of]"),
    "track": ("track follow watch monitor", "[track|follow|watch|monitor|keep an eye on]"),
    "describe": ("describe explain summarize", "[describe|explain|summarise|tell me about|what about]"),
}
NOUNS = """weather forecast temperature alarm timer reminder note event meeting appointment flight hotel train taxi table
ticket room car bike boat email message letter invoice order package delivery light lamp heater thermostat fan
door gate window blind camera song album playlist podcast video film movie radio recipe meal menu pizza drink product
stock price rate balance account payment transfer loan budget tax report file folder document backup database record user
member customer employee contact profile password key token server job task ticket project bug issue release branch commit
build test log sensor pump valve engine motor robot drone printer scanner route trip tour map distance speed translation
word definition quote joke fact news article book chapter page poem lesson course exam student teacher class grade team
player match game level quest monster spell potion sword recipe plant garden tree sample experiment reading patient
prescription medicine doctor visit vaccine warehouse shelf stock_item coupon discount review survey poll vote
channel group post comment photo picture album_art sticker badge medal prize shift holiday vacation leave badge seat
parking garage charger battery signal network router screen volume brightness colour_theme wallpaper calendar agenda list
shopping_list wishlist cart checkout refund return subscription contract policy claim lead deal offer campaign""".split()

# kind: (argument names, description, type, ways to mention it)
ARGUMENTS = {
    "city": ("city location place town city_name where area site", "[The city|Name of the city|City name|Where|The place|Location]", "string", "[in|at|near|around|close to|here in|outside|across|not far from] {v}"),
    "origin": ("origin from source departure start start_city from_city", "[Where it starts|Departure city|The origin|From where]", "string", "[from|starting in|leaving from|starting from|departing from|that begins in|away from|coming from] {v}"),
    "destination": ("destination to target arrival end_city to_city goal", "[Where it goes|Destination city|The destination|Where to]", "string", "[to|going to|towards|heading to|all the way to|that ends in|into|until|arriving in] {v}"),
    "person": ("name person user recipient contact customer who owner member employee client username guest", "[The name|Name of the person|A person|Who it is for|The user]", "string", "[for|for my friend|for user|for the customer|on behalf of|under the name|with the name|in the name of|intended for|as a favour to|because of|thinking of|for dear] {v}"),
    "to_person": ("recipient to receiver addressee contact send_to", "[Who gets it|The recipient|Name of the recipient|Addressee]", "string", "[to |to my friend |to my colleague |going to |for the attention of |directed to |aimed at |so that it reaches ]{v}"),
    "day": ("day date weekday when due_day", "[The day|Day of the week|The date|When|Which day]", "string", "[on|for|this|next|every|when it is|by|until|starting|that is, on] {v}"),
    "time": ("time at hour start_time clock_time when_time", "[The time|Time of day|When|The hour]", "string", "[at|for|around|by|starting at|from|precisely at|no later than] {v}"),
    "count": ("count quantity number amount n total how_many num", "[How many|The number|Quantity|Amount]", "integer", "[with a count of|with a quantity of|with a total of|with amount|with quantity|with count|exactly|all of|a total of|no fewer than|the amount being] {v}[| of them| pieces| in total]"),
    "people": ("people guests persons party_size passengers seats num_guests", "[How many people|Number of guests|Number of persons]", "integer", "[for|with|seating|enough for|big enough for|fitting|serving] {v} [people|persons|guests|passengers]"),
    "minutes": ("minutes duration length duration_minutes mins", "[Duration in minutes|How long, in minutes|Minutes]", "integer", "[for|of|lasting|that takes|that lasts|during|within|over|for about] {v} [minutes|min|mins]"),
    "level": ("level value percent setting strength intensity", "[The level|A value from 0 to 100|Percentage|New value]", "integer", "[to|at|to level|to a value of|down to|until it reaches|as high as|on level] {v}[| percent]"),
    "price": ("price max_price budget limit cost max_cost", "[Highest price|Price limit|Budget|The price]", "integer", "[for|under|below|for at most|up to|for less than|not above|costing|at|worth|at most] {v} [dollars|euros|bucks]"),
    "colour": ("color colour shade tint", "[The colour|Colour name|Which colour|A color]", "string", "[in|in colour|painted|that is|which is|dyed|with colour|all in] {v}"),
    "room": ("room area_name space room_name zone", "[The room|Which room|Name of the room]", "string", "[in|for|of|at|near|within|around] the {v}"),
    "language": ("language lang target_language to_language", "[The language|Language name|Target language]", "string", "[in|into|to|spoken in|written in|with the language|using] {v}"),
    "size": ("size format dimension", "[The size|small, medium or large|Size]", "string", "[in|in size|with size|that is|the size being|sized] {v}"),
    "text": ("text message body content note_text", "[The text|What to say|The content|Message text]", "string", "[saying|that says|with the text|with the message|with the words|which says|and write|containing|with the content|stating|telling] {q}"),
    "title": ("title label subject heading caption", "[The title|A title|Label|Subject line]", "string", "[titled|with the title|called|labelled|named|with the title|with the heading|by the title of|headed|that goes by] {q}"),
    "query": ("query search_term keyword term topic q", "[What to search for|Search term|Topic|Keyword]", "string", "[about|on|matching|with the keyword|on the topic of|regarding|related to|in connection with|that mentions|having to do with] {q}"),
    "event": ("event purpose reason activity", "[The event|Reason|What it is for|Purpose]", "string", "[to the|for the|at the|because of the|during the|at my|for my|to my|after the|before the|in view of the] {v}"),
    "id": ("id code reference ticket_id order_id key number_id ref", "[The id|Identifier|Reference code|The number]", "string", "[with id|with the code|with reference|number|with the id|id|under code|reference|#|no.] {v}"),
    "state": ("enabled on active public urgent", "[Whether it is on|True or false|On or off]", "boolean", ""),
    "priority": ("priority importance urgency", "[low, normal or high|The priority|Urgency]", "string", "[with|at|of|given|having] {v} [priority|importance|urgency]"),
}
BOOLEAN_SAID = {True: "[and make it {name}|with {name} on|with {name} set to true|, {name} true]", False: "[and make it not {name}|with {name} off|with {name} set to false|, {name} false]"}
TEXTS = """see you soon|happy birthday|the train is late|call me back|dinner is ready|I am on my way|good luck|the door is open|buy more milk|see you at noon|thank you for the gift|we won the game|please water the plants|the meeting moved|don't forget the keys|welcome home|come down|all is well|I miss you|bring an umbrella|the cake is in the oven|lunch is at one|we are out of paper|the box has arrived|let's start|it is raining here|the car is ready|check your mail|stay safe|the test passed""".split("|")


def value_of(ctx, kind):
    """A random value of a kind of argument."""
    rng = ctx.rng
    if kind in ("city", "origin", "destination"):
        return ctx.place()
    if kind in ("person", "to_person"):
        return ctx.person()
    simple = {"day": words.DAYS, "colour": words.COLOURS, "room": words.ROOMS, "language": words.LANGUAGES, "size": words.SIZES, "priority": ["low", "normal", "high"]}
    if kind in ("day", "size", "priority"):
        return ctx.value(rng.choice(simple[kind]))
    if kind in simple:
        return ctx.word(simple[kind], 0.3)
    if kind == "event":
        return ctx.made_up() if ctx.chance(0.4) else ctx.value(rng.choice(MEETINGS))
    if kind == "time":
        return words.clock(rng, ctx.held)
    if kind == "state":
        return ctx.chance(0.5)
    if kind == "id":
        return ctx.made_up().upper()[:3] + str(rng.randint(1, 9999)) if ctx.chance(0.5) else str(rng.randint(10, 99999))
    if kind in ("text", "title", "query"):
        return phrase(ctx, kind)
    return ctx.number(0, 100) if kind == "level" else ctx.number(1, 300 if kind in ("price", "minutes", "count") else 30)


def phrase(ctx, kind):
    """Free text for an argument."""
    rng, draw = ctx.rng, ctx.rng.random()
    if kind == "text" and draw < 0.6:
        return rng.choice(TEXTS)
    if draw < 0.8:
        return f"{rng.choice(words.ADJECTIVES)} {words.plural(ctx.word(words.ITEMS))}" if ctx.chance(0.5) else ctx.thing()
    return " ".join(ctx.made_up() for _ in range(rng.randint(1, 3)))


def listed_value(ctx, kind):
    """One of the words that are usual for a kind, from the right side of the split, or something made up."""
    rng = ctx.rng
    if kind not in FIXED and ctx.chance(0.22):
        made = ctx.made_up()
        return ctx.value(made.capitalize()) if LISTS[kind][0][0].isupper() else f"{rng.choice(words.ADJECTIVES)} {made}" if ctx.chance(0.2) else made
    options = [word for word in LISTS[kind] if words.held_out(word) == ctx.held] or LISTS[kind]
    return ctx.value(rng.choice(options))


def everyday_value(ctx, kind):
    """A random value of a kind that only everyday tools have, or of any other kind."""
    rng = ctx.rng
    if kind in LISTS:
        return listed_value(ctx, kind)
    if kind == "phone":
        return rng.choice([f"{rng.randint(100, 999)}-{rng.randint(1000, 9999)}", f"0{rng.randint(10, 99)} {rng.randint(100000, 9999999)}", f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1000, 9999)}", str(rng.randint(100000, 9999999))])
    if kind == "percent":
        return ctx.number(1, 100)
    if kind == "errand":
        return expand(rng.choice(ERRANDS), rng, x=ctx.word(words.ITEMS), p=ctx.person(), n=ctx.word(words.ANIMALS))
    if kind == "mail":
        return f"{ctx.person().lower()}@{words.syllables(rng)}.{rng.choice(['com', 'org', 'net'])}"
    if kind == "song":
        return " ".join(ctx.value(ctx.made_up().capitalize() if ctx.chance(0.3) else ctx.word(words.ITEMS).capitalize()) for _ in range(rng.randint(1, 3)))
    if kind in ("food", "job", "item"):
        return ctx.word({"food": words.FOODS, "job": words.JOBS, "item": words.ITEMS}[kind], 0.35)
    if kind == "symbol":
        return ctx.made_up().upper()[:4] if ctx.chance(0.6) else ctx.person()
    if kind == "thing":
        return words.plural(ctx.word(words.ITEMS)) if ctx.chance(0.7) else ctx.made_up()
    lists = {"onoff": ["on", "off"], "currency": CURRENCIES, "meeting": MEETINGS, "operation": OPERATIONS, "mode": MODES, "dooract": DOOR_ACTS}
    if kind in lists:
        return ctx.value(rng.choice(lists[kind]))
    if kind == "number":
        return ctx.number(1, 500)
    return ctx.number(5, 40) if kind == "degrees" else value_of(ctx, kind)


def mention(ctx, key, kind, value, alone=False):
    """How the user words one argument."""
    if kind == "state":
        return expand(BOOLEAN_SAID[value], ctx.rng, name=key.replace("_", " "))
    quoted = value if not isinstance(value, str) else f'"{value}"' if ctx.chance(0.5) else value if ctx.chance(0.6) else f"'{value}'"
    if not ctx.strict and ctx.chance(0.15):
        return expand(ctx.rng.choice(BY_KEY), ctx.rng, k=key.replace("_", " "), v=quoted if kind in ("text", "title", "query") else value)
    if not ctx.strict and alone and ctx.chance(0.22):
        filler = " ".join(ctx.made_up() for _ in range(ctx.rng.choice([0, 1, 1, 2, 3])))
        return f"{filler} {quoted}".strip()
    text = ctx.ask(f"tools.argument.{kind}", v=value, q=quoted)
    return text[0].lower() + text[1:] if ctx.used and not text.startswith(str(value)) else text
