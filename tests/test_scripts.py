"""The scripts, one after the other, as a user calls them."""

import importlib.util
import io
import json
import sys
from pathlib import Path

import pytest

from flan_jax.evaluation import journal
from flan_jax.evaluation.examples import expand
from flan_jax.train.fingerprint import FingerprintMismatch

ROOT = Path(__file__).parent.parent
MODEL = {
    "ModelConfig.architecture": "encoder_decoder",
    "ModelConfig.vocab_size": 1024,
    "ModelConfig.d_model": 16,
    "ModelConfig.d_ff": 16,
    "ModelConfig.num_layers": 1,
    "ModelConfig.num_heads": 2,
    "ModelConfig.head_dim": 8,
    "FeedConfig.inputs_length": 32,
    "FeedConfig.targets_length": 16,
    "FeedConfig.batch_size": 2,
    "TrainRun.steps": 3,
}
CACHES = {
    "CacheRun.collection": "small",
    "CacheRun.module": "small_collection",
    "CacheRun.mixtures": ("small_train",),
    "CacheRun.scored_clusters": ("far",),
    "CacheConfig.inputs_length": 32,
    "CacheConfig.targets_length": 16,
}


def call(script: str, settings: dict, *arguments: str) -> None:
    spec = importlib.util.spec_from_file_location(script, ROOT / "scripts" / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([*arguments, *(f"--gin.{name}={value!r}" for name, value in settings.items())])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a run that was cached, trained (scored on the way) and evaluated."""
    folder = tmp_path_factory.mktemp("scripts")
    call("cache", CACHES | {"CacheRun.cache_dir": f"{folder}/caches"})
    listed = json.loads((folder / "caches" / "small.json").read_text())
    scored = listed["evaluation"]["zero_shot"]
    training = {
        "TrainRun.mixture": listed["mixtures"]["small_train"],
        "TrainRun.output_dir": f"{folder}/run",
        "TrainRun.evaluate_every": 3,
        "TrainingEvaluation.caches": scored,
    }
    call("train", MODEL | training)
    evaluation = {
        "EvaluateRun.checkpoint": f"{folder}/run",
        "EvaluateRun.caches": [f"{folder}/caches/small.json"],
        "EvaluateRun.test_clusters": ("far",),
        "EvaluateRun.output_dir": f"{folder}/evaluation",
    }
    call("evaluate", evaluation)
    return folder


def test_a_form_is_cached_as_soon_as_it_is_named(tmp_path, clean_registries):
    named = {"CacheRun.mixtures": (), "CacheRun.scored_tasks": ("other:one_shot_letters:rank",)}
    call("cache", CACHES | {"CacheRun.cache_dir": f"{tmp_path}"} | named)
    listed = json.loads((tmp_path / "small.json").read_text())["evaluation"]["tasks"]
    assert "other.one_shot_letters.rank-validation" in listed[0]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"CacheRun.scored_forms": ("five_shoot",)}, "'five_shoot' is no prompt form; forms are"),
        ({"CacheRun.mixtures": ("smal_train",)}, "'smal_train'; did you mean 'small_train'"),
        ({"CacheRun.scored_tasks": ("othr:zero_shot",)}, "named 'othr:zero_shot'; did you mean"),
    ],
)
def test_unknown_names_are_refused(tmp_path, clean_registries, change, message):
    nothing = {"CacheRun.mixtures": (), "CacheRun.scored_clusters": ()}
    with pytest.raises(ValueError, match=message):
        call("cache", CACHES | nothing | {"CacheRun.cache_dir": f"{tmp_path}"} | change)


def test_training_writes_what_it_ran_with(folder):
    assert "TrainRun.steps = 3" in (folder / "run" / "config.gin").read_text()
    for name in ("run.json", "model.json", "vocabulary.model"):
        assert (folder / "run" / name).exists()


def test_a_planned_ledger_is_that_of_the_run(folder, tmp_path, capsys):
    call("ledger", {}, f"{folder}/run", "--json", f"{tmp_path}/seen.json")
    assert "What 3 steps saw of small_train (zero_shot)" in capsys.readouterr().out
    settings = {name: value for name, value in MODEL.items() if name.startswith("FeedConfig")}
    mixture = f"{folder}/caches/small_train-train.json"
    call("ledger", settings, mixture, "--steps=3", "--json", f"{tmp_path}/planned.json")
    assert "What 3 steps will see of small_train (zero_shot)" in capsys.readouterr().out
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen == json.loads((folder / "run" / "ledger.json").read_text())
    assert seen | {"planned": True} == json.loads((tmp_path / "planned.json").read_text())


def test_training_is_scored_on_the_way(folder):
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    scores = [score for line in lines for name, score in json.loads(line).items() if "far" in name]
    assert scores and all(0 <= score <= 1 for score in scores)


def test_evaluation_equals_the_score_on_the_way(folder):
    report = json.loads((folder / "evaluation" / "report.json").read_text())
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    on_the_way = next(
        score for line in lines for name, score in json.loads(line).items() if "far" in name
    )
    assert report["clusters"]["far"]["role"] == "test"
    assert report["clusters"]["far"]["tuned"] == pytest.approx(on_the_way, abs=1e-6)
    paths = journal.files(f"{folder}/evaluation").values()
    assert sum(len(journal.read(path)[1]) for path in paths) == 20  # ten, under two templates


def test_a_list_names_the_forms_it_has(folder):
    with pytest.raises(ValueError, match="lists no caches to score in form 'few_shot'"):
        expand([f"{folder}/caches/small.json"], "few_shot")


def test_what_is_no_list_of_caches_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="no list of caches none.json: expected <cache_dir>/"):
        expand(["none.json"], "zero_shot")
    with pytest.raises(ValueError, match="small_train-train.json is no list of caches to score"):
        expand([f"{folder}/caches/small_train-train.json"], "zero_shot")
    failed = {"evaluation": {"zero_shot": []}, "missing": {"a:zero_shot:rank": "no file"}}
    (tmp_path / "failed.json").write_text(json.dumps(failed))
    with pytest.raises(ValueError, match="(?s)no cache in form 'zero_shot'.*a:zero_shot:rank: no"):
        expand([str(tmp_path / "failed.json")], "zero_shot")


def test_a_refused_run_leaves_the_configuration(folder):
    before = (folder / "run" / "config.gin").read_bytes()
    settings = {
        "TrainRun.mixture": f"{folder}/caches/small_train-train.json",
        "TrainRun.output_dir": f"{folder}/run",
        "TrainRun.seed": 1,
    }
    with pytest.raises(FingerprintMismatch, match="seed: 0 -> 1"):
        call("train", MODEL | settings)
    assert (folder / "run" / "config.gin").read_bytes() == before


def test_generation_from_a_file(folder):
    # The second line has a mark in it that Unicode takes for the end of a line.
    (folder / "in.txt").write_bytes("which? dog cat\r\nred\u2028blue\\n\n".encode())
    settings = {
        "GenerateRun.checkpoint": f"{folder}/run",
        "GenerateRun.input_file": f"file://{folder}/in.txt",
        "GenerateRun.output_file": f"file://{folder}/answers/out.txt",
        "GenerateRun.max_decode_length": 4,
    }
    call("generate", settings)
    assert (folder / "answers" / "out.txt").read_text().count("\n") == 2


def test_generation_at_a_prompt(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("which is first? dog cat\n\n"))
    settings = {"GenerateRun.checkpoint": f"{folder}/run", "GenerateRun.max_decode_length": 4}
    call("generate", settings)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_foreign_vocabulary_is_refused(folder, tmp_path):
    import shutil

    from flan_jax.train import run_folder

    shutil.copytree(folder / "run", tmp_path / "run")
    (tmp_path / "run" / "vocabulary.model").unlink()
    with pytest.raises(run_folder.RunFolderError, match="has no vocabulary.model"):
        run_folder.read_vocabulary(tmp_path / "run")
