"""Prepares what training and scoring read: registers a collection, builds caches, lists them.

The list is `<cache_dir>/<collection>.json`:

    {"mixtures": {"mini_train": "<path>", ...},
     "evaluation": {"zero_shot": ["<cache>", ...], ...},
     "missing": {"wsc:zero_shot:rank": "<why>", ...}}

Configurations are built on hosts without TensorFlow and SeqIO too, so `prepare` imports them.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from flan_jax import storage
from flan_jax.data import forms, task_modules, vocabularies
from flan_jax.data.tokenisation import CacheConfig
from flan_jax.data.vocabularies import AnyVocabulary


@dataclass(frozen=True)
class CacheRun:
    """Which caches to build, the root of the configuration of `scripts/cache.py`.

    Attributes:
      collection: name that `module` registers.
      cache_dir: folder of all caches, local or remote.
      tokens: lengths, and what is kept.
      mixtures: SeqIO mixtures (or tasks) to train on.
      scored_clusters: clusters to score.
      scored_tasks: SeqIO tasks to score beside these, declared with us or not, by their names.
      scored_forms: prompt forms to score them in; a task without options has no form without.
      scored_splits: the split that is scored is the first of these that a task has.
      data_dir: folder of the data sets; None where the collection needs none.
      vocabulary: path of a SentencePiece model, a `tokenizer.json`, or a folder with one of them;
        None for the collection's own.
      extra_ids: sentinels to add to a SentencePiece model; None for as many as it was made for.
      module: Python module that holds it; see `flan_jax.data.task_modules`.
      allow_missing: names of tasks, or shell patterns such as `wmt*`, that may be left out if they
        cannot be cached.
    """

    collection: str
    cache_dir: str
    tokens: CacheConfig
    mixtures: tuple[str, ...] = ()
    scored_clusters: tuple[str, ...] = ()
    scored_tasks: tuple[str, ...] = ()
    scored_forms: tuple[str, ...] = ("zero_shot",)
    scored_splits: tuple[str, ...] = ("test", "validation")
    data_dir: str | None = None
    vocabulary: str | None = None
    extra_ids: int | None = None
    module: str = "tasks"
    allow_missing: tuple[str, ...] = ()


def prepare(run: CacheRun) -> dict[str, Any]:
    """Builds the caches that are not there yet.

    Args:
      run: which caches.

    Returns:
      The content of `<cache_dir>/<collection>.json`.

    Raises:
      ValueError: an unknown collection, mixture, cluster or form.
      CacheError: data sets cannot be cached that `run.allow_missing` does not name. All others are
        cached by then, and the error names all that are missing.
    """
    from flan_jax.data.store import CacheError

    vocabulary = vocabularies.load(run.vocabulary, run.extra_ids) if run.vocabulary else None
    task_modules.register(run.module, run.collection, run.data_dir, vocabulary)
    mixtures, evaluation, missing, errors = {}, {}, {}, []
    for name in run.mixtures:
        try:
            mixtures[name] = _build_mixture(run, name)
        except CacheError as error:
            errors.append(str(error))
    scored = {form: tuple(_scored(run, form)) for form in run.scored_forms}
    if run.scored_tasks:
        scored["tasks"] = run.scored_tasks
    for form, names in scored.items():
        caches = {name: _try_scored(run, name, missing) for name in names}
        evaluation[form] = [path for path in caches.values() if path]
    content = {"mixtures": mixtures, "evaluation": evaluation, "missing": missing}
    target = storage.path(run.cache_dir) / f"{run.collection}.json"
    storage.write_atomically(target, json.dumps(_merged(target, content), indent=1).encode())
    errors += _forbidden(run, missing)
    if errors:
        raise CacheError("\n".join(errors))
    return content


def _build_mixture(run: CacheRun, name: str) -> str:
    from flan_jax.data import cache

    _check_name(name)
    return cache.build_mixture(
        name,
        "train",
        _vocabulary(name),
        run.tokens,
        run.cache_dir,
        allow_missing=run.allow_missing,
    )


def _build_scored(run: CacheRun, name: str) -> str:
    import seqio

    from flan_jax.data import cache

    _check_name(name)
    splits = list(seqio.get_mixture_or_task(name).splits)
    split = next((split for split in run.scored_splits if split in splits), None)
    if split is None:
        raise ValueError(
            f"{name!r} has none of the splits {', '.join(run.scored_splits)} to score; it has "
            f"{', '.join(splits)}: set CacheRun.scored_splits"
        )
    return cache.build(name, split, _vocabulary(name), run.tokens, run.cache_dir, evaluation=True)


def _check_name(name: str) -> None:
    """Registers a form that is named for the first time; refuses a name that nothing has."""
    from flan_jax.data import registry, seqio_rows

    registry.variant(name)
    seqio_rows.members(name)


def _try_scored(run: CacheRun, name: str, missing: dict[str, str]) -> str | None:
    """Builds the cache of a scored task, or notes why it cannot be."""
    from flan_jax.data.sources import SourceUnavailable
    from flan_jax.data.store import CacheError

    try:
        return _build_scored(run, name)
    except (CacheError, SourceUnavailable, FileNotFoundError) as error:
        missing[name] = f"{type(error).__name__}: {error}"
        return None


def _forbidden(run: CacheRun, missing: Mapping[str, str]) -> list[str]:
    """Says which scored tasks are missing, in one text, if some may not be."""
    from flan_jax.data.cache import may_be_missing

    if not missing:
        return []
    lines = [f"{len(missing)} tasks to score cannot be cached:"]
    lines += [f"  {name}: {reason}" for name, reason in missing.items()]
    names = [name for name in missing if not may_be_missing(name, run.allow_missing)]
    if not names:
        print("\n".join(lines), "and are left out", file=sys.stderr)
        return []
    short = ",".join(dict.fromkeys(name.split(":")[0] for name in names))
    return ["\n".join(lines), f"To go on without them: --allow_missing={short}"]


def _vocabulary(name: str) -> AnyVocabulary:
    """The vocabulary that a task or mixture was registered with."""
    import seqio

    from flan_jax.data.seqio_adapter import vocabulary_of

    return vocabulary_of(seqio.get_mixture_or_task(name).output_features["targets"].vocabulary)


def _scored(run: CacheRun, form: str) -> Iterable[str]:
    """Names of the tasks of the scored clusters in one form, ranked where they have options."""
    from flan_jax.data import registry

    parsed = forms.parse(form)
    if parsed is None or parsed.evaluation:
        raise ValueError(
            f"CacheRun.scored_forms: {form!r} is no prompt form; forms are zero_shot, few_shot, "
            "five_shot_letters and the like (docs/add_a_task.md)"
        )
    table = registry.clusters(run.collection) if run.scored_clusters else {}
    for cluster in run.scored_clusters:
        if cluster not in table:
            raise ValueError(
                f"collection {run.collection!r} has no cluster {cluster!r}; it has "
                f"{', '.join(table)}"
            )
        for name in table[cluster]:
            ranked = registry.variant(f"{name}:{form}:{forms.RANK}")
            scored = ranked or registry.variant(f"{name}:{form}:{forms.GENERATE}")
            if scored:
                yield scored.name


def _merged(target: storage.AnyPath, content: dict[str, Any]) -> dict[str, Any]:
    """Adds to what an earlier run listed."""
    before = json.loads(target.read_text()) if target.exists() else {}
    return {key: {**before.get(key, {}), **value} for key, value in content.items()}


def main() -> None:
    """Prepares the `CacheRun` that stands as JSON on standard input."""
    fields = json.load(sys.stdin)
    tokens = CacheConfig(**fields.pop("tokens"))
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    prepare(CacheRun(tokens=tokens, **{**fields, **lists}))


def prepare_in_subprocess(run: CacheRun) -> dict[str, Any]:
    """As `prepare`, in a process of its own: TensorFlow's threads end with it.

    Raises:
      RuntimeError: the process failed; it has printed why.
    """
    command = [sys.executable, "-m", "flan_jax.data.preparation"]
    done = subprocess.run(command, input=json.dumps(asdict(run)), text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"the caches of collection {run.collection!r} could not be built (see above; exit code "
            f"{done.returncode}); what is complete is kept, and the same command goes on"
        )
    return json.loads((storage.path(run.cache_dir) / f"{run.collection}.json").read_text())


if __name__ == "__main__":
    main()
