"""What a skill needs to write one turn: random numbers, the sides of the splits, the writing style of the user."""

from dataclasses import dataclass, field

from . import words
from .grammar import LITERAL, expand, parse, pieces
from .noise import misspell


@dataclass
class Turn:
    """Messages that belong together, from the user's to the assistant's last; `check` says how to judge the latter."""

    messages: list
    check: dict = field(default_factory=dict)
    tools: list = field(default_factory=list)
    system: str = ""

    @property
    def reply(self):
        return self.messages[-1]["content"]


class Context:
    """One conversation's circumstances. `bank` maps a phrasing key to its templates."""

    def __init__(self, rng, bank, held=False, noisy=True):
        self.rng, self.bank, self.held = rng, bank, held
        draw = rng.random() if noisy else 1.0
        self.lower = draw < 0.22
        self.shout = 0.22 <= draw < 0.23
        self.typos = 0.04 if noisy and rng.random() < 0.15 else 0.0
        self.bare = noisy and rng.random() < 0.3
        self.used = set()

    def value(self, text):
        """A filling as this user types it."""
        return text.lower() if self.lower and isinstance(text, str) else text

    def ask(self, key, **slots):
        """A user's text: one of the key's phrasings in this user's style, with fillings kept exact.

        `used` then names the slots that occur in it."""
        flat = pieces(parse(self.rng.choice(self.bank[key])), self.rng)
        self.used = {v for k, v in flat if k != LITERAL}
        text = "".join(self._styled(v) if k == LITERAL else str(slots[v]) for k, v in flat)
        if self.bare and text[-1] in ".!?":
            text = text[:-1]
        if self.lower or flat[0][0] != LITERAL or self.rng.random() < 0.1:
            return text
        return text[0].upper() + text[1:]

    def _styled(self, literal):
        if self.typos:
            literal = misspell(literal, self.rng, self.typos)
        if self.bare:
            literal = literal.replace("'", "") if self.rng.random() < 0.3 else literal
        return literal.lower() if self.lower else literal.upper() if self.shout else literal

    def say(self, options, **slots):
        """An assistant's text."""
        return expand(self.rng.choice(options), self.rng, **slots)

    def chance(self, probability):
        return self.rng.random() < probability

    def person(self):
        return self.value(words.person(self.rng, self.held))

    def place(self):
        return self.value(words.place(self.rng, self.held))

    def word(self, options):
        return self.value(words.choose(self.rng, options, self.held))

    def thing(self, options=words.ITEMS):
        return self.value(words.thing(self.rng, self.held, options))

    def number(self, low=0, high=999):
        return words.number(self.rng, self.held, low, high)

    def made_up(self):
        return words.made_up(self.rng, self.held)


def chat(user, reply, **check):
    """A turn of one question and one answer."""
    return Turn([{"role": "user", "content": user}, {"role": "assistant", "content": reply}], check)
