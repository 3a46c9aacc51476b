"""Metrics of declared tasks from rows to scores, through a cache, with answers made up."""

import json

import numpy as np
import pytest

from flan_jax.data import cache, registry
from flan_jax.data.tokenisation import CacheConfig
from flan_jax.evaluation import examples, metrics, results
from flan_jax.evaluation.tally import Tally
from tasks import linguistics, nli, paraphrase, reading_comprehension, translation
from tasks import reading_comprehension_commonsense as commonsense

COUNT = 12
DECLARED = {
    "cola": linguistics.cola,
    "cb": nli.cb,
    "stsb": paraphrase.stsb,
    "multirc": reading_comprehension.multirc,
    "record": commonsense.record,
    "multi30k_de_en": translation.multi30k_de_en,
}


def _rows(name):
    """Rows that differ in text and in label from one to the next."""
    for n in range(COUNT):
        row = dict(DECLARED[name].example)
        text = next(key for key, value in row.items() if isinstance(value, str))
        if name == "multirc":
            # Four candidates a question, of which the first is right.
            row |= {"question": f"{n // 4} {row['question']}", "answer": str(n)}
            row |= {"label": int(n % 4 == 0)}
        elif name == "record":
            row |= {"passage": f"{n} {row['passage']}", "answers": [row["entities"][n % 2]]}
        elif name != "multi30k_de_en":
            row |= {text: f"{n} {row[text]}", "label": n % {"cola": 2, "cb": 3, "stsb": 6}[name]}
        yield row


@pytest.fixture
def scored(tmp_path, small_vocabulary, clean_registries):
    """Scores a task with the answers that a function of the example gives."""

    def score(name, answer, ranked=True):
        folder = tmp_path / name
        if name == "multi30k_de_en":
            folder = tmp_path / "multi30k_en_de"
        folder.mkdir(exist_ok=True)
        text = "\n".join(map(json.dumps, _rows(name)))
        for split in ("train", "validation", "test"):  # one of the last two is scored
            (folder / f"{split}.jsonl").write_text(text)
        form = f"zero_shot:{'rank' if ranked else 'generate'}"
        registry.register_collection(
            "few",
            [DECLARED[name]],
            vocabulary=small_vocabulary,
            data_dir=str(tmp_path),
            only=("zero_shot", form),
        )
        built = cache.build(
            f"{name}:{form}",
            "test",
            small_vocabulary,
            CacheConfig(1024, 128),
            str(tmp_path / "caches"),
            progress=False,
        )
        loaded = examples.load(built)
        tally = Tally(loaded)
        for position, example in enumerate(loaded.examples):
            tally.add(position, {"prediction": answer(example)})
        task = tally.scores("")
        return task, {
            metric: float(np.nanmean(results.template_scores(task, metric)))
            for metric in task.metrics
        }

    return score


def _right(example):
    return example.options[example.answer] if example.options else example.references[0]


def _first(example):
    return example.options[0]


@pytest.mark.parametrize("name", ["cola", "cb", "stsb", "multirc", "record"])
def test_right_answers_score_1(scored, name):
    task, scores = scored(name, _right)
    assert len(scores) >= 2 and scores == dict.fromkeys(task.metrics, pytest.approx(1.0))
    assert results.task_score(task, 50).interval == (1.0, 1.0)


def test_translations_are_scored_by_both(scored):
    _, scores = scored("multi30k_de_en", _right, ranked=False)
    assert scores == {"bleu": pytest.approx(1.0), "chrf": pytest.approx(1.0)}


def test_one_answer_to_all_tells_nothing(scored):
    assert scored("cola", _first)[1] == {"accuracy": 0.5, "matthews": 0.0}
    found = scored("stsb", _first)[1]
    assert found == {"accuracy": pytest.approx(1 / 6), "pearson": 0.0, "spearman": 0.0}


def test_multirc_asks_for_all_candidates(scored):
    task, scores = scored("multirc", _first)  # every candidate is turned down
    assert scores == {"accuracy": 0.75, "multirc_f1a": 0.0, "multirc_exact_match": 0.0}
    chosen = [metrics.lookup(name) for name in task.metrics]
    units = metrics.resampling_units(chosen, task.statistics)
    assert units.max() == COUNT // 4 - 1 and np.bincount(units).tolist() == [4, 4, 4]

    def all_but_one(example):
        wrong = example.example == 0
        return example.options[example.answer ^ wrong]

    scores = scored("multirc", all_but_one)[1]
    assert scores["multirc_exact_match"] == pytest.approx(2 / 3)
    assert scores["multirc_f1a"] == pytest.approx(2 * 2 / (2 + 3))


def test_records_f1_is_of_the_entity_under_each_template(scored):
    task, _ = scored("record", _first)
    # Ida Holm and Tarn, in turns, share no word; one template puts them into a sentence.
    per_template = results.template_scores(task, "record_f1")
    asked = ~np.isnan(per_template)  # the others are turned around
    assert asked.sum() == 8 and per_template[asked] == pytest.approx(np.full(8, 0.5))
    accuracy = results.template_scores(task, "accuracy")
    assert per_template == pytest.approx(accuracy, nan_ok=True)
    assert task.chance == 0.5
