"""What a skill needs to write one turn: random numbers, the sides of the splits, the writing style of the user."""

from dataclasses import dataclass, field

from . import words
from .grammar import LITERAL, expand, parse, pieces
from .noise import CLOSERS, misspell, scramble, wrap


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
        self.strict = not noisy  # the evaluation asks exactly what the bank says
        draw = rng.random() if noisy else 1.0
        self.lower = draw < 0.22
        self.shout = 0.22 <= draw < 0.23
        self.typos = 0.04 if noisy and rng.random() < 0.15 else 0.0
        self.bare = noisy and rng.random() < 0.3
        self.loose = noisy and rng.random() < 0.4
        self.used = set()

    def value(self, text):
        """A filling as this user types it."""
        return text.lower() if self.lower and isinstance(text, str) else text

    def ask(self, key, **slots):
        """A user's text: one of the key's phrasings in this user's style, with fillings kept exact.

        `used` then names the slots that occur in it."""
        text = self.fill(self.rng.choice(self.bank[key]), **slots)
        raw = self.raw
        if self.loose and self.rng.random() < 0.4 and key.split(".")[0] not in ("system", "tools", "talk") and (key.count(".") == 1 or key.endswith((".ask", ".tell"))) and (key == "extract.ask" or not key.startswith("extract")):
            text = wrap(text, self.rng) if not raw else text + ", " + self.rng.choice(CLOSERS)
        return text

    def fill(self, template, /, *, scrambled=0.0, **slots):
        """A text from a template in this user's style; `used` names the slots that occur, `raw` says that its first letter stays.

        `scrambled` is how much more than usual of its wording is lost."""
        flat = pieces(parse(template), self.rng)
        self.used = {v for k, v in flat if k != LITERAL}
        self.scrambled = scrambled or float(self.loose and self.rng.random() < 0.5)
        text = "".join(self._styled(v) if k == LITERAL else str(slots[v]) for k, v in flat) or "?"
        if self.bare and text[-1] in ".!?" and len(text) > 1:
            text = text[:-1]
        self.raw = self.lower or flat[0][0] != LITERAL
        return text if self.raw or self.rng.random() < 0.1 else text[0].upper() + text[1:]

    def unfamiliar(self, text):
        """A request after words that say nothing about it, whatever they are."""
        begin = " ".join(self.made_up() if self.chance(0.2) else words.made_up(self.rng, self.held, real=1.0) for _ in range(self.rng.randint(1, 4)))
        begin = begin if self.lower else begin[0].upper() + begin[1:]
        return begin + self.rng.choice([" ", " ", " ", ": ", ", ", " to "]) + text

    def _styled(self, literal):
        if self.scrambled:
            literal = scramble(literal, self.rng, lambda: words.made_up(self.rng, self.held, real=0.6), self.scrambled)
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

    def word(self, options, made_up=0.0):
        """A word of a list, or with some chance a made-up one."""
        word = words.made_up(self.rng, self.held) if self.chance(made_up) else words.choose(self.rng, options, self.held)
        return self.value(word)

    def thing(self, options=words.ITEMS):
        return self.value(words.thing(self.rng, self.held, options))

    def number(self, low=0, high=999):
        return words.number(self.rng, self.held, low, high)

    def made_up(self):
        return self.value(words.made_up(self.rng, self.held))


def chat(user, reply, **check):
    """A turn of one question and one answer."""
    return Turn([{"role": "user", "content": user}, {"role": "assistant", "content": reply}], check)
