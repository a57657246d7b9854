"""Everyday kinds of tools, read from the text files in `kinds`, and which of them training never sees.

A kind begins with a line `= names | description | description`, followed by its slots, `slot kind keys... ; slot kind keys...`,
and its wordings: `!` an order, `?` a question, `.` anything else.
"""

from pathlib import Path

from .words import held_out

ORDER = "[||||please |can you |could you |hey, |I'd like you to |I want you to |would you |ok, |now |could you please |go ahead and |quick, |someone has to |let's |I need you to |will you ]"
ORDERED = "[||.|!| please|, please| now| for me|, thanks| right away|]"
ASKED = "[||||hey, |so |ok, |tell me, |hm, |quick question: |and ]"
QUESTION = "[?|?|?|| please?| then?]"
SAID = "[||||so |well, |hey, |ok: |you know, ]"


def wording(line):
    """The template of a line, with what usually stands around its sort of sentence."""
    mark, text = line[0], line[1:].strip()
    if mark == "!":
        return ORDER + text + ORDERED
    if mark == "?":
        return ASKED + text + QUESTION
    return (SAID if text[0] not in '{"I' else "") + text + ("" if text[-1] in ".!?]" else "[||.|!| please|]")


def read(path):
    """The kinds of one file: {name: (tool names, descriptions, {slot: (keys, kind of value)}, wordings)}."""
    kinds = {}
    for block in path.read_text().split("\n= ")[1:]:
        head, slots, *lines = block.strip().split("\n")
        names, *descriptions = (part.strip() for part in head.split("|"))
        slots = {slot: (" ".join(keys), kind) for slot, kind, *keys in (part.split() for part in slots.split(";"))}
        kinds[names.split()[0]] = (names, descriptions, slots, [wording(line) for line in lines])
    return kinds


THEMES = {path.stem: read(path) for path in sorted((Path(__file__).parent / "kinds").glob("*.txt"))}
ALL = {name: kind for kinds in THEMES.values() for name, kind in kinds.items()}
# About one kind in ten is for the evaluation alone; its name decides, so no author did.
UNSEEN = {name: kind for name, kind in ALL.items() if held_out(f"kind {name}")}
KINDS = {name: kind for name, kind in ALL.items() if name not in UNSEEN}
SIBLINGS = [[name for name in kinds if name in KINDS] for kinds in THEMES.values()]
