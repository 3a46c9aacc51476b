"""Builds caches: a SeqIO task, declared with us or not, becomes token ids in Arrow files.

    path = cache.build("rte:zero_shot", "train", vocabulary, CacheConfig(512, 128), "cache")
    path = cache.build_mixture("flan_train", "train", vocabulary, CacheConfig(512, 128), "cache")

The folder of a cache is named after a hash of all that determines its content (data, templates,
vocabulary, lengths, ...), so that whatever changes gives another cache and a complete one is never
built twice. A folder appears under its name in one step, when it is complete. The training
caches of declared tasks hold every template's rendering of each example; the feed takes one an
epoch.
"""

import contextlib
import fnmatch
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import rich.console
import rich.progress

from flan_jax import storage
from flan_jax.data import seqio_rows, store
from flan_jax.data.mixture import check_rate
from flan_jax.data.recipes import Recipe, recipe
from flan_jax.data.store import CacheError
from flan_jax.data.token_statistics import Statistics
from flan_jax.data.tokenisation import CacheConfig
from flan_jax.data.tokenisation_columns import Columns
from flan_jax.data.vocabularies import AnyVocabulary

__all__ = ["CacheConfig", "build", "build_mixture"]

# Share of a source's rows that may be broken; more is a sign of a wrong file or row function.
MAX_BAD = 0.01
# Rows from which on workers are started by default. They cost half a CPU second each to start,
# in which one process makes some 20,000 rows (benchmarks/cache.py).
_WORTH_WORKERS = 100_000


def build(
    name: str,
    split: str,
    vocabulary: AnyVocabulary,
    config: CacheConfig,
    cache_dir: str,
    *,
    evaluation: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> str:
    """Builds the cache of a task and split, unless it is there and complete.

    Args:
      name: name of a registered SeqIO task, ours or not.
      split: name of the split.
      vocabulary: vocabulary of the model.
      config: lengths and what is kept.
      cache_dir: folder of all caches, local or remote.
      evaluation: for SeqIO tasks that are not declared with us: cache what scoring needs.
      workers: processes that render and tokenise beside this one; they do not change what is
        written. None starts one a core where the data set is large.
      progress: whether to say what is being done.

    Returns:
      The cache's folder.

    Raises:
      ValueError: the task, split or vocabulary is wrong, or a text cannot be tokenised.
      CacheError: no example was left; the reasons are counted.
      StorageError: the disk is full.
    """
    made = recipe(name, split, vocabulary, config, evaluation)
    root = storage.path(cache_dir)
    target = root / made.folder
    if (target / storage.MANIFEST).exists():
        store.read_manifest(str(target))
        return str(target)
    with storage.disk_full_explained(target):
        if storage.is_remote(cache_dir):
            with tempfile.TemporaryDirectory() as temporary:
                _write(made, temporary, workers, progress)
                storage.upload(temporary, target)
            return str(target)
        root.mkdir(parents=True, exist_ok=True)
        with storage.locked(root, made.folder):
            # Another process may have built it while this one waited.
            if not (target / storage.MANIFEST).exists():
                _write_beside(made, Path(root), workers, progress)
    return str(target)


def _write_beside(made: Recipe, root: Path, workers, progress) -> None:
    temporary = root / f".{made.folder}.part"
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed build
    temporary.mkdir()
    try:
        _write(made, str(temporary), workers, progress)
        shutil.rmtree(root / made.folder, ignore_errors=True)  # has no manifest
        os.rename(temporary, root / made.folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(made: Recipe, folder: str, workers, progress) -> None:
    start = time.monotonic()
    workers = _worthwhile(made) if workers is None else workers
    writer = store.CacheWriter(folder, made.columns)
    statistics = Statistics()
    try:
        with contextlib.closing(made.rows(statistics, 0, 1, workers)) as examples:
            for columns in _shown(examples, made, progress):
                writer.extend(*columns)
        shards = writer.close()
    except BaseException:
        writer.abort()
        raise
    manifest = finish(made, folder, shards, statistics)
    if progress:
        seconds = time.monotonic() - start
        _console().print(f"{_summary(made, manifest)}, {seconds:.1f} s", highlight=False)


def _worthwhile(made: Recipe) -> int:
    """Decides how many processes make rows."""
    if not made.facts["templates"]:  # documents, and SeqIO tasks, are made in this process
        return 0
    renderings = min(
        made.facts["renderings"] or made.facts["num_templates"], made.facts["num_templates"]
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return cores if cores > 1 and (made.count or 0) * renderings >= _WORTH_WORKERS else 0


def finish(made: Recipe, folder: str, shards: list[dict], statistics: Statistics) -> dict:
    """Writes the manifest of a cache whose files are written.

    Args:
      made: how it was made.
      folder: local folder.
      shards: what the writers returned.
      statistics: what was counted.

    Returns:
      The manifest.

    Raises:
      CacheError: there are no rows, or more than `MAX_BAD` of the source's rows are broken.
    """
    counts = statistics.as_dict()
    _check_bad_rows(made, statistics)
    if not shards:
        left_out = counts["dropped"] | counts["dropped_renderings"]
        why = f"left out: {json.dumps(left_out)}" if left_out else "its source holds no rows there"
        raise CacheError(f"{made.name!r} ({made.split}) gives no examples; {why}")
    source = made.facts["source"] | {"examples": made.count}
    facts = made.facts | {"cache": made.folder, "source": source} | counts
    return store.write_manifest(folder, shards, facts)


def _check_bad_rows(made: Recipe, statistics: Statistics) -> None:
    dropped = statistics.dropped
    if made.count is None or dropped.bad <= MAX_BAD * made.count:
        return
    reasons = {
        reason: count for reason, count in dropped.counts.items() if reason not in dropped.wanted
    }
    worst = max(reasons, key=reasons.get)
    raise CacheError(
        f"{made.name!r} ({made.split}): {dropped.bad:,} of {made.count:,} rows "
        f"({dropped.bad / made.count:.1%}) cannot be used, more than {MAX_BAD:.0%}: "
        f"{json.dumps(reasons)}. The first with {worst!r} is {dropped.locations[worst][0]}. Mend "
        "the data or the row function; rows that are to be left out on purpose give None there"
    )


def _shown(examples: Iterator[Columns], made: Recipe, progress: bool) -> Iterator[Columns]:
    """Yields the rows of examples, behind a progress bar on a terminal."""
    console = _console()
    if not (progress and console.is_terminal):
        yield from examples
        return
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"cache {made.name} {made.split}", total=made.count)
        for columns in examples:
            yield columns
            bar.update(task, completed=columns.rows["example"][-1].as_py() + 1)


def _console() -> rich.console.Console:
    return rich.console.Console(stderr=True, soft_wrap=True)


def _summary(made: Recipe, manifest: dict) -> str:
    notes = [f"{manifest['examples']:,} examples, {manifest['rows']:,} rows"]
    for name in ("dropped", "dropped_renderings", "truncated", "unknown"):
        count = sum(entry["count"] for entry in manifest[name].values())
        if count:
            notes.append(f"{count:,} {name.replace('_', ' ')}")
    return f"cached {made.name} {made.split}: {', '.join(notes)}"


def build_mixture(
    name: str,
    split: str,
    vocabulary: AnyVocabulary,
    config: CacheConfig,
    cache_dir: str,
    *,
    allow_missing: Sequence[str] = (),
    workers: int | None = None,
    progress: bool = True,
) -> str:
    """Builds the caches of a mixture's tasks, and the file that `feed.open_mixture` reads.

    A task that cannot be cached does not stop the others. The file names those that are missing.

    Args:
      name: name of a registered SeqIO mixture, or of a task.
      split: name of the split.
      vocabulary: vocabulary of the model.
      config: lengths and what is kept.
      cache_dir: folder of all caches, local or remote.
      allow_missing: names of tasks, or shell patterns such as `wmt*`, that may be left out if they
        cannot be cached; `*` stands for all. Others are an error after all were tried.
      workers: processes that render and tokenise beside this one, as for `build`.
      progress: whether to say what is being done.

    Returns:
      The mixture's file, `<cache_dir>/<name>-<split>.json`.

    Raises:
      CacheError: tasks cannot be cached (all are named), or none is left.
      ValueError: the mixture is unknown or empty, or a rate is no positive number.
    """
    tasks = seqio_rows.members(name)
    for task, rate in seqio_rows.rates(name, ()).items():
        if not isinstance(rate, Exception) and not may_be_missing(task, allow_missing):
            check_rate(name, task, rate)
    folders, failures = {}, {}
    for task in tasks:
        try:
            folders[task] = build(
                task, split, vocabulary, config, cache_dir, workers=workers, progress=progress
            )
        except (MemoryError, storage.StorageError):
            raise  # the machine's trouble, not the data set's
        except Exception as error:
            failures[task] = error
    members = []
    for task, rate in seqio_rows.rates(name, failures).items():
        try:
            if isinstance(rate, Exception):
                raise rate
            check_rate(name, task, rate)
            cache = storage.path(folders[task]).name
            members.append({"task": task, "cache": cache, "rate": rate})
        except Exception as error:
            failures[task] = error
    _report(name, len(tasks), failures, members, allow_missing)
    target = storage.path(cache_dir) / f"{re.sub(r'[^A-Za-z0-9_.-]', '.', name)}-{split}.json"
    missing = {task: f"{type(error).__name__}: {error}" for task, error in failures.items()}
    facts = {"name": name, "split": split, "members": members, "missing": missing}
    text = json.dumps(facts, indent=1)
    storage.write_atomically(target, text.encode())
    return str(target)


def may_be_missing(task: str, patterns: Sequence[str]) -> bool:
    """Whether a task may be left out.

    Args:
      task: its SeqIO name, such as `rte:zero_shot`.
      patterns: names or shell patterns, which may leave out what is behind the colon.
    """
    names = (task, task.split(":")[0])
    return any(fnmatch.fnmatchcase(one, pattern) for pattern in patterns for one in names)


def _report(
    name: str,
    count: int,
    failures: dict[str, Exception],
    members: list[dict],
    allow_missing: Sequence[str],
) -> None:
    """Says which tasks are left out, or raises if one of them may not be."""
    if not failures:
        return
    lines = [f"  {task}: {type(error).__name__}: {error}" for task, error in failures.items()]
    summary = f"{len(failures)} of {count} tasks of mixture {name!r} cannot be cached"
    forbidden = [task for task in failures if not may_be_missing(task, allow_missing)]
    if forbidden or not members:
        names = ",".join(dict.fromkeys(task.split(":")[0] for task in forbidden))
        remedy = f"\nTo go on without them: --allow_missing={names}" if members else ""
        raise CacheError("\n".join([f"{summary}:", *lines]) + remedy)
    _console().print("\n".join([f"{summary} and are left out:", *lines]), markup=False)
