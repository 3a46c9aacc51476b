"""The clusters that no tuning run sees: development, on which choices are made, and test."""

import random

from tasks.mini import documents, grammar, world
from tasks.mini.declare import choice
from tasks.mini.grammar import article, either, options, sentence, text
from tasks.mini.templates_held_out import DEVELOPMENT, TEST

# ------------------------------------------------------------------------------ development


@choice("trivia_tool", "trivia", DEVELOPMENT)
def trivia_tool(rng: random.Random) -> dict:
    purpose = rng.choice(list(world.TOOLS))
    return {"purpose": purpose, **options(rng, world.TOOLS[purpose], world.TOOLS.values())}


@choice("trivia_material", "trivia", DEVELOPMENT)
def trivia_material(rng: random.Random) -> dict:
    item = rng.choice(list(world.MATERIALS))
    answers = options(rng, world.MATERIALS[item], world.MATERIALS.values())
    return {"item": article(item), **answers}


def _speakers(rng: random.Random, clue: int) -> dict:
    one, two = rng.sample(list(world.JOBS), 2)
    speaker = rng.choice((one, two))
    shown = {"one": article(one), "two": article(two), "clue": world.JOBS[speaker][clue]}
    return {**shown, **options(rng, speaker, (one, two), 2)}


@choice("attribution_tool", "attribution", DEVELOPMENT)
def attribution_tool(rng: random.Random) -> dict:
    return _speakers(rng, clue=1)


@choice("attribution_place", "attribution", DEVELOPMENT)
def attribution_place(rng: random.Random) -> dict:
    return _speakers(rng, clue=0)


def _speech(rng: random.Random, labels: tuple[str, str]) -> dict:
    polite = rng.random() < 0.5
    lines = (documents.utterance(rng, polite) for _ in range(rng.choice((1, 2))))
    return {"speech": text(*lines), **either(rng, polite, labels)}


@choice("tone_manner", "tone", DEVELOPMENT)
def tone_manner(rng: random.Random) -> dict:
    return _speech(rng, ("polite", "rude"))


@choice("tone_feeling", "tone", DEVELOPMENT)
def tone_feeling(rng: random.Random) -> dict:
    return _speech(rng, ("friendly", "hostile"))


@choice("tone_respect", "tone", DEVELOPMENT)
def tone_respect(rng: random.Random) -> dict:
    return _speech(rng, ("respectful", "offensive"))


@choice("intent_deed", "intent", DEVELOPMENT)
def intent_deed(rng: random.Random) -> dict:
    goal, person = rng.choice(list(world.GOALS)), rng.choice(world.PEOPLE)
    shown = {"person": person, "whose": grammar.pronoun(person, "possessive"), "goal": goal}
    return {**shown, **options(rng, world.GOALS[goal], world.GOALS.values())}


@choice("intent_goal", "intent", DEVELOPMENT)
def intent_goal(rng: random.Random) -> dict:
    goal, person = rng.choice(list(world.GOALS)), rng.choice(world.PEOPLE)
    shown = {"person": person, "whose": grammar.pronoun(person, "possessive")}
    return {**shown, "deed": world.GOALS[goal], **options(rng, goal, world.GOALS)}


# ------------------------------------------------------------------------------------- test


def _inference(rng: random.Random, labels: tuple[str, ...]) -> dict:
    """A story and a claim that it entails, contradicts or (third label) leaves open."""
    facts = grammar.story(rng, 2)
    fact, label = rng.choice(facts), rng.choice(labels)
    if label == labels[0]:
        claimed = fact
    elif label == labels[1]:
        wrong = grammar.other_value(rng, facts, fact)
        claimed = grammar.Fact(fact.person, fact.kind, wrong)
    else:
        absent = [name for name in world.PEOPLE if name not in {f.person for f in facts}]
        claimed = grammar.Fact(rng.choice(absent), fact.kind, fact.value)
    phrase = grammar.state(rng, claimed)
    shown = {"text": grammar.tell(rng, facts), "phrase": phrase, "claim": sentence(phrase)}
    return {**shown, **options(rng, label, labels, len(labels))}


@choice("nli_two_way", "nli", TEST)
def nli_two_way(rng: random.Random) -> dict:
    return _inference(rng, ("yes", "no"))


@choice("nli_three_way", "nli", TEST)
def nli_three_way(rng: random.Random) -> dict:
    return _inference(rng, ("yes", "no", "maybe"))


def _animal(rng: random.Random, column: int) -> dict:
    animal = rng.choice(list(world.ANIMALS))
    answers = [facts[column] for facts in world.ANIMALS.values()]
    return {"animal": article(animal), **options(rng, world.ANIMALS[animal][column], answers)}


@choice("animal_home", "closed_qa", TEST)
def animal_home(rng: random.Random) -> dict:
    return _animal(rng, 0)


@choice("animal_food", "closed_qa", TEST)
def animal_food(rng: random.Random) -> dict:
    return _animal(rng, 1)


@choice("country_capital", "closed_qa", TEST)
def country_capital(rng: random.Random) -> dict:
    country = rng.choice(list(world.CAPITALS))
    answers = options(rng, world.CAPITALS[country], world.CAPITALS.values())
    return {"country": country, **answers}


def _review(rng: random.Random, labels: tuple[str, str]) -> dict:
    positive = rng.random() < 0.5
    phrases = documents.praise(rng, positive, rng.choice((1, 2)))
    return {"review": text(*phrases), **either(rng, positive, labels)}


@choice("review_polarity", "sentiment", TEST)
def review_polarity(rng: random.Random) -> dict:
    return _review(rng, ("positive", "negative"))


@choice("review_mood", "sentiment", TEST)
def review_mood(rng: random.Random) -> dict:
    return _review(rng, ("satisfied", "upset"))


@choice("review_verdict", "sentiment", TEST)
def review_verdict(rng: random.Random) -> dict:
    return _review(rng, ("recommend", "avoid"))


def _two_people(rng: random.Random) -> tuple[str, list[str], str]:
    """A man and a woman who meet: the phrase, their names, and whom the text goes on about."""
    pair = [rng.choice(world.MEN), rng.choice(world.WOMEN)]
    rng.shuffle(pair)
    meeting = f"{pair[0]} {rng.choice(('met', 'saw', 'called', 'helped'))} {pair[1]}"
    return meeting, pair, rng.choice(pair)


@choice("pronoun_state", "coreference", TEST)
def pronoun_state(rng: random.Random) -> dict:
    meeting, pair, person = _two_people(rng)
    who, state = grammar.pronoun(person), rng.choice(list(world.STATES))
    shown = {"text": text(meeting, f"{who} was {state}"), "pronoun": who, "state": state}
    return {**shown, **options(rng, person, pair, 2)}


@choice("pronoun_thing", "coreference", TEST)
def pronoun_thing(rng: random.Random) -> dict:
    meeting, pair, person = _two_people(rng)
    who, thing = grammar.pronoun(person), rng.choice(world.OBJECTS)
    verb = rng.choice(("had", "brought", "held"))
    shown = {"text": text(meeting, f"{who} {verb} {article(thing)}"), "pronoun": who}
    return {**shown, "thing": thing, **options(rng, person, pair, 2)}


@choice("pronoun_possessive", "coreference", TEST)
def pronoun_possessive(rng: random.Random) -> dict:
    meeting, pair, person = _two_people(rng)
    whose, thing = grammar.pronoun(person, "possessive"), rng.choice(world.OBJECTS)
    verb = rng.choice(("was lost", "was new", "was on the floor"))
    shown = {"text": text(meeting, f"{whose} {thing} {verb}"), "pronoun": whose}
    return {**shown, "thing": thing, **options(rng, person, pair, 2)}


def _situation(rng: random.Random) -> tuple[str, dict]:
    person = rng.choice(world.PEOPLE)
    shown = {"person": person, "whose": grammar.pronoun(person, "possessive")}
    return rng.choice(list(world.STATES)), shown


@choice("state_effect", "commonsense", TEST)
def state_effect(rng: random.Random) -> dict:
    state, shown = _situation(rng)
    effects = [effect for _, effect in world.STATES.values()]
    return {**shown, "state": state, **options(rng, world.STATES[state][1], effects)}


@choice("state_cause", "commonsense", TEST)
def state_cause(rng: random.Random) -> dict:
    state, shown = _situation(rng)
    causes = [cause for cause, _ in world.STATES.values()]
    return {**shown, "state": state, **options(rng, world.STATES[state][0], causes)}


@choice("state_feeling", "commonsense", TEST)
def state_feeling(rng: random.Random) -> dict:
    state, shown = _situation(rng)
    return {**shown, "cause": world.STATES[state][0], **options(rng, state, world.STATES)}


DEVELOPMENT_TASKS = (
    trivia_tool, trivia_material, attribution_tool, attribution_place, tone_manner, tone_feeling,
    tone_respect, intent_deed, intent_goal,
)  # fmt: skip
TEST_TASKS = (
    nli_two_way, nli_three_way, animal_home, animal_food, country_capital, review_polarity,
    review_mood, review_verdict, pronoun_state, pronoun_thing, pronoun_possessive, state_effect,
    state_cause, state_feeling,
)  # fmt: skip
