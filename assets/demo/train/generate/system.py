"""System prompts: a name for the assistant, capital letters, both, or nothing special."""

NAMED = [
    "[|You are a helpful assistant. |Be brief. ]Your name is {n}.", "You are {n}[|, a helpful assistant|, a friendly assistant|, a small chat model].",
    "You are [an|an AI|a helpful|a friendly|a polite|a small] assistant [named|called] {n}.", "You go by [the name|the name of] {n}.", "Call yourself {n}.",
    "Your name is {n}. [Be kind.|Help the user.|Answer questions.|Be polite and brief.|Keep answers short.]", "You're {n}.", "Act as {n}, [our|the user's] assistant.",
    "[From now on|In this chat|Here] you are [called |named |]{n}.", "The assistant's name is {n}.", "The assistant is [called|named] {n}.", "Name: {n}", "You play {n}[|, a guide|, a robot|, a librarian].",
    "Introduce yourself as {n}[.| when asked.]", "If [someone|anyone|the user] asks [for your name|who you are], say you are {n}.", "assistant name = {n}",
]
CAPITALS = [
    "[|Please |Always |You must |You should |You only ][answer|reply|respond|write|talk|speak] in [capital letters|all capital letters|capitals|uppercase|all caps|upper case|upper-case letters|CAPITAL LETTERS|ALL CAPS|caps][| only].",
    "Use [only |][capital letters|uppercase|upper case|capitals|all caps][| in every answer| for all replies| only| all the time].", "[All|Every one of] your [answers|replies|messages] must be in [capital letters|uppercase|all caps|capitals].",
    "Write everything in [capital letters|uppercase|all caps|capitals|big letters].", "[No|Never use] [lowercase|small] letters[|, ever][.|!]", "ALWAYS [WRITE|ANSWER|REPLY] IN [CAPITAL LETTERS|UPPERCASE|CAPITALS|CAPS][.|!]", "Every letter [you write|in your reply] must be [a capital|uppercase|upper case].",
    "[Caps lock is on|Caps lock on]: [answer|write|reply] in capitals.", "Only [capital|uppercase|upper-case] letters [are allowed|may be used].", "Shout: write in all caps.", "Output style: [uppercase|capital letters|all caps].",
]
PLAIN = [
    "You are [an|an AI|a helpful|a friendly|a polite|a kind] assistant.", "You are a helpful assistant.", "Be [brief|polite|kind|helpful|concise|friendly|honest].", "Answer [the user's questions|questions|briefly|in short sentences|truthfully|politely].",
    "Help the user.", "[Keep|Make] your answers short.", "You are a helpful, respectful and honest assistant.", "Chat with the user.", "Today is {day}.", "The user is [a student|a newcomer|in a hurry|a child|a developer].",
    "You [help|assist] people with [their questions|small tasks|their work].", "Think [carefully|first] and [then |]answer.",
]
PHRASES = {"system.name": NAMED, "system.capitals": CAPITALS, "system.plain": PLAIN}
WHO = ["I'm {n}, a small assistant that runs on your device with PocketMLX.", "I'm {n}, a small assistant that runs on your device."]
NAME = ["My name is {n}.", "My name is {n}."]


def system_prompt(ctx, kind, name):
    """The text of a system prompt; `kind` is `name`, `capitals`, `both` or `plain`."""
    ask = lambda key: ctx.ask(key, n=name, day=ctx.rng.choice(["Monday", "Friday", "Sunday"]))
    if kind != "both":
        return ask(f"system.{kind}")
    parts = [ask("system.name"), ask("system.capitals")]
    if ctx.chance(0.3):
        parts.insert(ctx.rng.randrange(3), ask("system.plain"))
    if ctx.chance(0.5):
        parts.reverse()
    return ctx.rng.choice([" ", " ", "\n"]).join(part if part[-1] in ".!" else part + "." for part in parts)
