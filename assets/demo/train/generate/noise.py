"""Typing errors, and text that means nothing."""

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
SHORTHAND = {"you": "u", "please": "pls", "are": "r", "what's": "whats", "your": "ur", "because": "bc", "I'm": "im",
             "don't": "dont", "can't": "cant", "thanks": "thx", "people": "ppl", "and": "n", "to": "2", "for": "4"}


def misspell(text, rng, rate):
    """The text with letters swapped, dropped, doubled or replaced, and now and then a shorthand."""
    if rng.random() < 0.1:
        text = " ".join(SHORTHAND.get(word, word) if rng.random() < 0.5 and len(word) > 3 or word == "you" and rng.random() < 0.3
                        else word for word in text.split(" "))
    out = []
    for char in text:
        if char.isalpha() and rng.random() < rate:
            kind = rng.randrange(4)
            if kind == 0:
                continue
            if kind == 1:
                out.append(char)
            elif kind == 2:
                char = rng.choice(ALPHABET)
            elif out and out[-1].isalpha():
                out[-1], char = char, out[-1]
        out.append(char)
    return "".join(out)


OPENERS = """just curious|my sister asks|for a friend|before lunch|if you don't mind|I have a question|one thing|listen|honestly|look|seriously|since you're here|out of curiosity|no rush|sorry to bother you|when you have time|you know what|between us|guess what|help me out|good question coming
my teacher wants to know|it's me again|small test|a question from my boss|now this|as a start|for fun|let me ask|hm|right|alright|oh and|dear assistant|morning|attention|next question|also|finally|to begin with|anyway|in short|by chance|here goes|excuse me|I was thinking|we were just saying
the thing is|it's urgent|if I may|say|be so kind|for my notes|to be clear|back to work|new topic|something else|I keep forgetting|as I said|as always|believe it or not|don't laugh|tell the truth|come on|pretty please|trust me|no joke|at last|well then|wow|yes and""".replace("\n", "|").split("|")
CLOSERS = """if you can|if possible|no hurry|when you can|I'm curious|just wondering|it's for school|my friend wants to know|thanks in advance|be honest|any idea|that's all I need|quickly|right now|as soon as possible|my dear|would be great|that would be nice|I beg you
okay|alright|you know|right|would you|can you|please and thank you|it's important|for real|just asking|I forgot|don't be shy|go|I mean it|once more|as before|you can do it|let me know|I hope|will you|that's it|I'm waiting|in case you know|before I go|my friend""".replace("\n", "|").split("|")
# Words that change what a text asks for; they are never dropped or replaced.
KEEP = set("""my your you i i'm me am plus minus add added subtract subtracted take away times sum difference less more left taken divided from to json keys key fields object capital capitals uppercase upper
case caps letters name named called city colour color number not no never don't and story poem lose loses sell sells gives give buy buys gets get find finds tool use call run who what where how old age food job friend hobby pet word code""".split())


def scramble(text, rng, spare, rate=1.0):
    """The text with a few words dropped, replaced by `spare()` or added, so that no wording can be relied upon."""
    out = []
    for word in text.split(" "):
        draw = rng.random() / rate
        if not word.isalpha() or word.lower() in KEEP or draw >= 0.14:
            out.append(word)
        elif draw < 0.05:
            out.append(spare())
        elif draw < 0.08:
            out += [word, spare()]
    return " ".join(out)


def wrap(text, rng):
    """The text with a remark before or after it."""
    begin = text if text.split(" ")[0].rstrip("'mved") == "I" or len(text) < 2 or text[1].isupper() else text[0].lower() + text[1:]
    if rng.random() < 0.6:
        text = rng.choice(OPENERS) + rng.choice([", ", ", ", ": ", " ", "... ", ". "]) + begin
    if rng.random() < 0.5:
        text = text.rstrip(".!") + rng.choice([", ", ", ", " ", " - "]) + rng.choice(CLOSERS) + rng.choice(["", ".", "?", "!"])
    return text


def gibberish(rng):
    """A line that nobody could answer."""
    kind = rng.randrange(5)
    if kind == 0:
        return "".join(rng.choice(ALPHABET) for _ in range(rng.randint(3, 14)))
    if kind == 1:
        return " ".join("".join(rng.choice(ALPHABET) for _ in range(rng.randint(2, 9))) for _ in range(rng.randint(2, 6)))
    if kind == 2:
        return rng.choice(["asdf", "asdfasdf", "qwerty", "jkl;", "hjkl", "zxcvb", "lkjhgf", "sdfsdf"]) * rng.randint(1, 2)
    if kind == 3:
        return "".join(rng.choice("!?.,;:#$%&*()[]<>/\\|@~^+=-_'\"") for _ in range(rng.randint(1, 8)))
    return "".join(rng.choice("éüñçøßяжλπ日本語한국中文😀🎉🚀❤️👍🙂") for _ in range(rng.randint(1, 6)))
