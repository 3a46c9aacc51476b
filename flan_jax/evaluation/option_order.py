"""Option-order consistency: does a model choose the same answer when options change places?

A task that is scored both as it is and in its `_permuted` form (`flan_jax.data.forms`) shows the
same questions with the options in another order. The share of questions whose chosen text stays the
same says how far a score rests on the options' places rather than on what they say (Zheng et al.,
2024, "Large Language Models Are Not Robust Multiple Choice Selectors"; Pezeshkpour and Hruschka,
2024, "Large Language Models Sensitivity to the Order of Options in Multiple-Choice Questions").
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from flan_jax.data import forms
from flan_jax.evaluation import journal
from flan_jax.evaluation.results import RESAMPLES, Results, Score, TaskScores, task_score


@dataclasses.dataclass(frozen=True)
class Consistency:
    """How often a system's choice survives another order of the options.

    Attributes:
      plain: the task with its options as declared.
      permuted: the same task with its options in a seeded order.
      same: share of questions whose chosen text stays, the mean over templates.
      chance: that share for choices at random.
      n: source examples that both forms have.
      scores: of the task in each form.
    """

    plain: TaskScores
    permuted: TaskScores
    same: Score
    chance: float
    n: int
    scores: tuple[Score, Score]


def form_pairs(tasks: Sequence[TaskScores]) -> list[tuple[TaskScores, TaskScores]]:
    """Finds the tasks that were scored with their options in both orders.

    Args:
      tasks: scored tasks.

    Returns:
      Pairs of a task and its permuted form. Those whose prompts are the same all the same, because
      the task has no order of its own, are left out.
    """
    named = {task.name: task for task in tasks}
    pairs = []
    for permuted in tasks:
        form = forms.parse(permuted.name.partition(":")[2])
        if form is None or not form.permuted:
            continue
        name = f"{permuted.task}:{dataclasses.replace(form, permuted=False).name}"
        plain = named.get(name)
        if plain and (not plain.prompts or plain.prompts != permuted.prompts):
            pairs.append((plain, permuted))
    return pairs


def of_results(
    results: Results, journals: Mapping[str, str], resamples: int = RESAMPLES
) -> list[Consistency]:
    """Measures all tasks of a system that were scored with their options in both orders.

    Args:
      results: what the system scored.
      journals: the file of each cached task, as `journal.files` gives it; tasks without one are
        passed over.
      resamples: number of bootstrap draws.
    """
    found = []
    for pair in form_pairs(results.tasks):
        if all(task.name in journals for task in pair):
            chosen = [_chosen(journals[task.name]) for task in pair]
            found.append(measure(*pair, *chosen, resamples))
    return found


def _chosen(path: str) -> dict[tuple[int, int], tuple[str, int]]:
    """The chosen text and the number of options, by source example and template."""
    return {
        (record["example"], record["template"]): (record["prediction"], len(record["options"]))
        for record in journal.read(path)[1]
    }


def measure(
    plain: TaskScores,
    permuted: TaskScores,
    chosen: Mapping[tuple[int, int], tuple[str, int]],
    chosen_permuted: Mapping[tuple[int, int], tuple[str, int]],
    resamples: int = RESAMPLES,
) -> Consistency:
    """Compares the choices that were made for one task.

    Args:
      plain: the task with its options as declared.
      permuted: its permuted form.
      chosen: chosen text and number of options, by source example and template.
      chosen_permuted: the same of the permuted form.
      resamples: number of bootstrap draws.

    Raises:
      ValueError: the forms have no example in common.
    """
    shared = sorted(chosen.keys() & chosen_permuted.keys())
    if not shared:
        raise ValueError(
            f"{plain.name} and {permuted.name} have no example in common; score both with one "
            "EvaluationConfig.max_examples"
        )
    examples = sorted({example for example, _ in shared})
    place = {example: i for i, example in enumerate(examples)}
    same = np.full((len(examples), len(plain.templates), 1), np.nan)
    for example, template in shared:
        key = example, template
        same[place[example], template] = chosen[key][0] == chosen_permuted[key][0]
    # To say the same is to be right about oneself: accuracy, with the same draws as any other.
    agreement = dataclasses.replace(
        plain, metrics=("accuracy",), statistics={"accuracy": same}, examples=tuple(examples)
    )
    return Consistency(
        plain=plain,
        permuted=permuted,
        same=task_score(agreement, resamples),
        chance=float(np.mean([1 / chosen[key][1] for key in shared])),
        n=len(examples),
        scores=(task_score(plain, resamples), task_score(permuted, resamples)),
    )
