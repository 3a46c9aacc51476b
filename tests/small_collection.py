"""A user's own module of tasks, for the tests of experiments: two clusters and raw documents."""

import random

from flan_jax.data.declarations import documents, task
from flan_jax.data.registry import add_mixture, register_collection, without_clusters
from flan_jax.data.sources import generated
from flan_jax.data.templates import Template
from flan_jax.data.vocabulary import Vocabulary
from tasks.mini import vocabulary as mini_vocabulary

SIZES = {"train": 40, "validation": 10}
TEMPLATES = (Template("which is first? {list}"), Template("{list}\ntell me the first"))


def draw(rng: random.Random, index: int) -> dict:
    words = rng.sample(["red", "blue", "green", "dog", "cat", "cow"], 3)
    return {"list": " ".join(words), "words": words}


def declare(name: str, cluster: str):
    source = generated(draw, SIZES, seed=len(name))
    example = {"list": "dog red cat", "words": ["dog", "red", "cat"]}

    @task(name, cluster=cluster, source=source, templates=TEMPLATES, example=example)
    def first_word(row):
        return {"list": row["list"], "options": sorted(row["words"]), "answer": row["words"][0]}

    return first_word


@documents(
    "small_documents",
    source=generated(draw, SIZES),
    example={"list": "dog cat"},
    objectives=("prefix_lm",),
)
def small_documents(row):
    return row["list"]


def register(collection: str, data_dir: str | None = None, vocabulary: Vocabulary | None = None):
    declared = [declare("one", "near"), declare("other", "far"), small_documents]
    register_collection(collection, declared, vocabulary=vocabulary or mini_vocabulary.load())
    texts = "small_documents:prefix_lm"
    add_mixture("small_pretrain", [texts], weights={texts: 1.0})
    without_clusters(collection, "far", name="small_train")
    add_mixture("small_leak", ["one:zero_shot", "other:zero_shot"])
