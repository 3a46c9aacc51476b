"""Averages that benchmarks report over several clusters at once: MMLU's over 57 subjects.

MMLU's four groups of subjects are clusters here, each scored as the mean over its subjects. The
benchmark's own figure is not the mean of the four, for they differ in size: Hendrycks et al.
(2021) weigh every question alike, and Flan (Chung et al., 2022, appendix D) every subject.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from flan_jax.evaluation.results import Score, Summary, TaskSummary, mean

_MMLU = ("mmlu_stem", "mmlu_humanities", "mmlu_social_sciences", "mmlu_other")
# Clusters of each benchmark that is reported as one.
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "mmlu": _MMLU,
    "mmlu_5_shot": tuple(f"{cluster}_5_shot" for cluster in _MMLU),
}


def over_tasks(summary: Summary, clusters: Sequence[str]) -> Score:
    """The mean over all tasks of several clusters, each task weighing the same (macro average).

    Args:
      summary: one system's scores.
      clusters: names of clusters that were scored.

    Returns:
      The score with its bootstrap draws.
    """
    return mean([task.score for task in _tasks(summary, clusters)])


def over_examples(summary: Summary, clusters: Sequence[str]) -> Score:
    """The mean over all tasks of several clusters, weighed by their examples (micro average).

    Arguments and result are those of `over_tasks`.
    """
    tasks = _tasks(summary, clusters)
    shares = np.array([task.n for task in tasks]) / sum(task.n for task in tasks)
    value = sum(share * task.score.value for share, task in zip(shares, tasks, strict=True))
    return Score(float(value), shares @ np.stack([task.score.draws for task in tasks]))


def _tasks(summary: Summary, clusters: Sequence[str]) -> list[TaskSummary]:
    return [task for name in clusters for task in summary.clusters[name].tasks]


def scored(summaries: Mapping[str, Summary]) -> dict[str, tuple[str, ...]]:
    """The benchmarks all of whose clusters every system was scored on, with these clusters."""
    return {
        name: clusters
        for name, clusters in BENCHMARKS.items()
        if all(set(clusters) <= set(summary.clusters) for summary in summaries.values())
    }


def rows(summaries: Mapping[str, Summary]) -> list[tuple[str, list[Score]]]:
    """For tables: what an average is called, and the score of each system."""
    found = []
    for name, clusters in scored(summaries).items():
        first = next(iter(summaries.values()))
        count = len(_tasks(first, clusters))
        for title, average in ((f"mean of {count} tasks", over_tasks), ("pooled", over_examples)):
            values = [average(summary, clusters) for summary in summaries.values()]
            found.append((f"{name}, {title}", values))
    return found


def of_benchmarks(summaries: Mapping[str, Summary]) -> dict[str, dict]:
    """The averages of each benchmark all of whose clusters every system was scored on.

    Args:
      summaries: by name of system.

    Returns:
      For `report.json`: by benchmark its `tasks` (their number) and, by system, `over_tasks` and
      `over_examples` with their 95% intervals.
    """
    return {
        name: {
            "tasks": len(_tasks(next(iter(summaries.values())), clusters)),
            **{key: _to_json(summary, clusters) for key, summary in summaries.items()},
        }
        for name, clusters in scored(summaries).items()
    }


def _to_json(summary: Summary, clusters: Sequence[str]) -> dict:
    scores = {
        "over_tasks": over_tasks(summary, clusters),
        "over_examples": over_examples(summary, clusters),
    }
    return {
        kind: {"score": round(score.value, 6), "interval": [round(x, 6) for x in score.interval]}
        for kind, score in scores.items()
    }
