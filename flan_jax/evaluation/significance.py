"""Tests of the difference between two systems that were scored on the same examples.

The unit of every test is the source example: its renderings by different templates stand or fall
together. Three tests, from the one with fewest assumptions about the metric to the one with most
(Dror et al., 2018, "The Hitchhiker's Guide to Testing Statistical Significance in Natural Language
Processing"):

    permutation   the two systems' answers to an example are swapped at random, which changes
                  nothing if the systems are alike (Noreen, 1989, "Computer-Intensive Methods for
                  Testing Hypotheses"); for a mean this flips the sign of the example's difference
    bootstrap     examples are drawn again with replacement (Koehn, 2004, "Statistical Significance
                  Tests for Machine Translation Evaluation")
    McNemar       examples that only one system has right, against a fair coin (McNemar, 1947); for
                  metrics that say right or wrong

Axes: N source examples, T templates, K statistics of a metric, R draws, U examples that differ.
"""

import dataclasses
import math
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from flan_jax.evaluation import metrics
from flan_jax.evaluation.results import (
    RESAMPLES,
    Score,
    TaskScores,
    chunk_sizes,
    mean_over_templates,
    resampling_units,
    task_score,
    weighted_scores,
)

# The standard error of a p of 0.05 is then 0.002.
PERMUTATIONS = 10_000
_ROUNDING = 1e-12  # two orders of summation may differ by this much, and are still as extreme


@dataclasses.dataclass(frozen=True)
class Pair:
    """One task as two systems scored it; axis N has the same source examples in both."""

    first: TaskScores
    second: TaskScores

    @property
    def metric(self) -> str:
        """The headline metric, which is compared."""
        return self.first.metrics[0]

    @property
    def n(self) -> int:
        return len(self.first.examples)

    @property
    def differing(self) -> Bool[np.ndarray, " N"]:
        """The examples to which, or to another of whose group, answers differ in worth."""
        ours, theirs = (task.statistics[self.metric] for task in (self.first, self.second))
        same = ((ours == theirs) | (np.isnan(ours) & np.isnan(theirs))).all(axis=(1, 2))
        units = resampling_units(self.first)
        return np.bincount(units, ~same)[units] > 0


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """How two systems differ, and whether that could be chance.

    Attributes:
      difference: score of the first less that of the second, with its paired bootstrap draws.
      n: source examples that both were scored on.
      p: two-sided p of the permutation test; this is the one to report.
      exact: whether the permutation test went through all swaps, not through a sample of them.
      bootstrap_p: two-sided p of the paired bootstrap.
      wins: examples that the first has right under more templates than the second; None for
        metrics that do not say right or wrong.
      losses: examples that the second has right under more templates; None likewise.
      mcnemar_p: McNemar's exact test of wins against losses; None likewise.
      adjusted_p: `p` after Holm's correction over tasks; None for a cluster or role.
    """

    difference: Score
    n: int
    p: float
    exact: bool
    bootstrap_p: float
    wins: int | None = None
    losses: int | None = None
    mcnemar_p: float | None = None
    adjusted_p: float | None = None


def align(first: TaskScores, second: TaskScores) -> Pair:
    """Pairs two scorings of a task on the source examples that both have.

    Args:
      first: scored by one system, or in one prompt form.
      second: the same declared task, scored by the other.

    Raises:
      ValueError: they are different tasks, have other headline metrics or numbers of templates,
        or no example in common.
    """
    for what, ours, theirs in (
        ("task", first.task, second.task),
        ("headline metric", first.metrics[0], second.metrics[0]),
        ("number of templates", len(first.templates), len(second.templates)),
    ):
        if ours != theirs:
            raise ValueError(
                f"{first.name} and {second.name} cannot be paired: their {what} is {ours!r} and "
                f"{theirs!r}; score both systems on the same caches"
            )
    shared = sorted({*first.examples} & {*second.examples})
    if not shared:
        raise ValueError(
            f"{first.name} and {second.name} cannot be paired: they were scored on different "
            "source examples; score both with one EvaluationConfig.max_examples"
        )
    return Pair(_restrict(first, shared), _restrict(second, shared))


def _restrict(task: TaskScores, examples: Sequence[int]) -> TaskScores:
    if tuple(examples) == task.examples:
        return task
    place = {example: i for i, example in enumerate(task.examples)}
    kept = [place[example] for example in examples]
    statistics = {name: np.asarray(values)[kept] for name, values in task.statistics.items()}
    return dataclasses.replace(task, examples=tuple(examples), statistics=statistics)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A pair with its draws, so that means over several tasks need no second look at examples.

    Attributes:
      pair: the task.
      difference: with its paired bootstrap draws.
      null: float64 [R], the difference after random swaps.
    """

    pair: Pair
    difference: Score
    null: Float[np.ndarray, " R"]


def draw(
    pair: Pair, permutations: int = PERMUTATIONS, resamples: int = RESAMPLES, seed: int = 0
) -> Drawn:
    """Draws the bootstrap samples and the random swaps of one task.

    Forms of one declared task are drawn alike: the same source examples are swapped in each.
    """
    scores = [task_score(task, resamples, seed) for task in (pair.first, pair.second)]
    generator = np.random.default_rng([seed, zlib.crc32(pair.first.task.encode()), pair.n])
    differing, units = pair.differing, resampling_units(pair.first)
    parts = []
    for size in chunk_sizes(permutations, 2 * pair.n):
        swaps = generator.integers(0, 2, (size, units.max() + 1), dtype=np.int8).astype(bool)
        parts.append(_swapped(pair, swaps[:, units] & differing))
    return Drawn(pair, scores[0] - scores[1], np.concatenate(parts))


def _swapped(pair: Pair, swaps: Bool[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
    """The difference after the systems' answers to some examples are swapped."""
    # One task of 2N examples, of which the first system gets one half and the second the other.
    both = [task.statistics[pair.metric] for task in (pair.first, pair.second)]
    if metrics.lookup(pair.metric, pair.first.name).grouped:
        codes = -1.0 - both[1][..., :1]  # else a group would hold both systems' answers
        both[1] = np.concatenate([codes, both[1][..., 1:]], axis=-1)
    joined = dataclasses.replace(pair.first, statistics={pair.metric: np.concatenate(both)})
    theirs = swaps.astype(np.float64)
    ours = 1.0 - theirs
    scores = [
        mean_over_templates(weighted_scores(joined, pair.metric, np.hstack(halves)))
        for halves in ((ours, theirs), (theirs, ours))
    ]
    return scores[0] - scores[1]


def joint_test(
    drawn: Sequence[Drawn], weights: Sequence[float], permutations: int = PERMUTATIONS
) -> PairedTest:
    """Tests the weighted mean of the differences of tasks that were drawn.

    Args:
      drawn: the tasks, at least one, with equal numbers of draws.
      weights: of each task in the mean; they sum to 1.
      permutations: all swaps are gone through where they are no more than this.
    """
    value = sum(w * one.difference.value for w, one in zip(weights, drawn, strict=True))
    draws = sum(w * one.difference.draws for w, one in zip(weights, drawn, strict=True))
    difference = Score(float(value), draws)
    null = _all_swaps([one.pair for one in drawn], weights, permutations)
    exact = null is not None
    if null is None:
        null = sum(w * one.null for w, one in zip(weights, drawn, strict=True))
    counts = [wins_and_losses(one.pair) for one in drawn]
    binary = all(count is not None for count in counts)
    wins, losses = map(sum, zip(*counts, strict=True)) if binary else (None, None)
    return PairedTest(
        difference=difference,
        n=sum(one.pair.n for one in drawn),
        p=permutation_p(difference.value, null, exact),
        exact=exact,
        bootstrap_p=bootstrap_p(difference),
        wins=wins,
        losses=losses,
        mcnemar_p=mcnemar_p(wins, losses) if binary else None,
    )


def _all_swaps(
    pairs: Sequence[Pair], weights: Sequence[float], permutations: int
) -> Float[np.ndarray, " R"] | None:
    """The difference under every way to swap answers; None where there are too many ways."""
    # Forms of one task share their source examples, which are swapped in all of them at once.
    keys = [_swap_keys(pair) for pair in pairs]
    units = sorted({key for of_pair in keys for key in of_pair})
    if 2 ** len(units) > permutations:
        return None
    bits = np.arange(2 ** len(units))[:, None] >> np.arange(len(units)) & 1
    total = np.zeros(len(bits))
    for pair, weight, own in zip(pairs, weights, keys, strict=True):
        swaps = np.zeros((len(bits), pair.n), bool)
        swaps[:, pair.differing] = bits[:, [units.index(key) for key in own]]
        total += weight * _swapped(pair, swaps)
    return total


def _swap_keys(pair: Pair) -> list[tuple[str, int]]:
    """For each example that differs what it is swapped together with: the first of its group."""
    units = resampling_units(pair.first)
    _, firsts = np.unique(units, return_index=True)
    return [
        (pair.first.task, pair.first.examples[firsts[units[i]]])
        for i in np.flatnonzero(pair.differing)
    ]


def permutation_p(observed: float, null: Float[np.ndarray, " R"], exact: bool) -> float:
    """The two-sided p of a difference, given differences after swaps.

    Args:
      observed: the difference as it is.
      null: the differences after swaps.
      exact: whether `null` holds every swap, the one that swaps nothing included. In a sample that
        one is added, so that p is never 0 and the test keeps its level (Phipson and Smyth, 2010,
        "Permutation p-values should never be zero").
    """
    extreme = int(np.count_nonzero(np.abs(null) >= abs(observed) - _ROUNDING))
    return extreme / len(null) if exact else (extreme + 1) / (len(null) + 1)


def bootstrap_p(difference: Score) -> float:
    """The two-sided p of a difference: twice the share of draws on the other side of zero."""
    below = np.count_nonzero(difference.draws <= 0.0) + 1
    above = np.count_nonzero(difference.draws >= 0.0) + 1
    return min(1.0, 2.0 * min(below, above) / (len(difference.draws) + 1))


def wins_and_losses(pair: Pair) -> tuple[int, int] | None:
    """Counts the examples on which one system is right under more templates than the other.

    Returns:
      Examples that the first wins, and that it loses; None where the metric is not right or wrong.
    """
    ours, theirs = (task.statistics[pair.metric] for task in (pair.first, pair.second))
    present = [values[~np.isnan(values)] for values in (ours, theirs)]
    if ours.shape[-1] != 1 or not all(np.isin(values, (0.0, 1.0)).all() for values in present):
        return None
    gap = np.nansum(np.where(np.isnan(ours) | np.isnan(theirs), 0.0, ours - theirs), axis=(1, 2))
    return int((gap > 0).sum()), int((gap < 0).sum())


def mcnemar_p(wins: int, losses: int) -> float:
    """McNemar's exact test, two-sided: wins among wins and losses are those of a fair coin.

    `mcnemar_p(0, 5)` is 2/32. With one template these are McNemar's discordant pairs; with several
    it is the sign test over source examples. For a cluster the counts of its tasks are added, so
    that each example counts alike, unlike in the mean of task scores.

    Args:
      wins: examples that the first system has right and the second wrong.
      losses: the other way round.
    """
    n, fewer = wins + losses, min(wins, losses)
    logs = (
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2.0)
        for k in range(fewer + 1)
    )
    return min(1.0, 2.0 * math.fsum(map(math.exp, logs)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Holm, 1979), which bounds the chance of one false claim.

    `holm([0.01, 0.04, 0.03])` is `[0.03, 0.06, 0.06]`.

    Args:
      p_values: of each test.

    Returns:
      The adjusted p of each, in the same order.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
