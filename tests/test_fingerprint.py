"""The fingerprint: what is in it, what is not, and how a mismatch reads."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from training_support import small_run, write_mixture

from flan_jax.data.mixture import open_mixture
from flan_jax.parallel.mesh import MeshConfig
from flan_jax.train import fingerprint, run_description, run_folder
from flan_jax.train.checkpoint import CheckpointConfig
from flan_jax.train.metrics_log import LoggingConfig
from flan_jax.train.run_folder import RunFolder, RunFolderError


def recorded(run, latest=None) -> dict:
    run_description.write(run, open_mixture(run.mixture), RunFolder(run.output_dir), latest)
    return run_folder.read_run(run.output_dir)["fingerprint"]["fields"]


@pytest.fixture
def run(tmp_path):
    run = small_run(tmp_path / "run", write_mixture(tmp_path / "cache"))
    return replace(run, "optimizer", decay_steps=None)


def replace(run, part, **changes):
    return dataclasses.replace(run, **{part: dataclasses.replace(getattr(run, part), **changes)})


def test_where_and_how_a_run_is_reported_is_not_part_of_it(run, tmp_path):
    elsewhere = dataclasses.replace(
        run,
        output_dir=str(tmp_path / "elsewhere"),
        mesh=MeshConfig(data=2, tensor=4),
        checkpoint=CheckpointConfig(interval=7, keep=1),
        logging=LoggingConfig(interval=3, tensorboard=True),
        evaluate_every=4,
        compilation_cache_dir="xla",
    )
    elsewhere = replace(elsewhere, "model", remat="full", scan_layers=False)
    assert recorded(elsewhere) == recorded(run)


@pytest.mark.parametrize(
    "part,change",
    [
        ("model", {"dropout_rate": 0.0}),
        ("model", {"dtype": "bfloat16"}),
        ("feed", {"batch_size": 16}),
        ("feed", {"window": 64}),
        ("feed", {"pack": False}),
        ("optimizer", {"learning_rate": 1e-3}),
        ("optimizer", {"name": "adafactor"}),
        ("optimizer", {"no_decay": ()}),
        ("loss", {"label_smoothing": 0.1}),
        (None, {"seed": 1}),
        (None, {"gradient_accumulation": 4}),
        (None, {"steps": 40}),  # the cosine would end elsewhere
    ],
)
def test_whatever_affects_the_mathematics_is_refused_by_name(run, part, change):
    run_description.write(run, open_mixture(run.mixture), RunFolder(run.output_dir), latest=None)
    other = replace(run, part, **change) if part else dataclasses.replace(run, **change)
    field = f"{part}.{next(iter(change))}" if part else next(iter(change))
    field = {"steps": "optimizer.end_step"}.get(field, field)
    with pytest.raises(fingerprint.FingerprintMismatch) as caught:
        recorded(other, latest=5)
    message = str(caught.value)
    assert field in message
    assert "->" in message
    assert "init_from" in message
    # nothing was overwritten, so the run itself still goes on
    recorded(run, latest=5)
    # without a checkpoint there is nothing to protect
    recorded(other)


def test_a_run_at_constant_rate_may_be_extended_but_not_cut(run):
    run = replace(run, "optimizer", schedule="constant")
    first = recorded(run)
    assert recorded(dataclasses.replace(run, steps=1000), latest=20) == first
    with pytest.raises(ValueError, match="beyond TrainRun.steps=10"):
        recorded(dataclasses.replace(run, steps=10), latest=20)


def test_mixture_rates_and_cache_contents_count_but_not_where_they_lie(run, tmp_path):
    before = recorded(run)
    moved = tmp_path / "moved"
    shutil.copytree(tmp_path / "cache", moved)
    assert recorded(dataclasses.replace(run, mixture=str(moved / "toy-train.json"))) == before
    path = Path(run.mixture)
    mixture = json.loads(path.read_text())
    mixture["members"][0]["rate"] = 1.0
    path.write_text(json.dumps(mixture))
    with pytest.raises(fingerprint.FingerprintMismatch, match="mixture.copy"):
        recorded(run, latest=5)


def test_checkpoints_without_a_run_are_refused(run):
    with pytest.raises(RunFolderError, match="run.json"):
        run_description.write(run, open_mixture(run.mixture), RunFolder(run.output_dir), latest=5)


def test_source_identity(run, tmp_path):
    source = tmp_path / "source"
    for step in (10, 20):
        (source / "checkpoints" / str(step)).mkdir(parents=True)
        (source / "checkpoints" / str(step) / run_folder.COMMITTED).touch()
    run_folder.write_json(source, "run.json", {"fingerprint": {"digest": "abc"}})
    identity = fingerprint.source_identity
    assert identity(None, None) is None
    assert identity(str(source), None) == "abc@20"
    assert identity(str(source / "checkpoints" / "10"), None) == "abc@10"
    # resumed: the source has been trained on, or is gone; the weights are in the run already
    assert identity(str(source), "abc@10") == "abc@10"
    assert identity(str(tmp_path / "gone"), "abc@10") == "abc@10"
    # resumed with another source: not the same run
    assert identity(str(source), "xyz@10") == "abc@20"
    assert identity(str(source / "checkpoints" / "20"), "abc@10") == "abc@20"
    with pytest.raises(RunFolderError, match="gone"):
        identity(str(tmp_path / "gone"), None)
    assert Path(source).exists()


@pytest.mark.parametrize(
    "change,message",
    [
        ({"steps": 0}, "TrainRun.steps"),
        ({"gradient_accumulation": 3}, "does not divide"),
    ],
)
def test_bad_runs_are_refused(run, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(run, **change)


def test_feed_and_model_must_have_one_architecture(run):
    with pytest.raises(ValueError, match="decoder_only"):
        replace(run, "feed", architecture="decoder_only")


def test_a_field_that_came_later_has_its_default(run):
    run_description.write(run, open_mixture(run.mixture), RunFolder(run.output_dir), None)
    about = run_folder.read_run(run.output_dir)
    for field in ("model.logit_softcap", "loss.z_loss", "model.vocab_size"):
        del about["fingerprint"]["fields"][field]
    run_folder.write_json(run.output_dir, "run.json", about)
    with pytest.raises(fingerprint.FingerprintMismatch, match="model.vocab_size") as caught:
        recorded(run, latest=1)
    assert "softcap" not in str(caught.value)  # a default, what it is now too
    with pytest.raises(fingerprint.FingerprintMismatch, match="z_loss: 0.0001 -> 0.5"):
        recorded(replace(run, "loss", z_loss=0.5), latest=1)
