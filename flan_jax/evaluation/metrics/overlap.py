"""Overlap of a prediction with references: ROUGE by rouge-score, and edits."""

import functools
import re
from collections.abc import Sequence

from flan_jax.evaluation.metrics.metric import mean_of

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def rouge_1(prediction: str, references: Sequence[str]) -> float:
    """The best ROUGE-1 F-measure over references (Lin, 2004): single words, without stemming.

    `rouge_1("the cat sat", ["the dog sat"])` is 2/3.
    """
    return _rouge("rouge1", prediction, references)


def rouge_2(prediction: str, references: Sequence[str]) -> float:
    """The best ROUGE-2 F-measure over references (Lin, 2004): pairs of words, without stemming.

    `rouge_2("the cat sat", ["the cat ran"])` is 1/2.
    """
    return _rouge("rouge2", prediction, references)


def rouge_l(prediction: str, references: Sequence[str]) -> float:
    """The best ROUGE-L F-measure over references (Lin, 2004), without stemming.

    `rouge_l("the cat sat", ["the cat ran"])` is 2/3: the longest common subsequence has two words
    of three on both sides.
    """
    return _rouge("rougeL", prediction, references)


def rouge_l_stemmed(prediction: str, references: Sequence[str]) -> float:
    """As `rouge_l`, of words cut to their stems: the measure of Super-NaturalInstructions.

    `rouge_l_stemmed("cats running", ["cat runs"])` is 1.0.
    """
    return _rouge("rougeL", prediction, references, stem=True)


def rouge_lsum(prediction: str, references: Sequence[str]) -> float:
    """The best summary-level ROUGE-L F-measure over references (Lin, 2004), without stemming.

    Sentences, which end at a line break or behind `.`, `!` or `?`, are matched one by one:
    `rouge_lsum("It rained. We left.", ["We left. It rained."])` is 1.0.
    """
    sentences = [_SENTENCE_END.sub("\n", text) for text in (prediction, *references)]
    return _rouge("rougeLsum", sentences[0], sentences[1:])


def _rouge(kind: str, prediction: str, references: Sequence[str], stem: bool = False) -> float:
    if not references:
        return 0.0
    return _rouge_scorer(kind, stem).score_multi(references, prediction)[kind].fmeasure


@functools.cache
def _rouge_scorer(kind: str, stem: bool):
    from rouge_score import rouge_scorer  # imports nltk, which takes two seconds

    return rouge_scorer.RougeScorer([kind], use_stemmer=stem)


def edit_similarity(prediction: str, references: Sequence[str]) -> float:
    """The best of 1 - Levenshtein distance / length of the longer text, in characters.

    `edit_similarity("kitten", ["sitting"])` is 4/7: three edits in seven characters.
    """
    return max((_pair_similarity(prediction, reference) for reference in references), default=0.0)


def _pair_similarity(prediction: str, reference: str) -> float:
    from nltk.metrics.distance import edit_distance

    longest = max(len(prediction), len(reference))
    return 1.0 - edit_distance(prediction, reference) / longest if longest else 1.0


METRICS = tuple(
    map(mean_of, (rouge_1, rouge_2, rouge_l, rouge_l_stemmed, rouge_lsum, edit_similarity))
)
