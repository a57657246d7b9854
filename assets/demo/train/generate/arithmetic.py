"""Sums and differences of numbers up to 99, and small products as a bonus."""

from .context import chat
from .words import ITEMS, held_out, plural

ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen""".split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()

OPEN = "[|||hey, |hi, |ok, |okay, |so |quick question: |please tell me, |tell me, |can you tell me, |do you know |hello, |um, |math time: |now, ]"
WHAT = "[what is|what's|whats|how much is|what does|compute|calculate|work out|solve|evaluate|give me|find|figure out|what do you get for|what do I get from|what would be|could you compute|can you work out|can you do|please calculate|please add up|I need|tell me]"
TAIL = "[||||?|?|?| equal?| make?| come to?| =| = ?| please| for me| for me, please|, please| thanks|!| then?]"

HAS = "[I have|I had|I own|I bought|I found|I see|{p} has|{p} had|{p} owns|{p} bought|{p} found|{p} collected|{p} made|we have|we had|there are|there were|my brother has|our school has|a farmer has|a shop has|she has|he had|they own|my uncle grows|the team has] {a} {things}"
START = "[| in the morning| at first| on Friday| last week| at home| in a bag| in the kitchen| to begin with]"
THEN = "[. Then| and then|. Later| and|, then|. After that|. In the evening|. The next day|, later|. Today] "
GAINS = "[I get|I buy|I find|get|gets|buys|finds|someone brings|we add|she gets|he buys|a friend gives me|I win|I receive|I make|I pick up|wins|collects|makes|receives|catches|bakes|{q} adds|{q} gives me|{q} brings|they earn|are added|come|arrive]"
LOSES = "[I lose|I sell|I give away|I eat|someone takes|lose|loses|sells|eats|gives away|we remove|she drops|he breaks|a friend borrows|I break|I hand out|I throw away|uses|spends|forgets|lends|{q} takes|{q} eats|{q} steals|they use up|are taken away|break|leave|disappear]"
LATER = "[|| yesterday| today| after lunch| on the way| at the market]"
COUNT = "[How many {things} are there|How many are there now|How many {things} is that|How many do I have|How many in total|How many {things} in all|How many altogether|How many now|What's the total|How many does that make|So how many {things}]?"
REST = "[How many are left|How many {things} are left|How many remain|How many are there now|How many stay|How many do I have|How many does {p} have|How many {things} are still there|What is left|How many now|So how many {things}]?"

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
        "{b} more than {a} [is|makes] [what|how much]?", "[go|count|move|step] {b} [up|higher|further|forward] from {a}[.|, where do I land?|, what number is it?]",
        "[put|join|bring] {a} and {b} together[.|, what's the sum?|: what comes out?]", "[the result|result|answer|the answer|outcome|the value] of {a} plus {b}[?| please|.]", "{a} and {b} [added|summed|added up|together|combined] [is|makes|are|give|equals][| what|?]",
        "[I know that|they say|my friend says] {a} + {b} is [easy|simple|hard]. [What is it|So what is it|Tell me the result]?", "[on top of|besides|added to] {a} [comes|I put|we lay] {b}, [what is it now|the total is|that makes]?", "[for|because of] my [homework|exam|bill|taxes|garden|work] I [need|want|have] [to know |]{a} + {b}[.|?|]", "{a} [along with|with|joined by|next to|plus also] {b} [is|makes|gives|means][| what|?]", "[suppose|say|imagine|let's say] I have {a} and [get|add|receive] {b}[ more|], [what do I have|how much is it|what's the total]?",
        "{a} [grows|rises|goes up|climbs|is raised] by {b}[. What is it now?| and becomes what?|, what then?]", "[climb|walk|ride] from floor {a} up {b} [floors|more floors|levels][, which floor is it?|. Where am I?]", "it was {a} degrees and [got|became|is now] {b} degrees [warmer|hotter][, what is it now?|. How warm is it?]", "[a book|a pen|the ticket|lunch|the shirt] costs {a} and [a bag|the tax|a drink|delivery|a hat] {b}[, what do I pay| - what's that together|, how much is it in all]?",
        "[the score|the count|my counter|the price|the water level] [was|is|stands at] {a} and [goes up|rises|increases] by {b}[.|, what is it?|. And now?]", "[I slept|I walked|I waited|it took] {a} minutes and then {b} more[, how long is that|, how many minutes]?", "I'm {a}, how old [will I be|am I] in {b} years?", "what [age|number] [comes|lies|is] {b} [years|steps|places] after {a}?", "[both|all of it]: {a} and {b}[, in total?|, how much?|.]", "[my bill|the meal|the room] [is|was] {a}, [and|with] a [tip|tax|fee] of {b} [on it|added|extra][, what do I pay?|.|?]",
        "[I had|there were|she scored] {a}, {b} [came on top|joined|were added later|came along][, how many now?|. Total?]", "[if|when|suppose] {a} [is|gets|becomes] {b} [bigger|larger|more|higher][, what is it?|, what do you get?]", "[count|go] {b} [numbers|steps] [past|beyond] {a}[.|: where am I?|?]", "double check: {a} plus {b}[?|.]", "{a} here, {b} there, [how many|what's the total|how much in all]?", "[one weighs|the first is|mine is] {a}, [the other|the second is|yours is] {b}, [and both|together|the sum]?",
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
        "{b} less than {a} [is|makes] [what|how much]?", "[go|count|move|step] {b} [down|lower|back|backwards] from {a}[.|, where do I land?|, what number is it?]",
        "how [much|many] [more|bigger|larger|higher] is {a} than {b}?", "[the result|result|answer|the answer|outcome|the value] of {a} minus {b}[?| please|.]", "{a} [reduced|lowered|diminished|shortened] by {b} [is|makes|gives][| what|?]", "what [remains|stays|is left] [of {a} after taking {b}|when {b} leave {a}|if {a} loses {b}]?",
        "[I know that|they say|my friend says] {a} - {b} is [easy|simple|hard]. [What is it|So what is it|Tell me the result]?", "[suppose|say|imagine|let's say] I have {a} and [lose|spend|give away] {b}, [what do I have|how much is it|what's left|what remains]?", "what must I add to {b} to get {a}?", "[the gap|distance] between {b} and {a}[?| is what?]", "[for|because of] my [homework|exam|bill|taxes|garden|work] I [need|want|have] [to know |]{a} - {b}[.|?|]", "without {b}, {a} is [what|how much]?", "by what number [does {a} exceed {b}|is {b} smaller than {a}]?",
        "I [pay with|hand over|give] {a} and it costs {b}[, how much change|, what do I get back]?", "it was {a} degrees and [got|became|is now] {b} degrees [colder|cooler][, what is it now?|. How cold is it?]", "[I'm|I am] {a} and my [sister|brother|friend|dog] is {b}[, how many years between us|, what's the difference]?", "how much [older|taller|longer|heavier|richer|further] is {a} than {b}?", "[from {a} it [goes|drops|falls]|{a} [drops|falls|sinks|shrinks|goes down]] [down |]by {b}[. What is it now?|, what then?|.]", "[walk|ride|go] from floor {a} down {b} [floors|levels][, which floor is it?|. Where am I?]",
        "[the book has|there are|I have] {a} pages, I read {b}[, how many to go|, how many are left to read]?", "how [far|much|many steps] is it from {b} [up |]to {a}?", "[knock|strike|cut|shave] {b} off {a}[.|, what do you get?|?]", "{b} off {a} [is|makes|leaves] what?", "[my budget|the limit|the distance] is {a} and I [used|spent|did] {b}[, what's left|, how much remains]?", "what [age|number] [comes|lies|is] {b} [years|steps|places] before {a}?", "[if|when|suppose] {a} [is|gets|becomes] {b} [smaller|less|lower][, what is it?|, what do you get?]", "[count|go] back {b} [numbers|steps] from {a}[.|: where am I?|?]",
        "[I need|I want|the goal is] {a} but only have {b}[, how much is missing|, what do I still need]?", "[I'm|she's] {a}, how old was [I|she] {b} years ago?", "[one weighs|the first is|mine is] {a}, [the other|the second is|yours is] {b}, [by how many do they differ|the difference|what lies between]?",
    ],
    "arithmetic.gain": [HAS + START + THEN + GAINS + " {b}[| more| more {things}| of them| {things}| other ones| new ones]" + LATER + "[. | - |; ]" + COUNT,
        "[In|On|Under|Behind] the [table|shelf|box|bag|garden|shop|car|room] [there are|are|I see] {a} {things}[. |, ]" + THEN + GAINS + " {b}[| more| extra]. " + COUNT,
        "a [box|bag|shelf|basket|truck|class] [has|holds|contains] {a} {things}[, another one| and a second one|, the other one|. Another] [has |holds |]{b}[| {things}]. " + COUNT,
        "[there are|we see|I count] {a} [red|old|big|round] {things} and {b} [blue|new|small|square] [ones|{things}]. " + COUNT,
        "[with|if I get|if I add|given|adding] {b} [more|extra|new|further|additional] {things} [to|on top of|besides|next to|and] [my|the|these] {a}[|, ]" + " [how many do I have|how many is that|how many are there|what do I have then]?",
        "{p} [has|brings|found|made] {a} {things} and {q} [has|brings|found|made] {b}[| {things}]. [Together they have how many?|How many do they have together?|How many is that in all?|What is the total?|How many have they got between them?]",
        "{p} [picked|sold|made|counted|got] {a} {things} [yesterday|on Sunday|last week|in May|at first] and {b} [today|the day after|this week|in June|later]. [What's the total|How many in total|How many altogether|How many is that|What is the sum]?",
        "{a} {things} plus {b} {things} [is|makes|gives] how many {things}?"],
    "arithmetic.lose": [HAS + START + THEN + LOSES + " {b}[| of them| {things}| of the {things}]" + LATER + "[. | - |; ]" + REST,
        "[In|On|Under|Behind] the [table|shelf|box|bag|garden|shop|car|room] [there are|are|I see] {a} {things}[. |, ]" + THEN + LOSES + " {b}[| of them]. " + REST,
        "a [box|bag|shelf|basket|truck|class] [has|holds|contains] {a} {things}, [someone takes {b} out|{b} fall out|{b} are removed|{b} go missing|but {b} are empty]. " + REST,
        "[out of|from|of] {a} {things}, {b} [are gone|are broken|go away|get lost|are sold|were eaten]. " + REST,
        "{p} [goes out|leaves home|starts|arrives|travels] with {a} {things} [and|but] [returns|comes back|ends up|gets home] [with {b} fewer|without {b} of them|missing {b}|having lost {b}]. " + REST,
        "[if|when|suppose|say] {b} of [my|the|our|these] {a} {things} [are lost|get sold|disappear|are eaten|fall down|are old], [how many are left|how many remain|how many do I have then|what is left]?",
        "[I need|we want|{p} wants] {a} {things} and [have|has|already have|got] {b}. How many [are missing|more|are still needed|do I still need]?",
        "{a} {things} minus {b} {things} [is|makes|gives] how many {things}?"],
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


def spell(value, joint="-"):
    """A number up to 100 in words."""
    if value == 100:
        return "a hundred"
    if value < 20:
        return ONES[value]
    return TENS[value // 10] + (f"{joint}{ONES[value % 10]}" if value % 10 else "")


def operands(ctx, sign, positive=False):
    """Two numbers up to 99 from the right side of the split; `positive` keeps the difference above zero."""
    while True:
        top = ctx.rng.choice([9, 20, 99, 99, 100])
        a, b = ctx.rng.randint(0, top), ctx.rng.randint(0, 99 if ctx.chance(0.7) else top)
        if sign == "-" and b > a and (positive or ctx.chance(0.85)):
            a, b = b, a
        if held_out(f"{a}{sign}{b}") == ctx.held:
            return a, b


def arithmetic(ctx):
    """One question with one operation."""
    key = ctx.rng.choice(["arithmetic.add", "arithmetic.subtract"] * 3 + ["arithmetic.gain", "arithmetic.lose"])
    sign = SIGNS[key]
    a, b = operands(ctx, sign, key == "arithmetic.lose")
    things = plural(ctx.word(ITEMS, 0.3))
    result = a + b if sign == "+" else a - b
    joint = ctx.rng.choice(["-", "-", " "])
    shown = (ctx.value(spell(a, joint)), ctx.value(spell(b, joint))) if ctx.chance(0.25) else (a, b)
    user = ctx.ask(key, a=shown[0], b=shown[1], things=things, p=ctx.person(), q=ctx.person())
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
