"""Samples: a few rows of a declared set, put into words, to be looked at by a person.

Rows come from the data where it is local, and are else the declared example; nothing is downloaded.
Every rendering is that of the cache: options and exemplars are drawn with the row's own index.

    data = find(variant.declaration, variant.data_dir)
    (sample,) = pick(variant, data, "train")
    for view in views(variant, data, sample):
        print(view.rendered.inputs, "=>", view.rendered.targets)
"""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from flan_jax.data.declarations import Declaration, Fields, Row, TaskDeclaration
from flan_jax.data.forms import TRAIN
from flan_jax.data.renderer import Rendered
from flan_jax.data.rendering import POOL_SCAN, Drops
from flan_jax.data.sources import LOCAL, MISSING, Availability, BadRow, Source
from flan_jax.data.variants import Variant

# Kinds of text in a prompt.
WORDING = "wording"  # the template's own words
DATA = "data"  # what the row filled in
EXEMPLARS = "exemplars"  # solved examples before the prompt

# Rows that are tried until enough can be rendered.
_TRIED = 2000
# Filled slots are set between two characters of Unicode's private use area.
_OPEN, _CLOSE = "\ue000", "\ue001"
_SHOWN = "shown"


class NoSample(Exception):
    """There is no row to look at; the message is one line that says why."""


class Part(NamedTuple):
    """A stretch of a text, and whether it is `WORDING`, `DATA` or `EXEMPLARS`."""

    text: str
    kind: str


class View(NamedTuple):
    """A rendering, with its texts in parts that say where the words are from."""

    rendered: Rendered
    prompt: tuple[Part, ...]
    target: tuple[Part, ...]


@dataclass(frozen=True)
class Data:
    """What there is of a set on this machine.

    Attributes:
      source: the source that is read; None if none is local.
      availability: what the declaration's source says of itself.
      data_dir: folder of the data files.
    """

    source: Source | None
    availability: Availability
    data_dir: str | None

    @functools.cached_property
    def training(self) -> tuple[Row | BadRow, ...]:
        """The rows that exemplars are drawn from; none where they are not local."""
        if self.source is None or TRAIN not in self.source.splits:
            return ()
        try:
            rows = self.source.rows(TRAIN, self.data_dir)
            return tuple(itertools.islice(rows, POOL_SCAN))
        except (OSError, ValueError):
            return ()


class Sample(NamedTuple):
    """A row to look at.

    Attributes:
      index: its index in the split.
      row: the raw row.
      split: its split; empty for a declared example.
    """

    index: int
    row: Row
    split: str

    @property
    def declared(self) -> bool:
        """Whether it is the declaration's example and no row of the data."""
        return not self.split


def find(declaration: Declaration, data_dir: str | None) -> Data:
    """Finds out what there is of a set, without downloading.

    Args:
      declaration: the task or the documents.
      data_dir: folder of the data files.
    """
    try:
        availability = declaration.source.availability(data_dir)
        local = availability.state == LOCAL
        source = declaration.source.chosen(data_dir) if local else None
    except Exception as error:  # one broken set never stops the others
        reason = f"{type(error).__name__}: {_first_line(error)}"
        return Data(None, Availability(MISSING, reason), data_dir)
    return Data(source, availability, data_dir)


def declared_example(variant: Variant) -> Sample:
    """Gives the row on which a declaration is checked."""
    return Sample(0, variant.declaration.example, "")


def place(data: Data, sample: Sample) -> str:
    """Says where a sample is, `file:line` for files."""
    if sample.declared:
        return "the declared example, not a row of the data"
    return data.source.locate(sample.split, sample.index, data.data_dir)


def readable_split(data: Data, wanted: str | None = None) -> str:
    """Chooses a split to look at: the one that is wanted, else training, else the first.

    Raises:
      NoSample: it cannot be read.
    """
    if data.source is None:
        raise NoSample(f"{data.availability.state}: {data.availability.detail}")
    splits = data.source.splits
    if wanted is not None and wanted not in splits:
        raise NoSample(f"there is no split {wanted!r}; there are {', '.join(splits)}")
    others = sorted(splits, key=lambda split: split != TRAIN)
    reason = "it has no splits"
    for split in [wanted] if wanted else others:
        try:
            next(iter(data.source.rows(split, data.data_dir)), None)
            return split
        except Exception as error:
            reason = _first_line(error)
    raise NoSample(f"split {wanted or others[0]!r} cannot be read: {reason}")


def pick(
    variant: Variant, data: Data, split: str, start: int = 0, count: int = 1, tried: int = _TRIED
) -> list[Sample]:
    """Picks rows that can be rendered.

    Args:
      variant: any form of the task.
      data: from `find`, with a source.
      split: name of the split.
      start: index of the first row to try.
      count: how many to pick.
      tried: rows to try at most.

    Returns:
      At most `count` samples, by increasing index.

    Raises:
      NoSample: none of the rows can be rendered, or there are no such rows.
    """
    rows: dict[int, Row | BadRow] = {}
    drops = Drops()
    try:
        stop = start + tried
        given = itertools.islice(data.source.rows(split, data.data_dir), stop)
        remembered = _remember(given, start, rows)
        shown = _Picked(data.source, data.data_dir, split, remembered, ())
        first = _reading(_zero_shot(variant), shown).grouped(_SHOWN, 0, drops)
        indices = [group[0].example for group in itertools.islice(first, count)]
    except Exception as error:
        raise NoSample(f"split {split!r} cannot be read: {_first_line(error)}") from error
    if not indices:
        if not rows:
            raise NoSample(f"split {split!r} has no row {start}")
        reasons = "; ".join(f"{reason} ({n} rows)" for reason, n in drops.counts.items())
        raise NoSample(f"no row of {split!r} from {start} can be rendered: {reasons}")
    return [Sample(index, rows[index], split) for index in indices]


def views(
    variant: Variant, data: Data, sample: Sample, seed: int = 0, inputs_length: int | None = None
) -> list[View]:
    """Renders a sample under all templates of a form.

    Args:
      variant: the form.
      data: from `find`; few-shot prompts take their exemplars from it.
      sample: the row.
      seed: seed of option order and exemplars.
      inputs_length: tokens that few-shot prompts may have.

    Returns:
      A view a template, by increasing template.

    Raises:
      NoSample: the row cannot be rendered; the message is the reason.
    """
    plain = _render(variant, data, sample, seed, inputs_length)
    if not isinstance(variant.declaration, TaskDeclaration):
        return [View(one, (), ()) for one in plain]
    marked = replace(variant.declaration, row=functools.partial(_marked_row, variant.declaration))
    sibling = replace(_zero_shot(variant), declaration=marked)
    queries = _render(sibling, data, sample, seed, None)
    return [
        View(one, _prompt_parts(one.inputs, query.inputs), parts(one.targets, query.targets))
        for one, query in zip(plain, queries, strict=True)
    ]


def parts(plain: str, marked: str) -> tuple[Part, ...]:
    """Cuts a text into the template's words and the row's.

    Args:
      plain: the text.
      marked: the text with its filled slots marked.
    """
    found = []
    for number, stretch in enumerate(marked.replace(_CLOSE, _OPEN).split(_OPEN)):
        if stretch:
            found.append(Part(stretch, DATA if number % 2 else WORDING))
    # The data may hold the marks itself.
    if "".join(part.text for part in found) != plain:
        return (Part(plain, DATA),)
    return tuple(found)


def _prompt_parts(prompt: str, marked: str) -> tuple[Part, ...]:
    """Parts of a prompt whose last piece is a marked query, with or without an answer mark."""
    query = marked.replace(_OPEN, "").replace(_CLOSE, "")
    start = prompt.rfind(query)
    if start < 0:
        return (Part(prompt, DATA),)
    before, after = prompt[:start], prompt[start + len(query) :]
    found = [Part(before, EXEMPLARS), *parts(query, marked), Part(after, WORDING)]
    return tuple(part for part in found if part.text)


def _zero_shot(variant: Variant) -> Variant:
    if variant.form.objective:
        return variant
    return replace(variant, form=replace(variant.form, shots="zero_shot"))


def _render(
    variant: Variant, data: Data, sample: Sample, seed: int, inputs_length: int | None
) -> list[Rendered]:
    rows = itertools.chain(itertools.repeat(_NOT_LOOKED_AT, sample.index), [sample.row])
    training = data.training if variant.form.few_shot else ()
    source = data.source or variant.declaration.source
    shown = _Picked(source, data.data_dir, sample.split, rows, training)
    drops = Drops()
    for group in _reading(variant, shown).grouped(_SHOWN, seed, drops, inputs_length):
        return group
    reasons = [reason for reason in drops.counts if reason != _NOT_LOOKED_AT.reason]
    raise NoSample(f"row {sample.index} is left out: {', '.join(reasons) or 'no rendering'}")


def _reading(variant: Variant, source: "_Picked") -> Variant:
    return replace(variant, declaration=replace(variant.declaration, source=source))


_NOT_LOOKED_AT = BadRow("", "not looked at", wanted=True)


@dataclass(frozen=True)
class _Picked:
    """A source with a split `shown`, a part of another source's; for `Variant.grouped` alone."""

    source: Source
    data_dir: str | None
    split: str
    shown: Iterator[Row | BadRow]
    training: tuple[Row | BadRow, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        return (TRAIN, _SHOWN)

    def rows(self, split: str, data_dir: str | None) -> Iterator[Row | BadRow]:
        return self.shown if split == _SHOWN else iter(self.training)

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        return f"{self.split}:{index}"


def _remember(
    rows: Iterator[Row | BadRow], start: int, remembered: dict[int, Row | BadRow]
) -> Iterator[Row | BadRow]:
    for index, row in enumerate(rows):
        if index >= start:
            remembered[index] = row
        yield row if index >= start else _NOT_LOOKED_AT


def _marked_row(declaration: TaskDeclaration, row: Row) -> Fields | None:
    fields = declaration.row(row)
    return fields and {name: _marked(value) for name, value in fields.items()}


def _marked(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_marked(one) for one in value]
    text = str(value)
    return value if value is None or not text.strip() else f"{_OPEN}{text}{_CLOSE}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
