"""The catalogue: what there is to say of each task of a collection, and a page of it.

    write("flan2021", "flan2021", CacheConfig(1024, 256), "catalogue.html")

Each template is shown with a row of the data where that is local, and else with the declared
example. Nothing is downloaded.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flan_jax import storage
from flan_jax.data import samples
from flan_jax.data.browse import (
    DOCUMENTS,
    Choice,
    Member,
    Panel,
    check_vocabulary,
    members,
    notes,
    panels,
)
from flan_jax.data.declarations import Declaration, TaskDeclaration
from flan_jax.data.forms import forms, template_indices
from flan_jax.data.loss_mask import DECODER, ENCODER, JOINED, runs
from flan_jax.data.samples import Data, NoSample, Part, Sample
from flan_jax.data.tokenisation import CacheConfig

# Among so many rows a short one is chosen: it shows a template as well and is sooner read.
_ROWS = 24
# Characters of the row's words that are shown in one stretch: the first template shows a text, the
# others show where it goes. And characters of solved examples.
_FIRST, _LATER, _SOLVED = 700, 280, 2400
# A text that is only a little too long is shown whole.
_SPARED = 100


@dataclass(frozen=True)
class Shown:
    """A rendering, ready for a page.

    Attributes:
      forms: names of the forms that give it.
      template: index of the template.
      name: label of the template; may be empty.
      turned_around: whether the answer is in the prompt.
      prompt: the prompt in parts; long ones lack their middle.
      target: the target likewise.
      tokens: tokens of the prompt and of the target, with their ends of sequence, as a cache has
        them; empty for what a cache leaves out.
      note: what a cache cuts off or leaves out, and the like; may be empty.
      options: the answers to choose from.
      answer: index of the right one; -1 without options.
    """

    forms: tuple[str, ...]
    template: int
    name: str
    turned_around: bool
    prompt: tuple[Part, ...]
    target: tuple[Part, ...]
    tokens: tuple[int, ...]
    note: str
    options: tuple[str, ...]
    answer: int


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of a task, or of documents.

    Attributes:
      name: its name.
      cluster: its cluster.
      sources: versions of all its sources, in the order in which they are tried.
      source: version of the one that is read; empty if none is local.
      state: whether the data is local, downloadable or missing.
      detail: where the data is, or why there is none.
      licence: terms of use; may be empty.
      origins: published data sets whose texts it holds.
      metrics: names of its metrics; for documents, of its objectives.
      splits: number of rows by split; None where they cannot be counted here.
      forms: names of its registered forms.
      has_options: whether there are options to choose from.
      place: where the rendered row is.
      declared: whether that is the declared example and no row of the data.
      templates: every template, zero-shot.
      others: other forms of the first template.
      warnings: what could not be rendered, in a line each.
    """

    name: str
    cluster: str
    sources: tuple[str, ...]
    source: str
    state: str
    detail: str
    licence: str
    origins: tuple[str, ...]
    metrics: tuple[str, ...]
    splits: dict[str, int | None]
    forms: tuple[str, ...]
    has_options: bool
    place: str
    declared: bool
    templates: tuple[Shown, ...]
    others: tuple[Shown, ...]
    warnings: tuple[str, ...]


def write(name: str, collection: str, lengths: CacheConfig, path: str) -> str:
    """Writes the page.

    Args:
      name: a collection, a cluster, a mixture or a task: what the page lists.
      collection: name of the registered collection.
      lengths: lengths and seed of caches.
      path: the file, local or remote.

    Returns:
      A line that says what was written.

    Raises:
      ValueError: if nothing has that name, or its vocabulary cannot be read.
    """
    from flan_jax.data import catalogue_page

    began = time.perf_counter()
    found = entries(name, collection, lengths)
    page = catalogue_page.render(name, found, lengths).encode()
    storage.path(path).parent.mkdir(parents=True, exist_ok=True)
    storage.write_atomically(path, page)
    local = sum(not entry.declared for entry in found)
    return (
        f"{path}: {len(found)} tasks, {local} of them with a row of the data, "
        f"{len(page) / 1e6:.2f} MB, {time.perf_counter() - began:.0f} s"
    )


def entries(name: str, collection: str, lengths: CacheConfig) -> list[Entry]:
    """Gathers what the catalogue says; a broken set is shown by its declared example.

    Args and raises: as for `write`.
    """
    found = members(name, collection)
    check_vocabulary(found)
    return [entry(member, lengths) for member in found]


def entry(member: Member, lengths: CacheConfig) -> Entry:
    """Gathers what the catalogue says of one task."""
    declaration = member.variant.declaration
    data = samples.find(declaration, member.variant.data_dir)
    sample, templates, others, warnings = _rendered(member, data, lengths)
    alternatives = getattr(declaration.source, "alternatives", (declaration.source,))
    return Entry(
        name=declaration.name,
        cluster=member.cluster,
        sources=tuple(dict.fromkeys(source.version for source in alternatives)),
        source=data.source.version if data.source else "",
        state=data.availability.state,
        detail=_within(data.availability.detail, data),
        licence=getattr(declaration, "licence", ""),
        origins=getattr(declaration, "origins", ()),
        metrics=_metrics(declaration),
        splits={split: _count(data, split) for split in declaration.source.splits},
        forms=tuple(form.name for form in forms(declaration)),
        has_options=getattr(declaration, "has_options", False),
        place=_within(samples.place(data, sample), data),
        declared=sample.declared,
        templates=templates,
        others=others,
        warnings=warnings,
    )


def _within(text: str, data: Data) -> str:
    """A place as seen from the data folder or from home: a page may be read elsewhere."""
    if data.data_dir:
        text = text.replace(f"{str(data.data_dir).rstrip('/')}/", "")
    return text.replace(str(Path.home()), "~")


def _metrics(declaration: Declaration) -> tuple[str, ...]:
    if isinstance(declaration, TaskDeclaration):
        return declaration.metrics
    return declaration.objectives


def _count(data: Data, split: str) -> int | None:
    if data.source is None:
        return None
    try:
        return data.source.num_examples(split, data.data_dir)
    except Exception:  # a split that one source lacks; the others are still counted
        return None


def _rendered(
    member: Member, data: Data, lengths: CacheConfig
) -> tuple[Sample, tuple[Shown, ...], tuple[Shown, ...], tuple[str, ...]]:
    """Renders a short row of the data or, where there is none, the declared example."""
    declared = samples.declared_example(member.variant)
    reason = ""
    try:
        split = samples.readable_split(data)
        found = samples.pick(member.variant, data, split, count=_ROWS)
        sample = sorted(found, key=lambda one: len(str(one.row)))[len(found) // 4]
    except NoSample as error:
        sample, reason = declared, str(error) if data.source else ""
    every, others, warnings = _panels(member, data, sample, lengths)
    if not every and not sample.declared:
        sample, reason = declared, " ".join(warnings)
        every, others, warnings = _panels(member, data, sample, lengths)
    templates = [_shown(panel, _LATER if n else _FIRST) for n, panel in enumerate(every)]
    more = [_shown(panel, _LATER) for panel in others]
    warnings = (reason, *warnings) if reason else warnings
    return sample, tuple(templates), tuple(more), warnings


def _panels(
    member: Member, data: Data, sample: Sample, lengths: CacheConfig
) -> tuple[Sequence[Panel], Sequence[Panel], tuple[str, ...]]:
    """All templates zero-shot, and the first in all other forms; documents have neither."""
    member = member._replace(forms=(), only=False)
    declaration = member.variant.declaration
    if member.cluster == DOCUMENTS:
        every, warnings = panels(member, data, sample, Choice(lengths))
        return every, (), warnings
    zero_shot = member.variant.form.name
    choice = Choice(lengths, forms=(zero_shot,), all_templates=True)
    every, warnings = panels(member, data, sample, choice)
    scored = [form for form in forms(declaration) if form.evaluation][0]
    choice = Choice(lengths, template=template_indices(declaration, scored)[0])
    others, more = panels(member, data, sample, choice)
    others = [panel for panel in others if panel.variants[0].form.name != zero_shot]
    return every, others, tuple(dict.fromkeys([*warnings, *more]))


def _shown(panel: Panel, longest: int) -> Shown:
    rendered, reading = panel.view.rendered, panel.reading
    declaration = panel.variants[0].declaration
    templates = getattr(declaration, "templates", ())
    template = templates[rendered.template] if templates else None
    prompt, target = panel.view.prompt, panel.view.target
    if template is None:
        prompt, target = _document_parts(panel, ENCODER), _document_parts(panel, DECODER, JOINED)
    sides = [row for row in reading.rows if row.side != JOINED] or reading.rows
    return Shown(
        forms=tuple(one.form.name for one in panel.variants),
        template=rendered.template,
        name=template.name if template else "",
        turned_around=bool(template and template.turned_around),
        prompt=_elided(prompt, longest),
        target=_elided(target, longest),
        tokens=tuple(len(row.tokens) for row in sides),
        note="; ".join(notes(panel)),
        options=tuple(rendered.options),
        answer=rendered.answer,
    )


def _document_parts(panel: Panel, *sides: str) -> tuple[Part, ...]:
    """What a document gives one side: stretches that hardly count as the row's other words."""
    row = next(filter(None, map(panel.reading.row, sides)), None)
    if row is None:
        return ()
    texts = runs(row, panel.variants[0].vocabulary)
    return tuple(
        Part(f"{text} ", samples.WORDING if weight >= 1 else samples.DATA) for text, weight in texts
    )


def _elided(parts: Iterable[Part], longest: int) -> tuple[Part, ...]:
    """Takes the middle out of what is too long to be read; the template's own words stay."""
    limits = {samples.DATA: longest, samples.EXEMPLARS: _SOLVED}
    return tuple(_shortened(part, limits.get(part.kind)) for part in parts)


def _shortened(part: Part, longest: int | None) -> Part:
    if longest is None or len(part.text) <= longest + _SPARED:
        return part
    head = part.text[: longest * 3 // 4].rsplit(" ", 1)[0].rstrip()
    tail = part.text[-longest // 4 :].split(" ", 1)[-1].lstrip()
    left_out = len(part.text) - len(head) - len(tail)
    return part._replace(text=f"{head} [… {left_out:,} characters …] {tail}")
