"""Browsing: which tasks and forms a name stands for, and their rendered examples.

    task_modules.register("tasks", "flan2021", data_dir="/data/flan")
    for member in members("nli", "flan2021"):
        data = samples.find(member.variant.declaration, member.variant.data_dir)
        chosen, warnings = choose_samples(member.variant, data, choice)
        shown, warnings = panels(member, data, chosen[0], choice)

`flan_jax.data.browse_terminal` prints them, and `flan_jax.data.catalogue` makes a page of them.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import seqio

from flan_jax.data import loss_mask, registry, samples
from flan_jax.data.forms import form_of, forms, seqio_name
from flan_jax.data.loss_mask import Reading
from flan_jax.data.samples import Data, NoSample, Sample, View
from flan_jax.data.suggestions import suggest
from flan_jax.data.tokenisation import CacheConfig
from flan_jax.data.variants import Variant

# Cluster under which documents are listed.
DOCUMENTS = "documents"
# Rows among which one is drawn at random.
_DRAWN_FROM = 10_000


@dataclass(frozen=True)
class Choice:
    """What to show of each task.

    Attributes:
      lengths: most tokens of inputs and targets, and the seed of renderings, as in a cache.
      forms: names of forms; empty means all that are registered.
      template: index of a template; None means the first, or with a seed a random one.
      all_templates: whether all templates are shown.
      example: index of the row; None means the first that can be rendered.
      seed: chooses a random row and template instead; None chooses none.
      split: name of the split; None means training, else the first there is.
      tokens: whether token pieces are shown.
      count: rows a task.
    """

    lengths: CacheConfig
    forms: tuple[str, ...] = ()
    template: int | None = None
    all_templates: bool = False
    example: int | None = None
    seed: int | None = None
    split: str | None = None
    tokens: bool = False
    count: int = 1


class Member(NamedTuple):
    """A declared task or documents to show.

    Attributes:
      variant: any form of it.
      cluster: name of its cluster; `DOCUMENTS` for documents.
      forms: names of the forms that were asked for by name or by a mixture.
      only: whether no other forms are meant.
    """

    variant: Variant
    cluster: str
    forms: tuple[str, ...] = ()
    only: bool = False


class Panel(NamedTuple):
    """A rendering and the forms that give it."""

    variants: tuple[Variant, ...]
    view: View
    reading: Reading


def members(name: str, collection: str) -> list[Member]:
    """Finds what a name stands for.

    Args:
      name: a collection, a cluster of it, a SeqIO mixture or task, or a declared name.
      collection: name of a registered collection.

    Returns:
      Its declarations, in the order of registration.

    Raises:
      ValueError: if nothing has that name.
    """
    known = _declared(collection)
    table = registry.clusters(collection)
    if name == collection:
        return list(known.values())
    if name in table:
        return [known[task] for task in table[name]]
    if name in seqio.MixtureRegistry.names():
        asked: dict[str, list[str]] = {}
        for task in seqio.MixtureRegistry.get(name).tasks:
            task_name, _, form = task.name.partition(":")
            asked.setdefault(task_name, []).append(form)
        return [_mixed(task, tuple(some), known) for task, some in asked.items()]
    task, _, form = name.partition(":")
    if task in known:
        if not form:
            return [known[task]]
        form_of(known[task].variant.declaration, form)  # raises where there is none
        return [known[task]._replace(forms=(form,), only=True)]
    names = [collection, *table, *seqio.MixtureRegistry.names(), *known]
    raise ValueError(
        f"{name!r} is no mixture, cluster or task of collection {collection!r}"
        f"{suggest(name, names)} Its clusters: {', '.join(table)}"
    )


def _declared(collection: str) -> dict[str, Member]:
    found: dict[str, Member] = {}
    for name in list(seqio.TaskRegistry.names()):
        variant = registry.variant(name)
        if variant and variant.collection == collection:
            found.setdefault(variant.declaration.name, Member(variant, _cluster(variant)))
    if not found:
        registry.clusters(collection)  # raises, and names those that there are
    return found


def _mixed(task: str, asked: tuple[str, ...], known: dict[str, Member]) -> Member:
    if task in known:
        return known[task]._replace(forms=asked)
    variant = registry.variant(f"{task}:{asked[0]}")
    if variant is None:
        raise ValueError(
            f"{task!r} is a SeqIO task that is not declared with flan_jax; look at it with "
            f"seqio.get_mixture_or_task({task!r}).get_dataset(...)"
        )
    return Member(variant, _cluster(variant), asked)


def _cluster(variant: Variant) -> str:
    return getattr(variant.declaration, "cluster", DOCUMENTS)


def check_vocabulary(found: Sequence[Member]) -> None:
    """Makes sure that tokens can be counted: a vocabulary may be remote and out of reach.

    Raises:
      ValueError: a vocabulary cannot be read.
    """
    known = {one.variant.vocabulary.path: one.variant.vocabulary for one in found}
    for vocabulary in known.values():
        try:
            vocabulary.encode("")
        except Exception as error:  # whatever the file system or the network raises
            raise ValueError(
                f"the vocabulary {vocabulary.path} cannot be read ({error}); give --vocabulary "
                "FILE, or a --data_dir that holds one"
            ) from error


def choose_samples(
    variant: Variant, data: Data, choice: Choice
) -> tuple[list[Sample], tuple[str, ...]]:
    """Chooses the rows to show: of the data, or else the declared example.

    Args:
      variant: any form of the task.
      data: from `samples.find`.
      choice: which rows.

    Returns:
      At least one sample; and why it is not of the data although that is here.
    """
    if data.source is None:
        return [samples.declared_example(variant)], ()
    try:
        split = samples.readable_split(data, choice.split)
        start, limit = choice.example or 0, {}
        if choice.example is not None:
            limit = {"tried": choice.count}
        elif choice.seed is not None:
            size = data.source.num_examples(split, data.data_dir)
            rng = random.Random(f"{choice.seed} {variant.declaration.name}")
            start = rng.randrange(max(1, min(size, _DRAWN_FROM) - choice.count + 1))
        return samples.pick(variant, data, split, start, choice.count, **limit), ()
    except NoSample as reason:
        return [samples.declared_example(variant)], (str(reason),)


def panels(
    member: Member, data: Data, sample: Sample, choice: Choice
) -> tuple[list[Panel], tuple[str, ...]]:
    """Renders a sample in all forms that are wanted.

    Args:
      member: the task.
      data: from `samples.find`.
      sample: the row.
      choice: which forms and templates.

    Returns:
      A panel for each prompt and target, with all forms that give it; and why forms are missing.
    """
    grouped: dict[tuple, Panel] = {}
    variants, warnings = _wanted(member, choice)
    for variant in variants:
        try:
            length = choice.lengths.inputs_length
            seen = samples.views(variant, data, sample, choice.lengths.seed, length)
            for view in _chosen(variant, seen, choice):
                one = view.rendered
                texts = (one.template, variant.form.objective, one.inputs, str(one.targets))
                before = grouped.get(texts)
                if before is None:
                    reading = loss_mask.read(variant, one, choice.lengths)
                    grouped[texts] = Panel((variant,), view, reading)
                else:
                    grouped[texts] = before._replace(variants=(*before.variants, variant))
        except Exception as error:  # one broken set never stops the others
            kind = "" if isinstance(error, NoSample | ValueError) else f"{type(error).__name__}: "
            warnings.append(f"{variant.form.name}: {kind}{error}")
    return list(grouped.values()), tuple(warnings)


def _wanted(member: Member, choice: Choice) -> tuple[list[Variant], list[str]]:
    declaration = member.variant.declaration
    registered = [] if member.only else [form.name for form in forms(declaration)]
    found, warnings = [], []
    for name in choice.forms or dict.fromkeys([*member.forms, *registered]):
        try:
            form = form_of(declaration, name)
        except ValueError as error:
            warnings.append(str(error))
            continue
        variant = registry.variant(seqio_name(declaration, form))
        if variant:
            found.append(variant)
    return found, warnings


def _chosen(variant: Variant, seen: Sequence[View], choice: Choice) -> Iterator[View]:
    """The views of the templates to show."""
    template = choice.template or 0
    if variant.form.objective or choice.all_templates:
        yield from seen
        return
    if choice.template is None and choice.seed is not None:
        rng = random.Random(f"{choice.seed} template {variant.declaration.name}")
        template = rng.randrange(len(variant.declaration.templates))
    yield from (view for view in seen if view.rendered.template == template)


def notes(panel: Panel) -> list[str]:
    """Says what is unusual about a rendering: cut, left out, unknown tokens, no solved examples."""
    reading, found = panel.reading, []
    if reading.left_out:
        found.append(f"left out of a cache: {reading.left_out}")
    if reading.cut:
        found.append(f"the last {reading.cut:,} tokens of the prompt are cut off")
    if reading.unknown:
        found.append(f"tokens unknown to the vocabulary: {reading.unknown}")
    if reading.chunks > 1:
        found.append(f"the first of {reading.chunks} chunks")
    solved = any(part.kind == samples.EXEMPLARS for part in panel.view.prompt)
    if panel.variants[0].form.few_shot and not solved:
        found.append("without solved examples: no training rows are here, or none fits")
    return found
