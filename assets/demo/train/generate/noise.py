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
