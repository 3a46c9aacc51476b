"""Registration: declared collections become SeqIO tasks and mixtures.

SeqIO's registries are the only state; what is here reads them and adds to them. Any other SeqIO
task or mixture can stand beside ours in a mixture. Nothing is registered on import, and registering
reads no data.

    register_collection("mini", declarations, vocabulary=Vocabulary("mini.model"))
    add_mixture("mini_train", training_members("mini"))
    without_clusters("mini", "nli", overlaps={"nli": ("paraphrase",)})     # mini_without_nli
    seqio.get_mixture_or_task("mini_train").get_dataset(...)
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import seqio

from flan_jax.data import seqio_mixtures
from flan_jax.data.declarations import (
    Declaration,
    DeclarationError,
    TaskDeclaration,
    documents,
    task,
)
from flan_jax.data.forms import SHOTS, TRAIN, Form, forms, lacking, parse
from flan_jax.data.leaks import AllowedLeak, declared_leaks, forbidden
from flan_jax.data.renderer import Rendered
from flan_jax.data.rendering import Drops
from flan_jax.data.seqio_adapter import DeclaredSource, add_task
from flan_jax.data.seqio_mixtures import FLAN_CAP, MixtureError, mixture_rates
from flan_jax.data.suggestions import suggest
from flan_jax.data.templates import FewShot
from flan_jax.data.variants import Variant
from flan_jax.data.vocabularies import AnyVocabulary

__all__ = [
    "add_mixture",
    "clusters",
    "documents",
    "lookup",
    "mixture_rates",
    "register_collection",
    "renderings",
    "task",
    "training_members",
    "variant",
    "without_clusters",
]


def register_collection(
    collection: str,
    declarations: Sequence[Declaration],
    *,
    vocabulary: AnyVocabulary,
    data_dir: str | None = None,
    few_shot: FewShot | None = None,
    only: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Registers the forms of declared tasks and documents with SeqIO.

    Registering the same again does nothing.

    Args:
      collection: name of the collection.
      declarations: tasks and documents.
      vocabulary: what they are tokenised with.
      data_dir: folder of the data files; None if no source needs one.
      few_shot: how few-shot prompts are made, for tasks that do not say so themselves.
      only: names of the forms to register now, which spares time with thousands of tasks; others
        are registered when `variant` or `add_mixture` names them. None means those that
        `flan_jax.data.forms.forms` lists.

    Returns:
      The names of the SeqIO tasks.

    Raises:
      DeclarationError: if there is no vocabulary, two declarations share a name, or a name is
        registered with other settings; then nothing is registered.
    """
    names = [declaration.name for declaration in declarations]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DeclarationError(
            f"collection {collection!r}: {', '.join(map(repr, twice))} declared more than once; "
            "rename all but one"
        )
    if vocabulary is None:  # a module's register() may hand on that none was named
        raise DeclarationError(
            f"collection {collection!r} is given no vocabulary: name one (CacheRun.vocabulary, or "
            "--vocabulary), or let its module's register() choose one where it gets None"
        )
    wanted = [
        Variant(
            collection,
            declaration,
            form,
            vocabulary,
            None if data_dir is None else str(data_dir),
            getattr(declaration, "few_shot", None) or few_shot or FewShot(),
        )
        for declaration in declarations
        for form in forms(declaration)
        if only is None or form.name in only
    ]
    new = [one for one in wanted if not _is_registered(one)]
    for one in new:
        add_task(one)
    return tuple(one.name for one in wanted)


def variant(name: str) -> Variant | None:
    """Finds what a SeqIO name stands for.

    A form that is described in `flan_jax.data.forms` and not registered yet is registered now.

    Args:
      name: name of a SeqIO task, for example `rte:five_shot_letters`.

    Returns:
      The variant with its declaration, form, vocabulary and folder; None for SeqIO tasks that are
      not declared with us, for names that are not registered, and for forms that a task has not.
    """
    found = _registered(name)
    if found or name in seqio.TaskRegistry.names():
        return found
    task_name, _, form_name = name.partition(":")
    known = _registered(f"{task_name}:zero_shot")
    form = parse(form_name)
    if known is None or form is None or lacking(known.declaration, form):
        return None
    if form.name == form_name:  # one form, one name
        add_task(dataclasses.replace(known, form=form))
    return _registered(name)


def _registered(name: str) -> Variant | None:
    if name not in seqio.TaskRegistry.names():
        return None
    source = seqio.TaskRegistry.get(name).source
    return source.variant if isinstance(source, DeclaredSource) else None


def add_mixture(
    name: str,
    members: Sequence[str],
    *,
    cap: int | None = FLAN_CAP,
    weights: Mapping[str, float] | None = None,
) -> seqio.Mixture:
    """As `flan_jax.data.seqio_mixtures.add_mixture`; members may be forms not registered yet."""
    for member in members:
        variant(member)
    return seqio_mixtures.add_mixture(name, members, cap=cap, weights=weights)


def lookup(name: str) -> tuple[Declaration, Form] | None:
    """Finds the declaration and the form behind a SeqIO name; None if it is none of ours."""
    found = variant(name)
    return (found.declaration, found.form) if found else None


def renderings(
    name: str,
    split: str,
    seed: int = 0,
    drops: Drops | None = None,
    inputs_length: int | None = None,
) -> Iterator[Rendered]:
    """Renders a split of a registered task in plain Python.

    Args:
      name: SeqIO name of a declared task, for example `rte:zero_shot:rank`.
      split: name of a split.
      seed: seed of option order and exemplars.
      drops: counts rows that are left out.
      inputs_length: tokens that the inputs may have, end of sequence included; few-shot prompts
        take fewer exemplars rather than be cut.

    Yields:
      All templates of an example, one behind the other, in the order of the source. (The feed
      takes one of them an epoch.)

    Raises:
      ValueError: if the name is not that of a declared task, or the split is unknown.
    """
    found = variant(name)
    if found is None:
        known = [one.name for one in _variants()]
        raise ValueError(
            f"{name!r} is no registered declaration{suggest(name, known)} Register its collection "
            "first"
        )
    drops = Drops() if drops is None else drops
    for group in found.grouped(split, seed, drops, inputs_length):
        yield from group


def clusters(collection: str) -> dict[str, tuple[str, ...]]:
    """Gives the cluster table of a collection.

    Args:
      collection: name of a registered collection.

    Returns:
      Names of the declared tasks by cluster, in the order of registration.

    Raises:
      ValueError: if there is no such collection.
    """
    table: dict[str, dict[str, None]] = {}
    for declaration in _tasks(collection):
        table.setdefault(declaration.cluster, {})[declaration.name] = None
    return {cluster: tuple(names) for cluster, names in table.items()}


def training_members(
    collection: str, *, without: Sequence[str] = (), forms: Sequence[str] = ("zero_shot",)
) -> tuple[str, ...]:
    """Lists the SeqIO tasks to train on: those of tasks with a training split.

    Args:
      collection: name of a registered collection.
      without: clusters to leave out.
      forms: names of training forms (see `flan_jax.data.forms`); a task that lacks a form (it
        has no options, say) is left out of it.

    Returns:
      Names of SeqIO tasks, in the order of registration.

    Raises:
      ValueError: if the collection, a cluster or a form is unknown.
    """
    table = clusters(collection)
    for cluster in without:
        if cluster not in table:
            raise ValueError(
                f"collection {collection!r} has no cluster {cluster!r}{suggest(cluster, table)} It "
                f"has: {', '.join(table)}"
            )
    for form in forms:
        parsed = parse(form)
        if parsed is None or parsed.evaluation:
            known = [*SHOTS, "zero_shot_no_options", "few_shot_no_options"]
            raise ValueError(
                f"{form!r} is no form to train on{suggest(form, known)} Write one as "
                "flan_jax.data.forms describes"
            )
    names = [
        f"{one.name}:{form}"
        for one in {one.name: one for one in _tasks(collection)}.values()
        if one.cluster not in without and TRAIN in one.source.splits
        for form in forms
    ]
    return tuple(name for name in names if variant(name))


def without_clusters(
    collection: str,
    held_out: str | Sequence[str],
    *,
    overlaps: Mapping[str, Sequence[str]] | None = None,
    name: str | None = None,
    forms: Sequence[str] = ("zero_shot",),
    cap: int | None = FLAN_CAP,
    allowed: Sequence[AllowedLeak] = (),
) -> seqio.Mixture:
    """Registers the training mixture that leaves out clusters to be scored.

    Args:
      collection: name of a registered collection.
      held_out: the cluster or clusters to be scored.
      overlaps: for a cluster that is scored, the clusters to leave out as well (Wei et al., 2021,
        section 2.2, leave paraphrase out when they score NLI, and the other way round).
      name: name of the mixture; None means `<collection>_without_<clusters>`.
      forms: names of training forms.
      cap: as for `add_mixture`.
      allowed: leaks that may stay, with reasons.

    Returns:
      The mixture.

    Raises:
      ValueError: if a cluster is unknown, nothing is left, or a task that is held out reads the
        same data as one that is trained on, or holds texts of the same set, and `allowed` does not
        name the two.
    """
    held_out = (held_out,) if isinstance(held_out, str) else tuple(held_out)
    beside = [other for cluster in held_out for other in (overlaps or {}).get(cluster, ())]
    without = tuple(dict.fromkeys([*held_out, *beside]))
    members = training_members(collection, without=without, forms=forms)
    scored = {one.name: one for one in _tasks(collection) if one.cluster in held_out}
    trained = {one.name: one for one in (variant(member).declaration for member in members)}
    found = forbidden(declared_leaks(trained.values(), list(scored.values()), allowed))
    if found:
        raise MixtureError(
            f"collection {collection!r} without {', '.join(map(repr, held_out))} leaks:\n  "
            + "\n  ".join(map(str, found))
            + "\nLeave the trained task's cluster out too (overlaps={...}), or allow the leak by "
            "name, with a reason (allowed=...)"
        )
    return add_mixture(name or f"{collection}_without_{'_'.join(held_out)}", members, cap=cap)


def _is_registered(wanted: Variant) -> bool:
    if wanted.name not in seqio.TaskRegistry.names():
        return False
    existing = variant(wanted.name)
    if existing == wanted:
        return True
    owner = f"collection {existing.collection!r}" if existing else "a plain SeqIO task"
    differs = [] if existing is None else _differences(existing, wanted)
    raise DeclarationError(
        f"collection {wanted.collection!r}: the name {wanted.name!r} is taken by {owner} with "
        f"other settings{': ' if differs else ''}{', '.join(differs)}; rename the declaration, or "
        "register in a new process"
    )


def _differences(existing: Variant, wanted: Variant) -> list[str]:
    names = ("collection", "declaration", "vocabulary", "data_dir", "few_shot")
    return [name for name in names if getattr(existing, name) != getattr(wanted, name)]


def _variants(collection: str | None = None) -> list[Variant]:
    found = [variant(name) for name in list(seqio.TaskRegistry.names())]
    return [one for one in found if one and collection in (None, one.collection)]


def _tasks(collection: str) -> list[TaskDeclaration]:
    members = _variants(collection)
    if not members:
        known = {one.collection for one in _variants()}
        raise ValueError(
            f"collection {collection!r} is not registered{suggest(collection, known)} Registered: "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    found = [one.declaration for one in members]
    return [one for one in found if isinstance(one, TaskDeclaration)]
