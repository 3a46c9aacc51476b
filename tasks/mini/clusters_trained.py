"""The clusters that tuning sees."""

import random

from tasks.mini import documents, grammar, world
from tasks.mini.declare import choice
from tasks.mini.grammar import Fact, either, options, sentence, text
from tasks.mini.templates_trained import TRAINED

_TASTES = sorted(set(world.TASTES.values()))


def _besides(rng: random.Random) -> dict:
    """Somebody to speak of and some small talk: the answer has nothing to do with either."""
    return {"person": rng.choice(world.PEOPLE), "aside": documents.chatter(rng)}


def _named(rng: random.Random, answer: str, pool) -> dict:
    """Two options, both of which the prompt names."""
    answers = options(rng, answer, pool, 2)
    one, two = rng.sample(answers["options"], 2)
    return {"one": one, "two": two, **_besides(rng), **answers}


def _some(rng: random.Random, answer: str, pool) -> dict:
    """Two to four options: how many there are should not matter."""
    return options(rng, answer, pool, min(rng.choice((2, 2, 3, 4)), len(set(pool) | {answer})))


# ------------------------------------------------- reading comprehension and yes-no questions


@choice("reading_place", "reading_comprehension", TRAINED)
def reading_place(rng: random.Random) -> dict:
    facts = grammar.story(rng, 3, "place")
    fact = rng.choice(facts)
    question = grammar.ask(rng, grammar.OPEN_QUESTIONS, fact)
    shown = {"text": grammar.tell(rng, facts), "question": question}
    return {**shown, **options(rng, fact.value, [f.value for f in facts])}


@choice("reading_person", "reading_comprehension", TRAINED)
def reading_person(rng: random.Random) -> dict:
    facts = grammar.story(rng, 3)
    fact = rng.choice(facts)
    question = grammar.ask(rng, grammar.PERSON_QUESTIONS, fact)
    shown = {"text": grammar.tell(rng, facts), "question": question}
    return {**shown, **options(rng, fact.person, [f.person for f in facts])}


def _yes_no(rng: random.Random, kind: str) -> dict:
    facts = grammar.story(rng, 2, kind)
    fact, truth = rng.choice(facts), rng.random() < 0.5
    value = fact.value if truth else grammar.other_value(rng, facts, fact)
    asked = Fact(fact.person, fact.kind, value)
    question = grammar.ask(rng, grammar.YES_NO_QUESTIONS, asked)
    return {"text": grammar.tell(rng, facts), "question": question, **either(rng, truth)}


@choice("boolean_place", "boolean_qa", TRAINED)
def boolean_place(rng: random.Random) -> dict:
    return _yes_no(rng, "place")


@choice("boolean_thing", "boolean_qa", TRAINED)
def boolean_thing(rng: random.Random) -> dict:
    return _yes_no(rng, "thing")


# ----------------------------------------------------------- fact checking from memory


def _check(rng: random.Random, truth: bool, phrase: str) -> dict:
    labels = rng.choice((("true", "false"), ("yes", "no")))
    return {"phrase": phrase, "claim": sentence(phrase), **either(rng, truth, labels)}


def _claimed(rng: random.Random, right: str, pool) -> tuple[bool, str]:
    """Whether the claim is to be true, and the value that it names."""
    truth = rng.random() < 0.5
    return truth, right if truth else rng.choice(sorted(set(pool) - {right}))


@choice("fact_taste", "fact_checking", TRAINED)
def fact_taste(rng: random.Random) -> dict:
    food = rng.choice(list(world.TASTES))
    truth, flavor = _claimed(rng, world.TASTES[food], world.TASTES.values())
    phrases = (f"the taste of {food} is {flavor}", f"{food} has a {flavor} flavor")
    return _check(rng, truth, rng.choice(phrases))


@choice("fact_language", "fact_checking", TRAINED)
def fact_language(rng: random.Random) -> dict:
    country = rng.choice(list(world.LANGUAGES))
    truth, tongue = _claimed(rng, world.LANGUAGES[country], world.LANGUAGES.values())
    phrases = (f"people in {country} speak {tongue}", f"the language of {country} is {tongue}")
    return _check(rng, truth, rng.choice(phrases))


# ------------------------------------------------------------------- topics and categories


def _headline(rng: random.Random, topic: str) -> str:
    return " ".join(map(rng.choice, world.TOPICS[topic]))


@choice("topic_news", "topic", TRAINED)
def topic_news(rng: random.Random) -> dict:
    topic = rng.choice(list(world.TOPICS))
    subjects, verbs = world.TOPICS[topic]
    count = rng.choice((1, 2))
    lines = (f"{rng.choice(subjects)} {rng.choice(verbs)}" for _ in range(count))
    return {"text": text(*lines), **_besides(rng), **_some(rng, topic, world.TOPICS)}


@choice("topic_line", "topic", TRAINED)
def topic_line(rng: random.Random) -> dict:
    topics = rng.sample(list(world.TOPICS), 4)
    lines = [_headline(rng, topic) for topic in topics]
    return {"topic": topics[0], **_besides(rng), **_some(rng, lines[0], lines)}


@choice("topic_pair", "topic", TRAINED)
def topic_pair(rng: random.Random) -> dict:
    topics = rng.sample(list(world.TOPICS), 4)
    line, *lines = [_headline(rng, topic) for topic in (topics[0], *topics)]
    while lines[0] == line:
        lines[0] = _headline(rng, topics[0])
    return {"line": line, **_besides(rng), **_some(rng, lines[0], lines)}


@choice("topic_category", "topic", TRAINED)
def topic_category(rng: random.Random) -> dict:
    kind = rng.choice(list(world.CATEGORIES))
    word = rng.choice(world.CATEGORIES[kind])
    return {"word": word, **_besides(rng), **_some(rng, kind, world.CATEGORIES)}


# --------------------------------------------------- words, definitions, proverbs, paraphrase


def _related(rng: random.Random, pairs: tuple[tuple[str, str], ...]) -> dict:
    word, answer = rng.sample(rng.choice(pairs), 2)
    pool = [other for pair in pairs for other in pair if other != word]
    return {"word": word, **_besides(rng), **_some(rng, answer, pool)}


@choice("word_opposite", "word_relations", TRAINED)
def word_opposite(rng: random.Random) -> dict:
    return _related(rng, world.ANTONYMS)


@choice("word_same", "word_relations", TRAINED)
def word_same(rng: random.Random) -> dict:
    return _related(rng, world.SYNONYMS)


@choice("word_choice", "word_relations", TRAINED)
def word_choice(rng: random.Random) -> dict:
    relation, pairs = rng.choice((("opposite", world.ANTONYMS), ("same", world.SYNONYMS)))
    word, answer = rng.sample(rng.choice(pairs), 2)
    pool = [other for pair in pairs for other in pair if other != word]
    return {"word": word, "relation": relation, **_named(rng, answer, pool)}


@choice("definition_word", "definitions", TRAINED)
def definition_word(rng: random.Random) -> dict:
    word = rng.choice(list(world.DEFINITIONS))
    shown = {"meaning": world.DEFINITIONS[word], **_besides(rng)}
    return {**shown, **_some(rng, word, world.DEFINITIONS)}


@choice("definition_meaning", "definitions", TRAINED)
def definition_meaning(rng: random.Random) -> dict:
    word = rng.choice(list(world.DEFINITIONS))
    answers = _some(rng, world.DEFINITIONS[word], world.DEFINITIONS.values())
    return {"word": word, **_besides(rng), **answers}


@choice("proverb_end", "proverbs", TRAINED)
def proverb_end(rng: random.Random) -> dict:
    start, end = rng.choice(world.PROVERBS)
    ends = [other for _, other in world.PROVERBS]
    return {"start": start, **_besides(rng), **_some(rng, end, ends)}


@choice("proverb_start", "proverbs", TRAINED)
def proverb_start(rng: random.Random) -> dict:
    start, end = rng.choice(world.PROVERBS)
    starts = [other for other, _ in world.PROVERBS]
    return {"end": end, **_besides(rng), **_some(rng, start, starts)}


@choice("paraphrase_statement", "paraphrase", TRAINED)
def paraphrase_statement(rng: random.Random) -> dict:
    (fact,), truth = grammar.story(rng, 1), rng.random() < 0.5
    second = fact
    if not truth and rng.random() < 0.5:
        second = Fact(fact.person, fact.kind, grammar.other_value(rng, [], fact))
    elif not truth:
        person = rng.choice([name for name in world.PEOPLE if name != fact.person])
        second = Fact(person, fact.kind, fact.value)
    lines = [sentence(grammar.state(rng, f)) for f in (fact, second)]
    return {"first": lines[0], "second": lines[1], **either(rng, truth)}


@choice("paraphrase_synonym", "paraphrase", TRAINED)
def paraphrase_synonym(rng: random.Random) -> dict:
    pair, other = rng.sample(world.SYNONYMS, 2)
    word, same = rng.sample(pair, 2)
    truth = rng.random() < 0.5
    person = rng.choice(world.PEOPLE)
    second = same if truth else rng.choice(other)
    lines = [f"{person} said {said}." for said in (word, second)]
    return {"first": lines[0], "second": lines[1], **either(rng, truth)}


# ------------------------------------------------------------------ strings, numbers, order


def _word_list(rng: random.Random, count: int) -> list[str]:
    return rng.sample(world.OBJECTS + world.COLORS + world.PLACES + world.SPORTS, count)


@choice("string_position", "strings", TRAINED)
def string_position(rng: random.Random) -> dict:
    words, position = _word_list(rng, rng.choice((3, 4))), rng.choice(("first", "last"))
    answer = words[0] if position == "first" else words[-1]
    shown = {"words": " ".join(words), "position": position, **_besides(rng)}
    return {**shown, **options(rng, answer, words)}


@choice("string_member", "strings", TRAINED)
def string_member(rng: random.Random) -> dict:
    *words, absent = _word_list(rng, 4)
    truth = rng.random() < 0.5
    word = rng.choice(words) if truth else absent
    return {"words": " ".join(words), "word": word, **_besides(rng), **either(rng, truth)}


@choice("number_sum", "numbers", TRAINED)
def number_sum(rng: random.Random) -> dict:
    one, two = rng.randrange(7), rng.randrange(6)
    names = world.NUMBERS
    shown = {"one": names[one], "two": names[two], **_besides(rng)}
    return {**shown, **_some(rng, names[one + two], names)}


@choice("number_compare", "numbers", TRAINED)
def number_compare(rng: random.Random) -> dict:
    picked = rng.sample(range(len(world.NUMBERS)), 3)
    which = rng.choice(("more", "less"))
    answer = max(picked) if which == "more" else min(picked)
    pool = [world.NUMBERS[number] for number in picked]
    shown = {"numbers": ", ".join(pool), "which": which, **_besides(rng)}
    return {**shown, **options(rng, world.NUMBERS[answer], pool)}


@choice("number_next", "numbers", TRAINED)
def number_next(rng: random.Random) -> dict:
    number = rng.randrange(len(world.NUMBERS) - 1)
    one, answer = world.NUMBERS[number : number + 2]
    return {"one": one, **_besides(rng), **_some(rng, answer, set(world.NUMBERS) - {one})}


@choice("order_comparison", "order", TRAINED)
def order_comparison(rng: random.Random) -> dict:
    people, pair = rng.sample(world.PEOPLE, 2), rng.sample(rng.choice(world.COMPARISONS), 2)
    which = rng.randrange(2)
    shown = {"text": f"{people[0]} is {pair[0]} than {people[1]}.", "which": pair[which]}
    return {**shown, **options(rng, people[which], people, 2)}


@choice("order_day", "order", TRAINED)
def order_day(rng: random.Random) -> dict:
    days = world.DAYS
    place, side = rng.randrange(len(days)), rng.choice(("after", "before"))
    answer = days[(place + (1 if side == "after" else -1)) % len(days)]
    pool = set(days) - {days[place]}
    return {"day": days[place], "side": side, **_besides(rng), **_some(rng, answer, pool)}


# ------------------------------------------- translation, tables, summaries and filling gaps


@choice("translation_to", "translation", TRAINED)
def translation_to(rng: random.Random) -> dict:
    word = rng.choice(list(world.LEXICON))
    answers = _some(rng, world.LEXICON[word], world.LEXICON.values())
    return {"word": word, **_besides(rng), **answers}


@choice("translation_from", "translation", TRAINED)
def translation_from(rng: random.Random) -> dict:
    word = rng.choice(list(world.LEXICON))
    return {"word": world.LEXICON[word], **_besides(rng), **_some(rng, word, world.LEXICON)}


@choice("translation_choice", "translation", TRAINED)
def translation_choice(rng: random.Random) -> dict:
    pair = rng.choice(list(world.LEXICON.items()))
    side = rng.randrange(2)
    pool = [entry[1 - side] for entry in world.LEXICON.items()]
    return {"word": pair[side], **_named(rng, pair[1 - side], pool)}


def _variants(rng: random.Random, fact: Fact) -> dict:
    """The statement of a fact among two that change its person or its value."""
    person = rng.choice([name for name in world.PEOPLE if name != fact.person])
    wrong = Fact(fact.person, fact.kind, grammar.other_value(rng, [], fact))
    facts = (fact, Fact(person, fact.kind, fact.value), wrong)
    lines = [sentence(grammar.state(rng, f)) for f in facts]
    return options(rng, lines[0], lines)


@choice("struct_sentence", "struct_to_text", TRAINED)
def struct_sentence(rng: random.Random) -> dict:
    (fact,) = grammar.story(rng, 1)
    data = f"{fact.person} - {fact.kind} - {fact.value}"
    return {"data": data, **_besides(rng), **_variants(rng, fact)}


@choice("struct_key", "struct_to_text", TRAINED)
def struct_key(rng: random.Random) -> dict:
    facts = grammar.story(rng, 1)
    shown = {"text": grammar.tell(rng, facts), **_besides(rng)}
    return {**shown, **_some(rng, facts[0].kind, grammar.KINDS)}


@choice("summary_person", "summary", TRAINED)
def summary_person(rng: random.Random) -> dict:
    person, *others = rng.sample(world.PEOPLE, 3)
    kinds = rng.sample(list(grammar.KINDS), 2)
    facts = [Fact(person, kind, rng.choice(grammar.KINDS[kind])) for kind in kinds]
    shown = {"text": grammar.tell(rng, facts), **_besides(rng)}
    return {**shown, **options(rng, person, others)}


@choice("summary_sentence", "summary", TRAINED)
def summary_sentence(rng: random.Random) -> dict:
    facts = grammar.story(rng, 2)
    shown = {"text": grammar.tell(rng, facts), **_besides(rng)}
    return {**shown, **_variants(rng, rng.choice(facts))}


@choice("summary_common", "summary", TRAINED)
def summary_common(rng: random.Random) -> dict:
    """A text about things of one kind or one taste: its gist is what they have in common."""
    kinds = {k: v for k, v in world.CATEGORIES.items() if k != "food"}
    tastes = {t: [f for f, taste in world.TASTES.items() if taste == t] for t in _TASTES}
    groups, verbs = rng.choice(((kinds, ("saw", "bought")), (tastes, ("likes", "ordered"))))
    common = rng.choice(list(groups))
    things = rng.sample(groups[common], rng.choice((1, 2, 3)))
    lines = (f"{rng.choice(world.PEOPLE)} {rng.choice(verbs)} {thing}" for thing in things)
    return {"text": text(*lines), **_besides(rng), **_some(rng, common, groups)}


@choice("cloze_value", "cloze", TRAINED)
def cloze_value(rng: random.Random) -> dict:
    facts = grammar.story(rng, 2)
    fact = rng.choice(facts)
    gap = grammar.state(rng, Fact(fact.person, fact.kind, "_"))
    shown = {"text": grammar.tell(rng, facts), "gap": sentence(gap)}
    return {**shown, **options(rng, fact.value, grammar.KINDS[fact.kind])}


@choice("cloze_person", "cloze", TRAINED)
def cloze_person(rng: random.Random) -> dict:
    facts = grammar.story(rng, 3)
    fact = rng.choice(facts)
    gap = grammar.state(rng, Fact("_", fact.kind, fact.value))
    shown = {"text": grammar.tell(rng, facts), "gap": sentence(gap)}
    return {**shown, **options(rng, fact.person, [f.person for f in facts])}


@choice("cloze_taste", "cloze", TRAINED)
def cloze_taste(rng: random.Random) -> dict:
    food = rng.choice(list(world.TASTES))
    gap = rng.choice((f"the taste of {food} is _", f"{food} has a _ flavor"))
    shown = {"gap": sentence(gap), "food": food, **_besides(rng)}
    return {**shown, **_some(rng, world.TASTES[food], world.TASTES.values())}


TRAINED_TASKS = (
    reading_place, reading_person, boolean_place, boolean_thing, fact_taste, fact_language,
    topic_news, topic_line, topic_pair, topic_category, word_opposite, word_same, word_choice,
    definition_word, definition_meaning, proverb_end, proverb_start, paraphrase_statement,
    paraphrase_synonym, string_position, string_member, number_sum, number_compare, number_next,
    order_comparison, order_day, translation_to, translation_from, translation_choice,
    struct_sentence, struct_key, summary_person, summary_sentence, summary_common, cloze_value,
    cloze_person, cloze_taste,
)  # fmt: skip
