"""Questions about the world, advice and tasks that this model can't answer; it says so."""

from . import words
from .context import chat

O = "[||||hey, |hi, |so |ok, |please tell me |do you know |can you tell me |tell me |I wonder |quick question: |I'd like to know |hello, |maybe you know |could you tell me |any idea ]"
E = "[?|?|?|]"
DID = "[invented|discovered|wrote|painted|founded|built|composed|directed|designed|won|created|started|killed|married|played in|sang|owns|runs|leads|rules|starred in|conquered|explored|lost|opened|paid for|stole]"

QUESTIONS = [
    O + "who " + DID + " {topic}" + E,
    O + "who [is|was] {person}" + E,
    O + "who is the [president|king|queen|mayor|leader|prime minister|capital|chancellor|head|governor|boss|owner|author|singer] of {land}" + E,
    O + "[what is|what's|which city is] the [capital|population|currency|flag|size|area|language|national dish|history|time zone|largest city|longest river|highest mountain|national anthem|main religion|weather] [of|in] {land}" + E,
    O + "when [was|did] {topic} [born|invented|built|founded|discovered|end|begin|start|happen|die|take place|open|close|released|published]" + E,
    O + "in [what|which] year [was|did] {topic} [born|invented|built|end|begin|happen|start|made]" + E,
    O + "where [is|was|are|can I find|do I find|can I buy|do they sell] {topic}" + E,
    O + "where [is|lies] {land}" + E,
    O + "how [far|long|big|old|tall|deep|heavy|hot|fast|wide|high|expensive|large] is {topic}" + E,
    O + "how far is it from {city} to {city2}" + E,
    O + "why [is|are|does|do|was|did] [the sky blue|the sea salty|grass green|{animals} sleep so much|{animals} bite|people dream|we sleep|the moon shine|leaves fall|it rain|planes fly|ice float|{topic} so popular|{topic} important|{topic} exist|{topic} so expensive|we yawn|onions make us cry|stars twinkle|{animals} migrate]" + E,
    O + "how [do|can|would|should] [I|you|we|one] [bake|cook|make|fix|repair|build|clean|grow|learn|install|sell|buy|remove|paint|choose|draw|write|improve|plan|find|lose|train|tie|wash|knit|invest in] {topic}" + E,
    O + "how do {animals} [sleep|eat|breathe|swim|fly|hunt|survive|talk|reproduce|move|see]" + E,
    O + "how many [people live in {land}|planets are there|bones does a human have|legs does {animal} have|countries are there|days are in a year|stars are there|teeth does {animal} have|{topic} are there in the world|inhabitants has {city}|calories are in {topic}|languages are there|seconds are in an hour]" + E,
    O + "[what is|what's|what are|what was|what were|explain|define|describe|what does it mean:] {topic}" + E,
    O + "what [causes|happens to|happened to|is inside|is special about|is the meaning of|is the price of|is the history of|is the difference between {item} and] {topic}" + E,
    O + "what [do {animals} eat|is the largest {animal}|colour is {topic}|is the best {item}|is the fastest {animal}|is the speed of light|is the boiling point of water|is the meaning of life|is the square root of {n}|is the atomic number of gold|is the tallest building|is love|is gravity|is photosynthesis|is a black hole|is an atom|language do they speak in {land}|sound does {animal} make]" + E,
    O + "what [time is it|is the time|day is it|is today's date|year is it|is the date|month is it|is the weather like|is the weather today|is the weather in {city}|will the weather be tomorrow|is the temperature outside|is on TV tonight|is the news|happened today|is in the news|is the score]" + E,
    "[will it|is it going to|does it|is it] [rain|snow|be sunny|raining|be cold|be warm|snowing][| today| tomorrow| in {city}| this weekend]" + E,
    "[is|was] {topic} [good|bad|healthy|dangerous|real|true|expensive|famous|better than {topic2}|worth it|poisonous|legal]" + E,
    O + '[translate|how do you say|what is] ["|]{phrase}["|] [to|in|into] {language}' + E,
    "do you speak {language}" + E,
    "[which|what] [book|movie|film|song|restaurant|game|phone|laptop|car|hotel|sport|wine|present] [should I buy|should I read|do you recommend|is best|do you like|is good|should I take|is your favourite]" + E,
    "what is your favourite [colour|food|film|book|song|animal|number|city|game|sport|day|movie]" + E,
    "[should|can|may|must|could] I [eat|buy|sell|mix|drink|keep|trust|invest in|visit|learn|marry|wear|take|fix] {topic}" + E,
    "[do|does|did|can|have|are|is] [{animals}|dogs|humans|plants|aliens|ghosts|robots|birds|cats] [sleep|dream|exist|fly|swim|talk|feel pain|eat {food}|live in {land}|dangerous|intelligent|extinct]" + E,
    "[my head|my tooth|my back|my stomach|my leg] hurts[|, what should I do?|.| badly]",
    "my [computer|phone|car|washing machine|printer|fridge|bike|laptop] [is broken|doesn't work|won't start|makes noise|is slow][|, what should I do?|.]",
    "who [won|will win|is winning] [the World Cup|the election|the match|the Oscars|the Nobel prize|the game|the race|the war][| in {year}| this year| last year| yesterday]" + E,
    "what happened [in {year}|in {land}|to {person}|yesterday|in {city}|during the war|last night]" + E,
    "how old is {person}" + E,
    "[is|was] {person} [dead|alive|married|famous|rich|a singer|an actor|still alive]" + E,
    "tell me [about|more about|something about|everything about|a fact about|the history of] [{topic}|{land}|{person}|{animals}|the universe|the war|dinosaurs|space]" + E,
    "[do you know|have you heard of|have you read|have you seen|have you been to|do you like] [{topic}|{person}|{land}|{city}|{animals}]" + E,
    "{topic}[?|]",
    "what do you think [of|about] [{topic}|{person}|{land}|{animals}|politics|religion|art|the weather|music]" + E,
    "what rhymes with {item}" + E,
    '[spell|how do you spell|what is the plural of|what is the opposite of|give me a synonym for] ["|]{item}["|]' + E,
    "how [much|many] [is|are|costs|cost] {topic}" + E,
    "[I want|I'd like|I need] to [learn|know|buy|understand|study|cook|visit] {topic}[.|]",
    "[I need|I want|give me] [advice|help|information|tips|instructions] [on|about|with|for] {topic}[.|]",
]
QUESTIONS += [
    O + "[what|who|why|how|when|where|which|whose] [is|was|does|did|can|has|will|are|do|would] [the |a |my |your |]{w} {w2}[ {w3}|] [of|in|with|for|about|on|to|and|after|before|near|like] {topic}" + E, O + "[what|who|why|how|when|where] [is|was|does|did|can|has|will] {topic} {w}[ {w2}|]" + E, O + "[which|what] {w} [is|was|has|does|did] {topic} {w2}" + E,
    "[since when|until when|how often|how long|how come|what for|how well|in what way|from when on] [does|do|did|has|have|is|was|can] [{land}|{topic}|{person}|{animals}] [have|get|make|need|like|a|an|the|own|use] [a |the |]{w}" + E, "[name|tell me|list|give me|I need|what are] [the |all |some |three |five |][{w}s|kings|rivers|cities|planets|colours|books|songs|causes|effects|rules|parts] of [{land}|{topic}]" + E, "[my teacher|my boss|my friend|our homework|the exam|the quiz|my son|a colleague] [asks|asked us|wants to know|says I should find out|asked me] [about|who|what|why|how|to name|to explain|to describe|to list] {topic}[.|]",
    "who [came|was|lived|died|ruled|won|went] [first|earlier|later|there|longer|again], {person} or [{person2}|{topic}]" + E, "[settle this|help us decide|I bet you don't know|riddle|trivia|quiz question|tell us]: [who|what|which|when] [is|was|has|did] [older|bigger|first|better|faster|the oldest], {topic} or {topic2}" + E, "[is it true|is it right|can it be|do you believe|do you think] that {topic} [is|was|has|will be] {w}" + E, "[what's|what is|tell me|explain] the difference between {animal} and {animal2}" + E, "[which|what] is [bigger|faster|better|older|heavier], {animal} or {animal2}" + E, "is {n} [a prime number|prime|even|odd|a square|a lucky number|a big number|divisible by {n2}]" + E, "is there [a|any|really a] {w}[ {w2}| in {land}| on {topic}|]" + E,
    "[at|in|on|under|with|by|for|to|from] [what|which] {w} [is|was|does|do|did|has|can|will] {topic} {w2}" + E, "[did|does|is|was|has|will|could|can] {person} [ever |really |still |]{w}[ {w2}| {topic}|]" + E, "[I read|I heard|they say|I saw|I learned] [something |a lot |]about {topic}[, what do you know|, is it true|, tell me more|, can you explain|]" + E, "[what's|what is] your [opinion|view|idea|thought] [on|about|of] [{topic}|{person}|{land}]" + E, "[best|cheapest|fastest|biggest|nearest] {item} [for|in|of|under] [{city}|{n} dollars|{land}|{topic}]" + E,
]
TASKS = [
    "[fix|debug|correct|run|check|improve|finish|read|complete|test|open] [this|it|that|the following][:| -] {w} {w2}[ {w3}|][.|]", "[count|count up|count down] [to|from] {n}[.|]", "[can|could|would] you [write|make|fix|debug|draw|build|cook|buy|send|book|open|paint|print|drive|call|clean|bring] [code|me a {item}|my {item}|a {item}|{topic}|the {item}|an email|a program|pictures]" + E, "[write|invent|list|name|rank|sort] [a |some |the |ten |]{w}s [of|for|about|from|with] {topic}[.|]", "{w} [my|the|a|this] {item}[ for me| please|.|]",
    "[translate|please translate|can you translate] [this|that|{phrase}|it][ for me|] [to|into] {language}[.|?|]",
    "[speak|answer|write|talk] [in |]{language}[.|| please]",
    "[write|make|draft|create|compose|prepare] [me |][an email|a letter|an essay|a report|code|a program|a Python script|a function|a cover letter|a speech|a song|a recipe|a CV|a business plan|an article|a contract|a website|a haiku in {language}|a to-do list|a workout plan|a menu|a regex|a poem in {language}][| about {topic}| for {topic}][.|| please]",
    "[recommend|suggest|name|list|give me|tell me] [a|some|three|five|ten] [books|movies|films|songs|restaurants|recipes|games|hotels|gifts|names for my {animal}|tips|ideas|places to visit|facts about {topic}|websites|podcasts|quotes|rivers in {land}|cities in {land}|kinds of {animal}][| please| for me|.]",
    "[summarise|summarize|review|explain|analyse|discuss|compare|rewrite|proofread|continue|correct] [{topic}|this text|this article|my essay|the plot of {topic}|the news|this book|{topic} and {topic2}|this sentence|my code][.|| for me]",
    "[book|order|buy|reserve|call|send|set|play|open|turn on|turn off|start|cancel|delete|find|search for|download|install|remind me of|wake me at] [a flight|a table|a pizza|my mother|the radio|an alarm|the light|a taxi|my doctor|the film|a hotel|tickets|the door|my file|a timer|{topic}|{item}][| please| for me| now|.]",
    "[prove|solve|integrate|derive|factor] [x^2 + {n}|the equation x + {n} = {n2}|Fermat's theorem|{topic}|this equation][.|| for me]",
]
SUBJECTS = """the telephone|the light bulb|the moon|the sun|the ocean|the Eiffel Tower|the pyramids|the Roman Empire|quantum physics|relativity|evolution|democracy|inflation|the internet|bitcoin|the stock market|climate change|jazz|opera|ballet|chess|football|tennis|the Olympics|World War II|the French Revolution|the Cold War|Mars|Jupiter|the Milky Way|gravity|electricity|magnetism|DNA|viruses|bacteria|vaccines|vitamins|cancer|diabetes|headaches|yoga|meditation|philosophy|Buddhism|Christianity|Islam|poetry|Shakespeare's plays|the Mona Lisa|the Great Wall|the Titanic|airplanes|trains|steam engines|volcanoes|earthquakes|hurricanes|rainbows|glaciers|deserts|jungles|rivers|mountains|whales|dinosaurs|mammoths|bees|wolves|coffee|tea|wine|beer|chocolate|cheese|sourdough bread|pancakes|sushi|pasta carbonara|a chocolate cake|a birdhouse|a bicycle|a leaking tap|a flat tyre|a website|a garden|tomatoes|roses|potatoes|a guitar|the piano|Spanish|French cooking|calculus|algebra|geometry|Pythagoras' theorem|prime numbers|Linux|Windows|Python|Java|C++|Rust programming|machine learning|neural networks|blockchain|electric cars|solar panels|nuclear power|wind energy|recycling|plastic|gold|silver|diamonds|oil|taxes|mortgages|insurance|the law|human rights|the United Nations|the European Union|NASA|Google|Apple|Amazon|Microsoft|Netflix|Star Wars|Harry Potter|The Lord of the Rings|Game of Thrones|the Beatles|Mozart's operas|rock music|hip hop|salsa|photography|cinema|theatre|fashion|tattoos|weddings|Christmas|Easter|Halloween|New Year|birthdays|my homework|my exam|my job interview|my taxes|my boss|my neighbour|my dog's food|my cat's fur|the best phone|a good laptop|cheap flights|a visa|a passport|a house|an apartment|a loan|shoes|a tent|a suit""".split("|")
LANDS = """France Germany Italy Spain Portugal England Scotland Ireland Norway Sweden Finland Denmark Poland Austria Hungary Greece Turkey Russia Ukraine China Japan Korea India Pakistan Thailand Vietnam Indonesia Australia Egypt Morocco Nigeria Kenya Ghana Ethiopia Brazil Argentina Chile Peru Colombia Mexico Canada Cuba Jamaica Iceland Switzerland Belgium Texas California Florida Alaska Africa Asia Europe""".split() + ["the United States", "South Africa", "New Zealand", "Saudi Arabia", "the Netherlands", "the UK"]
PEOPLE = """Albert Einstein|Isaac Newton|Marie Curie|Charles Darwin|Galileo|Leonardo da Vinci|Michelangelo|Picasso|Van Gogh|Rembrandt|Mozart|Beethoven|Bach|Elvis|Madonna|Napoleon|Caesar|Cleopatra|Alexander the Great|Lincoln|Washington|Kennedy|Churchill|Gandhi|Mandela|Obama|Shakespeare|Goethe|Homer|Tolstoy|Jane Austen|Mark Twain|Plato|Aristotle|Socrates|Kant|Nietzsche|Freud|Tesla|Edison|Bill Gates|Steve Jobs|Elon Musk|Messi|Ronaldo|Pele|Muhammad Ali|Taylor Swift|Bob Marley|Harry Potter|Sherlock Holmes|Batman|Superman|Zeus|the Pope""".split("|")
PHRASES_TO_TRANSLATE = ["good morning", "thank you", "hello", "I love you", "where is the station", "how much is it", "my name is Anna", "see you tomorrow", "water", "bread", "the house", "cheers"]
PHRASES = {"outside.question": QUESTIONS, "outside.task": TASKS}
REPLIES = ["I don't know. I'm only a small demo model; for questions like this, load a bigger model with -m FOLDER.",
           "I don't know that. I'm a tiny model and know little about the world."]


REFUSALS = ["don't know", "can't do that"]
CANNOT = ["I can't do that. I'm only a small demo model; for tasks like this, load a bigger model with -m FOLDER."]


def topic(ctx):
    """Something to ask about."""
    draw = ctx.rng.random()
    if draw < 0.6:
        return ctx.value(ctx.rng.choice(SUBJECTS))
    if draw < 0.75:
        return ctx.value(words.plural(words.thing(ctx.rng, ctx.held)))
    if draw < 0.85:
        return ctx.value(words.article(words.thing(ctx.rng, ctx.held, ctx.rng.choice([words.ANIMALS, words.FOODS, words.JOBS]))))
    if draw < 0.93:
        return ctx.value(f"the {words.syllables(ctx.rng).capitalize()} {ctx.rng.choice(['River', 'war', 'effect', 'theorem', 'bridge', 'Tower', 'treaty', 'method', 'festival'])}")
    return ctx.value(words.syllables(ctx.rng).capitalize())


def outside(ctx):
    """A question that the model has no answer to."""
    rng, held = ctx.rng, ctx.held
    person = rng.choice(PEOPLE) if ctx.chance(0.7) else f"{words.person(rng, held)} {words.syllables(rng).capitalize()}"
    w, w2, w3 = (words.made_up(rng, held, real=0.8) for _ in range(3))
    person2 = rng.choice(PEOPLE)
    slots = dict(w=w, w2=w2, w3=w3, person2=ctx.value(person2), topic=topic(ctx), topic2=topic(ctx), person=ctx.value(person), land=ctx.value(rng.choice(LANDS) if ctx.chance(0.85) else words.syllables(rng).capitalize()),
                 city=ctx.place(), city2=ctx.place(), animals=words.plural(words.choose(rng, words.ANIMALS, held)), animal=words.article(words.choose(rng, words.ANIMALS, held)), animal2=words.article(words.choose(rng, words.ANIMALS, held)),
                 item=words.choose(rng, words.ITEMS, held), food=words.choose(rng, words.FOODS, held), phrase=rng.choice(PHRASES_TO_TRANSLATE),
                 language=ctx.value(words.choose(rng, words.LANGUAGES, held)), n=rng.randint(2, 999), n2=rng.randint(2, 999), year=rng.randint(1000, 2030))
    if ctx.chance(0.25):
        return chat(ctx.ask("outside.task", **slots), ctx.say(CANNOT), kind="any", value=REFUSALS)
    return chat(ctx.ask("outside.question", **slots), ctx.say(REPLIES), kind="any", value=REFUSALS)
