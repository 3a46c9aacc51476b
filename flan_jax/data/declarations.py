"""Declarations: what a task file says about a data set, checked as it is said.

A declaration is plain data and one function from a raw row to the fields that templates name:

    from flan_jax.data.declarations import task
    from flan_jax.data.sources import jsonl
    from flan_jax.data.templates import Template

    @task(
        "rte",
        cluster="nli",
        source=jsonl("rte", splits={"train": "train", "validation": "test"}),
        metrics=("accuracy",),
        templates=(Template("{premise}\\nDoes it follow that {hypothesis}"),),
        example={"premise": "It rains.", "hypothesis": "it is wet?", "label": 0},
    )
    def rte(row):
        options = ["yes", "no"]
        return {"premise": row["premise"], "hypothesis": row["hypothesis"],
                "options": options, "answer": options[row["label"]]}

Declaring registers nothing; `flan_jax.data.registry.register_collection` does that.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flan_jax.data.declaration_checks import (
    DeclarationError,
    check_known,
    check_metrics,
    check_name,
    check_slots,
    check_templates,
)
from flan_jax.data.sources import Source
from flan_jax.data.templates import FewShot, Template

Row = Mapping[str, Any]
Fields = dict[str, Any]
Segments = list[tuple[str, float]]

OBJECTIVES = ("prefix_lm", "span_corruption", "causal_lm")


class RowError(ValueError):
    """A row that cannot be rendered; the message is the reason under which it is counted.

    Attributes:
      wanted: whether the row is left out on purpose, and no sign of broken data.
    """

    def __init__(self, reason: str, wanted: bool = False):
        super().__init__(reason)
        self.wanted = wanted


@dataclass(frozen=True)
class Example:
    """One row after the row function, checked: what any template is filled with.

    Attributes:
      fields: a value for each slot, without `answer` and `options`.
      options: answers to choose from; empty for tasks without options.
      answer: index of the right option; -1 for tasks without options.
      references: right answers, the first of which is the training target.
    """

    fields: Fields
    options: tuple[str, ...]
    answer: int
    references: tuple[str, ...]


@dataclass(frozen=True)
class TaskDeclaration:
    """A data set, its templates and how it is scored; made by `task`.

    Attributes:
      name: unique name, of letters, digits and underscores.
      cluster: the task cluster that is held out as one.
      source: where raw rows come from.
      templates: the ways to put an example into words.
      row: function from a raw row to fields, or None to leave the row out.
      example: a raw row on which the declaration is checked.
      metrics: names from `flan_jax.data.metric_names`.
      few_shot: how few-shot prompts are made; None takes the collection's setting.
      shuffle_options: whether options are shown in seeded random order.
      has_options: whether examples have options to choose from.
      licence: terms under which the data may be used, in a few words.
      origins: published data sets whose texts this one holds, for the leak gate.
      lists_options: whether templates list the options in words of their own, as a published
        protocol has them, so that no form adds a list or leaves it out.
    """

    name: str
    cluster: str
    source: Source
    templates: tuple[Template, ...]
    row: Callable[[Row], Fields | None]
    example: Row
    metrics: tuple[str, ...]
    few_shot: FewShot | None
    shuffle_options: bool
    has_options: bool
    licence: str = ""
    origins: tuple[str, ...] = ()
    lists_options: bool = False

    def __call__(self, row: Row) -> Fields | None:
        """Runs the row function, as if it had not been decorated."""
        return self.row(row)


@dataclass(frozen=True)
class DocumentsDeclaration:
    """Raw text to pretrain on; made by `documents`.

    Attributes:
      name: unique name, of letters, digits and underscores.
      source: where raw rows come from.
      row: function from a raw row to a text, to `(text, loss weight)` segments, or None.
      example: a raw row on which the declaration is checked.
      objectives: names from `OBJECTIVES`.
    """

    name: str
    source: Source
    row: Callable[[Row], str | Segments | None]
    example: Row
    objectives: tuple[str, ...]

    def __call__(self, row: Row) -> str | Segments | None:
        """Runs the row function, as if it had not been decorated."""
        return self.row(row)


Declaration = TaskDeclaration | DocumentsDeclaration


def task(
    name: str,
    *,
    cluster: str,
    source: Source,
    templates: Sequence[Template],
    example: Row,
    metrics: Sequence[str] = (),
    few_shot: FewShot | None = None,
    shuffle_options: bool = False,
    licence: str = "",
    origins: Sequence[str] = (),
) -> Callable[[Callable[[Row], Fields | None]], TaskDeclaration]:
    """Declares a templated task; decorates its row function.

    The row function gives a dict with a value for each slot that the templates name, `answer` (a
    text, or a list of texts all of which are right) and, for choices, `options` (a list of texts).
    None leaves the row out.

    Args:
      name: unique name, of letters, digits and underscores.
      cluster: name of the task cluster.
      source: where raw rows come from; see `flan_jax.data.sources`.
      templates: one or more ways to put an example into words; ten is usual.
      example: a raw row on which the declaration is checked, so that no data need be read.
      metrics: how it is scored; empty means accuracy with options and exact match without.
      few_shot: how few-shot prompts are made; None takes the collection's setting.
      shuffle_options: shows the options in seeded random order.
      licence: terms under which the data may be used, in a few words; empty if unknown.
      origins: published data sets whose texts this one holds beside its own, for the leak gate
        (`("squad",)` for QNLI, whose sentences are from SQuAD's passages).

    Returns:
      A decorator that gives a `TaskDeclaration`.

    Raises:
      DeclarationError: if the parts do not fit; the message names the task and the remedy.
    """

    def decorate(row: Callable[[Row], Fields | None]) -> TaskDeclaration:
        check_name("task", name)
        check_name("cluster", cluster, f"task {name!r}: ")
        check_templates(name, templates)
        checked = _check_example(name, row, example)
        check_slots(name, templates, _slots_filled(checked))
        has_options = bool(checked.options)
        chosen = tuple(metrics) or (("accuracy",) if has_options else ("exact_match",))
        check_metrics(name, chosen, has_options)
        return TaskDeclaration(
            name=name,
            cluster=cluster,
            source=source,
            templates=tuple(templates),
            row=row,
            example=example,
            metrics=chosen,
            few_shot=few_shot,
            shuffle_options=shuffle_options,
            has_options=has_options,
            licence=licence,
            origins=tuple(origins),
        )

    return decorate


def documents(
    name: str,
    *,
    source: Source,
    example: Row,
    objectives: Sequence[str] = OBJECTIVES,
) -> Callable[[Callable[[Row], str | Segments | None]], DocumentsDeclaration]:
    """Declares raw documents to pretrain on; decorates their row function.

    The row function gives the text of a document, or a list of `(text, weight)` segments whose
    tokens count with that weight in the loss. Segments are tokenised one by one, so they should
    end between words. None leaves the row out.

    Args:
      name: unique name, of letters, digits and underscores.
      source: where raw rows come from.
      example: a raw row on which the declaration is checked.
      objectives: the pretraining objectives to register it under.

    Returns:
      A decorator that gives a `DocumentsDeclaration`.

    Raises:
      DeclarationError: if the parts do not fit; the message names the documents and the remedy.
    """

    def decorate(row: Callable[[Row], str | Segments | None]) -> DocumentsDeclaration:
        check_name("documents", name)
        for objective in objectives:
            check_known(f"documents {name!r}: objective", objective, OBJECTIVES)
        try:
            document = row(example)
            if document is None:
                raise RowError("filtered")
            check_document(document)
        except Exception as error:
            raise DeclarationError(
                f"documents {name!r}: the row function fails on the declared example "
                f"({type(error).__name__}: {error}); mend the function or the example"
            ) from error
        return DocumentsDeclaration(name, source, row, example, tuple(objectives))

    return decorate


def choose(options: Sequence[str], label: Any) -> str:
    """Gives the option that a label stands for.

    Args:
      options: one text a label.
      label: index of an option; a text that stands for an index is read as one.

    Returns:
      The option: for `["yes", "no"]` and 1, `"no"`.

    Raises:
      RowError: if the label is not one of the options' indices.
    """
    try:
        index = int(label)
    except (TypeError, ValueError):
        index = -1
    if not 0 <= index < len(options):
        raise RowError(f"label out of range ({label!r})")
    return options[index]


def check_fields(fields: Fields, required: Iterable[str] = ()) -> Example:
    """Checks what a row function gave and sorts it into an `Example`.

    Args:
      fields: what the row function gave.
      required: names of fields that must be there, `options` perhaps among them.

    Returns:
      The checked example.

    Raises:
      RowError: if the answer is missing, empty, no text or not among the options, if the options
        are fewer than two or repeat, or if a required field is missing or None.
    """
    fields = dict(fields)
    for name in ("answer", *required):
        if fields.get(name) is None:
            raise RowError(f"missing field {name!r}")
    references = _references(fields.pop("answer"))
    options = fields.pop("options", None)
    if options is None:
        return Example(fields, (), -1, references)
    options = tuple(options)
    if len(options) < 2 or len(set(options)) < len(options):
        raise RowError("fewer than two options, or the same option twice")
    if not all(isinstance(option, str) and option.strip() for option in options):
        raise RowError("empty option")
    if references[0] not in options:
        raise RowError("answer not among options")
    return Example(fields, options, options.index(references[0]), references)


def _references(answer: Any) -> tuple[str, ...]:
    answers = [answer] if isinstance(answer, str) else answer
    if not isinstance(answers, list | tuple) or not all(isinstance(text, str) for text in answers):
        raise RowError("answer is not text")
    answers = [text for text in answers if text.strip()]
    if not answers:
        raise RowError("empty answer")
    return tuple(answers)


def check_document(document: str | Segments) -> None:
    """Checks what the row function of documents gave.

    Args:
      document: a text or `(text, weight)` segments.

    Raises:
      RowError: if there is no text, or a weight is negative or not finite.
    """
    if isinstance(document, str):
        segments = [(document, 1.0)]
    else:
        segments = [(text, float(weight)) for text, weight in document]
    if not any(text.strip() for text, _ in segments):
        raise RowError("empty document")
    # A comparison with NaN is false, so this turns it away too.
    if not all(0 <= weight < float("inf") for _, weight in segments):
        raise RowError("loss weight negative or not finite")


def _check_example(name: str, row: Callable[[Row], Fields | None], example: Row) -> Example:
    try:
        fields = row(example)
        if fields is None:
            raise RowError("filtered")
        return check_fields(fields)
    except Exception as error:
        raise DeclarationError(
            f"task {name!r}: the row function fails on the declared example "
            f"({type(error).__name__}: {error}); mend the function or the example"
        ) from error


def _slots_filled(example: Example) -> list[str]:
    known = [name for name, value in example.fields.items() if value is not None]
    return [*known, "answer", *(["options"] if example.options else [])]
