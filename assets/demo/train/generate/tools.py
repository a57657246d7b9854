"""Tools that the prompt describes: picking one, filling its arguments, using its result, or leaving them alone."""

import json

from . import words
from .context import Turn, chat
from .tool_actions import action_tool, wanted_tool
from .tool_domains import DOMAINS as EVERYDAY
from .tool_everyday import everyday_tool
from .tool_kinds import KINDS, SIBLINGS
from .tool_made import make_tool
from .tool_more import BY_NOUN, DOMAINS as MORE, FRAMES
from .tool_parts import ARGUMENTS, VERBS

DOMAINS = EVERYDAY | MORE | KINDS
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
OUTCOMES = {"temperature": lambda r: r.randint(-20, 40), "status": lambda r: r.choice(["done", "open", "ready", "pending", "active", "closed"]), "price": lambda r: r.randint(1, 999), "sky": lambda r: r.choice(["sunny", "cloudy", "rain", "snow", "fog"]),
            "total": lambda r: r.randint(1, 9999), "name": lambda r: words.syllables(r).capitalize(), "distance": lambda r: r.randint(1, 9000), "time": lambda r: f"{r.randint(0, 23):02}:{r.randint(0, 59):02}", "result": lambda r: r.choice([r.randint(0, 9999), words.syllables(r)]),
            "id": lambda r: words.syllables(r)[:3].upper() + str(r.randint(1, 999)), "humidity": lambda r: r.randint(0, 100), "colour": lambda r: r.choice(words.COLOURS), "city": lambda r: r.choice(words.CITIES), "seats": lambda r: r.randint(1, 200),
            "speed": lambda r: r.randint(1, 300), "balance": lambda r: r.randint(0, 9999), "title": lambda r: words.syllables(r).capitalize(), "rating": lambda r: r.randint(1, 10), "day": lambda r: r.choice(words.DAYS)}
NO_TOOL = ["I have no tool for that."]


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


def make_tools(ctx, count=None, named=False, domains=DOMAINS):
    """Some different tools."""
    rng = ctx.rng
    style = rng.choice(["snake", "snake", "snake", "camel", "kebab", "dot"])
    tools, names = [], set()
    everyday = 0 if named else rng.choice([0, 0.2, 0.5, 0.8, 1])
    if not ctx.strict and ctx.chance(0.3):  # tools of one theme are easily taken for each other
        domains = {name: DOMAINS[name] for name in rng.choice(SIBLINGS)}
    for _ in range(count or rng.choice([1, 1, 2, 2, 3, 4]) + (rng.choice([1, 2, 3]) if not ctx.strict and ctx.chance(0.07) else 0)):
        if ctx.chance(everyday):
            tool = everyday_tool(ctx, domains)
        elif not ctx.strict and ctx.chance(0.4) and (tools or not named):
            tool = action_tool(ctx) if ctx.chance(0.65) else wanted_tool(ctx)
        else:
            tool = make_tool(ctx, style, named and not tools)
        words_used = {tool.definition["function"]["name"], tool.noun}
        if not words_used & names:
            tools.append(tool)
            names |= words_used
    return tools


def call_message(name, arguments):
    """An assistant's message that calls a tool."""
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]}


def tool_call(ctx, tools, which=0):
    """A request and the call it needs."""
    user, arguments = tools[which].request(ctx)
    name = tools[which].definition["function"]["name"]
    return Turn([{"role": "user", "content": user}, call_message(name, arguments)], {"kind": "call", "name": name, "arguments": arguments})


def no_tool(ctx, tools):
    """A request for an everyday tool that is not there."""
    there = {tool.noun for tool in tools}
    missing = ctx.rng.choice([name for name in KINDS if name not in there])
    user, _ = everyday_tool(ctx, KINDS, missing).request(ctx)
    return chat(user, ctx.say(NO_TOOL), kind="no call", inner={})


def tool_result(ctx):
    """The result of a call and the answer that uses it."""
    result, reply = outcome(ctx)
    value = reply.rstrip(".")
    return Turn([{"role": "tool", "content": result}, {"role": "assistant", "content": reply}], {"kind": "contains", "value": value})
