"""The generated world: every word and every fact that the embedded collection knows.

Facts are split by the role of the cluster that asks for them, so that no trained task can state
what a held-out one asks. Names of people, countries and days are capitalised as they are written.
"""

MEN = tuple("Adam Brian Colin David Eric Frank George Henry Igor James Kevin Luke".split())
WOMEN = tuple("Alice Bella Clara Diana Eva Fiona Grace Helen Irene Julia Karen Laura".split())
PEOPLE = MEN + WOMEN

# What stories are about: values that any person may have, so nothing here is a lasting fact.
PLACES = tuple("attic balcony bridge cafe church gym lobby pool theater tower".split())
OBJECTS = tuple("basket bottle camera candle helmet ladder lantern mirror pillow ring".split())
COLORS = tuple("black blue brown green pink red white yellow".split())
SPORTS = tuple("boxing cricket golf hockey rowing rugby tennis".split())

# ------------------------------------------------------------- asked by the test clusters
# closed_qa. animal -> (home, food)
ANIMALS = {
    "panda": ("jungle", "bamboo"),
    "robin": ("nest", "worms"),
    "eagle": ("cliff", "rats"),
    "camel": ("desert", "cactus"),
    "seal": ("coast", "herring"),
    "wolf": ("den", "deer"),
    "otter": ("river", "crabs"),
    "spider": ("web", "flies"),
    "penguin": ("iceberg", "shrimp"),
    "beaver": ("dam", "bark"),
    "hamster": ("cage", "pellets"),
    "crocodile": ("swamp", "frogs"),
}
# closed_qa: country -> capital. The languages are asked by a trained cluster, see LANGUAGES.
CAPITALS = {
    "Brenia": "Odrin",
    "Kaldor": "Mirov",
    "Lumara": "Selka",
    "Vestia": "Tarnow",
    "Zandia": "Pellan",
    "Orlia": "Druma",
    "Feroda": "Nyssa",
}
# commonsense: state -> (cause, effect), as what a person did
STATES = {
    "sleepy": ("stayed up until dawn", "took a nap"),
    "freezing": ("swam in an icy lake", "lit a fire"),
    "muddy": ("slipped into a ditch", "took a shower"),
    "broke": ("lost every coin", "asked for a loan"),
    "lonely": ("moved to an empty town", "called a cousin"),
    "sweaty": ("finished a marathon", "turned on the fan"),
    "nervous": ("heard about the trial", "breathed in and out"),
    "proud": ("won a gold medal", "showed the trophy"),
    "furious": ("found the truck broken", "slammed the door"),
    "injured": ("fell from a horse", "wrapped the ankle"),
    "starving": ("skipped lunch", "cooked a big stew"),
    "thirsty": ("walked over hot sand", "emptied a jug"),
}
# sentiment: evaluative adjectives and the things that reviews are about
PRAISE = tuple(
    "amazing beautiful delightful enjoyable excellent fantastic perfect splendid".split()
)
BLAME = tuple("annoying disappointing disgusting dismal lousy miserable pathetic tedious".split())
REVIEWED = tuple("concert cruise lecture movie novel restaurant tour".split())

# ------------------------------------------------------ asked by the development clusters
# trivia: purpose -> tool; thing -> material
TOOLS = {
    "sweep the floor": "broom",
    "boil water": "kettle",
    "dig a hole": "shovel",
    "measure a board": "ruler",
    "dry the hair": "towel",
    "mix eggs": "whisk",
    "catch butterflies": "net",
    "find north": "compass",
    "sew a button": "needle",
    "call a friend": "telephone",
}
MATERIALS = {
    "candle": "wax",
    "ring": "silver",
    "bottle": "glass",
    "pillow": "feathers",
    "basket": "straw",
    "newspaper": "paper",
    "statue": "marble",
    "brick": "clay",
    "chain": "iron",
    "shirt": "cotton",
}
# attribution: job -> (workplace, tool)
JOBS = {
    "carpenter": ("workshop", "chisel"),
    "nurse": ("clinic", "bandage"),
    "barber": ("salon", "scissors"),
    "tailor": ("boutique", "thread"),
    "florist": ("greenhouse", "shears"),
    "plumber": ("basement", "wrench"),
    "waiter": ("diner", "tray"),
    "firefighter": ("station", "hose"),
    "astronomer": ("observatory", "telescope"),
    "fisherman": ("pier", "rod"),
}
# intent: goal -> what a person did for it
GOALS = {
    "bake cookies": "bought flour",
    "mail a letter": "found a stamp",
    "grow tomatoes": "planted seeds",
    "learn chess": "studied the rules",
    "build a cabin": "gathered logs",
    "sleep outside": "packed a tent",
    "knit a scarf": "chose soft wool",
    "rent a room": "signed a lease",
    "fly abroad": "renewed the passport",
    "wash the dishes": "filled the sink",
}
# tone: what polite and rude people call out
COURTEOUS = tuple("dear gracious grateful honored kindly pardon welcome appreciate".split())
INSULTING = tuple("clumsy fool idiot lazy liar nonsense stupid useless".split())

# ---------------------------------------------------------- asked by the trained clusters
ANTONYMS = (
    ("loud", "quiet"), ("tall", "short"), ("strong", "weak"), ("early", "late"),
    ("wide", "narrow"), ("heavy", "light"),
    ("sharp", "blunt"), ("rough", "smooth"), ("cheap", "expensive"), ("open", "closed"),
    ("ancient", "modern"),
)  # fmt: skip
SYNONYMS = (
    ("tiny", "miniature"), ("huge", "enormous"), ("rapid", "swift"), ("sofa", "couch"),
    ("rock", "stone"), ("error", "mistake"), ("jacket", "coat"),
    ("infant", "baby"), ("repair", "mend"), ("purchase", "buy"),
    ("reply", "respond"), ("shout", "yell"), ("street", "road"),
)  # fmt: skip
TASTES = {
    "honey": "sweet", "cherries": "sweet", "melon": "sweet",
    "vinegar": "sour", "yogurt": "sour", "limes": "sour",
    "pretzels": "salty", "olives": "salty", "bacon": "salty",
    "coffee": "bitter", "beer": "bitter", "kale": "bitter",
}  # fmt: skip
LANGUAGES = {
    "Brenia": "Ostic", "Kaldor": "Runish", "Lumara": "Velan", "Vestia": "Harric",
    "Zandia": "Mosan", "Orlia": "Tellic", "Feroda": "Quenish",
}  # fmt: skip
PLANTS = tuple("daisy fern ivy lily tulip".split())
INSTRUMENTS = tuple("cello flute guitar harp violin".split())
FISH = tuple("carp eel salmon trout tuna".split())
CATEGORIES = {
    "color": COLORS,
    "sport": SPORTS,
    "plant": PLANTS,
    "instrument": INSTRUMENTS,
    "fish": FISH,
    "food": tuple(TASTES),
}
DEFINITIONS = {
    "island": "land with sea on every side",
    "orphan": "child without parents",
    "triangle": "shape with three sides",
    "summit": "top of a mountain",
    "echo": "sound that comes again",
    "recipe": "plan for a meal",
    "twins": "two children of one birth",
    "thirst": "need to drink",
    "dusk": "end of the day",
    "decade": "time of ten years",
    "novice": "person who is new to a job",
    "rumor": "story that may be false",
}
PROVERBS = (
    ("better late", "than never"), ("still water", "runs deep"), ("no smoke", "without fire"),
    ("many hands", "make light work"), ("out of sight", "out of mind"), ("haste", "makes waste"),
    ("time", "heals all wounds"), ("two heads", "beat one"), ("easy come", "easy go"),
    ("a rolling stone", "gathers no moss"), ("old habits", "die hard"), ("silence", "is golden"),
    ("actions", "speak louder than words"), ("money", "rules the world"),
)  # fmt: skip
# The toy language Zelk: English -> Zelk
LEXICON = {
    "house": "tolo", "water": "nemi", "sun": "kari", "tree": "busha", "hand": "lekka",
    "king": "omrad", "bread": "pishu", "moon": "jali", "road": "vantu", "friend": "sefi",
    "bird": "zuno", "milk": "loopa", "war": "krond",
}  # fmt: skip
TOPICS = {
    "sports": (
        ("the goalkeeper", "the team", "the referee"),
        ("won the match", "lost the final", "ran at the stadium"),
    ),
    "weather": (
        ("the storm", "the rain", "the fog"),
        ("will arrive tomorrow", "hid the clouds", "ended at noon"),
    ),
    "finance": (
        ("the bank", "the broker", "the company"),
        ("raised the interest", "paid the debt", "sold the shares"),
    ),
    "medicine": (
        ("the surgeon", "the patient", "the vaccine"),
        ("beat the virus", "stopped the fever", "cured the disease"),
    ),
    "music": (
        ("the pianist", "the orchestra", "the choir"),
        ("played a melody", "practiced the chorus", "recorded an album"),
    ),
    "space": (
        ("the astronaut", "the rocket", "the satellite"),
        ("left the orbit", "reached mars", "circled the planet"),
    ),
}
NUMBERS = tuple("zero one two three four five six seven eight nine ten eleven twelve".split())
DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
COMPARISONS = (("taller", "shorter"), ("older", "younger"), ("faster", "slower"))

# Words of no fact: raw documents use them at random, so that prompts may use them too.
SPEAKERS = tuple("critic grandma guest judge king nobody reader somebody visitor".split())
THINGS_SAID = tuple(
    "advice capital condition dream emotion event exam feedback geography grammar habitat"
    " hypothesis letter manners material mood premise quiz reaction reason reference sentiment"
    " snack step tool verdict voice zoo".split()
)
ACTS = tuple(
    "build express guess judge pick predict replace resolve select serve suggest suit suppose"
    " thank".split()
)
EVENTS = tuple("became escaped overheard react refer visits yelled".split())
QUALITIES = tuple("best certain correct given overall usual".split())
