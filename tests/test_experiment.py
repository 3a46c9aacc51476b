"""An experiment from declarations to a report, with a user's own tasks."""

import dataclasses
import json
from pathlib import Path

import pytest

from flan_jax import experiment as experiments
from flan_jax.data.feed import FeedConfig
from flan_jax.data.preparation import CacheRun
from flan_jax.data.tokenisation import CacheConfig
from flan_jax.evaluation.evaluate import EvaluationConfig
from flan_jax.experiment import Experiment, Stage
from flan_jax.model.config import ModelConfig
from flan_jax.train.optimizer import OptimizerConfig
from flan_jax.train.run import TrainRun

TRAIN = TrainRun(
    output_dir="",
    mixture="",
    model=ModelConfig(
        architecture="encoder_decoder", vocab_size=1024, d_model=16, d_ff=16, num_layers=1,
        num_heads=2, head_dim=8, dtype="float32",
    ),
    feed=FeedConfig(inputs_length=32, targets_length=16, batch_size=2),
    optimizer=OptimizerConfig(name="adamw", learning_rate=1e-3),
    steps=4,
)  # fmt: skip


def small_experiment(folder: Path) -> Experiment:
    forms = ("zero_shot", "zero_shot_no_options")
    tokens = CacheConfig(32, 16)
    return Experiment(
        title="Two stages",
        output_dir=str(folder),
        caches=CacheRun("small", f"{folder}/caches", tokens, module="small_collection"),
        stages=(
            Stage("pretrained", "small_pretrain", TRAIN, scored_forms=forms),
            Stage("tuned", "small_train", TRAIN, init_from="pretrained"),
        ),
        evaluation=EvaluationConfig(),
        test_clusters=("far",),
        trained_clusters=("near",),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        folder = tmp_path_factory.mktemp("experiment")
        experiments.run(small_experiment(folder), "Experiment.title = 'Two stages'")
        yield folder


def test_the_report_has_the_promised_schema(folder):
    record = json.loads((folder / "report.json").read_text())
    assert record["clusters"]["far"]["role"] == "test"
    assert record["clusters"]["near"]["role"] == "trained"
    for cluster in record["clusters"].values():
        for name in ("tuned", "pretrained", "chance", "majority"):
            assert 0 <= cluster[name] <= 1
        assert cluster["n"] == 10
        assert cluster["chance"] == pytest.approx(1 / 3, abs=1e-4)
    phases = record["seconds"]
    assert {"caches", "tuned, seed 0: training"} <= set(phases)
    assert all(seconds >= 0 for seconds in phases.values())
    assert "<svg" in (folder / "report.html").read_text()
    seen = record["ledgers"]["tuned"]
    assert (seen["mixture"], seen["step"], set(seen["tasks"])) == (
        "small_train",
        4,
        {"one:zero_shot"},
    )
    assert seen == json.loads((folder / "seed0" / "tuned" / "ledger.json").read_text())
    assert "examples of small_train" in (folder / "report.html").read_text()


def test_running_again_costs_nothing(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.glob("seed0/*/journal/*.jsonl")}
    report = json.loads((folder / "report.json").read_text())
    again = experiments.run(small_experiment(folder), "")
    assert again["clusters"] == report["clusters"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(before) == 6  # two tasks in three prompt forms


def test_a_stage_must_not_train_on_a_held_out_cluster(folder):
    experiment = small_experiment(folder)
    leaky = dataclasses.replace(experiment.stages[1], mixture="small_leak")
    experiment = dataclasses.replace(experiment, stages=(experiment.stages[0], leaky))
    with pytest.raises(ValueError, match="'tuned' trains on 'other:zero_shot' of the held-out"):
        experiments.run(experiment, "")


def test_random_weights_are_said_plainly(folder):
    experiment = dataclasses.replace(small_experiment(folder), subject="pretrained")
    assert "from random weights" in experiments._notes(experiment)[0]
    assert not experiments._notes(small_experiment(folder))
    elsewhere = dataclasses.replace(TRAIN, init_from="runs/base")
    stage = Stage("pretrained", "small_pretrain", elsewhere)
    assert not experiments._notes(dataclasses.replace(experiment, stages=(stage,)))


def test_stages_must_exist(folder):
    experiment = small_experiment(folder)
    with pytest.raises(ValueError, match="subject='tunned' is no stage"):
        dataclasses.replace(experiment, subject="tunned")
    with pytest.raises(ValueError, match="starts from 'pretrained', which is no earlier stage"):
        dataclasses.replace(experiment, stages=experiment.stages[1:])
    with pytest.raises(ValueError, match="each needs a name of its own"):
        dataclasses.replace(experiment, stages=experiment.stages * 2)


def test_caches_that_fail_end_the_experiment(folder):
    experiment = small_experiment(folder)
    caches = dataclasses.replace(experiment.caches, module="no_such_module")
    with pytest.raises(RuntimeError, match="could not be built"):
        experiments.run(dataclasses.replace(experiment, caches=caches), "")
