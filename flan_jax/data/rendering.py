"""Renderings: raw rows in, the texts of prompts and targets out, in plain Python.

Both SeqIO's tasks and the cache read this one path, so they cannot differ. Whatever is drawn at
random (order of options, exemplars of a few-shot prompt) is keyed by seed, task, example and
template: any rendering can be made again alone.
"""

import functools
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
from flan_jax.data.forms import MIXED, Form, template_indices
from flan_jax.data.sources.protocol import ROW_FAULTS, BadRow
from flan_jax.data.templates import (
    OPTION_STYLES,
    FewShot,
    Rendering,
    Template,
    exemplar_text,
    few_shot_prompt,
    options_block,
    render_inputs,
    render_targets,
    slots,
)

# Rows from which a few-shot prompt takes its exemplars: enough variety, and cheap to hold.
POOL_SIZE = 64
# Rows of the exemplar split that are looked at to draw the pool: a sample of files sorted by label
# must reach beyond their beginning, and a pool must not take minutes to draw.
POOL_SCAN = 20_000
_SPARE_EXEMPLARS = 4
_SHOWN_LOCATIONS = 5

# The templates of an example, and often all examples, show the same options.
_options_block = functools.lru_cache(maxsize=256)(options_block)


class Rendered(NamedTuple):
    """One example under one template.

    Attributes:
      example: index of the row in its split.
      template: index of the template in its task; 0 for documents.
      inputs: the prompt; empty for documents.
      targets: the text to produce, or `(text, loss weight)` segments.
      options: the answers to choose from, as this template verbalises them; empty without.
      answer: index of the right option; -1 without options.
      references: right answers, as this template verbalises them.
    """

    example: int
    template: int
    inputs: str
    targets: str | Segments
    options: list[str]
    answer: int
    references: list[str]


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


class Exemplars:
    """The solved examples that few-shot prompts of one task are made of."""

    def __init__(
        self,
        declaration: TaskDeclaration,
        form: Form,
        pool: list[tuple[int, Example]],
        few_shot: FewShot,
        count_tokens: Callable[[str], int] | None,
        same_split: bool,
        seed: int,
    ):
        """Holds a pool.

        Args:
          declaration: the task.
          form: the form whose prompts are made.
          pool: rows with their index, from `draw_pool`.
          few_shot: how prompts are made.
          count_tokens: length of a text in tokens; needed for a token budget.
          same_split: whether the pool is from the split that is rendered, so that an example must
            be kept out of its own prompt by its index.
          seed: seed of the choice.
        """
        self._declaration = declaration
        self._form = form
        self._seed = seed
        self._pool = pool
        self._few_shot = few_shot
        self._same_split = same_split
        # Exemplar texts recur in prompt after prompt, so each is measured once.
        self._count = _Memo(count_tokens) if count_tokens else None
        self._texts: dict[tuple[int, int], tuple[str, str]] = {}

    def prompt(self, query: str, fields: Mapping[str, Any], example: int, template: int) -> str:
        """Puts solved examples before a prompt.

        Args:
          query: the prompt to be solved.
          fields: what it is made of; doubles are kept out.
          example: its row's index, which is kept out.
          template: index of the template, which renders the exemplars too.

        Returns:
          The few-shot prompt.
        """
        key = keyed.derive(self._seed, "exemplars", self._declaration.name, example, template)
        # Twice as many as wanted are tried against a budget, so that a long one can be passed over;
        # and some more, as the example itself and its doubles are kept out.
        wanted = 2 * self._few_shot.exemplars + _SPARE_EXEMPLARS
        size = len(self._pool)
        order = random.Random(int(key)).sample(range(size), min(size, wanted))
        candidates = (self._text(position, template) for position in order)
        others = (
            text
            for position, (inputs, text) in zip(order, candidates, strict=True)
            if inputs != query
            and self._pool[position][1].fields != fields
            and not (self._same_split and self._pool[position][0] == example)
        )
        few = list(itertools.islice(others, 2 * self._few_shot.exemplars))
        return few_shot_prompt(query, few, self._few_shot, self._count)

    def _text(self, position: int, template: int) -> tuple[str, str]:
        """Gives the prompt of an exemplar, and the prompt with its answer."""
        if (position, template) not in self._texts:
            index, example = self._pool[position]
            declaration, form, seed = self._declaration, self._form, self._seed
            example = _shuffled(declaration, form, example, seed, index, template)
            style = _style(declaration, form, template, seed)
            solved = _render(declaration.templates[template], example, style)
            text = exemplar_text(solved, self._few_shot)
            self._texts[position, template] = (solved.inputs, text)
        return self._texts[position, template]


class _Memo(dict):
    """A function of text that remembers a bounded number of results."""

    def __init__(self, function: Callable[[str], int]):
        super().__init__()
        self._function = function

    def __call__(self, text: str) -> int:
        if len(self) > POOL_SIZE * 256:
            self.clear()
        if text not in self:
            self[text] = self._function(text)
        return self[text]


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
    indices = template_indices(declaration, form)
    required = _required(declaration)
    for index, row in enumerate(rows):
        example = _read(declaration, row, required)
        if isinstance(example, RowError):
            drops.add(str(example), functools.partial(_where, row, locate, index), example.wanted)
            continue
        yield [
            _rendered(declaration, form, example, index, template, seed, exemplars)
            for template in indices
        ]


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


def _rendered(
    declaration: TaskDeclaration,
    form: Form,
    example: Example,
    index: int,
    template: int,
    seed: int,
    exemplars: Exemplars | None,
) -> Rendered:
    # In evaluation all templates of an example show the options in one order, so that means over
    # templates compare wordings and nothing else.
    place = None if form.evaluation else template
    example = _shuffled(declaration, form, example, seed, index, place)
    wording = declaration.templates[template]
    inputs, targets = _render(wording, example, _style(declaration, form, template, seed))
    if exemplars is not None:
        inputs = exemplars.prompt(inputs, example.fields, index, template)
    if wording.targets == "{answer}":
        options, references = list(example.options), list(example.references)
    elif wording.turned_around:
        return Rendered(index, template, inputs, targets, [], -1, [targets])
    else:
        options = [render_targets(wording, example.fields, text) for text in example.options]
        references = [render_targets(wording, example.fields, text) for text in example.references]
    return Rendered(index, template, inputs, targets, options, example.answer, references)


def _style(declaration: TaskDeclaration, form: Form, template: int, seed: int) -> str | None:
    """Gives the style of the list of options; None where it is not shown."""
    if not form.with_options or declaration.lists_options:
        return None
    if form.style != MIXED:
        return form.style
    key = keyed.derive(seed, "style", declaration.name, template)
    return list(OPTION_STYLES)[int(key) % len(OPTION_STYLES)]


def _render(template: Template, example: Example, style: str | None) -> Rendering:
    block = _options_block(example.options, style) if style and example.options else None
    fields, answer = example.fields, example.references[0]
    if template.targets != "{answer}" and template.turned_around:
        fields = {**fields, "answer": answer}
    return Rendering(
        render_inputs(template, fields, block), render_targets(template, fields, answer)
    )


def _shuffled(
    declaration: TaskDeclaration,
    form: Form,
    example: Example,
    seed: int,
    index: int,
    template: int | None,
) -> Example:
    if not example.options or not (declaration.shuffle_options or form.permuted):
        return example
    place = () if template is None else (template,)
    key = keyed.derive(seed, "options", declaration.name, index, *place)
    options = list(example.options)
    random.Random(int(key)).shuffle(options)
    answer = options.index(example.references[0])
    return Example(example.fields, tuple(options), answer, example.references)
