"""Corpus scores of translations: BLEU by sacrebleu, and chrF, which equals sacrebleu's."""

import collections
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flan_jax.evaluation.metrics.metric import Metric, ratio

_BLEU_ORDER = 4
# Popović (2015): n-grams of up to six characters, recall weighing twice as much as precision.
_CHRF_ORDER, _CHRF_BETA = 6, 2


def bleu_statistics(prediction: str, references: Sequence[str]) -> tuple[float, ...]:
    """What corpus BLEU (Papineni et al., 2002) sums: matches, n-grams and lengths in tokens.

    Args:
      prediction: a generated text.
      references: at least one reference.

    Returns:
      Matching n-grams for n of 1 to 4, predicted n-grams for n of 1 to 4, the prediction's length
      and the closest reference's length.
    """
    score = _bleu().corpus_score([prediction], [[reference] for reference in references])
    return tuple(map(float, (*score.counts, *score.totals, score.sys_len, score.ref_len)))


def combine_bleu(
    sums: Float[np.ndarray, "*S K"], counts: Float[np.ndarray, "*S"]
) -> Float[np.ndarray, "*S"]:
    """Corpus BLEU from summed statistics, from 0 to 1, as sacrebleu scores it by default."""
    rows = np.asarray(sums, np.float64).reshape(-1, 2 * _BLEU_ORDER + 2)
    scores = [_bleu_of_sums(row) for row in rows]
    return np.array(scores).reshape(np.shape(sums)[:-1])


def _bleu_of_sums(row: Float[np.ndarray, " K"]) -> float:
    *counts, length, reference_length = row.round().astype(int).tolist()
    matches, totals = counts[:_BLEU_ORDER], counts[_BLEU_ORDER:]
    score = _bleu().compute_bleu(
        matches, totals, sys_len=length, ref_len=reference_length, smooth_method="exp"
    )
    return min(score.score / 100.0, 1.0)  # exact matches come out a rounding error above


@functools.cache
def _bleu():
    import sacrebleu.metrics

    return sacrebleu.metrics.BLEU()


def chrf_statistics(prediction: str, references: Sequence[str]) -> tuple[float, ...]:
    """What corpus chrF (Popović, 2015) sums, of characters without blanks.

    Args:
      prediction: a generated text.
      references: the one whose own chrF is best is counted.

    Returns:
      For n of 1 to 6 the predicted n-grams, the reference's and those that match. Where the
      reference has none, the predicted ones do not count, as in sacrebleu 2.
    """
    predicted = _character_ngrams(prediction)
    rows = [_chrf_row(predicted, _character_ngrams(reference)) for reference in references]
    if not rows:
        return (0.0,) * (3 * _CHRF_ORDER)
    scores = combine_chrf(np.array(rows), np.ones(len(rows)))
    return rows[int(np.argmax(scores))]


def _character_ngrams(text: str) -> list[collections.Counter]:
    letters = "".join(text.split())
    return [
        collections.Counter(letters[i : i + n] for i in range(len(letters) - n + 1))
        for n in range(1, _CHRF_ORDER + 1)
    ]


def _chrf_row(
    predicted: list[collections.Counter], expected: list[collections.Counter]
) -> tuple[float, ...]:
    row = []
    for ours, theirs in zip(predicted, expected, strict=True):
        row += [ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()]
    return tuple(map(float, row))


def combine_chrf(
    sums: Float[np.ndarray, "*S K"], counts: Float[np.ndarray, "*S"]
) -> Float[np.ndarray, "*S"]:
    """Corpus chrF from summed statistics, from 0 to 1, as sacrebleu scores it by default.

    Precision and recall are means over the n for which both sides have n-grams.
    """
    table = np.asarray(sums, np.float64)
    predicted, expected, matches = (table[..., start::3] for start in range(3))
    orders = ((predicted > 0) & (expected > 0)).sum(axis=-1)
    precision = ratio(ratio(matches, predicted).sum(axis=-1), orders)
    recall = ratio(ratio(matches, expected).sum(axis=-1), orders)
    weight = _CHRF_BETA**2
    return ratio((1 + weight) * precision * recall, weight * precision + recall)


METRICS = (
    Metric("bleu", 2 * _BLEU_ORDER + 2, bleu_statistics, combine_bleu),
    Metric("chrf", 3 * _CHRF_ORDER, chrf_statistics, combine_chrf),
)
