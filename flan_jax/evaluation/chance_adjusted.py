"""Scores with chance taken out, so that tasks with two options and with ten average fairly.

A task's adjusted score is (score - chance) / (1 - chance): 0 is what picking an option at random
scores and 1 is perfect. It is taken task by task, and then averaged over the tasks of a cluster and
the clusters of a role, as raw scores are. BIG-bench does so (Srivastava et al., 2023, "Beyond the
Imitation Game", section 2: the normalised preferred metric), and so does version 2 of the Open LLM
Leaderboard. That one sets what is below chance to 0; here it stays negative, because the mean of a
model that guesses would else be above 0.
"""

from collections.abc import Iterable

from flan_jax.evaluation.results import ClusterSummary, Score, Summary, TaskSummary, mean


def adjusted(score: Score, chance: float) -> Score | None:
    """Takes chance out of a score.

    `adjusted(0.75, chance 0.5)` is 0.5. None where chance is 1: every answer is right there.

    Args:
      score: from 0 to 1.
      chance: the score of picking an option at random, from 0 to 1.
    """
    if chance >= 1.0:
        return None
    return Score((score.value - chance) / (1.0 - chance), (score.draws - chance) / (1.0 - chance))


def task_score(task: TaskSummary) -> Score | None:
    """The adjusted score of a task; None where every answer is right."""
    return adjusted(task.score, task.scores.chance)


def cluster_score(cluster: ClusterSummary) -> Score | None:
    """The mean of the adjusted scores of a cluster's tasks; None if no task has one."""
    found = [score for task in cluster.tasks if (score := task_score(task)) is not None]
    return mean(found) if found else None


def role_score(summary: Summary, role: str) -> Score | None:
    """The mean of the adjusted scores of a role's clusters; None if there are none."""
    return mean_score(summary, [one.name for one in summary.clusters.values() if one.role == role])


def mean_score(summary: Summary, clusters: Iterable[str]) -> Score | None:
    """The mean of the adjusted scores of the named clusters; None if none has one."""
    found = [cluster_score(summary.clusters[name]) for name in clusters]
    scores = [score for score in found if score is not None]
    return mean(scores) if scores else None
