"""Calibrated option scores, from a declared task to the journal."""

import dataclasses
import json

import numpy as np
import pytest
import small_models
from declared import COLORS, declare_colors
from evaluation_caches import write_evaluation_cache
from quick_compilation import compile_quickly  # noqa: F401

from flan_jax.data import cache, registry
from flan_jax.data.cache import CacheConfig
from flan_jax.data.templates import FewShot
from flan_jax.evaluation import batching, journal, option_rows, predictions, prompt_files, scoring
from flan_jax.evaluation import evaluate as engine
from flan_jax.evaluation import examples as examples_module
from flan_jax.evaluation.during_training import TrainingEvaluation, make_evaluate
from flan_jax.evaluation.evaluate import EvaluationConfig, evaluate
from flan_jax.evaluation.examples import Example
from flan_jax.evaluation.normalisation import calibrated, choose

CONFIG = dataclasses.replace(small_models.CONFIGS["encoder_decoder"], vocab_size=128)
SETTINGS = EvaluationConfig(batch_size=4, score="calibrated")
LENGTHS = CacheConfig(inputs_length=256, targets_length=16)
FORMS = ("zero_shot", "one_shot_no_options")


@pytest.fixture(scope="module", autouse=True)
def one_shape():
    """Pads everything alike: compiling other shapes is what takes time here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "_LEAST_PROMPT", 128)
        patch.setattr(option_rows, "_LEAST_ROW", 64)
        yield


@pytest.fixture(scope="module")
def params():
    return small_models.params_of(CONFIG)


@pytest.fixture(scope="module")
def caches(small_vocabulary, tmp_path_factory):
    """A cache of each form, with content-free prompts."""
    colors = declare_colors(few_shot=FewShot(max_tokens=None), sizes={"train": 9, "validation": 9})
    registry.register_collection("calibrated", [colors], vocabulary=small_vocabulary)
    folder = str(tmp_path_factory.mktemp("caches"))
    free = dataclasses.replace(LENGTHS, content_free=True)
    names = [f"colors:{form}:rank" for form in FORMS]
    return [
        cache.build(name, "validation", small_vocabulary, free, folder, progress=False)
        for name in names
    ]


@pytest.fixture(scope="module")
def whole(params, caches, tmp_path_factory):
    """The folder of an evaluation that nothing cut short."""
    folder = tmp_path_factory.mktemp("whole")
    evaluate(CONFIG, params, caches, SETTINGS, output_dir=str(folder), prompts_dir=f"{folder}/p")
    return folder


def records(folder):
    return {task: journal.read(path)[1] for task, path in journal.files(str(folder)).items()}


def by_hand(params, vocabulary, prompts, options):
    """The scores of options behind each prompt, with nothing of the cache."""
    tokens = tuple(vocabulary.encode(option) + [1] for option in options)
    examples = [Example(vocabulary.encode(prompt) + [1], "", (), tuple(options), tokens, 0)
                for prompt in prompts]  # fmt: skip
    return scoring.score_options(CONFIG, params, examples, batch_size=4)


@pytest.mark.parametrize("form", FORMS)
def test_scores_equal_those_of_prompts_written_by_hand(form, params, small_vocabulary, whole):
    found = records(whole)[f"colors:{form}:rank"]
    assert len(found) == 18
    shown = "\nOPTIONS:\n- red\n- green\n- blue" if form == "zero_shot" else ""
    for record in found[:4]:
        wording = ("What colour is {}?", "{} is")[record["template"]]
        options = (COLORS, [f"It is {color}." for color in COLORS])[record["template"]]
        before = record["prompt"].rpartition("\n\n")[0]
        before, after = (before + "\n\n", "\nANSWER:") if before else ("", "")
        query = [
            f"{before}{wording.format(word)}{shown}{after}"
            for word in (f"thing {record['example']}", "N/A", "[MASK]", "")
        ]
        assert record["prompt"] == query[0] and record["options"] == options
        scores, *free = by_hand(params, small_vocabulary, query, options)
        compared = calibrated(scores, None, np.array(free))
        np.testing.assert_allclose(record["option_scores"], scores, atol=2e-5)
        np.testing.assert_allclose(record["content_free_scores"], free, atol=2e-5)
        np.testing.assert_allclose(record["compared_scores"], compared, atol=2e-5)
        assert record["choice"] == choose(compared)
        assert record["prediction"] == options[record["choice"]]


def test_prompts_are_on_disk_as_they_are_scored(whole, caches):
    for path in caches:
        examples = examples_module.load(path, content_free=True)
        file = whole / "p" / prompt_files.file_name(examples.name)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert [line["content_free"] for line in lines] == [
            list(example.content_free_prompts) for example in examples.examples
        ]
        # Without the setting they are neither read nor part of what was asked.
        plain = examples_module.load(path)
        assert {example.content_free for example in plain.examples} == {()}
        assert prompt_files.digest(plain) != prompt_files.digest(examples)


def test_the_batch_size_has_no_influence(params, caches, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "_BATCHES_OF_A_GROUP", 2)
    settings = dataclasses.replace(SETTINGS, batch_size=7)
    evaluate(CONFIG, params, caches, settings, output_dir=str(tmp_path))
    for task, expected in records(whole).items():
        found = records(tmp_path)[task]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a["compared_scores"], b["compared_scores"], atol=1e-4)
            assert a["choice"] == b["choice"]


def test_a_shared_prompt_is_read_once_a_group(params, caches, monkeypatch):
    scored, score = [], scoring.score_all

    def counted(scorer, examples):
        scored.append(len(examples))
        return score(scorer, examples)

    monkeypatch.setattr(scoring, "score_all", counted)
    examples = examples_module.load(caches[0], content_free=True)
    # Two templates and three words; those with longer options come first.
    for group, expected in ((8, [6]), (3, [6, 3])):
        scored.clear()
        monkeypatch.setattr(predictions, "_BATCHES_OF_A_GROUP", group)
        found = list(predictions.iterate_predictions(CONFIG, params, examples, SETTINGS))
        assert scored == expected and len(found) == 5


class Cut(Exception):
    """What cuts an evaluation short."""


def test_one_that_was_cut_short_ends_as_one_that_was_not(params, caches, tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "_BATCHES_OF_A_GROUP", 2)
    evaluate(CONFIG, params, caches, SETTINGS, output_dir=str(tmp_path / "whole"))
    real = engine.iterate_predictions

    def cut(*every):
        for number, pair in enumerate(real(*every)):
            if number == 3:
                raise Cut
            yield pair

    with monkeypatch.context() as patch:
        patch.setattr(engine, "iterate_predictions", cut)
        with pytest.raises(Cut):
            evaluate(CONFIG, params, caches, SETTINGS, output_dir=str(tmp_path / "cut"))
    evaluate(CONFIG, params, caches, SETTINGS, output_dir=str(tmp_path / "cut"))
    whole, cut = ({path.name: path.read_bytes() for path in (tmp_path / name / "journal").iterdir()}
                  for name in ("whole", "cut"))  # fmt: skip
    assert whole == cut and len(whole) == 3
    # The same again runs no model.
    monkeypatch.setattr(scoring, "iterate_scores", None)
    evaluate(CONFIG, params, caches, SETTINGS, output_dir=str(tmp_path / "cut"))


def test_another_score_of_the_same_cache_is_another_journal(params, caches, tmp_path):
    names = set()
    for score in ("sum", "pmi", "calibrated"):
        settings = dataclasses.replace(SETTINGS, score=score, max_examples=2)
        evaluate(CONFIG, params, caches[:1], settings, output_dir=str(tmp_path))
        (path,) = journal.files(str(tmp_path)).values()
        names.add(path)
        record = journal.read(path)[1][0]
        assert ("content_free_scores" in record) == (score == "calibrated")
        assert score != "sum" or record["compared_scores"] == record["option_scores"]
    assert len(names) == 3


def test_a_cache_without_content_free_prompts_is_an_error(params, caches, tmp_path):
    plain = write_evaluation_cache(tmp_path / "plain", "rank")
    message = (
        "plain of task 'animals:zero_shot:rank' holds no content-free prompts.*build its cache "
        "with CacheConfig.content_free=True"
    )
    with pytest.raises(ValueError, match=message):
        evaluate(CONFIG, params, [*caches, plain], SETTINGS, output_dir=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()  # found before anything was scored
    with pytest.raises(ValueError, match=message):
        make_evaluate(CONFIG, TrainingEvaluation([plain], settings=SETTINGS))
    examples = examples_module.load(plain)
    with pytest.raises(ValueError, match="'animals:zero_shot:rank': calibrated needs the .*=True"):
        list(predictions.iterate_predictions(CONFIG, params, examples, SETTINGS))
    # Answers that are written freely need none.
    free = write_evaluation_cache(tmp_path / "generate", "generate")
    assert examples_module.load(free, content_free=True).examples[0].content_free == ()


def test_during_training(params, caches):
    score = make_evaluate(CONFIG, TrainingEvaluation(caches, settings=SETTINGS))
    summary = score(params, 0)
    assert set(summary) == {"facts", "mean"} and 0 <= summary["mean"] <= 1
