"""Recipes: how the cache of a task is made, and what identifies it.

A task that is declared with us is rendered and tokenised here, all its templates; any other SeqIO
task is read through SeqIO.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from flan_jax.data import (
    content_free,
    objectives,
    registry,
    row_maker,
    seqio_rows,
    store,
    vocabularies,
)
from flan_jax.data.declarations import DocumentsDeclaration
from flan_jax.data.rendering import Drops, LateDrops
from flan_jax.data.row_workers import Workers
from flan_jax.data.token_statistics import Statistics
from flan_jax.data.tokenisation import CacheConfig, Tokeniser
from flan_jax.data.tokenisation_columns import Columns, from_rows
from flan_jax.data.variants import Variant
from flan_jax.data.vocabularies import AnyVocabulary


class Recipe(NamedTuple):
    """How the cache of one task and split is made.

    Attributes:
      name: SeqIO name of the task.
      split: name of the split.
      fingerprint: digest of all that determines the rows.
      facts: what the manifest says beside the counts.
      weighted: whether rows hold weights.
      evaluation: whether rows hold what scoring needs.
      count: number of examples in the source, or None if unknown.
      rows: function of `Statistics`, a part, the number of parts and a number of processes to
        start, that gives an iterator over the rows of some examples each. Part i of n holds the
        examples i, i + n, ... Documents and plain SeqIO tasks start no process.
      content_free: whether rows hold content-free prompts.
    """

    name: str
    split: str
    fingerprint: str
    facts: dict[str, Any]
    weighted: bool
    evaluation: bool
    count: int | None
    rows: Callable[[Statistics, int, int, int], Iterator[Columns]]
    content_free: bool = False

    @property
    def columns(self) -> pa.Schema:
        """Names and types of the columns."""
        return store.schema(
            self.facts["vocabulary"]["size"],
            weights=self.weighted,
            evaluation=self.evaluation,
            content_free=self.content_free,
        )

    @property
    def folder(self) -> str:
        """Name of the cache's folder."""
        name = re.sub(r"[^\w.-]", ".", self.name)
        return f"{name}-{self.split}-{self.fingerprint[:12]}"


def recipe(
    name: str, split: str, vocabulary: AnyVocabulary, config: CacheConfig, evaluation: bool = False
) -> Recipe:
    """Finds out how the cache of a task is made; reads the source only to fingerprint it.

    Args:
      name: name of a registered SeqIO task.
      split: name of the split.
      vocabulary: vocabulary of the model.
      config: lengths and what is kept.
      evaluation: for SeqIO tasks that are not declared with us: cache what scoring needs. A
        declared task says so by its name (`:rank`, `:generate`).

    Raises:
      ValueError: the task or split is unknown, or it is tokenised with another vocabulary.
      CacheError: content-free prompts are asked for, and a ranked task has none.
    """
    variant = registry.variant(name)
    if variant is None:
        return _seqio_recipe(name, split, vocabulary, config, evaluation)
    _check_vocabulary(name, variant.vocabulary.digest, vocabulary)
    facts = _declared_facts(variant, config) | _common_facts(vocabulary, config)
    fingerprint = variant.fingerprint(split, config.seed, config.inputs_length)
    source = variant.declaration.source.chosen(variant.data_dir)
    facts["source"] = {"version": source.version, "fingerprint": fingerprint}
    free = config.content_free and content_free.has_prompts(variant.declaration, variant.form)
    if free:  # only then, so that other caches stay which they were
        facts["content_free"] = list(content_free.WORDS)
    is_documents = isinstance(variant.declaration, DocumentsDeclaration)
    weighted = is_documents and not isinstance(
        variant.declaration(variant.declaration.example), str
    )

    if is_documents:
        rows = functools.partial(_document_rows, variant, split, vocabulary, config, weighted)
    else:
        rows = functools.partial(_task_rows, variant, split, vocabulary, config, free)
    return Recipe(
        name=name,
        split=split,
        fingerprint=_identity(name, split, facts),
        facts=facts | {"name": name, "split": split},
        weighted=weighted,
        evaluation=bool(variant.form.evaluation),
        count=variant.num_examples(split),
        rows=rows,
        content_free=free,
    )


def _task_rows(
    variant: Variant,
    split: str,
    vocabulary: AnyVocabulary,
    config: CacheConfig,
    free: bool,
    statistics: Statistics,
    part: int,
    parts: int,
    workers: int = 0,
) -> Iterator[Columns]:
    renderer = variant.renderer(split, config.seed, config.inputs_length, free)
    late_drops = LateDrops()
    # Every part reads the whole source; what that drops is counted by the first.
    examples = variant.checked(split, Drops() if part else late_drops, renderer)
    examples = itertools.islice(examples, part, None, parts)
    maker = row_maker.RowMaker(vocabulary, renderer, config)
    locate = functools.partial(variant.locate, split)
    with contextlib.ExitStack() as stack:
        made_by = stack.enter_context(Workers(maker, workers)) if workers else maker
        yield from row_maker.rows(made_by.map, examples, late_drops, statistics, locate)


def _document_rows(
    variant: Variant,
    split: str,
    vocabulary: AnyVocabulary,
    config: CacheConfig,
    weighted: bool,
    statistics: Statistics,
    part: int,
    parts: int,
    workers: int = 0,
) -> Iterator[Columns]:
    locate = functools.partial(variant.locate, split)
    tokeniser = Tokeniser(vocabulary, config, False, locate, statistics)
    drops = Drops() if part else statistics.dropped
    groups = variant.grouped(split, config.seed, drops, config.inputs_length)
    groups = itertools.islice(groups, part, None, parts)
    chunks = tokeniser.documents(groups, variant.form.objective, weighted)
    return from_rows(chunks, store.schema(vocabulary.size, weights=weighted))


def _common_facts(vocabulary: AnyVocabulary, config: CacheConfig) -> dict[str, Any]:
    return {
        "vocabulary": vocabularies.facts(vocabulary),
        "lengths": [config.inputs_length, config.targets_length],
        "renderings": config.renderings,
        "join_documents": config.join_documents,
        "seed": config.seed,
    }


def _declared_facts(variant: Variant, config: CacheConfig) -> dict[str, Any]:
    declaration, form = variant.declaration, variant.form
    facts = {
        "task": declaration.name,
        "cluster": getattr(declaration, "cluster", "documents"),
        "metrics": list(getattr(declaration, "metrics", ())),
        "has_options": getattr(declaration, "has_options", False),
        "form": {
            "few_shot": form.few_shot,
            "shots": form.shots,
            "with_options": form.with_options,
            "style": form.style,
            "permuted": form.permuted,
            "templates": form.templates,
            "evaluation": form.evaluation,
        },
        "objective": form.objective or None,
        "templates": [
            {"name": template.name, "inputs": template.inputs, "targets": template.targets}
            for template in getattr(declaration, "templates", ())
        ],
    }
    facts["num_templates"] = len(facts["templates"])
    facts["templates_digest"] = _digest(facts["templates"])
    if form.objective:
        facts["chunk_length"] = objectives.chunk_length(
            form.objective, config.inputs_length, config.targets_length
        )
    return facts


def _seqio_recipe(name, split, vocabulary, config, evaluation) -> Recipe:
    task = seqio_rows.find(name, split)
    _check_vocabulary(name, seqio_rows.vocabulary_digest(task), vocabulary)
    facts = _common_facts(vocabulary, config) | {
        "task": name,
        "cluster": name,
        "has_options": False,
        "form": {"few_shot": False, "with_options": True, "evaluation": ""},
        "objective": None,
        "templates": [],
        "num_templates": 1,
        "templates_digest": "",
        "metrics": ["exact_match"],
    }
    fingerprint = seqio_rows.fingerprint(task, split, config)
    facts["source"] = {"version": seqio_rows.version(task), "fingerprint": fingerprint}
    if evaluation:
        facts["has_options"] = seqio_rows.has_options(task, split, config)
        kind = "rank" if facts["has_options"] else "generate"
        if config.content_free and kind == "rank":
            raise store.CacheError(
                f"task {name!r} is not declared with flan_jax, so there is no template of which to "
                "make content-free prompts; declare it (docs/add_a_task.md), or build its cache "
                "with CacheConfig.content_free=False, for another EvaluationConfig.score than "
                "'calibrated'"
            )
        facts["form"] = facts["form"] | {"evaluation": kind}
        facts["metrics"] = ["accuracy"] if facts["has_options"] else ["exact_match"]

    def rows(statistics: Statistics, part: int, parts: int, workers: int = 0) -> Iterator[Columns]:
        tokeniser = Tokeniser(
            vocabulary, config, evaluation, lambda index: f"{name} {split}:{index}", statistics
        )
        examples = seqio_rows.examples(task, split, tokeniser, part, parts)
        return from_rows(examples, store.schema(vocabulary.size, evaluation=evaluation))

    return Recipe(
        name=name,
        split=split,
        fingerprint=_identity(name, split, facts),
        facts=facts | {"name": name, "split": split},
        weighted=False,
        evaluation=evaluation,
        count=task.num_input_examples(split),
        rows=rows,
    )


def _check_vocabulary(name: str, digest: str, vocabulary: AnyVocabulary) -> None:
    if digest != vocabulary.digest:
        raise ValueError(
            f"task {name!r} is registered with another vocabulary (digest {digest[:12]}) than "
            f"{vocabulary.path} (digest {vocabulary.digest[:12]}); register it with the "
            "vocabulary of the model"
        )


def _identity(name: str, split: str, facts: dict[str, Any]) -> str:
    # The same vocabulary may lie at another path.
    return _digest(name, split, facts | {"vocabulary": facts["vocabulary"]["digest"]})


def _digest(*parts: Any) -> str:
    text = json.dumps([store.FORMAT_VERSION, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
