"""Whole conversations: skills mixed over several turns, under a system prompt or none."""

from . import about, arithmetic, extract, outside, recall, story, system, talk, tools
from .context import Context, chat

BANK = {}
for module in (about, arithmetic, extract, outside, recall, story, system, talk, tools):
    BANK |= module.PHRASES

# How often each skill is chosen for a turn.
WEIGHTS = {"arithmetic": 15, "extra": 4, "tell": 12, "recall": 12, "extract": 28, "about": 13, "talk": 9, "outside": 13, "story": 5, "unclear": 2, "echo": 2}
BESIDE_TOOLS = {"arithmetic": 20, "extra": 3, "about": 30, "talk": 30, "outside": 5, "tell": 6, "recall": 6, "extract": 5}
SHORT = {"arithmetic": 20, "extra": 5, "about": 30, "talk": 30, "outside": 12, "unclear": 2, "story": 1}


class Conversation:
    """A growing conversation and what is needed to continue it."""

    def __init__(self, ctx):
        self.ctx, self.memory = ctx, recall.Memory()
        self.system, self.tools, self.messages = "", [], []
        self.name, self.capitals = None, False

    def set_system(self, kind):
        """Put a system prompt of a kind in front."""
        self.name = self.ctx.person() if kind in ("name", "both") else None
        self.capitals = kind in ("capitals", "both")
        self.system = system.system_prompt(self.ctx, kind, self.name)

    def add(self, turn):
        """Append a turn, its answers in capitals if the system prompt says so."""
        if self.capitals:
            for message in turn.messages:
                if message["role"] == "assistant" and not message.get("tool_calls"):
                    message["content"] = message["content"].upper()
            turn.check = {"kind": "capitals", "inner": turn.check}
        self.messages += turn.messages
        return turn

    def identity(self):
        """A question for the assistant's name when the system prompt gave one."""
        topic = self.ctx.rng.choice(["who", "name"])
        replies = system.WHO if topic == "who" else system.NAME
        return chat(self.ctx.ask(f"about.{topic}"), self.ctx.say(replies, n=self.name), kind="contains", value=self.name)

    def turn(self, weights=WEIGHTS):
        """One turn of a random skill."""
        ctx = self.ctx
        skill = ctx.rng.choices(list(weights), weights.values())[0]
        if self.name and ctx.chance(0.3):
            return self.identity()
        if skill == "tell":
            return self.memory.both(ctx) if ctx.chance(0.08) else self.memory.tell(ctx)
        if skill == "recall":
            return self.memory.ask(ctx)
        if skill == "extract":
            return extract.extract(ctx) if not self.capitals else arithmetic.arithmetic(ctx)
        if skill == "about":
            topic = ctx.rng.choice(list(about.TOPICS))
            return self.identity() if self.name and topic in ("who", "name") else about.about(ctx, topic)
        plain = {"arithmetic": arithmetic.arithmetic, "extra": arithmetic.extra_arithmetic, "talk": talk.talk, "outside": outside.outside, "story": story.story, "unclear": talk.unclear, "echo": talk.echo}
        return plain[skill](ctx)


def tool_conversation(ctx):
    """Tools in the prompt, used or not."""
    talk_ = Conversation(ctx)
    if ctx.chance(0.35):
        talk_.set_system(ctx.rng.choice(["plain", "plain", "name"]))
    offered = tools.make_tools(ctx, named=ctx.chance(0.15))
    order = ctx.rng.sample(range(len(offered)), len(offered))
    talk_.tools = [offered[i].definition for i in order]
    for _ in range(ctx.rng.choice([1, 1, 1, 2, 2, 3])):
        draw = ctx.rng.random()
        if draw < 0.03:
            talk_.add(tools.no_tool(ctx, offered))
        elif draw < 0.8:
            talk_.add(tools.tool_call(ctx, offered, ctx.rng.randrange(len(offered))))
            talk_.add(tools.tool_result(ctx))
        else:
            talk_.add(talk_.turn(BESIDE_TOOLS))
    return talk_


def recall_conversation(ctx):
    """Facts, other turns, then questions about the facts."""
    talk_ = Conversation(ctx)
    if ctx.chance(0.2):
        talk_.set_system(ctx.rng.choice(["plain", "name", "capitals", "both"]))
    for _ in range(ctx.rng.choice([1, 1, 2, 2, 3])):
        talk_.add(talk_.memory.tell(ctx))
        for _ in range(ctx.rng.choice([0, 0, 1, 1, 2, 3]) if not ctx.chance(0.04) else ctx.rng.randint(6, 16)):
            talk_.add(talk_.turn(SHORT))
    for _ in range(ctx.rng.choice([1, 1, 2, 3])):
        talk_.add(talk_.memory.ask(ctx))
        if ctx.chance(0.2):
            talk_.add(talk_.turn(SHORT))
    return talk_


def chat_conversation(ctx):
    """One turn or a few of anything."""
    talk_ = Conversation(ctx)
    if ctx.chance(0.35):
        talk_.set_system(ctx.rng.choice(["name", "name", "capitals", "both", "plain", "plain"]))
    for _ in range(ctx.rng.choice([1, 1, 1, 2, 2, 3, 4])):
        talk_.add(talk_.turn())
    return talk_


def conversation(rng):
    """A random conversation for training."""
    ctx = Context(rng, BANK)
    draw = rng.random()
    make = tool_conversation if draw < 0.44 else recall_conversation if draw < 0.56 else chat_conversation
    return make(ctx)
