"""The score of a weighted sample is the score of the sample with its examples repeated."""

import dataclasses

import numpy as np
import pytest
import scored

from flan_jax.data.facts import with_facts
from flan_jax.evaluation import metrics, results

COUNT = 40


def _examples(name, generator):
    """Predictions and references that the metric can score."""
    if name.startswith("ifeval"):
        asked = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
        texts = generator.choice(["a, b", "a b", ""], COUNT).tolist()
        return texts, [with_facts(["1"], **asked)] * COUNT
    if name.startswith("multirc"):
        said = generator.choice(["yes", "no"], (2, COUNT)).tolist()
        # The candidates of a question stand together, two to four of them.
        questions = np.repeat(np.arange(COUNT), generator.integers(2, 5, COUNT))[:COUNT]
        facts = [{"question": str(one), "positive": "yes"} for one in questions]
        return said[0], [with_facts([a], **f) for a, f in zip(said[1], facts, strict=True)]
    if name in ("pearson", "spearman", "matthews", "macro_f1", "accuracy"):
        numbers = generator.integers(0, 4, (2, COUNT)).astype(str).tolist()
        return numbers[0], [[text] for text in numbers[1]]
    words = ["red", "cat", "sat", "on", "a", "mat", "#### 5"]
    texts = [" ".join(generator.choice(words, 6)) for _ in range(2 * COUNT)]
    return texts[:COUNT], [[text] for text in texts[COUNT:]]


@pytest.mark.parametrize("name", sorted(metrics.METRICS))
def test_a_weight_is_a_repetition(name):
    generator = np.random.default_rng(7)
    predictions, references = _examples(name, generator)
    metric = metrics.lookup(name)
    rows = [metric.statistics(*pair) for pair in zip(predictions, references, strict=True)]
    statistics = np.array(rows, np.float64)
    assert statistics.shape == (COUNT, metric.size) and np.isfinite(statistics).all()
    units = metrics.resampling_units([metric], {name: statistics[:, None]})
    weights = generator.multinomial(units.max() + 1, np.full(units.max() + 1, 1 / COUNT), 5)
    weights = weights[:, units].astype(float)
    found = metric.score(statistics, weights)
    assert found.shape == (5,)
    if name == "multirc_exact_match":  # a repeated question would be one question
        exact = [_multirc(statistics, row) for row in weights]
        assert found == pytest.approx(exact)
        return
    classes = statistics[:, 1] if name == "macro_f1" else None
    for score, row in zip(found, weights.astype(int), strict=True):
        if classes is not None and set(classes[row > 0]) != set(classes):
            continue  # a class that was not drawn counts there, see its docstring
        assert score == pytest.approx(metric.score(np.repeat(statistics, row, 0), _ones(row))[0])
    assert 0.0 <= metric.of_example(rows[0]) <= 1.0


def _ones(row):
    return np.ones((1, row.sum()))


def _multirc(statistics, row):
    questions = np.unique(statistics[:, 0])
    members = [statistics[:, 0] == one for one in questions]
    drawn = [row[one].max() for one in members]
    return np.average([statistics[one, 1].all() for one in members], weights=drawn)


def test_examples_that_a_template_left_out_do_not_count():
    for name in ("pearson", "spearman", "matthews", "accuracy"):
        metric = metrics.lookup(name)
        predictions, references = _examples(name, np.random.default_rng(1))
        rows = [metric.statistics(*pair) for pair in zip(predictions, references, strict=True)]
        statistics = np.array(rows, np.float64)
        holes = statistics.copy()
        holes[::3] = np.nan
        kept = np.delete(statistics, np.s_[::3], axis=0)
        weights = np.ones((1, COUNT))
        expected = metric.score(kept, np.ones((1, len(kept))))
        assert metric.score(holes, weights) == pytest.approx(expected)
        assert np.isnan(metric.score(np.full_like(statistics, np.nan), weights)).all()
        assert np.isnan(metric.score(holes, np.where(np.isnan(holes[:, 0]), 1.0, 0.0)[None]))


def _task(names, statistics):
    task = scored.make_task("multirc", "animals", 1.0)
    return dataclasses.replace(
        task,
        metrics=names,
        templates=("one",),
        examples=tuple(range(len(next(iter(statistics.values()))))),
        statistics={name: np.asarray(values)[:, None] for name, values in statistics.items()},
    )


def test_candidates_of_a_question_are_resampled_together():
    right = np.repeat(np.random.default_rng(0).random(100) < 0.5, 5).astype(float)
    question = np.repeat(np.arange(100.0), 5)
    alone = _task(("accuracy",), {"accuracy": right[:, None]})
    joint = _task(
        ("accuracy", "multirc_exact_match"),
        {"accuracy": right[:, None], "multirc_exact_match": np.stack([question, right], axis=1)},
    )
    spreads = [np.std(results.task_score(task, 2000).draws) for task in (alone, joint)]
    assert results.task_score(joint, 10).value == results.task_score(alone, 10).value
    # Five candidates that stand or fall together tell as much as one.
    assert spreads[1] / spreads[0] == pytest.approx(np.sqrt(5), rel=0.1)


def test_intervals_of_rank_correlations_hold_the_truth():
    generator = np.random.default_rng(2)
    low, sure = 0, 40
    for _ in range(sure):
        x = generator.normal(size=60)
        y = 0.7 * x + np.sqrt(1 - 0.7**2) * generator.normal(size=60)
        task = _task(("spearman",), {"spearman": np.stack([x, y], axis=1)})
        interval = results.task_score(task, 200).interval
        low += interval[0] <= 6 / np.pi * np.arcsin(0.35) <= interval[1]
    assert low >= 0.85 * sure
