"""The words that fill templates, each on one side of a fixed split: training or held out."""

import re
import zlib
from functools import lru_cache

COLOURS = """red blue green yellow purple orange pink brown black white grey turquoise teal violet indigo gold silver
maroon beige crimson lavender olive navy magenta cyan coral amber lilac mint peach scarlet burgundy cream khaki ivory
plum rust sand emerald ruby""".split()
CITIES = """Paris London Berlin Madrid Rome Lisbon Vienna Prague Warsaw Dublin Oslo Stockholm Helsinki Copenhagen
Amsterdam Brussels Zurich Geneva Athens Budapest Tokyo Kyoto Osaka Seoul Beijing Shanghai Delhi Mumbai Bangkok Hanoi
Manila Jakarta Sydney Melbourne Auckland Wellington Cairo Lagos Nairobi Accra Tunis Dakar Lima Quito Bogota Santiago
Montevideo Caracas Havana Toronto Montreal Vancouver Chicago Boston Seattle Denver Houston Dallas Austin Miami Atlanta
Portland Phoenix Detroit Naples Milan Turin Venice Porto Seville Valencia Hamburg Munich Cologne Leipzig Bremen Lyon
Nice Bordeaux Krakow Riga Vilnius Tallinn Sofia Bucharest Belgrade Zagreb Istanbul Ankara Tehran Baghdad Dubai Doha
Karachi Lahore Dhaka Kathmandu Colombo Perth Brisbane Leeds Bristol Glasgow Cardiff Cork Salzburg Basel Ghent""".split()
CITIES += ["New York", "Los Angeles", "San Diego", "Cape Town", "Hong Kong", "Buenos Aires", "Mexico City", "Tel Aviv",
           "San Francisco", "Kuala Lumpur", "New Delhi", "Rio de Janeiro", "Las Vegas", "St. Louis", "Santa Fe"]
NAMES = """Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Maria Noah Olivia Paul Quinn Rosa Sam Tina
Uma Victor Wendy Xavier Yara Zoe Alice Bob Carol Dan Eva Frank Gina Hugo Ida Jonas Karl Lena Mia Nina Oscar Petra Ravi
Sara Tom Ursula Vera Will Yusuf Zara Ahmed Bianca Carlos Diana Elena Fatima George Hannah Ivan Julia Kenji Lucas Marta
Nadia Omar Priya Rahul Sofia Tomas Valentina Wei Yuki Amir Bella Chen Daria Emil Freya Gustav Helga Ingrid Jorge Keiko
Liam Mona Nils Otto Pia Rolf Sven Theo Viktor Wanda Ali Maya Ella Max Lily Ruby Ethan Chloe Aaron Abel Ada Adele""".split()
FOODS = """pizza pasta sushi soup salad bread cheese rice curry tacos noodles pancakes waffles apples bananas grapes
mangoes strawberries chocolate toast dumplings lasagna risotto ramen burgers fries olives peaches cherries popcorn
muffins porridge beans eggs fish potatoes carrots pickles honey yoghurt""".split() + ["ice cream", "apple pie"]
JOBS = """teacher doctor nurse baker painter farmer pilot lawyer plumber carpenter engineer gardener writer singer
dancer chef waiter cashier driver mechanic dentist librarian journalist architect designer photographer tailor butcher
fisher sailor soldier scientist programmer translator accountant electrician""".split()
ANIMALS = """dog cat rabbit hamster parrot horse turtle goldfish lizard snake pony goat sheep cow pig duck hen goose
fox wolf bear lion tiger owl mouse frog hedgehog squirrel otter penguin dolphin whale snail bee ant spider crow camel
donkey badger koala panda zebra giraffe elephant monkey""".split()
ITEMS = """apple banana lemon pear book pencil pen notebook chair table lamp mug cup plate bowl spoon fork knife towel
pillow blanket shirt jacket coat hat scarf glove shoe boot sock belt bag backpack suitcase umbrella bottle candle clock
watch phone laptop tablet camera keyboard mouse monitor printer cable charger battery radio guitar drum violin piano
ball bicycle helmet tent rope hammer saw drill screw nail ladder bucket brush broom mop basket box jar pot pan kettle
stamp envelope map ticket poster puzzle doll kite robot rug curtain mirror vase flower rose cactus tree sofa desk shelf
bed drawer key ring necklace button ribbon magnet sticker whistle""".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
ROOMS = """kitchen bedroom bathroom office garage hallway basement attic garden balcony nursery library cellar studio
porch pantry lobby workshop""".split() + ["living room", "dining room", "guest room"]
LANGUAGES = """French Spanish German Italian Portuguese Dutch Swedish Norwegian Danish Finnish Polish Czech Greek Turkish
Russian Arabic Hebrew Hindi Bengali Urdu Chinese Japanese Korean Thai Vietnamese Swahili Zulu Welsh Irish Latin""".split()
DRINKS = """tea coffee water milk lemonade cola cocoa cider juice beer wine espresso smoothie matcha""".split()
SIZES = "small medium large tiny huge".split()
HOBBIES = """painting chess football tennis swimming hiking reading cooking knitting fishing dancing singing sailing
climbing running cycling skating gardening baking sewing photography pottery archery surfing""".split()
ADJECTIVES = """happy small big old new quiet loud bright dark warm cold soft brave clever lazy shy proud tired hungry
curious gentle funny strange lucky lonely golden silver tiny huge kind sleepy grumpy cheerful""".split()

# Words that name the evaluation's everyday tools and their arguments; no tool of the training data has them in its name, arguments or wordings.
HELD_WORDS = set("""barcode brew chamber charity coast coffee cup cups curtain curtains donate donation gathering gift harbour hue indoor invitation invite invitee lunar moon mug occasion organisation
parcel phase sea servings shipment span tide tides tone tracking vacuum""".split())

ONSETS = """b br c ch d dr f fl g gr h j k kl l m n p pr qu r s sh sk st t th tr v w y z zh bl cr fr gl kr pl sl sn sp sw
tw x ph wr vr mb""".split()
NUCLEI = "a e i o u a e i o u ai ea ee ia io oo ou ue y oa ei au".split()
CODAS = ["", "", "", "", "n", "r", "l", "s", "m", "t", "k", "x", "nd", "rt", "th", "sh", "ck", "ll", "p", "d", "g", "z", "v", "b", "f"]


def held_out(word):
    """Whether a filling belongs to the evaluation side; about one word in ten."""
    return zlib.crc32(f"pocket:{word}".lower().encode()) % 10 == 0


def syllables(rng, low=2, high=3):
    """A made-up word."""
    word = ""
    for _ in range(rng.randint(low, high)):
        word += rng.choice(ONSETS) + rng.choice(NUCLEI)
    return word + rng.choice(CODAS)


def choose(rng, words, held):
    """A word of a list, from the given side of the split."""
    while True:
        word = rng.choice(words)
        if held_out(word) == held:
            return word


@lru_cache(maxsize=None)
def lexicon():
    """Every plain word of the lists and the templates, so that copying is practised on all of them."""
    from .conversation import BANK

    text = " ".join(template for templates in BANK.values() for template in templates)
    lists = [COLOURS, FOODS, JOBS, ANIMALS, ITEMS, ROOMS, DRINKS, HOBBIES, ADJECTIVES]
    found = set(re.findall(r"[a-z]{4,}", re.sub(r"\{\w*\}", " ", text))) | {word for words in lists for word in words if word.isalpha()}
    return sorted(found - HELD_WORDS - set("what that this with your have from they them then when where which would could should please".split()))


def splice(rng):
    """The beginning of one word and the end of another."""
    first, second = rng.choice(lexicon()), rng.choice(lexicon())
    return first[: rng.randint(1, len(first) - 1)] + second[rng.randint(1, len(second) - 1) :]


def made_up(rng, held, low=2, high=3, real=0.25):
    """A made-up word, or with the chance `real` a word of the lexicon, from the given side of the split."""
    while True:
        draw = rng.random()
        word = rng.choice(lexicon()) if draw < real else splice(rng) if draw < 0.6 else syllables(rng, low, high)
        if 3 <= len(word) <= 12 and held_out(word) == held:
            return word


def person(rng, held):
    """A first name, made up two times in three."""
    if rng.random() < 0.35:
        return choose(rng, NAMES, held)
    return made_up(rng, held, 1, 3, 0.05).capitalize()


def place(rng, held):
    """A city, made up half of the time."""
    if rng.random() < 0.5:
        return choose(rng, CITIES, held)
    first = made_up(rng, held, 2, 3, 0.05).capitalize()
    if rng.random() < 0.2:
        second = made_up(rng, held, 1, 2, 0.05).capitalize()
        return rng.choice([f"{first} {second}", f"{first} de {second}", f"San {first}", f"Port {first}", f"{first} del {second}", f"{first} upon {second}", f"Saint {first}", f"{first} City"])
    return first


def thing(rng, held, words=ITEMS):
    """A noun of a list, sometimes made up, sometimes with an adjective."""
    word = choose(rng, words, held) if rng.random() < 0.6 else made_up(rng, held)
    return f"{rng.choice(ADJECTIVES)} {word}" if rng.random() < 0.15 else word


def number(rng, held, low=0, high=999):
    """A number from the given side of the split."""
    while True:
        value = rng.randint(low, min(high, 99)) if rng.random() < 0.6 and low < 99 else rng.randint(low, high)
        if held_out(str(value)) == held:
            return value


def clock(rng, held):
    """A time of day as `HH:MM` or with am and pm."""
    while True:
        hour, minute = rng.randint(0, 23), rng.choice([0, 15, 30, 45, rng.randint(0, 59)])
        text = f"{hour:02}:{minute:02}" if rng.random() < 0.6 else f"{hour % 12 or 12} {'am' if hour < 12 else 'pm'}"
        if held_out(text) == held:
            return text


def article(word):
    """The word with `a` or `an`."""
    return ("an " if word[0].lower() in "aeiou" else "a ") + word


def plural(word):
    """A simple English plural."""
    if word.endswith(("s", "sh", "ch", "x")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"
