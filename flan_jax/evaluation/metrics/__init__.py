"""Metrics over predicted texts, each as statistics of examples that a resample weighs.

A metric maps one example to a short vector of statistics, and a weighted sample of these to a
score. Means (accuracy, F1, ROUGE-L) have one statistic; corpus scores (BLEU, chrF, Pearson's
correlation) have several, whose sums say all; the others (Matthews, Spearman, MultiRC's exact
match) read the statistics of all examples. The score of a bootstrap resample needs no second look
at the texts.

Scores run from 0 to 1, BLEU included, and correlations from -1 to 1; texts are compared with the
best of several references. There is one file a family:

    matching        accuracy; exact match and F1 of words for SQuAD, TriviaQA, Natural Questions,
                    ReCoRD and Super-NaturalInstructions
    overlap         ROUGE-1, -2, -L, -Lsum; edit similarity
    translation     BLEU, chrF
    classification  Matthews correlation, macro F1, MultiRC's F1a and exact match
    correlation     Pearson's and Spearman's
    reasoning       answers behind chains of thought; GSM8K's and BIG-Bench Hard's own rules
    instructions    IFEval's verdicts, strict and loose
"""

from flan_jax.evaluation.metrics.matching import (
    accuracy,
    answered,
    exact_match,
    exact_match_articles,
    normalise_answer,
    token_f1,
)
from flan_jax.evaluation.metrics.metric import Metric, resampling_units
from flan_jax.evaluation.metrics.overlap import (
    edit_similarity,
    rouge_1,
    rouge_2,
    rouge_l,
    rouge_l_stemmed,
    rouge_lsum,
)
from flan_jax.evaluation.metrics.reasoning import answer_match
from flan_jax.evaluation.metrics.registry import METRICS, corpus_score, lookup

__all__ = [
    "METRICS",
    "Metric",
    "accuracy",
    "answer_match",
    "answered",
    "corpus_score",
    "edit_similarity",
    "exact_match",
    "exact_match_articles",
    "lookup",
    "normalise_answer",
    "resampling_units",
    "rouge_1",
    "rouge_2",
    "rouge_l",
    "rouge_l_stemmed",
    "rouge_lsum",
    "token_f1",
]
