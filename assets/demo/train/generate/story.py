"""Short stories and verses about a given thing, put together from parts that fit each other."""

import random

from . import words
from .context import chat
from .grammar import expand

ASK = "[|||hey, |please |can you |could you |I want you to |ok, |now |would you |hi, ]"
KIND = "[story|short story|little story|tale|bedtime story|fairy tale|brief story|small story|nice story|funny story|short tale|quick story]"
PHRASES = {
    "story.about": [
        ASK + "[tell|tell me|tell us|write|write me|give me|make up|invent|share|make] a " + KIND + " about {a}[.|?|!|| please]",
        "[I want|I'd like|I would like|I need|let's have|let me hear|how about] [to hear |]a " + KIND + " [about|with|on] {a}[.|?|| please]",
        "a " + KIND + " about {a}[| please|!]", "[story|tale] about {a}[| please]", "do you know a " + KIND + " about {a}?",
        ASK + "[tell|write] [me |]something about {a}, as a " + KIND, "[write|tell] a " + KIND + " [in which|where] {a} [is the hero|plays a part|appears]",
        "my [child|daughter|son|sister] wants a " + KIND + " [about|with] {a}[.|]", "can I [have|get|hear] a " + KIND + " [about|with] {a}?",
    ],
    "story.any": [ASK + "[tell|tell me|write|write me|give me|make up] a " + KIND + "[.|!|?|| please]", "[I want|I'd like] [to hear |]a " + KIND + "[.|]", "[a " + KIND + "|story|story time|another story|one more story|once upon a time|bedtime story][| please|!|.]", "do you know [a|any] [good |][story|stories]?"],
    "story.verse": [ASK + "[write|write me|make|tell me|give me|compose] a [poem|short poem|verse|rhyme|little poem|haiku] about {a}[.|?|!|| please]", "[poem|a poem|a rhyme|verse] about {a}[| please]", ASK + "[write|tell] a [poem|verse]"],
}
PLACES = [("in a quiet valley", "valley"), ("by the sea", "beach"), ("at the edge of a forest", "forest"), ("in a small village", "village"), ("on a high hill", "hill"), ("near a slow river", "river"), ("in an old town", "town"), ("in a busy market", "market"), ("on a tiny island", "island"), ("in a snowy land", "snow"), ("behind a red barn", "barn"), ("in a sunny garden", "garden")]
OPENINGS = ["Once upon a time there was {a} that lived {where}.", "Long ago, {where}, there was {a}.", "There once was {a} {where}.", "{where_up} there was {a} that nobody knew.", "Far away, {where}, lived {a}."]
WISHES = [
    ("One {time} the {t} wanted to see {goal}.", "So it set out, step by step, and met {friend} named {name}.", "\"Come with me,\" said {name}, \"I know the way.\"", "Together they walked until they saw {goal}, and it was more beautiful than they had dreamed."),
    ("But the {t} was {mood}, because it had no friends.", "One {time} {friend} named {name} came by and asked, \"Why are you so quiet?\"", "They talked until the stars came out.", "From that day on, the {t} and {name} met every {time}."),
    ("One {time} the {t} lost its way in the {weather}.", "It called for help, and {friend} named {name} heard it.", "{name} lit a small lamp and led it home.", "The {t} never forgot that light, and it learned to ask for help."),
    ("Everybody said that the {t} was too {flaw}.", "Then one {time} the {weather} came, and {friend} named {name} was in danger.", "The {t} was the only one brave enough to help.", "After that, nobody called it {flaw} again."),
    ("The {t} found {treasure} under a stone.", "\"That is mine,\" said {friend} named {name}, \"but we can share it.\"", "They shared it, and it grew bigger every {time}.", "Soon the whole {scene} had enough, and everybody was glad."),
    ("Every {time} the {t} practised a song, but it was {mood} and sang only at night.", "{friend_up} named {name} heard it and clapped.", "The next {time} the whole {scene} came to listen.", "The {t} sang, and all its fear was gone."),
    ("One {time} the {t} wanted to bake a cake for {friend} named {name}.", "It had no flour, so it asked the mill, and the mill asked the wind.", "The wind blew, the mill turned, and the cake rose high.", "{name} laughed with joy, and there was a piece for everyone."),
    ("One {time} the {weather} broke the bridge of the {scene}.", "The {t} and {friend} named {name} carried wood all day.", "When they were tired, they told each other jokes.", "By evening the bridge stood again, stronger than before."),
]
TIMES = ["morning", "evening", "night", "day", "summer"]
GOALS = ["the ocean", "the mountains", "the big city", "the stars from up close", "the end of the rainbow", "the northern lights"]
MOODS = ["sad", "shy", "lonely", "afraid"]
FLAWS = ["small", "slow", "old", "quiet", "strange"]
WEATHER = ["storm", "fog", "snow", "rain", "wind"]
TREASURES = ["a golden seed", "a shining pearl", "a bag of sweets", "a tiny lamp", "a box of colours"]
ENDINGS = ["And they lived happily ever after.", "The end.", "And that is how it stayed.", "And if you listen closely, you can still hear them laugh.", "That night they all slept well."]
VERSES = ["{a_up} sat down in the morning light,\nand dreamed of a journey all through the night.\nThe wind sang a song and the sky was blue,\nand every small wish of its heart came true.", "I know {a}, it is quiet and small,\nit waits by the window and sees it all.\nWhen evening comes and the lamps burn low,\nit tells me the things that the stars may know.", "{a_up}, so bright and so dear,\nbrings me a smile when nobody's near.\nThe rain may fall and the day may be long,\nbut it hums in the corner its own little song."]


def subject(ctx):
    """A thing to write about, with its article."""
    lists = [words.ANIMALS, words.ANIMALS, words.ITEMS, words.JOBS]
    return words.thing(ctx.rng, ctx.held, ctx.rng.choice(lists))


def story(ctx):
    """A request for a story or a verse, and the text."""
    rng = ctx.rng
    thing = subject(ctx)
    a = words.article(thing)
    if ctx.chance(0.12):
        user = ctx.ask("story.verse", a=ctx.value(a))
        if thing not in user:
            a = words.article(rng.choice(["star", "bird", "flower"]))
        return chat(user, ctx.say(VERSES, a=a, a_up=a[0].upper() + a[1:]))
    wanted = not ctx.chance(0.12)
    if not wanted:
        user, thing = ctx.ask("story.any"), rng.choice(words.ANIMALS)
        a = words.article(thing)
    else:
        user = ctx.ask("story.about", a=ctx.value(rng.choice([a, a, a, thing, f"the {thing}", words.plural(thing)])))
    if ctx.chance(0.8):  # a thing tends to have its own story, so that greedy answers differ from thing to thing
        rng = random.Random(thing.split()[-1])
    where, scene = rng.choice(PLACES)
    friend = words.article(f"{rng.choice(words.ADJECTIVES)} {rng.choice([x for x in words.ANIMALS if x not in thing])}")
    slots = dict(a=a, t=thing, where=where, where_up=where[0].upper() + where[1:], scene=scene, time=rng.choice(TIMES), goal=rng.choice(GOALS), mood=rng.choice(MOODS),
                 flaw=rng.choice(FLAWS), weather=rng.choice(WEATHER), treasure=rng.choice(TREASURES), friend=friend, friend_up=friend[0].upper() + friend[1:], name=words.person(rng, False))
    lines = [rng.choice(OPENINGS), *rng.choice(WISHES), rng.choice(ENDINGS)]
    return chat(user, " ".join(expand(line, rng, **slots) for line in lines), kind="story", value=thing if wanted else "")
