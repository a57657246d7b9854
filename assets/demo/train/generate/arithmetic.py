"""Sums and differences of numbers up to 99, and small products as a bonus."""

from .context import chat
from .words import ITEMS, held_out, plural

ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen""".split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()

OPEN = "[|||hey, |hi, |ok, |okay, |so |quick question: |please tell me, |tell me, |can you tell me, |do you know |hello, |um, |math time: |now, ]"
WHAT = "[what is|what's|whats|how much is|what does|compute|calculate|work out|solve|evaluate|give me|find|figure out|what do you get for|what do I get from|what would be|could you compute|can you work out|can you do|please calculate|please add up|I need|tell me]"
TAIL = "[||||?|?|?| equal?| make?| come to?| =| = ?| please| for me| for me, please|, please| thanks|!| then?]"

PHRASES = {
    "arithmetic.add": [
        OPEN + WHAT + " {a} [+|+|plus|plus|added to|and] {b}" + TAIL,
        "{a} [+|plus|and then plus] {b}[|?| =| = ?| equals| equals what?| is?| please]",
        "{a}+{b}[|=|?|=?]",
        OPEN + "[what is|what's|calculate|find|compute|give me] the [sum|total] of {a} and {b}[|?|.]",
        OPEN + "[add|add up|add together|sum|sum up] {a} and {b}[| please|.| for me]",
        OPEN + "[add|please add] {a} to {b}[| please|.]",
        OPEN + "if I [add|put together|combine] {a} and {b}, what [do I get|is it|is the result|comes out]?",
        OPEN + "[how much|what] do {a} and {b} make[| together]?",
        "what [number|do you get] [is|when you take] {a} [increased by|more than|and add] {b}?",
        "[increase|raise] {a} by {b}[|.]",
        "start [with|at|from] {a} and [add|count up|go up] {b}[|.| - what is it?]",
        "[is it true that you can add? ||my homework says |the exercise is |help me with ]{a} + {b}[|?|.]",
        "{b} more than {a} [is|makes] [what|how much]?",
    ],
    "arithmetic.subtract": [
        OPEN + WHAT + " {a} [-|-|minus|minus|less|take away] {b}" + TAIL,
        "{a} [-|minus|take away] {b}[|?| =| = ?| equals| equals what?| is?| please]",
        "{a}-{b}[|=|?|=?]",
        OPEN + "[what is|what's|calculate|find|compute|give me] the difference [of|between] {a} and {b}[|?|.]",
        OPEN + "[subtract|take|take away|please subtract|deduct] {b} from {a}[| please|.| for me]",
        OPEN + "if I [take|subtract|remove] {b} from {a}, what [do I get|is it|is left|remains|comes out]?",
        OPEN + "[how much|what] is left [of {a} if I take {b} away|when {b} is taken from {a}]?",
        "what [number|do you get] [is|when you take] {a} [decreased by|reduced by|and subtract] {b}?",
        "[decrease|reduce|lower] {a} by {b}[|.]",
        "start [with|at|from] {a} and [subtract|count down|go down] {b}[|.| - what is it?]",
        "[my homework says |the exercise is |help me with ]{a} - {b}[|?|.]",
        "{b} less than {a} [is|makes] [what|how much]?",
    ],
    "arithmetic.gain": [
        "[I have|there are|Tom has|she has|we have|my friend has] {a} {things} and [I get|I buy|I find|get|someone brings|we add] {b} more. How many [are there|are there now|is that|{things} is that|do we have|in total]?",
        "[I have|I own|I see|I count] {a} {things}[. Then I|, then I| and then I] [get|buy|find|receive|win|pick up] {b} more. How many {things} [do I have|do I have now|is that|are there]?",
        "a [box|bag|shelf|basket] has {a} {things}, [another|another one|a second one] has {b}. How many {things} [in total|are there|are there together|altogether]?",
        "[there are|we see] {a} [red|old|big] {things} and {b} [blue|new|small] [ones|{things}]. How many [{things} |]in all?",
        "{a} {things} plus {b} {things} [is|makes|gives] how many {things}?",
    ],
    "arithmetic.lose": [
        "[I have|there are|Tom has|she has|we have|my friend has] {a} {things} and [I lose|I sell|I give away|someone takes|lose|we remove] {b}. How many [are left|are there now|{things} are left|remain|do we have]?",
        "[I have|I own|I had|I count] {a} {things}[. Then I|, then I| and then I] [lose|sell|break|give away|drop|hand out] {b}[| of them]. How many {things} [do I have|do I have now|are left|are there|remain]?",
        "a [box|bag|shelf|basket] has {a} {things}, [someone takes {b} out|{b} fall out|{b} are removed]. How many {things} [stay|are left|are there now]?",
        "[out of|from] {a} {things}, {b} [are gone|are broken|go away|get lost]. How many [are left|remain|stay]?",
        "{a} {things} minus {b} {things} [is|makes|gives] how many {things}?",
    ],
    "arithmetic.multiply": [
        "[|hey, |ok, ][what is|what's|how much is|calculate|compute] {a} [times|x|*|multiplied by] {b}[|?]",
        "{a} [times|x|*] {b}[|?| =]", "{a}*{b}", "[multiply|please multiply] {a} by {b}", "the product of {a} and {b}[|?]",
    ],
    "arithmetic.chain": [
        "[what is|what's|compute|calculate|] {a} {op} {b} {op2} {c}[|?| =]", "{a}{op}{b}{op2}{c}[|=|?]",
    ],
    "arithmetic.beyond": [
        "[what is|what's|how much is|calculate|compute|] {a} [/|divided by|to the power of|modulo|÷] {b}[|?]",
        "[what is|what's|] the [square root|cube root|logarithm|sine] of {a}[|?]", "divide {a} by {b}",
        "[what is|compute|] {big} [+|-|times|*|plus|minus] {bigger}[|?]",
    ],
}
SIGNS = {"arithmetic.add": "+", "arithmetic.gain": "+", "arithmetic.subtract": "-", "arithmetic.lose": "-"}
BEYOND = ["I only add, subtract and multiply small numbers, so I can't work that out.",
          "That is too hard for me. I can add and subtract numbers up to 99."]


def spell(value):
    """A number up to 99 in words."""
    if value < 20:
        return ONES[value]
    return TENS[value // 10] + (f"-{ONES[value % 10]}" if value % 10 else "")


def operands(ctx, sign, positive=False):
    """Two numbers up to 99 from the right side of the split; `positive` keeps the difference above zero."""
    while True:
        top = ctx.rng.choice([9, 20, 99, 99, 99])
        a, b = ctx.rng.randint(0, top), ctx.rng.randint(0, 99 if ctx.chance(0.7) else top)
        if sign == "-" and b > a and (positive or ctx.chance(0.85)):
            a, b = b, a
        if held_out(f"{a}{sign}{b}") == ctx.held:
            return a, b


def arithmetic(ctx):
    """One question with one operation."""
    key = ctx.rng.choice(["arithmetic.add", "arithmetic.subtract"] * 4 + ["arithmetic.gain", "arithmetic.lose"])
    sign = SIGNS[key]
    a, b = operands(ctx, sign, key == "arithmetic.lose")
    things = plural(ctx.word(ITEMS))
    result = a + b if sign == "+" else a - b
    shown = (spell(a), spell(b)) if ctx.chance(0.2) else (a, b)
    user = ctx.ask(key, a=shown[0], b=shown[1], things=things)
    if key in ("arithmetic.gain", "arithmetic.lose"):
        reply = f"{a} {sign} {b} = {result}, so {result} {things}."
    else:
        reply = f"{a} {sign} {b} = {result}."
    return chat(user, reply, kind="number", value=result)


def extra_arithmetic(ctx):
    """Products, chains of two operations, and what is beyond the model."""
    draw = ctx.rng.random()
    if draw < 0.4:
        a, b = ctx.rng.randint(0, 12), ctx.rng.randint(0, 12)
        shown = (spell(a), spell(b)) if ctx.chance(0.2) else (a, b)
        return chat(ctx.ask("arithmetic.multiply", a=shown[0], b=shown[1]), f"{a} x {b} = {a * b}.")
    if draw < 0.75:
        a, b, c = (ctx.rng.randint(0, 50) for _ in range(3))
        op, op2 = ctx.rng.choice("+-"), ctx.rng.choice("+-")
        middle = a + b if op == "+" else a - b
        end = middle + c if op2 == "+" else middle - c
        gap = ctx.rng.choice(["", " "])
        user = ctx.ask("arithmetic.chain", a=f"{a}{gap}", b=f"{gap}{b}{gap}", c=f"{gap}{c}", op=op, op2=op2)
        return chat(" ".join(user.split()), f"{a} {op} {b} = {middle}, and {middle} {op2} {c} = {end}.")
    big, bigger = ctx.rng.randint(100, 9999), ctx.rng.randint(100, 99999)
    a, b = ctx.rng.randint(1, 999), ctx.rng.randint(1, 99)
    return chat(ctx.ask("arithmetic.beyond", a=a, b=b, big=big, bigger=bigger), ctx.say(BEYOND))
