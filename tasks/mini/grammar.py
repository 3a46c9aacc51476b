"""Small grammar: facts of the world to English phrases, and passages about people.

A phrase has no capital at its start and no full stop; `sentence` adds both. In a story a value that
can be worked out from earlier text is marked with `^`, which `segments` turns into a loss weight.
"""

import random
import re
from dataclasses import dataclass

from tasks.mini import world

# Loss weight of story words that nothing before them tells: in the limit they only teach noise.
FILLER_WEIGHT = 0.03

KINDS = {
    "place": world.PLACES,
    "thing": world.OBJECTS,
    "food": tuple(world.TASTES),
    "sport": world.SPORTS,
}
STATEMENTS = {
    "place": ("{p} is in the {v}", "{p} went to the {v}", "{p} waits at the {v}"),
    "thing": ("{p} has a {v}", "{p} carries a {v}", "{p} owns a {v}"),
    "food": ("{p} likes {v}", "{p} ordered {v}", "{p} loves {v}"),
    "sport": ("{p} practices {v}", "{p} trains in {v}", "{p} is keen on {v}"),
}
OPEN_QUESTIONS = {
    "place": ("where is {p}?", "which place did {p} visit?"),
    "thing": ("what is {p} holding?", "which thing is with {p}?"),
    "food": ("what is {p} eating?", "which food is for {p}?"),
    "sport": ("what is {p} playing?", "which sport is for {p}?"),
}
PERSON_QUESTIONS = {
    "place": ("who is in the {v}?", "who went to the {v}?"),
    "thing": ("who has the {v}?", "who owns the {v}?"),
    "food": ("who likes {v}?", "who ordered {v}?"),
    "sport": ("who practices {v}?", "who trains in {v}?"),
}
YES_NO_QUESTIONS = {
    "place": ("is {p} in the {v}?", "did {p} go to the {v}?"),
    "thing": ("does {p} have the {v}?", "is the {v} with {p}?"),
    "food": ("does {p} like {v}?", "did {p} order {v}?"),
    "sport": ("does {p} practice {v}?", "is {p} keen on {v}?"),
}


_WORD = re.compile(r"'s|[a-z]+|[^a-z\s]")


@dataclass(frozen=True)
class Fact:
    """A passing fact of one story: `person` stands in relation `kind` to `value`."""

    person: str
    kind: str
    value: str


def article(noun: str) -> str:
    """Puts the indefinite article before a noun.

    >>> article("owl"), article("panda")
    ('an owl', 'a panda')
    """
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


def capitalized(phrase: str) -> str:
    """Raises the first letter and leaves the rest: names inside keep their capitals."""
    start = 1 if phrase.startswith("^") else 0
    return phrase[:start] + phrase[start : start + 1].upper() + phrase[start + 1 :]


def sentence(phrase: str) -> str:
    """A phrase as a sentence.

    >>> sentence("a panda lives in the jungle")
    'A panda lives in the jungle.'
    """
    return capitalized(phrase) + ("" if phrase[-1] in ".?!" else ".")


def text(*phrases: str) -> str:
    """Sentences joined by spaces."""
    return " ".join(sentence(phrase) for phrase in phrases)


def segments(marked: str) -> list[tuple[str, float]]:
    """Splits a story into runs of words with one loss weight each.

    Args:
      marked: text in which each word that earlier text determines begins with `^`.

    Returns:
      (run of words, weight) pairs: 1 for marked words, `FILLER_WEIGHT` for others. Punctuation
      stays with the word before it.

    >>> segments("So Eva is in the ^hall. Good.")
    [('So Eva is in the', 0.03), ('hall.', 1.0), ('Good.', 0.03)]
    """
    runs: list[tuple[str, float]] = []
    for word in marked.split():
        weight = 1.0 if word.startswith("^") else FILLER_WEIGHT
        if runs and runs[-1][1] == weight:
            runs[-1] = (f"{runs[-1][0]} {word.lstrip('^')}", weight)
        else:
            runs.append((word.lstrip("^"), weight))
    return runs


def words(text: str) -> list[str]:
    """Splits a text into what the vocabulary holds as one piece each.

    >>> words("Where does a panda live?\\n- barn")
    ['where', 'does', 'a', 'panda', 'live', '?', '-', 'barn']
    """
    return _WORD.findall(text.lower())


def pronoun(person: str, case: str = "subject") -> str:
    """he, his, himself for men; she, her, herself for women."""
    forms = {"subject": "he she", "possessive": "his her", "reflexive": "himself herself"}
    return forms[case].split()[person in world.WOMEN]


def state(rng: random.Random, fact: Fact) -> str:
    """One of the phrases that state a story fact."""
    return rng.choice(STATEMENTS[fact.kind]).format(p=fact.person, v=fact.value)


def ask(rng: random.Random, forms: dict[str, tuple[str, ...]], fact: Fact) -> str:
    """One of the questions of a table such as `OPEN_QUESTIONS`, about a story fact."""
    return capitalized(rng.choice(forms[fact.kind]).format(p=fact.person, v=fact.value))


def story(rng: random.Random, people: int, kind: str | None = None) -> list[Fact]:
    """Draws facts about distinct people with distinct values.

    Args:
      rng: source of randomness.
      people: number of facts.
      kind: the relation of all facts; None draws one for all (60%) or one for each.

    Returns:
      The facts, in the order of the text.
    """
    shared = kind or (rng.choice(list(KINDS)) if rng.random() < 0.6 else None)
    kinds = [shared or rng.choice(list(KINDS)) for _ in range(people)]
    values = {k: rng.sample(pool, people) for k, pool in KINDS.items()}
    names = rng.sample(world.PEOPLE, people)
    return [Fact(names[i], k, values[k][i]) for i, k in enumerate(kinds)]


def tell(rng: random.Random, facts: list[Fact]) -> str:
    """The story of some facts as text."""
    return text(*(state(rng, fact) for fact in facts))


def other_value(rng: random.Random, facts: list[Fact], fact: Fact) -> str:
    """A wrong value for `fact`, most often one that the story gives to somebody else."""
    others = [f.value for f in facts if f.kind == fact.kind and f.value != fact.value]
    if others and rng.random() < 0.8:
        return rng.choice(others)
    return rng.choice([v for v in KINDS[fact.kind] if v != fact.value])


def options(rng: random.Random, answer: str, pool, count: int = 3) -> dict:
    """The fields `answer` and `options`: the answer among `count - 1` others, shuffled."""
    wrong = rng.sample(sorted(set(pool) - {answer}), count - 1)
    chosen = [answer, *wrong]
    rng.shuffle(chosen)
    return {"answer": answer, "options": chosen}


def either(rng: random.Random, truth: bool, labels: tuple[str, str] = ("yes", "no")) -> dict:
    """The fields `answer` and `options` of a two-way choice, shuffled."""
    return options(rng, labels[0] if truth else labels[1], labels, 2)
