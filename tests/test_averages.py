"""Averages over several clusters, as MMLU is reported."""

import dataclasses
import io

import pytest
import scored
from rich.console import Console

from flan_jax.evaluation import averages, results
from flan_jax.evaluation.comparison import Report, find
from flan_jax.evaluation.report import print_table, to_json
from flan_jax.evaluation.report_scores import table
from flan_jax.evaluation.results import Results
from tasks.benchmarks import mmlu


def _results(system="tuned"):
    """Each group's subjects are right to another degree; the last group has one long subject."""
    tasks = [
        scored.make_task(f"{cluster}_{i}", cluster, 0.2 * (place + 1), seed=i)
        for place, cluster in enumerate(averages.BENCHMARKS["mmlu"])
        for i in range(place + 1)
    ]
    short = dataclasses.replace(
        tasks[0],
        examples=tasks[0].examples[:20],
        statistics={"accuracy": tasks[0].statistics["accuracy"][:20]},
    )
    clusters = dict.fromkeys(averages.BENCHMARKS["mmlu"], "test")
    return Results(system, (short, *tasks[1:]), clusters)


def _printed(shown, summaries):
    console = Console(record=True, width=160, file=io.StringIO())
    print_table(shown, summaries, console)
    return console.export_text()


def test_every_subject_or_every_question_weighs_the_same():
    summary = results.summarise(_results(), resamples=50)
    tasks = [task for cluster in summary.clusters.values() for task in cluster.tasks]
    assert len(tasks) == 10
    clusters = averages.BENCHMARKS["mmlu"]
    macro, micro = averages.over_tasks(summary, clusters), averages.over_examples(summary, clusters)
    assert macro.value == pytest.approx(sum(task.score.value for task in tasks) / 10)
    pooled = sum(task.score.value * task.n for task in tasks) / (20 + 9 * 60)
    assert micro.value == pytest.approx(pooled) and micro.value > macro.value
    for score in (macro, micro):
        assert score.draws.shape == (50,)
        assert score.interval[0] < score.value < score.interval[1]
        assert score.value != pytest.approx(summary.mean(role="test").value, abs=0.01)


def test_the_report_has_them_where_all_groups_were_scored():
    summary = results.summarise(_results(), resamples=20)
    shown = Report(title="MMLU", systems={"tuned": _results()}, resamples=20)
    found = to_json(shown, find(shown))["averages"]
    assert list(found) == ["mmlu"] and found["mmlu"]["tasks"] == 10
    assert found["mmlu"]["tuned"]["over_tasks"]["score"] == pytest.approx(
        averages.over_tasks(summary, averages.BENCHMARKS["mmlu"]).value, abs=1e-6
    )
    for text in (table({"tuned": summary}, ""), _printed(shown, {"tuned": summary})):
        assert "mmlu, mean of 10 tasks" in text and "mmlu, pooled" in text
    part = dataclasses.replace(_results(), tasks=_results().tasks[:3])
    assert averages.of_benchmarks({"tuned": results.summarise(part, resamples=5)}) == {}


def test_the_groups_are_those_of_the_tasks():
    clusters = {one.cluster for one in mmlu.declarations()}
    assert clusters == {name for names in averages.BENCHMARKS.values() for name in names}
