"""Renderings: raw rows in, the texts of prompts and targets out, in plain Python.

Rows are read and checked here, and what cannot be used is counted; `renderer` puts the rest into
words. Both SeqIO's tasks and the cache read this one path, so they cannot differ.
"""

import functools
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flan_jax.data import keyed
from flan_jax.data.declarations import (
    Declaration,
    DocumentsDeclaration,
    Example,
    Row,
    RowError,
    Segments,
    TaskDeclaration,
    check_document,
    check_fields,
)
from flan_jax.data.forms import Form
from flan_jax.data.renderer import POOL_SIZE, Checked, Exemplars, Rendered, Renderer
from flan_jax.data.sources.protocol import ROW_FAULTS, BadRow
from flan_jax.data.templates import slots

# Rows of the exemplar split that are looked at to draw the pool: a sample of files sorted by label
# must reach beyond their beginning, and a pool must not take minutes to draw.
POOL_SCAN = 20_000
_SHOWN_LOCATIONS = 5


@dataclass
class Drops:
    """Counts the rows that were left out, by reason, and remembers where the first few were.

    Attributes:
      counts: rows by reason.
      locations: the first few locations by reason, `file:line` for files.
      wanted: reasons that are no sign of broken data, such as a filter.
    """

    counts: dict[str, int] = field(default_factory=dict)
    locations: dict[str, list[str]] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)

    @property
    def total(self) -> int:
        """Number of rows left out."""
        return sum(self.counts.values())

    @property
    def bad(self) -> int:
        """Number of rows left out because they are broken."""
        return sum(count for reason, count in self.counts.items() if reason not in self.wanted)

    def add(self, reason: str, locate: Callable[[], str], wanted: bool = False) -> None:
        """Counts a row; `locate` is called for the first few of a reason only."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        if wanted:
            self.wanted.add(reason)
        if self.counts[reason] <= _SHOWN_LOCATIONS:
            self.locations.setdefault(reason, []).append(locate())

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Gives `{reason: {"count": n, "first": [location, ...]}}`, for a manifest."""
        return {
            reason: {"count": count, "first": self.locations[reason]}
            for reason, count in self.counts.items()
        }


class LateDrops:
    """Keeps dropped rows in mind, to be counted once what came before them was."""

    def __init__(self):
        """Starts with none."""
        self._kept: list[tuple[str, Callable[[], str], bool]] = []

    def add(self, reason: str, locate: Callable[[], str], wanted: bool = False) -> None:
        """Takes what `Drops.add` takes."""
        self._kept.append((reason, locate, wanted))

    def take(self) -> list[tuple[str, Callable[[], str], bool]]:
        """Hands out the arguments for `Drops.add` that came since the last time."""
        taken, self._kept = self._kept, []
        return taken


def draw_pool(
    declaration: TaskDeclaration, rows: Iterable[Row | BadRow], seed: int
) -> list[tuple[int, Example]]:
    """Draws the rows that serve as exemplars, evenly from the first `POOL_SCAN` rows of a split.

    Args:
      declaration: the task.
      rows: the raw rows of the exemplar split.
      seed: seed of the choice.

    Returns:
      At most `POOL_SIZE` pairs of a row's index and the checked example, by increasing index.
    """
    generator = random.Random(int(keyed.derive(seed, "pool", declaration.name)))
    # Some are drawn in reserve, for rows that turn out to be unusable.
    pool: list[tuple[int, Row]] = []
    for index, row in enumerate(itertools.islice(rows, POOL_SCAN)):
        if isinstance(row, BadRow):
            continue
        if len(pool) < 2 * POOL_SIZE:
            pool.append((index, row))
            continue
        place = generator.randrange(index + 1)
        if place < len(pool):
            pool[place] = (index, row)
    generator.shuffle(pool)
    required = _required(declaration)
    usable = ((index, _read(declaration, row, required)) for index, row in pool)
    chosen = [(index, example) for index, example in usable if isinstance(example, Example)]
    return sorted(chosen[:POOL_SIZE], key=lambda pair: pair[0])


def checked_task(
    declaration: TaskDeclaration,
    rows: Iterable[Row | BadRow],
    *,
    drops: Drops,
    locate: Callable[[int], str],
    exemplars: Exemplars | None = None,
) -> Iterator[Checked]:
    """Checks the rows of a split.

    Args:
      declaration: the task.
      rows: raw rows of the split.
      drops: counts rows that are left out.
      locate: says where the row of an index is.
      exemplars: solved examples, for few-shot forms.

    Yields:
      The examples, in order.
    """
    required = _required(declaration)
    for index, row in enumerate(rows):
        example = _read(declaration, row, required)
        if isinstance(example, RowError):
            drops.add(str(example), functools.partial(_where, row, locate, index), example.wanted)
            continue
        yield Checked(index, example, exemplars.doubles(index, example) if exemplars else ())


def render_task(
    declaration: TaskDeclaration,
    form: Form,
    rows: Iterable[Row | BadRow],
    *,
    seed: int,
    drops: Drops,
    locate: Callable[[int], str],
    exemplars: Exemplars | None = None,
) -> Iterator[list[Rendered]]:
    """Renders the rows of a split under all templates of a form.

    Args:
      declaration: the task.
      form: which of its forms.
      rows: raw rows of the split.
      seed: seed of options and exemplars.
      drops: counts rows that are left out.
      locate: says where the row of an index is.
      exemplars: solved examples, for few-shot forms.

    Yields:
      The renderings of one example, one a template, by increasing template.
    """
    renderer = Renderer.of(declaration, form, seed, exemplars)
    examples = checked_task(declaration, rows, drops=drops, locate=locate, exemplars=exemplars)
    yield from map(renderer.render, examples)


def render_documents(
    declaration: DocumentsDeclaration,
    rows: Iterable[Row | BadRow],
    *,
    drops: Drops,
    locate: Callable[[int], str],
) -> Iterator[Rendered]:
    """Renders the rows of a split of documents: their texts are targets without inputs.

    Args:
      declaration: the documents.
      rows: raw rows of the split.
      drops: counts rows that are left out.
      locate: says where the row of an index is.

    Yields:
      One rendering a document.
    """
    for index, row in enumerate(rows):
        document = _read(declaration, row)
        if isinstance(document, RowError):
            drops.add(str(document), functools.partial(_where, row, locate, index), document.wanted)
            continue
        yield Rendered(index, 0, "", document, [], -1, [])


def _required(declaration: TaskDeclaration) -> tuple[str, ...]:
    """Lists the fields without which some template cannot be rendered."""
    named = {}
    for wording in declaration.templates:
        named.update(dict.fromkeys(slots(wording.inputs) + slots(wording.targets)))
    if declaration.has_options:
        named["options"] = None
    else:
        named.pop("options", None)
    return tuple(named)


def _read(
    declaration: Declaration, row: Row | BadRow, required: tuple[str, ...] = ()
) -> Example | str | Segments | RowError:
    """Gives what a row holds, checked; or, as an error that is not raised, why it is left out."""
    if isinstance(row, BadRow):
        return RowError(row.reason, row.wanted)
    try:
        result = declaration.row(row)
        if result is None:
            return RowError("filtered", wanted=True)
        if isinstance(declaration, TaskDeclaration):
            return check_fields(result, required)
        check_document(result)
        return result
    except RowError as error:
        return error
    except ROW_FAULTS as error:
        name = error.args[0] if isinstance(error, KeyError) and error.args else None
        if name in declaration.example and name not in row:
            return RowError(f"missing field {name!r}")
        return RowError(f"row function fails ({type(error).__name__}: {error})")


def _where(row: Row | BadRow, locate: Callable[[int], str], index: int) -> str:
    return row.location if isinstance(row, BadRow) else locate(index)
