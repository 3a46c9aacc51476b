"""Caches in; predictions, results and a report out."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import small_models
from evaluation_caches import OPTIONS, write_evaluation_cache
from make_cache import write_cache
from quick_compilation import compile_quickly  # noqa: F401

from flan_jax.data.store import CacheError
from flan_jax.evaluation import evaluate as engine
from flan_jax.evaluation import examples as examples_module
from flan_jax.evaluation import journal, results, scoring
from flan_jax.evaluation.evaluate import EvaluateRun, EvaluationConfig, evaluate

CONFIG = small_models.CONFIGS["encoder_decoder"]
SETTINGS = EvaluationConfig(batch_size=8, max_decode_length=4)


@pytest.fixture(scope="module")
def params():
    return small_models.params_of(CONFIG)


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    root = tmp_path_factory.mktemp("caches")
    return [write_evaluation_cache(root / kind, kind) for kind in ("rank", "generate")]


def decode(tokens):
    return " ".join(map(str, tokens))


def test_scores_equal_those_of_the_scorer(params, caches):
    found = evaluate(CONFIG, params, caches[:1], SETTINGS)
    examples = examples_module.load(caches[0])
    scores = scoring.score_options(CONFIG, params, examples.examples, batch_size=8)
    right = [np.argmax(s) == e.answer for s, e in zip(scores, examples.examples, strict=True)]
    (task,) = found.tasks
    assert task.statistics["accuracy"].ravel().tolist() == right
    assert task.examples == (0, 3, 6, 9, 12, 15)
    assert task.templates == ("Which animal?", "Animal: → a {answer}")
    assert task.chance == pytest.approx(1 / 3)
    assert task.majority == pytest.approx(5 / 6)
    assert task.left_out == {"dropped": 4}
    assert found.roles == {"zoo_rank": "trained"}


def test_the_journal_holds_a_record_of_each_scored_example(params, caches, tmp_path):
    settings = dataclasses.replace(SETTINGS, batch_size=3)
    found = evaluate(CONFIG, params, caches, settings, decode, str(tmp_path / "new"))
    files = journal.files(str(tmp_path / "new"))
    assert list(files) == ["animals:zero_shot:generate", "animals:zero_shot:rank"]
    headers, (generated, ranked) = zip(*map(journal.read, files.values()), strict=True)
    assert [header["task"] for header in headers] == list(files)
    lines = ranked + generated
    assert len(lines) == 24
    assert len({(line["task"], line["example"], line["template"]) for line in lines}) == 24
    ranked, generated = lines[0], lines[-1]
    assert ranked["prompt"].startswith("Which animal") and ranked["options"] == [*OPTIONS]
    assert ranked["choice"] == int(np.argmax(ranked["option_scores"]))
    assert ranked["prediction"] == OPTIONS[ranked["choice"]]
    assert generated["task"] == "animals:zero_shot:generate"
    assert "option_scores" not in generated and generated["references"] == ["dog"]
    mean = np.mean([line["scores"]["accuracy"] for line in lines[:12]])
    assert results.summarise(found).clusters["zoo_rank"].score.value == pytest.approx(mean)


def test_results_do_not_depend_on_the_batch_size(params, caches, tmp_path):
    for size in (3, 8):
        settings = dataclasses.replace(SETTINGS, batch_size=size)
        found = evaluate(CONFIG, params, caches, settings, decode)
        found = dataclasses.replace(found, seconds=0.0)
        tasks = [dataclasses.replace(task, samples=()) for task in found.tasks]
        results.save(dataclasses.replace(found, tasks=tasks), str(tmp_path / f"{size}.json"))
    assert (tmp_path / "3.json").read_text() == (tmp_path / "8.json").read_text()


def test_a_part_of_the_examples_is_spread_evenly(params, caches):
    settings = dataclasses.replace(SETTINGS, max_examples=3)
    (task,) = evaluate(CONFIG, params, caches[:1], settings).tasks
    assert task.examples == (0, 6, 15)
    assert examples_module.count_rows(caches[0], 3) == 6


def test_a_run_writes_predictions_results_and_report(params, caches, tmp_path):
    run = EvaluateRun(
        "runs/x", caches, str(tmp_path), settings=SETTINGS, test_clusters=("zoo_rank", "zo")
    )
    found = engine.evaluate_run(run, CONFIG, params, decode, {"gin": "x = 1"})
    assert found.roles == {"zoo_rank": "test", "zoo_generate": "trained"}
    loaded = results.load(str(tmp_path / "results.json"))
    assert loaded.facts["checkpoint"] == "runs/x" and loaded.facts["batch_size"] == 8
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["clusters"]["zoo_rank"]["n"] == 6
    assert "'zo', which is named as a test cluster; the caches are of zoo_gen" in record["notes"][0]
    assert record["clusters"]["zoo_generate"]["chance"] == 0.0
    assert "Which animal" in (tmp_path / "report.html").read_text()
    files = journal.files(str(tmp_path)).values()
    assert sum(len(journal.read(path)[1]) for path in files) == 24


def test_a_remote_folder_is_read_and_written(params, caches, tmp_path):
    from flan_jax import storage

    storage.upload(caches[0], "memory://evaluation/cache")
    run = EvaluateRun(
        "runs/x",
        ["memory://evaluation/cache"],
        "memory://evaluation/out",
        settings=SETTINGS,
        local_dir=str(tmp_path),
    )
    engine.evaluate_run(run, CONFIG, params, decode)
    assert results.load("memory://evaluation/out/results.json").tasks[0].task == "animals"
    assert storage.path("memory://evaluation/out/report.html").exists()


def test_what_cannot_be_scored_is_an_error(params, caches, tmp_path):
    with pytest.raises(ValueError, match="at least one evaluation cache"):
        evaluate(CONFIG, params, [])
    with pytest.raises(ValueError, match="'animals:zero_shot:generate' needs generated answers"):
        evaluate(CONFIG, params, caches[1:], SETTINGS)
    broken = jax.tree.map(lambda leaf: leaf * np.nan, params)
    with pytest.raises(ValueError, match="animals:zero_shot:rank'.*template.*are not finite"):
        evaluate(CONFIG, broken, caches[:1], SETTINGS)
    message = "'animals:zero_shot:generate': the logits of 8 of 8 rows are not finite"
    with pytest.raises(ValueError, match=message):
        evaluate(CONFIG, broken, caches[1:], SETTINGS, decode)
    with pytest.raises(ValueError, match="token id 48, but the model has 20 embedding rows"):
        evaluate(dataclasses.replace(CONFIG, vocab_size=20), params, caches[:1], SETTINGS)
    write_cache(tmp_path / "training", [[{"inputs": [5, 1], "targets": [6, 1]}]])
    with pytest.raises(ValueError, match="is a training cache.*':rank' or ':generate'"):
        evaluate(CONFIG, params, [str(tmp_path / "training")], SETTINGS)
    message = "rank was built with another vocabulary .* than the model's .digest ffffffffffff"
    with pytest.raises(ValueError, match=message):
        evaluate(CONFIG, params, caches[:1], SETTINGS, vocabulary="f" * 64)
    unknown = write_evaluation_cache(tmp_path / "unknown", "rank", metrics=["acuracy"])
    with pytest.raises(ValueError, match="'acuracy' of task 'animals:zero_shot:rank' is unknown"):
        evaluate(CONFIG, params, [unknown], SETTINGS)


def test_an_empty_task_is_an_error(params, tmp_path):
    empty = write_evaluation_cache(tmp_path / "empty", "rank", examples=0)
    with pytest.raises(CacheError, match="empty is empty: all examples were dropped.*'count': 4"):
        evaluate(CONFIG, params, [empty], SETTINGS)
    some = examples_module.load(write_evaluation_cache(tmp_path / "some", "rank"))
    with pytest.raises(ValueError, match="'animals:zero_shot:rank' has no examples to evaluate"):
        examples_module.check(dataclasses.replace(some, examples=()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": [], "option_tokens": [], "answer": -1}, r"got options \[\] with \[\] tokens"),
        ({"option_tokens": [[10, 1], [], [12, 1]]}, r"with \[2, 0, 2\] tokens and answer 1"),
        ({"option_tokens": [[10, 1], [11, 1]]}, r"with \[2, 2\] tokens"),
        ({"answer": 3}, "and answer 3; build the cache again"),
    ],
)
def test_a_missing_option_is_an_error(params, tmp_path, changes, message):
    cache = write_evaluation_cache(tmp_path / "bad", "rank", row_changes=changes)
    with pytest.raises(ValueError, match=f"example 15, template 0: expected options .*{message}"):
        evaluate(CONFIG, params, [cache], SETTINGS)


def test_one_example_that_is_not_finite_is_named(params, tmp_path):
    """Only its prompt has token 49, whose embedding is damaged."""
    cache = write_evaluation_cache(tmp_path / "nan", "rank", row_changes={"inputs": [49, 1]})
    broken = params | {"embedding": params["embedding"].at[49].set(np.nan)}
    message = "animals:zero_shot:rank': example 15, template [01]: option scores .nan, nan, nan."
    with pytest.raises(ValueError, match=message):
        evaluate(CONFIG, broken, [cache], SETTINGS, output_dir=str(tmp_path))
    # What was not scored is not in the journal.
    (path,) = journal.files(str(tmp_path)).values()
    assert all(np.isfinite(record["option_scores"]).all() for record in journal.read(path)[1])


def test_a_prompt_that_was_cut_is_counted_and_shown(params, tmp_path):
    cut = {"inputs longer than 9 tokens": {"count": 7, "first": [3]}}
    cache = write_evaluation_cache(tmp_path / "long", "rank", truncated=cut)
    run = EvaluateRun("runs/x", [cache], str(tmp_path), settings=SETTINGS)
    engine.evaluate_run(run, CONFIG, params, decode)
    report = json.loads((tmp_path / "report.json").read_text())
    (task,) = report["clusters"]["zoo_rank"]["tasks"].values()
    assert task["tuned"]["left_out"] == {"dropped": 4, "truncated": 7}
    assert "7 truncated" in (tmp_path / "report.html").read_text()


def test_settings_are_checked():
    with pytest.raises(ValueError, match="score: expected sum, .*, pmi, calibrated, got 'max'"):
        EvaluationConfig(score="max")
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        EvaluationConfig(batch_size=0)
