"""All metrics by name."""

from collections.abc import Sequence

import numpy as np

from flan_jax.evaluation.metrics import (
    classification,
    correlation,
    instructions,
    matching,
    overlap,
    reasoning,
    translation,
)
from flan_jax.evaluation.metrics.metric import Metric

METRICS: dict[str, Metric] = {
    metric.name: metric
    for family in (
        matching,
        overlap,
        translation,
        classification,
        correlation,
        reasoning,
        instructions,
    )
    for metric in family.METRICS
}


def lookup(name: str, task: str = "") -> Metric:
    """The metric of a name.

    Args:
      name: a key of `METRICS`.
      task: the task that asks for it, for the error message.

    Raises:
      ValueError: there is no such metric.
    """
    if name not in METRICS:
        asker = f" of task {task!r}" if task else ""
        raise ValueError(
            f"metric {name!r}{asker} is unknown; name one of {', '.join(sorted(METRICS))}"
        )
    return METRICS[name]


def corpus_score(
    name: str, predictions: Sequence[str], references: Sequence[Sequence[str]]
) -> float:
    """The score of a metric over a list of predictions.

    Args:
      name: a key of `METRICS`.
      predictions: one text for each example, at least one.
      references: acceptable answers for each example.

    Returns:
      From 0 to 1; correlations from -1 to 1.

    Raises:
      ValueError: the lists differ in length or are empty, or the metric is unknown.
    """
    if len(predictions) != len(references) or not predictions:
        raise ValueError(
            f"{name}: expected equally many predictions and references, at least one; got "
            f"{len(predictions)} and {len(references)}"
        )
    metric = lookup(name)
    rows = [metric.statistics(*pair) for pair in zip(predictions, references, strict=True)]
    return float(metric.score(np.array(rows, np.float64), np.ones((1, len(rows))))[0])
