"""The evaluation's cases: held-out phrasings, and held-out fillings of known phrasings."""

import random

from . import arithmetic, extract, outside, story, tools
from .context import Context
from .conversation import BANK, SHORT, Conversation
from .heldout import EVERYDAY, HELD_BANK
from .recall import CORE
from .tool_everyday import everyday_tool
from .tool_kinds import UNSEEN

SKILLS = ("arithmetic", "recall", "tools", "json", "system")
UNSEEN_BANK = BANK | {f"tools.domain.{name}": asks for name, (*_, asks) in UNSEEN.items()}


def single(ctx, turn):
    talk = Conversation(ctx)
    talk.add(turn)
    return talk, turn.check


def recall_case(ctx, plain):
    """Facts, up to four other turns, one question."""
    talk, filler = Conversation(ctx), Conversation(plain)
    if ctx.chance(0.3):
        talk.system = "You are a helpful assistant."
    kinds = ctx.rng.sample(CORE, ctx.rng.choice([1, 1, 2, 3]))
    for kind in kinds:
        talk.add(talk.memory.tell(ctx, kind))
        for _ in range(ctx.rng.choice([0, 0, 1, 2])):
            talk.add(filler.turn(SHORT))
    turn = talk.add(talk.memory.ask(ctx, ctx.rng.choice(kinds)))
    return talk, turn.check


def tools_case(ctx, plain, last):
    """Some tools and a request; `last` is the `call`, the answer after its `result`, a turn without need of them (`restraint`) or a request that none of them fits (`none`)."""
    talk = Conversation(ctx)
    offered = tools.make_tools(ctx, domains=EVERYDAY if ctx.bank is HELD_BANK else tools.DOMAINS)
    if last == "none":
        offered = offered[:1] if ctx.chance(0.3) else offered
    talk.tools = [tool.definition for tool in ctx.rng.sample(offered, len(offered))]
    if last == "restraint":
        turn = talk.add(arithmetic.arithmetic(ctx) if ctx.chance(0.5) else Conversation(plain).turn({"about": 1, "talk": 1}))
        return talk, {"kind": "no call", "inner": turn.check}
    if last == "none":
        return talk, talk.add(tools.no_tool(ctx, offered)).check
    turn = talk.add(tools.tool_call(ctx, offered, ctx.rng.randrange(len(offered))))
    if last == "result":
        turn = talk.add(tools.tool_result(ctx))
    return talk, turn.check


def kinds_case(ctx):
    """One to four tools of kinds that training never saw, and a request for one of them."""
    talk = Conversation(ctx)
    offered = [everyday_tool(ctx, UNSEEN, name) for name in ctx.rng.sample(list(UNSEEN), ctx.rng.choice([1, 2, 3, 4]))]
    talk.tools = [tool.definition for tool in offered]
    return talk, talk.add(tools.tool_call(ctx, offered, ctx.rng.randrange(len(offered)))).check


def system_case(ctx, plain):
    """A name, capital letters or both, asked for in the system prompt."""
    talk = Conversation(ctx)
    kind = ctx.rng.choice(["name", "capitals", "both"])
    talk.set_system(kind)
    for _ in range(ctx.rng.choice([0, 0, 1])):
        filler = Conversation(plain)
        talk.add(filler.turn({"talk": 1, "arithmetic": 1}))
    named = kind == "name" or kind == "both" and ctx.chance(0.6)
    turn = talk.identity() if named else arithmetic.arithmetic(ctx) if ctx.chance(0.5) else Conversation(plain).turn({"talk": 1, "about": 1, "outside": 1})
    turn.check = {k: v for k, v in turn.check.items()} if named or turn.check.get("kind") == "number" else {}
    return talk, talk.add(turn).check


def case(skill, kind, index):
    """One case as a dictionary: skill, kind, messages up to the answer, tools, the reference answer and its check."""
    rng = random.Random(f"{skill}/{kind}/{index}")
    ctx = Context(rng, {"phrasing": HELD_BANK, "unseen": UNSEEN_BANK}.get(kind, BANK), held=True, noisy=False)
    plain = Context(rng, BANK, held=True, noisy=False)
    makers = {
        "arithmetic": lambda: single(ctx, arithmetic.arithmetic(ctx)), "json": lambda: single(ctx, extract.extract(ctx)), "recall": lambda: recall_case(ctx, plain),
        "tools": lambda: tools_case(ctx, plain, "call"), "result": lambda: tools_case(ctx, plain, "result"), "restraint": lambda: tools_case(ctx, plain, "restraint"), "none": lambda: tools_case(ctx, plain, "none"), "kinds": lambda: kinds_case(ctx),
        "system": lambda: system_case(ctx, plain), "outside": lambda: single(ctx, outside.outside(ctx)), "story": lambda: single(ctx, story.story(ctx)),
    }
    talk, check = makers[skill]()
    messages = ([{"role": "system", "content": talk.system}] if talk.system else []) + talk.messages
    return {"skill": skill, "kind": kind, "messages": messages[:-1], "tools": talk.tools, "reference": messages[-1], "check": check}


def all_cases(count=200):
    """Every case of the evaluation."""
    listed = [(skill, kind) for skill in SKILLS + ("outside",) for kind in ("phrasing", "filling")] + [("kinds", "unseen"), ("result", "filling"), ("restraint", "phrasing"), ("none", "filling"), ("story", "filling")]
    return [case(skill, kind, index) for skill, kind in listed for index in range(count)]
