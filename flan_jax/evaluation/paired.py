"""Two systems task by task: which of their tasks pair up, and the tests for each level.

A task's difference is that of its headline scores; a cluster's is the mean over its tasks and a
role's the mean over its clusters, as in `flan_jax.evaluation.results`.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from flan_jax.evaluation import significance
from flan_jax.evaluation.results import RESAMPLES, ROLES, Results, TaskScores
from flan_jax.evaluation.significance import PERMUTATIONS, Drawn, PairedTest


@dataclasses.dataclass(frozen=True)
class PairedTests:
    """The tests of a first system against a second.

    Attributes:
      tasks: by name of the first system's cached task; `adjusted_p` is over all of these.
      clusters: by name; a cluster with a task that has no pair is left out.
      roles: "test", "dev" and "trained"; a role with a cluster that is left out is left out too.
      unpaired: why a task of the first system has no test, by its name.
    """

    tasks: Mapping[str, PairedTest]
    clusters: Mapping[str, PairedTest]
    roles: Mapping[str, PairedTest]
    unpaired: Mapping[str, str]


def compare(
    first: Results | Sequence[Results],
    second: Results | Sequence[Results],
    permutations: int = PERMUTATIONS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedTests:
    """Tests one system against another on the examples that both were scored on.

    Args:
      first: one `Results`, or one for each seed.
      second: likewise; its tasks may be the same declared tasks in another prompt form.
      permutations: number of random swaps of a test.
      resamples: number of bootstrap draws.
      seed: of the draws.
    """
    ours, theirs = pool_seeds(first), pool_seeds(second)
    partners = match(ours.tasks, theirs.tasks)
    drawn: dict[str, Drawn] = {}
    unpaired: dict[str, str] = {}
    for task in ours.tasks:
        try:
            pair = significance.align(task, _partner(task, partners, theirs.system))
        except ValueError as error:
            unpaired[task.name] = str(error)
            continue
        drawn[task.name] = significance.draw(pair, permutations, resamples, seed)
    singles = {name: {name: 1.0} for name in drawn}
    tasks = _test_groups(drawn, singles, permutations)
    adjusted = significance.holm([found.p for found in tasks.values()])
    weights = {task.cluster: _cluster_weights(ours, task.cluster) for task in ours.tasks}
    by_role = {
        role: _role_weights([weights[name] for name in weights if ours.roles[name] == role])
        for role in ROLES
    }
    return PairedTests(
        tasks={
            name: dataclasses.replace(found, adjusted_p=p)
            for (name, found), p in zip(tasks.items(), adjusted, strict=True)
        },
        clusters=_test_groups(drawn, weights, permutations),
        roles=_test_groups(drawn, by_role, permutations),
        unpaired=unpaired,
    )


def _partner(task: TaskScores, partners: Mapping[str, TaskScores], system: str) -> TaskScores:
    if task.name not in partners:
        raise ValueError(f"{task.name}: system {system!r} was not scored on it, in no one form")
    return partners[task.name]


def match(first: Sequence[TaskScores], second: Sequence[TaskScores]) -> dict[str, TaskScores]:
    """Finds the counterpart of each task.

    Args:
      first: the tasks to match.
      second: where to look: for the same cached name, else for the same declared task in another
        prompt form, if each side has it in one form only.

    Returns:
      Tasks of the second by cached name of the first; those without a counterpart are left out.
    """
    named = {task.name: task for task in second}
    found = {task.name: named[task.name] for task in first if task.name in named}
    left = [task for task in first if task.name not in found]
    taken = {task.name for task in found.values()}
    for task in left:
        forms = [one for one in second if one.task == task.task and one.name not in taken]
        if len(forms) == 1 and [one.task for one in left].count(task.task) == 1:
            found[task.name] = forms[0]
    return found


def pool_seeds(runs: Results | Sequence[Results]) -> Results:
    """One `Results` of several seeds: each seed's renderings stand as further templates.

    The mean over templates is then the mean over seeds and templates. A task whose seeds were
    scored on different examples keeps its first seed alone.
    """
    if isinstance(runs, Results):
        return runs
    columns = [[run.tasks[i] for run in runs] for i in range(len(runs[0].tasks))]
    return dataclasses.replace(runs[0], tasks=tuple(map(_pool_task, columns)))


def _pool_task(column: Sequence[TaskScores]) -> TaskScores:
    first = column[0]
    if len(column) == 1 or any(task.examples != first.examples for task in column):
        return first
    statistics = {
        name: np.concatenate([task.statistics[name] for task in column], axis=1)
        for name in first.metrics
    }
    return dataclasses.replace(
        first, templates=first.templates * len(column), statistics=statistics
    )


def _cluster_weights(results: Results, cluster: str) -> dict[str, float]:
    names = [task.name for task in results.tasks if task.cluster == cluster]
    return dict.fromkeys(names, 1.0 / len(names))


def _role_weights(clusters: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: w / len(clusters) for tasks in clusters for name, w in tasks.items()}


def _test_groups(
    drawn: Mapping[str, Drawn], groups: Mapping[str, Mapping[str, float]], permutations: int
) -> dict[str, PairedTest]:
    """The test of each group of tasks that is there and whole."""
    return {
        name: significance.joint_test(
            [drawn[task] for task in weights], list(weights.values()), permutations
        )
        for name, weights in groups.items()
        if weights and all(task in drawn for task in weights)
    }
