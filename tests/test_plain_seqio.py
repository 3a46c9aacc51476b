"""A task that is registered the ordinary SeqIO way, not ours, trains and is scored."""

import json
from pathlib import Path

import pytest
import test_scripts

from flan_jax.evaluation import journal

MODULE = """
import functools
import seqio
import tensorflow as tf
from tasks.mini import vocabulary as mini_vocabulary
from flan_jax.data.seqio_adapter import seqio_vocabulary


def dataset(split, shuffle_files=False, seed=None):
    words = tf.constant(["red", "blue", "green", "dog"])
    rows = tf.data.Dataset.range(12 if split == "train" else 6)
    return rows.map(lambda i: {"inputs": "which is it? " + words[i % 4], "targets": words[i % 4]})


def register(collection, data_dir=None, vocabulary=None):
    feature = seqio.Feature(vocabulary=seqio_vocabulary(mini_vocabulary.load()), add_eos=True)
    seqio.TaskRegistry.add(
        "plain_echo",
        source=seqio.FunctionDataSource(
            dataset, splits=("train", "test"), num_input_examples={"train": 12, "test": 6}
        ),
        preprocessors=[seqio.preprocessors.tokenize, seqio.preprocessors.append_eos],
        output_features={"inputs": feature, "targets": feature},
        metric_fns=[],
    )
    seqio.MixtureRegistry.add("plain_mixture", [("plain_echo", 1.0)])
"""


@pytest.mark.usefixtures("clean_registries")
def test_a_plain_seqio_task_trains_and_is_scored(tmp_path, monkeypatch):
    (tmp_path / "plain_seqio_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    caches = {
        "CacheRun.collection": "plain",
        "CacheRun.module": "plain_seqio_module",
        "CacheRun.cache_dir": f"{tmp_path}/caches",
        "CacheRun.mixtures": ("plain_mixture",),
        "CacheRun.scored_tasks": ("plain_echo",),
        "CacheConfig.inputs_length": 32,
        "CacheConfig.targets_length": 16,
    }
    test_scripts.call("cache", caches)
    listed = json.loads((tmp_path / "caches" / "plain.json").read_text())
    training = {
        "TrainRun.mixture": listed["mixtures"]["plain_mixture"],
        "TrainRun.output_dir": f"{tmp_path}/run",
    }
    test_scripts.call("train", test_scripts.MODEL | training)
    scoring = {
        "EvaluateRun.checkpoint": f"{tmp_path}/run",
        "EvaluateRun.caches": listed["evaluation"]["tasks"],
        "EvaluateRun.output_dir": f"{tmp_path}/evaluation",
        "EvaluationConfig.max_decode_length": 4,
    }
    test_scripts.call("evaluate", scoring)
    report = json.loads(Path(tmp_path / "evaluation" / "report.json").read_text())
    assert report["clusters"]["plain_echo"]["n"] == 6
    (path,) = journal.files(f"{tmp_path}/evaluation").values()
    references = {tuple(record["references"]) for record in journal.read(path)[1]}
    assert references == {("red",), ("blue",), ("green",), ("dog",)}
