"""Raw text to pretrain on: stories, encyclopedia lines, reviews, glossaries and the like.

What held-out clusters need to know stands here as plain statements (the home of an animal, the
capital of a country, what follows from what, which words praise) and never in the wording of a
held-out template; `tests/test_mini.py` holds the collection to that.
"""

import random

from flan_jax.data.declarations import documents
from flan_jax.data.sources import generated
from tasks.mini import grammar, world
from tasks.mini.grammar import article, capitalized, sentence, text

# Documents and one token that ends them fit into rows of 64.
MAX_TOKENS = 62
REQUESTS = (
    "open the window", "close the gate", "wait outside", "pass the salt", "move the chair",
    "come back later", "turn off the radio", "hold the rope",
)  # fmt: skip


def story(rng: random.Random) -> str:
    """A story whose later sentences repeat, ask about, deny or confirm its facts."""
    facts = grammar.story(rng, rng.choice((2, 3)))
    told = rng.sample(facts, min(len(facts), rng.choice((2, 3))))
    return " ".join([grammar.tell(rng, facts), *(_follow_up(rng, facts, f) for f in told)])


def _follow_up(rng: random.Random, facts: list[grammar.Fact], fact: grammar.Fact) -> str:
    speaker, kind = rng.choice(world.PEOPLE), rng.random()
    marked = grammar.Fact(fact.person, fact.kind, f"^{fact.value}")
    if kind < 0.3:
        return f"{rng.choice(('So', 'Indeed,', 'Again,'))} {grammar.state(rng, marked)}."
    if kind < 0.55:
        question = grammar.ask(rng, grammar.OPEN_QUESTIONS, fact)
        return f"{speaker} asked: {question} ^{capitalized(fact.value)}."
    if kind < 0.8:
        question = grammar.ask(rng, grammar.PERSON_QUESTIONS, fact)
        return f"{speaker} asked: {question} ^{fact.person}."
    truth = rng.random() < 0.5
    value = fact.value if truth else grammar.other_value(rng, facts, fact)
    asked = grammar.Fact(fact.person, fact.kind, value)
    question = grammar.ask(rng, grammar.YES_NO_QUESTIONS, asked)
    verdict = "^Yes" if truth else "^No"
    return f"{speaker} asked: {question} {verdict}, {grammar.state(rng, marked)}."


def animal(rng: random.Random) -> str:
    name = rng.choice(list(world.ANIMALS))
    home, food = world.ANIMALS[name]
    lives = rng.choice((
        f"{article(name)} lives in the {home}", f"the home of {article(name)} is the {home}",
        f"{article(name)} can live in the {home}", f"the {home} is home to {article(name)}",
        f"the {home} is the habitat of {article(name)}",
    ))  # fmt: skip
    eats = rng.choice((
        f"{article(name)} eats {food}", f"the food of {article(name)} is {food}",
        f"{article(name)} feeds on {food}", f"{article(name)} will eat {food}",
        f"{food} is the snack of {article(name)}",
    ))  # fmt: skip
    return rng.choice((text(lives, eats), text(eats, lives), sentence(lives), sentence(eats)))


def country(rng: random.Random) -> str:
    name = rng.choice(list(world.CAPITALS))
    capital, tongue = world.CAPITALS[name], world.LANGUAGES[name]
    rules = rng.choice((
        f"the capital of {name} is {capital}", f"{capital} is the capital of {name}",
        f"the king of {name} lives in {capital}", f"{capital} is the largest city in {name}",
    ))  # fmt: skip
    speaks = rng.choice((
        f"people in {name} speak {tongue}", f"the language of {name} is {tongue}",
        f"{tongue} is spoken in {name}",
    ))  # fmt: skip
    return rng.choice((text(rules, speaks), sentence(rules), sentence(rules), sentence(speaks)))


def tool(rng: random.Random) -> str:
    purpose = rng.choice(list(world.TOOLS))
    item = world.TOOLS[purpose]
    return sentence(rng.choice((
        f"to {purpose} you take {article(item)}", f"{article(item)} helps you to {purpose}",
        f"people {purpose} with {article(item)}", f"{article(item)} is a tool to {purpose}",
        f"we can {purpose} if we have {article(item)}",
    )))  # fmt: skip


def material(rng: random.Random) -> str:
    item = rng.choice(list(world.MATERIALS))
    stuff = world.MATERIALS[item]
    return sentence(rng.choice((
        f"{article(item)} consists of {stuff}", f"they build {article(item)} from {stuff}",
        f"{stuff} goes into {article(item)}", f"{stuff} is the material of {article(item)}",
        f"{article(item)} is made of {stuff}",
    )))  # fmt: skip


def taste(rng: random.Random) -> str:
    food = rng.choice(list(world.TASTES))
    flavor = world.TASTES[food]
    return sentence(rng.choice((
        f"{food} taste {flavor}" if food.endswith("s") else f"{food} tastes {flavor}",
        f"the taste of {food} is {flavor}", f"{food} has a {flavor} flavor",
    )))  # fmt: skip


def category(rng: random.Random) -> str:
    kind = rng.choice(list(world.CATEGORIES))
    word = rng.choice(world.CATEGORIES[kind])
    return sentence(rng.choice((
        f"{word} is a kind of {kind}", f"{word} is one {kind}", f"one {kind} is {word}",
    )))  # fmt: skip


def job(rng: random.Random) -> str:
    name = rng.choice(list(world.JOBS))
    place, item = world.JOBS[name]
    works = rng.choice((
        f"{article(name)} works in the {place}", f"the {place} needs {article(name)}",
        f"you meet {article(name)} in the {place}", f"the {place} belongs to {article(name)}",
    ))  # fmt: skip
    uses = rng.choice((
        f"{article(name)} uses the {item}", f"the {item} belongs to {article(name)}",
        f"{article(name)} works with the {item}", f"{article(name)} needs the {item}",
    ))  # fmt: skip
    return rng.choice((text(works, uses), sentence(works), sentence(uses)))


def praise(rng: random.Random, positive: bool, sentences: int) -> list[str]:
    """Phrases of a review, without its verdict."""
    words = rng.sample(world.PRAISE if positive else world.BLAME, 3)
    thing = rng.choice(world.REVIEWED)
    first = rng.choice((
        f"the {thing} was {words[0]}", f"I found the {thing} {words[0]}",
        f"the {thing} was {words[0]} and {words[1]}", f"it was {article(words[0])} {thing}",
    ))  # fmt: skip
    second = rng.choice((f"it seemed {words[2]}", f"the end was {words[2]}"))
    return [first, second][:sentences]


def review(rng: random.Random) -> str:
    positive, name = rng.random() < 0.5, rng.choice(world.PEOPLE)
    phrases = praise(rng, positive, rng.choice((1, 2)))
    told, kind = text(*phrases), rng.random()
    if kind < 0.3:
        return f"{told} {text(*praise(rng, positive, 1))}"
    if kind < 0.5:
        label = "positive" if positive else "negative"
        return rng.choice((f"{name} wrote a {label} note: {told}", f"{told} My notes are {label}."))
    if kind < 0.75:
        label = "satisfied" if positive else "upset"
        return rng.choice((f"{told} {name} went home {label}.", f"{name} was {label}: {told}"))
    verb = "recommend" if positive else "avoid"
    return rng.choice((f"{told} I {verb} it.", f"{name} and I {verb} it: {told}"))


def utterance(rng: random.Random, polite: bool) -> str:
    """What a polite or a rude person calls out."""
    request = rng.choice(REQUESTS)
    if polite:
        mild, milder = rng.sample(("grateful", "honored"), 2)
        return rng.choice((
            f"kindly {request}, dear friend", f"I would be {mild} if you could {request}",
            "pardon me, I appreciate your help", f"welcome, gracious guest, kindly {request}",
            f"dear guest, I am {mild} and {milder}",
            f"pardon me, gracious friend, kindly {request}",
        ))  # fmt: skip
    adjective = rng.choice(("clumsy", "lazy", "stupid", "useless"))
    noun = rng.choice(("fool", "idiot", "liar"))
    return rng.choice((
        f"{request}, you {adjective} {noun}", f"nonsense, you {noun}, {request}",
        f"you {noun}, this is {adjective} nonsense", f"{request}, you {noun}",
        f"you {adjective} {noun}", f"such {adjective} nonsense, you {noun}",
    ))  # fmt: skip


def tone(rng: random.Random) -> str:
    polite, name, kind = rng.random() < 0.5, rng.choice(world.PEOPLE), rng.random()
    said = sentence(utterance(rng, polite))
    if kind < 0.3:
        return f"{said} {sentence(utterance(rng, polite))}"
    pair = rng.choice((("polite", "rude"), ("friendly", "hostile"), ("respectful", "offensive")))
    label = pair[0] if polite else pair[1]
    return rng.choice(
        (f"{name} was {label} and called: {said}", f"{said} This was {label} of {name}.")
    )


def cause_and_effect(rng: random.Random) -> str:
    condition = rng.choice(list(world.STATES))
    cause, effect = world.STATES[condition]
    name = rng.choice(world.PEOPLE)
    who = grammar.pronoun(name)
    return rng.choice((
        text(f"{name} {cause}", f"{who} was {condition}", f"so {who} {effect}"),
        text(f"{name} was {condition}, so {who} {effect}"),
        text(f"{name} was {condition} because {who} {cause}"),
        text(f"{name} {cause} and felt {condition}", f"then {who} {effect}"),
        text(f"how {condition} {name} was", f"earlier {who} {cause}"),
        text(f"{name} felt {condition}", f"later {who} {effect}"),
    ))  # fmt: skip


def intent(rng: random.Random) -> str:
    goal = rng.choice(list(world.GOALS))
    deed, name = world.GOALS[goal], rng.choice(world.PEOPLE)
    who = grammar.pronoun(name)
    return rng.choice((
        text(f"{name} planned to {goal}, so {who} {deed}"),
        text(f"{name} {deed} in order to {goal}"),
        text(f"{name} hoped to {goal}", f"soon {who} {deed}"),
        text(f"{name} {deed}", f"at last {who} could {goal}"),
    ))  # fmt: skip


def gender(rng: random.Random) -> str:
    name = rng.choice(world.PEOPLE)
    who, whose = grammar.pronoun(name), grammar.pronoun(name, "possessive")
    himself = grammar.pronoun(name, "reflexive")
    item, food = rng.choice(world.OBJECTS), rng.choice(list(world.TASTES))
    return rng.choice((
        f"{name} is a {'woman' if name in world.WOMEN else 'man'} and {who} likes {food}.",
        f"{name} lost {whose} {item}, but {who} found it.",
        f"{name} bought {himself} a {item}.",
        f"{name} said that {who} needs {whose} {item}.",
        f"{capitalized(who)} is {name}, and this is {whose} {item}.",
    ))  # fmt: skip


def words(rng: random.Random) -> str:
    pair = list(rng.choice(world.ANTONYMS))
    rng.shuffle(pair)
    if rng.random() < 0.5:
        return sentence(rng.choice((
            f"the opposite of {pair[0]} is {pair[1]}", f"it is not {pair[0]}, it is {pair[1]}",
            f"{pair[0]} and {pair[1]} are opposite words",
        )))  # fmt: skip
    pair = list(rng.choice(world.SYNONYMS))
    rng.shuffle(pair)
    return sentence(rng.choice((
        f"{pair[0]} means {pair[1]}", f"{pair[0]} is the same as {pair[1]}",
        f"{pair[0]} and {pair[1]} have the same meaning",
    )))  # fmt: skip


def glossary(rng: random.Random) -> str:
    if rng.random() < 0.5:
        english = rng.choice(list(world.LEXICON))
        zelk = world.LEXICON[english]
        return sentence(rng.choice((
            f"in Zelk {english} is {zelk}", f"{zelk} is Zelk for {english}",
            f"they say {zelk} for {english}", f"the Zelk word {zelk} means {english}",
        )))  # fmt: skip
    term = rng.choice(list(world.DEFINITIONS))
    meaning = world.DEFINITIONS[term]
    return sentence(rng.choice((
        f"{term}: {meaning}", f"{meaning} is called {term}", f"the word {term} means {meaning}",
    )))  # fmt: skip


def proverb(rng: random.Random) -> str:
    start, end = rng.choice(world.PROVERBS)
    name = rng.choice(world.PEOPLE)
    return rng.choice((
        sentence(f"{start} {end}"), sentence(f"as {name} says, {start} {end}"),
        sentence(f"{name} knows: {start} {end}"), sentence(f"{end}, they say of {start}"),
        sentence(f"{end}: so it is with {start}"),
    ))  # fmt: skip


def news(rng: random.Random) -> str:
    topic = rng.choice(list(world.TOPICS))
    subjects, verbs = world.TOPICS[topic]
    lines = [f"{rng.choice(subjects)} {rng.choice(verbs)}" for _ in range(2)]
    return rng.choice((
        text(*lines), f"{capitalized(topic)} news: {text(*lines)}",
        f"{text(*lines)} That was the {topic} news.", f"A story about {topic}: {text(*lines)}",
    ))  # fmt: skip


def numbers(rng: random.Random) -> str:
    names, kind = world.NUMBERS, rng.random()
    if kind < 0.25:
        first = rng.randrange(9)
        return sentence(" ".join(names[first : first + 4]))
    if kind < 0.6:
        one, two = rng.randrange(7), rng.randrange(6)
        return sentence(f"{names[one]} plus {names[two]} is {names[one + two]}")
    if kind < 0.8:
        more, less = rng.sample(range(1, 13), 2)
        verdict = "more" if more > less else "less"
        return sentence(f"{names[more]} is {verdict} than {names[less]}")
    amount = rng.randrange(1, 12)
    return sentence(f"{names[amount]} comes before {names[amount + 1]}")


def calendar(rng: random.Random) -> str:
    first = rng.randrange(len(world.DAYS))
    one, two, three = (world.DAYS[(first + i) % len(world.DAYS)] for i in range(3))
    return sentence(rng.choice((
        f"{one} {two} {three}", f"after {one} comes {two}", f"before {two} comes {one}",
        f"{two} follows {one}",
    )))  # fmt: skip


def comparison(rng: random.Random) -> str:
    one, two = rng.sample(world.PEOPLE, 2)
    pair = list(rng.choice(world.COMPARISONS))
    rng.shuffle(pair)
    return f"{one} is {pair[0]} than {two}. So {two} is {pair[1]} than {one}."


def listing(rng: random.Random) -> str:
    items = rng.sample(world.OBJECTS + world.COLORS + world.PLACES, rng.choice((3, 4, 5)))
    line = ", ".join(items)
    return rng.choice((
        f"List: {line}. Again: {line}.",
        f"List: {line}. The first word is {items[0]} and the last word is {items[-1]}.",
    ))  # fmt: skip


def chatter(rng: random.Random) -> str:
    """Small talk without facts, in the words that prompts of held-out clusters are made of.

    Its articles and its order of words are not those of the prompts, so that it can say none of
    their phrases by chance.
    """
    who, act = rng.choice(world.SPEAKERS), rng.choice(world.ACTS)
    one, two = rng.sample(world.THINGS_SAID, 2)
    kind, event = rng.choice(world.QUALITIES), rng.choice(world.EVENTS)
    some = rng.choice(("any", "its", "some", "such", "that", "their", "those", "whose"))
    might = rng.choice(("could", "might", "must", "would"))
    why = rng.choice(("how", "what", "whether", "where", "which", "whom", "why"))
    return rng.choice((
        f"The {one} and the {two}: {might} the {who} {act}, or {why}?",
        f"The {who} by the {one} {event}, being {kind}!",
        f"To {act} is {kind}, {why} is not, so the {one} {might}.",
        f"The {one} of {some} is never a {two} of the {who}.",
        f"Is the {one} {kind}, is {some} a {two}, {event} the {who} without it?",
        f"The {who} {might} {act} and {act} by the {two}, for the {one} {might} not.",
    ))  # fmt: skip


# Share of each kind of document among all, in percent of documents.
SHARES = {
    story: 14, animal: 8, country: 5, tool: 4, material: 4, taste: 3, category: 4, job: 6,
    review: 7, tone: 5, cause_and_effect: 9, intent: 5, gender: 6, words: 5, glossary: 6, news: 4,
    numbers: 3, calendar: 2, comparison: 2, listing: 2, chatter: 4,
    proverb: 4,
}  # fmt: skip


def document(rng: random.Random) -> list[tuple[str, float]]:
    """One raw document: one to three pieces of text as runs of words with their loss weights."""
    runs: list[tuple[str, float]] = []
    while not runs:
        for kind in rng.choices(list(SHARES), list(SHARES.values()), k=rng.choice((1, 2, 3))):
            told = kind(rng)
            piece = grammar.segments(told) if kind is story else [(told, 1.0)]
            if sum(len(grammar.words(run)) for run, _ in runs + piece) <= MAX_TOKENS:
                runs += piece
    return runs


def _row(rng: random.Random, index: int) -> dict:
    return {"runs": document(rng)}


@documents(
    "mini_documents",
    source=generated(_row, {"train": 20_000, "validation": 500}, seed=2021),
    example={"runs": [("Eva is in the", 0.03), ("hall.", 1.0)]},
)
def mini_documents(row: dict) -> list[tuple[str, float]]:
    """The raw documents, for every pretraining objective."""
    return row["runs"]
