"""Scores with chance taken out."""

import dataclasses

import numpy as np
import pytest
import scored

from flan_jax.evaluation import chance_adjusted, results
from flan_jax.evaluation.results import Results, Score


def task(name, cluster, share, chance):
    values = np.zeros((100, 1))
    values[: round(100 * share)] = 1.0
    return dataclasses.replace(
        scored.make_task(name, cluster, 1.0),
        templates=("wording",),
        examples=tuple(range(100)),
        statistics={"accuracy": values[..., None]},
        chance=chance,
    )


def test_a_score_is_placed_between_chance_and_perfect():
    score = Score(0.75, np.array([0.5, 0.7, 1.0, 0.25]))
    found = chance_adjusted.adjusted(score, 0.5)
    assert found.value == 0.5
    assert found.draws == pytest.approx([0.0, 0.4, 1.0, -0.5])  # below chance stays below 0
    assert chance_adjusted.adjusted(score, 0.0).value == 0.75
    assert chance_adjusted.adjusted(score, 1.0) is None


def test_tasks_are_adjusted_before_they_are_averaged():
    tasks = (
        task("two", "animals", 0.75, 0.5),  # 0.5 of the way
        task("ten", "animals", 0.82, 0.1),  # 0.8 of the way
        task("free", "moods", 0.3, 0.0),
        task("sure", "moods", 1.0, 1.0),  # every answer is right: left out
        task("dull", "tools", 1.0, 1.0),
    )
    summary = results.summarise(Results("s", tasks, scored.ROLES), 50)
    cluster = chance_adjusted.cluster_score(summary.clusters["animals"])
    assert cluster.value == pytest.approx(0.65)
    low, high = cluster.interval
    assert low < cluster.value < high
    assert chance_adjusted.cluster_score(summary.clusters["moods"]).value == pytest.approx(0.3)
    assert chance_adjusted.cluster_score(summary.clusters["tools"]) is None
    assert chance_adjusted.role_score(summary, "test").value == pytest.approx((0.65 + 0.3) / 2)
    assert chance_adjusted.role_score(summary, "dev") is None
    assert chance_adjusted.role_score(summary, "trained") is None
