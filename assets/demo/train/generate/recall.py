"""Facts that the user gives and asks back later, also after other turns, and facts that were never given."""

from . import words
from .context import chat
from .recall_more import ANY_ASK, ANY_TELL, MORE

TELL = "[|||hi, |hello, |by the way, |just so you know, |remember this: |please remember that |fun fact: |note that |fyi, |one thing: |hey, |so, |ok, |before I forget, |keep in mind that |let me tell you something: |you should know that ]"
ASK = "[|||hey, |now |so |ok, |do you remember |can you tell me |tell me |quick question: |do you know |remind me, |and |I forgot: |test: |well, |please tell me ]"

# kind: (what the assistant calls it, statements, questions)
FACTS = {
    "name": ("name", [
        TELL + "my name is {v}", TELL + "my name's {v}", TELL + "I'm {v}", "I am {v}", "[|you can |please |just ]call me {v}",
        "[people|my friends|they|folks|everyone] call[| me] {v}", "the name is {v}", "[this is|it's] {v} [speaking|here|writing|again]",
        "{v} is my name", "[hi|hello|hey][| there][,|!|.] {v} here", "I go by {v}", "my first name is {v}",
        "[nice to meet you|good morning|good evening|hi there], I'm {v}[| and I'm new here| from next door|, how are you?]",
        "I was named {v}[| after my grandmother]", "you're talking to {v}", "let me introduce myself: [I'm |]{v}"],
        [ASK + "what is my name", ASK + "what's my name", "[do you remember|do you know|can you recall|do you still know|have you noted] my name[| or not]",
         "who am I", "[what|how] [did I say|did I tell you|do] [my name was|is my name|you call me]", "my name is", "say my name[| please]",
         "how [am I|was I] called", "[which|what] name did I [give|tell] you", "what should you call me", "do you know who I am",
         "what am I called", "[tell|remind] me [what my name is|my name|of my name|who I am]", "and my name[| was]"]),
    "city": ("city", [
        TELL + "I live in {v}", TELL + "I'm from {v}", "I am from {v}", "[I come|my family comes] from {v}", "my [home ||home]city is {v}",
        "I [moved|just moved|recently moved] to {v}[| last year| a while ago]", "[I've been|we are] living in {v}[| for years| since May]",
        "my home is in {v}", "I [was born|grew up|stay|am based|work and live] in {v}", "{v} is [my city|where I live|my home|my hometown]",
        "the city [I live in|where I live|I call home] is {v}", "I'm writing [to you |]from {v}", "I have a [flat|house] in {v}", "my town is called {v}"],
        [ASK + "where do I live", ASK + "where am I from", ASK + "what is my city", ASK + "which city do I live in", "what city [am I from|do I live in|did I mention|is mine]",
         "[do you know|do you remember|can you recall|tell me] [where I live|where I'm from|my city|which city is mine]", "where is my home", "what is my [home town|hometown|home city]",
         "in [which|what] city [do I live|am I]", "what's the name of my city", "where did I say I live", "and my city[| was]"]),
    "colour": ("favourite colour", [
        TELL + "my [favourite|favorite] [colour|color] is {v}", "[I love|I like|I adore|I really like] the [colour|color] {v}[| most| the most]",
        "{v} is my [favourite|favorite] [colour|color]", "the [colour|color] I like [best|most] is {v}", "of all [colours|colors] I [like|love|prefer] {v}[| most| best]",
        "my [preferred|best-loved] [colour|color] is {v}", "[nothing beats|I'm a fan of] the [colour|color] {v}", "I [paint|wear] everything in {v}, it's my [favourite|favorite] [colour|color]",
        "when it comes to [colours|colors], I [pick|choose|like] {v}", "I'd say {v} is the [colour|color] I like best"],
        [ASK + "what is my [favourite|favorite] [colour|color]", ASK + "what's my [favourite|favorite] [colour|color]", ASK + "which [colour|color] do I like[| best| most]", "what [colour|color] [do I like|do I love|is my favourite|did I mention|do I prefer]",
         "[do you know|do you remember|can you recall|tell me|remind me of] [my [favourite|favorite] [colour|color]|which [colour|color] I like]", "my [favourite|favorite] [colour|color] is", "and my [favourite |favorite |][colour|color][| was]", "what [colour|color] did I say I like"]),
    "number": ("number", [
        TELL + "my [favourite|favorite|lucky] number is {v}", "[remember|keep|note|store|save|memorise] the number {v}[| for me| please]", "my number is {v}", "the [secret |lucky |magic |]number is {v}",
        "{v} is my [lucky|favourite|favorite] number", "the number [I like|I picked|I chose|to remember] is {v}", "I [picked|chose|like|love] the number {v}", "I'm thinking of the number {v}", "here is a number[| for you]: {v}", "my locker [number |]is {v}, remember the number"],
        [ASK + "what is my [|lucky |favourite |favorite ]number", ASK + "what's my [|lucky |favourite |favorite ]number", ASK + "what was the [|lucky |secret |magic ]number", ASK + "which number did I [say|pick|choose|tell you|give you|mention]", "[do you know|do you remember|can you recall|tell me|remind me of] [my|the] [|lucky |favourite |favorite ]number",
         "what number [did I say|did I give you|was it|do I like]", "what number should you remember", "the number was", "and the number[| was]", "what is the [|lucky |secret |magic ]number"]),
    "pet": ("pet", [
        TELL + "my {animal} is called {v}", TELL + "my {animal}'s name is {v}", "I have a[| small| big| little] {animal} [named|called] {v}", "my pet {animal} is [named|called] {v}", "{v} is [the name of my {animal}|my {animal}]", "I [got|adopted] a {animal} and [named|called] it {v}", "we have a {animal}, [its|the] name is {v}"],
        [ASK + "what is my {animal}'s name", ASK + "what is my {animal} called", ASK + "what's the name of my {animal}", "[do you know|do you remember|tell me|remind me of] my {animal}'s name", "how is my {animal} called", "what did I [name|call] my {animal}"]),
    "food": ("favourite food", [
        TELL + "my [favourite|favorite] [food|dish|meal] is {v}", "[I love|I love eating|I really love|I like] {v} more than any [other |]food", "{v} is my [favourite|favorite] [food|dish|meal]", "the food I like [best|most] is {v}", "I could eat {v} [every day|all day], it's my [favourite|favorite] food"],
        [ASK + "what is my [favourite|favorite] [food|dish|meal]", ASK + "what's my [favourite|favorite] [food|dish|meal]", ASK + "what food do I like[| best| most]", "[do you know|do you remember|tell me|remind me of] my [favourite|favorite] [food|dish|meal]", "what do I [like|love] to eat"]),
    "job": ("job", [
        TELL + "I work as a {v}", "I'm a {v}[| by trade| by profession]", "my job is {v}", "my profession is {v}", "I earn my money as a {v}", "[by profession |at work ]I am a {v}", "I have been a {v} for [ten|five|three] years"],
        [ASK + "what is my job", ASK + "what's my job", ASK + "what do I work as", "what do I do for a living", "[do you know|do you remember|tell me|remind me of] my [job|profession]", "what is my [profession|occupation]"]),
    "friend": ("friend's name", [
        TELL + "my [best friend|friend] is [called |named |]{v}", "my [best friend|friend]'s name is {v}", "I have a [good |best |]friend [named|called] {v}", "{v} is my [best |good |]friend", "the name of my [best |]friend is {v}"],
        [ASK + "what is my [best |]friend's name", ASK + "what's the name of my [best |]friend", ASK + "who is my [best |]friend", "what is my [best |]friend called", "[do you know|do you remember|tell me|remind me of] my friend's name"]),
    "age": ("age", [
        TELL + "I'm {v} years old", "I am {v}[| years old]", "my age is {v}", "I [just |]turned {v}[| today| last week]", "I'm {v} [now|this year]"],
        [ASK + "how old am I", ASK + "what is my age", ASK + "what's my age", "[do you know|do you remember|tell me|remind me] [how old I am|my age]", "what age am I", "how many years old am I"]),
    "hobby": ("hobby", [
        TELL + "my hobby is {v}", "I like {v} in my free time", "in my free time I [like|enjoy|love] {v}", "my [favourite|favorite|main] hobby is {v}", "I spend my weekends [with |on |]{v}", "{v} is my [hobby|favourite hobby]"],
        [ASK + "what is my hobby", ASK + "what's my hobby", "what do I [like to do|do] in my free time", "[do you know|do you remember|tell me|remind me of] my hobby", "which hobby do I have"]),
    "code": ("code word", [
        TELL + "the [code word|password|secret word|passphrase|keyword] is {v}", "my [code word|secret word|password] is {v}", "[remember|keep|save|note] the [word|code word|secret word] {v}", "{v} is the [code word|secret word|password|magic word]", "remember this word: {v}"],
        [ASK + "what is the [code word|secret word|password|keyword]", ASK + "what's the [code word|secret word|password]", ASK + "what was the [word|code word|secret word|password|passphrase|magic word]", "which word should you remember", "[do you know|do you remember|tell me|remind me of] the [word|code word|secret word|password]", "what word did I [tell|give] you"]),
}
for kind, (tell, ask) in MORE.items():
    FACTS[kind][1].extend(tell)
    FACTS[kind][2].extend(ask)
PAIRS = [("name", "city", ["I'm {a} from {b}", "my name is {a} and I live in {b}", "I am {a} and I come from {b}", "hi, {a} here, I live in {b}", "call me {a}, I'm from {b}"]),
         ("name", "colour", ["I'm {a} and I love the [colour|color] {b}", "my name is {a} and my [favourite|favorite] [colour|color] is {b}"]),
         ("name", "age", ["I'm {a} and I'm {b} years old", "my name is {a}, I am {b}", "{a}, {b} years old"]),
         ("city", "food", ["I live in {a} and my [favourite|favorite] food is {b}"]),
         ("name", "job", ["I'm {a} and I work as a {b}", "my name is {a}, I'm a {b}"]),
         ("colour", "number", ["my [favourite|favorite] [colour|color] is {a} and my lucky number is {b}", "I like the [colour|color] {a} and the number {b}"])]
ANSWER = {"name": "Your name is {v}.", "city": "You live in {v}.", "colour": "Your favourite colour is {v}.", "number": "The number is {v}.",
          "pet": "Your {animal} is called {v}.", "food": "Your favourite food is {v}.", "job": "You work as a {v}.",
          "friend": "Your friend is called {v}.", "age": "You are {v} years old.", "hobby": "Your hobby is {v}.", "code": "The word is {v}."}
NOTED = {"name": ["Nice to meet you, {v}!", "Hello {v}!"], "age": ["{v}, got it. I'll remember that."]}
NOTED_ANY = ["{v}, got it. I'll remember that.", "Noted: {v}."]
UNKNOWN = "You haven't told me your {what} yet."

PHRASES = {f"recall.{kind}.tell": tell for kind, (_, tell, _) in FACTS.items()}
PHRASES |= {f"recall.{kind}.ask": ask for kind, (_, _, ask) in FACTS.items()}
PHRASES |= {f"recall.{a}+{b}.tell": tell for a, b, tell in PAIRS}
PHRASES |= {"recall.any.tell": ANY_TELL, "recall.any.ask": ANY_ASK}
PHRASES["recall.both"] = ["{s} {q}", "{s}. {q}", "{s}! {q}", "{s}, {q}"]
PHRASES["recall.change"] = ["actually, {s}", "wait, I was wrong: {s}", "correction: {s}", "sorry, I meant {s}", "no, {s}", "things changed: {s}"]
CORE = ["name", "city", "colour", "number"]


def value_of(ctx, kind):
    """A random value for a kind of fact."""
    if kind in ("name", "friend", "pet"):
        return ctx.person()
    lists = {"colour": words.COLOURS, "food": words.FOODS, "job": words.JOBS, "hobby": words.HOBBIES}
    if kind in lists:
        return ctx.word(lists[kind], 0.35)
    if kind == "city":
        return ctx.place()
    if kind == "code":
        return ctx.made_up() if ctx.chance(0.7) else ctx.word(words.ITEMS)
    return ctx.number(1, 99) if kind == "age" else ctx.number(0, 99999 if ctx.chance(0.2) else 999)


class Memory:
    """What the user has said so far in one conversation."""

    def __init__(self):
        self.facts = {}

    def tell(self, ctx, kind=None):
        """A turn in which the user states a new fact, or two, or changes an old one."""
        if kind is None and ctx.chance(0.12):
            first, second, _ = ctx.rng.choice(PAIRS)
            a, b = value_of(ctx, first), value_of(ctx, second)
            self.facts |= {first: a, second: b}
            user = self._punctuate(ctx, ctx.ask(f"recall.{first}+{second}.tell", a=a, b=b))
            return chat(user, f"Nice to meet you, {a}! I'll remember that." if first == "name" else f"{a} and {b}, got it. I'll remember that.")
        if kind is None and ctx.chance(0.2):
            return self.tell_any(ctx)
        kind = kind or ctx.rng.choice(list(FACTS) + CORE * 3)
        value = value_of(ctx, kind)
        self.animal = getattr(self, "animal", None) or ctx.word(words.ANIMALS)
        user = ctx.ask(f"recall.{kind}.tell", v=value, animal=self.animal)
        if kind in self.facts and ctx.chance(0.7):
            user = ctx.ask("recall.change", s=user[0].lower() + user[1:] if not user.startswith("I") else user)
        self.facts[kind] = value
        return chat(self._punctuate(ctx, user), ctx.say(NOTED.get(kind, NOTED_ANY), v=value))

    def tell_any(self, ctx):
        """A turn in which the user states a fact about anything."""
        what = ctx.value(words.choose(ctx.rng, words.ITEMS + words.ANIMALS, ctx.held)) if ctx.chance(0.5) else ctx.made_up()
        value = ctx.rng.choice([ctx.person, ctx.place, ctx.made_up, ctx.made_up, lambda: ctx.number(1, 999)])()
        self.facts[f"any {what}"] = value
        return chat(self._punctuate(ctx, ctx.ask("recall.any.tell", a=what, v=value)), ctx.say(NOTED_ANY, v=value))

    def both(self, ctx):
        """A turn in which the user states a fact and asks for it at once."""
        first = self.tell(ctx, ctx.rng.choice([kind for kind in FACTS]))
        second = self.ask(ctx, list(self.facts)[-1] if ctx.chance(0.3) else next(k for k in FACTS if k in self.facts))
        told, asked = first.messages[0]["content"].rstrip(".!"), second.messages[0]["content"]
        return chat(ctx.ask("recall.both", s=told, q=asked), second.reply)

    def ask(self, ctx, kind=None):
        """A turn in which the user asks for a fact; mostly a known one."""
        known = list(self.facts)
        if kind is None and (not known or ctx.chance(0.12)):
            kind = ctx.rng.choice(list(FACTS))
        kind = kind or ctx.rng.choice(known)
        if kind.startswith("any "):
            what = kind[4:]
            user = self._question(ctx, ctx.ask("recall.any.ask", a=what))
            return chat(user, f"Your {what} is {self.facts[kind]}.", kind="contains", value=str(self.facts[kind]))
        animal = getattr(self, "animal", None) or ctx.word(words.ANIMALS)
        user = ctx.ask(f"recall.{kind}.ask", animal=animal)
        user = self._question(ctx, user)
        if kind not in self.facts:
            what = f"{animal}'s name" if kind == "pet" else FACTS[kind][0]
            reply = f"You haven't told me the {what} yet." if kind == "code" else UNKNOWN.format(what=what)
            return chat(user, reply, kind="contains", value="haven't told me")
        value = self.facts[kind]
        return chat(user, ANSWER[kind].format(v=value, animal=animal), kind="contains", value=str(value))

    def _question(self, ctx, user):
        return user if ctx.bare or user[-1] in "?.!" else user + "?"

    def _punctuate(self, ctx, user):
        return user if ctx.bare or user[-1] in ".!?" else user + ctx.rng.choice([".", ".", "!", ""])
