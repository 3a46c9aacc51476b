"""What a metric is: statistics of each example, and the score of a weighted sample of examples.

Axes: N examples, K statistics of an example, R samples (bootstrap resamples), C classes.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

_CODE_BYTES = 6  # 48 bits: a float64 holds every whole number below 2**53


@dataclasses.dataclass(frozen=True)
class Metric:
    """A named metric.

    Attributes:
      name: how task declarations call it.
      size: K, the number of statistics an example yields.
      statistics: (prediction, references) -> tuple of `size` finite floats.
      combine: (sums [..., K], counts [...]) -> scores [...]; `counts` is the number of examples in
        each sum, above 0. With `over_sample` it is called for single examples only.
      over_sample: (statistics [N, K], weights [R, N]) -> scores [R], for a score that no sum of
        statistics gives, such as a correlation of ranks; None where `combine` says all.
      alone: statistics of one example -> its own score, where `combine` has none for it.
      grouped: whether the first statistic is the code of a group (`code_of`) whose examples belong
        together, as answers to one question do, so that resamples must take all of them or none.
      of_answers: whether references are right answers. IFEval's are not: they say what a verdict
        needs, and the most frequent of them is no baseline.
    """

    name: str
    size: int
    statistics: Callable[[str, Sequence[str]], tuple[float, ...]]
    combine: Callable[[Float[np.ndarray, "*S K"], Float[np.ndarray, "*S"]], np.ndarray]
    over_sample: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    alone: Callable[[Sequence[float]], float] | None = None
    grouped: bool = False
    of_answers: bool = True

    def score(
        self, statistics: Float[np.ndarray, "N K"], weights: Float[np.ndarray, "R N"]
    ) -> Float[np.ndarray, " R"]:
        """The scores of weighted samples.

        Args:
          statistics: of each example; NaN where there is none.
          weights: how often each example is in each sample.

        Returns:
          float64; NaN for a sample in which no example has statistics.
        """
        present = ~np.isnan(statistics[:, 0])
        if not present.any():
            return np.full(len(weights), np.nan)
        if not present.all():
            statistics, weights = statistics[present], weights[:, present]
        counts = weights.sum(axis=1).astype(np.float64)
        if self.over_sample:
            scores = self.over_sample(statistics, weights)
        else:
            scores = self.combine(weights @ statistics, np.maximum(counts, 1.0))
        return np.where(counts > 0, scores, np.nan)

    def of_example(self, statistics: Sequence[float]) -> float:
        """The score of one example, from 0 to 1, to show beside it."""
        if self.alone:
            return float(self.alone(statistics))
        return float(self.combine(np.asarray(statistics, np.float64), np.float64(1.0)))


def combine_mean(
    sums: Float[np.ndarray, "*S K"], counts: Float[np.ndarray, "*S"]
) -> Float[np.ndarray, "*S"]:
    """The mean of a metric with one statistic."""
    return np.asarray(sums)[..., 0] / counts


def mean_of(function: Callable[[str, Sequence[str]], float]) -> Metric:
    """The metric that is the mean of a function over examples, under the function's name."""
    return Metric(
        function.__name__, 1, lambda text, references: (function(text, references),), combine_mean
    )


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, and 0 where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator != 0)


def code_of(text: str) -> float:
    """A whole number that stands for a text among statistics: equal for equal texts alone."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return float(int.from_bytes(digest[:_CODE_BYTES], "big"))


def sums_by(
    labels: Int[np.ndarray, " N"], weights: Float[np.ndarray, "R N"], size: int
) -> Float[np.ndarray, "R C"]:
    """Sums of weights of the examples with each label, labels being 0 to `size` - 1.

    `sums_by(np.array([1, 0, 1]), np.array([[1.0, 2.0, 3.0]]), 3)` is `[[2.0, 4.0, 0.0]]`.
    """
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    sums = np.zeros((len(weights), size))
    sums[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return sums


def resampling_units(
    metrics: Sequence[Metric], statistics: Mapping[str, Float[np.ndarray, "N T K"]]
) -> Int[np.ndarray, " N"]:
    """Numbers the units that a resample of a task takes whole, from 0.

    Args:
      metrics: those of the task.
      statistics: by name of metric; NaN where a template did not render an example.

    Returns:
      The unit of each example: its group's under the first grouped metric, else its own.
    """
    for metric in metrics:
        if metric.grouped:
            codes = np.nanmax(statistics[metric.name][..., 0], axis=1)
            return np.unique(codes, return_inverse=True)[1]
    return np.arange(len(statistics[metrics[0].name]))
