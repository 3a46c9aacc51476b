"""Generated tasks and documents for the tests of the cache."""

import random

from flan_jax.data import store
from flan_jax.data.cache import CacheConfig
from flan_jax.data.declarations import documents, task
from flan_jax.data.registry import add_mixture, register_collection
from flan_jax.data.sources import generated
from flan_jax.data.templates import Template

CONFIG = CacheConfig(inputs_length=64, targets_length=16)
EXAMPLE = {"question": "is it", "answer": "yes"}
TEMPLATES = (
    Template("{question}"),
    Template("the question: {question}"),
    Template("{question} and the answer?"),
)
ONE_TEMPLATE = TEMPLATES[:1]


def question(rng: random.Random, index: int) -> dict:
    """A row whose text names it."""
    return {"question": f"is {index} one", "answer": rng.choice(["yes", "no"])}


def long_question(rng: random.Random, index: int) -> dict:
    """A row that is too long if its index is a multiple of 4."""
    return question(rng, index) | {"question": "is " * (40 if index % 4 == 0 else 2)}


def long_answer(rng: random.Random, index: int) -> dict:
    """A row whose answer is too long if its index is a multiple of 3."""
    return {"question": "is it", "answer": "abcdefgh" * (4 if index % 3 == 0 else 1)}


def repeated(rng: random.Random, index: int) -> dict:
    """A document of increasing length."""
    return {"text": "the question " * (index + 1)}


def numbered(rng: random.Random, index: int) -> dict:
    """A document whose number matters more than its other words."""
    return {"number": str(index)}


def declare(name, source, templates=TEMPLATES):
    """A task with the options yes and no."""

    def row(raw):
        return {"question": raw["question"], "options": ["yes", "no"], "answer": raw["answer"]}

    return task(name, cluster="qa", source=source, templates=templates, example=EXAMPLE)(row)


@task(
    "cache_wordy",
    cluster="qa",
    source=generated(long_answer, {"train": 9}),
    templates=ONE_TEMPLATE,
    example=EXAMPLE,
)
def wordy(row):
    return dict(row)


@documents("cache_books", source=generated(repeated, {"train": 12}), example={"text": "the"})
def books(row):
    return row["text"]


@documents("cache_weighted", source=generated(numbered, {"train": 5}), example={"number": "1"})
def weighted(row):
    return [("the answer is", 0.25), (row["number"], 1.0)]


DECLARATIONS = (
    declare("cache_qa", generated(question, {"train": 20, "validation": 6})),
    declare("cache_more", generated(question, {"train": 40})),
    declare("cache_long", generated(long_question, {"train": 8}), ONE_TEMPLATE),
    wordy,
    books,
    weighted,
)


def register(vocabulary):
    """Registers all of it; does nothing the second time."""
    register_collection("cache_tests", DECLARATIONS, vocabulary=vocabulary)
    add_mixture("cache_mixture", ["cache_qa:zero_shot", "cache_more:zero_shot"], cap=30)


def rows_of(path):
    """The rows of a cache as dicts."""
    return list(store.open_cache(path).rows())
