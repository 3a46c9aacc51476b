"""Correlation of numbers that are written as text, such as STS-B's degrees of similarity."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flan_jax.evaluation.metrics.metric import Metric, ratio, sums_by

# T5 reads a text that is no number so (text-to-text-transfer-transformer, t5/data/
# postprocessors.py, string_to_float): below every degree of similarity.
NO_NUMBER = -1.0
# Beyond this a text is no number either: squares must not drown the other examples.
_LARGEST = 1e6
# What rounding leaves of the variance of equal numbers, as a share of their mean square.
_ROUNDING = 1e-12
_BLOCK = 1_000_000  # entries of a [R, pairs] matrix worked on at a time: 8 MB each


def number_of(text: str) -> float:
    """The number that a text is, as T5 casts it: "3.8" is 3.8, and "very alike" is -1.0."""
    try:
        number = float(text)
    except ValueError:
        return NO_NUMBER
    return number if math.isfinite(number) and abs(number) <= _LARGEST else NO_NUMBER


def _numbers(prediction: str, references: Sequence[str]) -> tuple[float, float]:
    """The predicted number and the right one.

    Raises:
      ValueError: the first reference is missing or no number.
    """
    right = number_of(references[0]) if references else NO_NUMBER
    if right == NO_NUMBER:
        raise ValueError(
            f"expected a number (other than {NO_NUMBER}) as reference, got {list(references)}; "
            "score texts with another metric"
        )
    return number_of(prediction), right


def pearson_statistics(prediction: str, references: Sequence[str]) -> tuple[float, ...]:
    """What Pearson's correlation sums: both numbers, their squares and their product.

    Args:
      prediction: a number as text.
      references: the right number as text.
    """
    x, y = _numbers(prediction, references)
    return x, y, x * x, y * y, x * y


def combine_pearson(
    sums: Float[np.ndarray, "*S 5"], counts: Float[np.ndarray, "*S"]
) -> Float[np.ndarray, "*S"]:
    """Pearson's correlation from -1 to 1; 0 where all numbers of one side are the same."""
    x, y, xx, yy, xy = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    spread_x = _spread(counts * xx, x)
    spread_y = _spread(counts * yy, y)
    found = ratio(counts * xy - x * y, np.sqrt(spread_x * spread_y))
    return np.clip(found, -1.0, 1.0)


def _spread(squares: np.ndarray, total: np.ndarray) -> np.ndarray:
    spread = squares - total**2
    return np.where(spread > _ROUNDING * squares, spread, 0.0)


def spearman_of_sample(
    statistics: Float[np.ndarray, "N 2"], weights: Float[np.ndarray, "R N"]
) -> Float[np.ndarray, " R"]:
    """Spearman's correlation of each sample: Pearson's of ranks, equal numbers sharing a mean rank.

    A resample has ranks of its own, so that no sum over examples gives it. It is 0 where all
    numbers of one side are the same.
    """
    pairs, place = np.unique(statistics, axis=0, return_inverse=True)
    counts = sums_by(place.reshape(-1), weights, len(pairs))
    blocks = np.array_split(counts, math.ceil(counts.size / _BLOCK))
    return np.concatenate([_spearman(pairs, block) for block in blocks])


def _spearman(
    pairs: Float[np.ndarray, "P 2"], counts: Float[np.ndarray, "R P"]
) -> Float[np.ndarray, " R"]:
    x, y = (_centred_ranks(side, counts) for side in pairs.T)
    covariance, spread_x, spread_y = (
        (counts * product).sum(axis=1) for product in (x * y, x * x, y * y)
    )
    return np.clip(ratio(covariance, np.sqrt(spread_x * spread_y)), -1.0, 1.0)


def _centred_ranks(
    numbers: Float[np.ndarray, " P"], counts: Float[np.ndarray, "R P"]
) -> Float[np.ndarray, "R P"]:
    """Mean ranks less their mean, which is half of what lies below less half of what lies above."""
    values, place = np.unique(numbers, return_inverse=True)
    held = sums_by(place, counts, len(values))
    reached = held.cumsum(axis=1)
    ranks = reached - held / 2 - reached[:, -1:] / 2
    return ranks[:, place]


def _equal(statistics: Sequence[float]) -> float:
    """What an example alone can say: whether the number is right."""
    return float(statistics[0] == statistics[1])


METRICS = (
    Metric("pearson", 5, pearson_statistics, combine_pearson, alone=_equal),
    Metric(
        "spearman",
        2,
        _numbers,
        lambda statistics, counts: (statistics[..., 0] == statistics[..., 1]).astype(np.float64),
        over_sample=spearman_of_sample,
    ),
)
