"""Builds a cache with Apache Beam: the same rows, in shards written by many workers.

    cache_beam.build("flan:zero_shot", "train", vocabulary, config, "gs://bucket/cache",
                     shards=256, register=register, runner="DataflowRunner", project="...")

Every worker reads and checks the split, and renders and tokenises every `shards`-th example of it,
which is where the time goes. Needs the extra `beam`.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from flan_jax import storage
from flan_jax.data import store
from flan_jax.data.cache import finish
from flan_jax.data.recipes import Recipe, recipe
from flan_jax.data.token_statistics import Statistics, merged
from flan_jax.data.tokenisation import CacheConfig
from flan_jax.data.vocabularies import AnyVocabulary


def build(
    name: str,
    split: str,
    vocabulary: AnyVocabulary,
    config: CacheConfig,
    cache_dir: str,
    *,
    shards: int,
    register: Callable[[], Any],
    evaluation: bool = False,
    **pipeline_options: Any,
) -> str:
    """Builds the cache of a task and split, unless it is there and complete.

    Args:
      name: name of a SeqIO task, ours or not.
      split: name of the split.
      vocabulary: vocabulary of the model, at a path that the workers can read.
      config: lengths and what is kept; documents cannot be joined across shards.
      cache_dir: folder of all caches, which the workers can write to.
      shards: number of pairs of files, which bounds the number of workers.
      register: registers the task, in each worker; does nothing the second time.
      evaluation: for SeqIO tasks that are not declared with us: cache what scoring needs.
      **pipeline_options: Beam's own, for example `runner="DirectRunner"`.

    Returns:
      The cache's folder, as `flan_jax.data.cache.build` names it.

    Raises:
      ValueError: the task, split or vocabulary is wrong, or documents are to be joined.
      CacheError: no example was left; the reasons are counted.
    """
    if config.join_documents:
        raise ValueError("documents are joined in their order; use flan_jax.data.cache.build")
    register()
    made = recipe(name, split, vocabulary, config, evaluation)
    root = storage.path(cache_dir)
    target = root / made.folder
    if (target / storage.MANIFEST).exists():
        return str(target)
    job = (name, split, vocabulary, config, evaluation)
    if storage.is_remote(cache_dir):
        _run(made, job, str(target), shards, register, pipeline_options)
        return str(target)
    root.mkdir(parents=True, exist_ok=True)
    with storage.locked(root, made.folder), storage.disk_full_explained(target):
        temporary = Path(root) / f".{made.folder}.part"
        shutil.rmtree(temporary, ignore_errors=True)  # left by a killed build
        temporary.mkdir()
        try:
            _run(made, job, str(temporary), shards, register, pipeline_options)
            shutil.rmtree(target, ignore_errors=True)  # has no manifest
            os.rename(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return str(target)


def _run(made: Recipe, job: tuple, folder: str, shards: int, register, options: dict) -> None:
    # Without flags Beam would take the command line of this program for its own.
    with beam.Pipeline(options=PipelineOptions([], **options)) as pipeline:
        numbers = pipeline | beam.Create(range(shards)) | beam.Reshuffle()
        numbers | beam.ParDo(_WriteShard(job, folder, shards, register))
    entries, parts = [], []
    for number in range(shards):
        note = storage.path(folder) / _note(number)
        found = json.loads(note.read_bytes())
        entries += found["shards"]
        parts.append(Statistics.from_facts(found["statistics"]))
        note.unlink()
    finish(made, folder, entries, merged(parts))


def _note(number: int) -> str:
    """Names the file in which a worker leaves what the manifest needs."""
    return f"shard-{number:05d}.json"


class _WriteShard(beam.DoFn):
    """Writes a shard of the given number into the folder, and a note of what it holds."""

    def __init__(self, job: tuple, folder: str, shards: int, register: Callable[[], Any]):
        self._job, self._folder, self._shards, self._register = job, folder, shards, register

    def setup(self) -> None:
        self._register()

    def process(self, number: int) -> None:
        made = recipe(*self._job)
        statistics = Statistics()
        with tempfile.TemporaryDirectory() as local:
            writer = store.CacheWriter(local, made.columns, rows_per_shard=None, first_shard=number)
            for columns in made.rows(statistics, number, self._shards):
                writer.extend(*columns)
            note = {"shards": writer.close(), "statistics": statistics.facts()}
            (Path(local) / _note(number)).write_text(json.dumps(note))
            storage.upload(local, self._folder)
