"""Scores of classes over a sample: Matthews correlation, macro F1, and MultiRC's two.

Classes are told apart by their texts, so that neither the order of options nor their wording
matters. A prediction that is no class of the sample's references is wrong under each of them.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flan_jax.data.facts import facts_of
from flan_jax.evaluation.metrics.matching import accuracy
from flan_jax.evaluation.metrics.metric import Metric, code_of, ratio, sums_by


def class_statistics(prediction: str, references: Sequence[str]) -> tuple[float, float]:
    """Codes of the predicted class and of the right one, which is the predicted where that is.

    Raises:
      ValueError: there is no reference.
    """
    if not references:
        raise ValueError(f"prediction {prediction!r}: expected the right class, got no reference")
    right = prediction if accuracy(prediction, references) else references[0]
    return code_of(prediction.strip()), code_of(right.strip())


def _class_counts(
    statistics: Float[np.ndarray, "N 2"], weights: Float[np.ndarray, "R N"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right, predicted and expected examples of each class [R, C], whatever is no class last."""
    classes, expected = np.unique(statistics[:, 1], return_inverse=True)
    nearest = np.minimum(np.searchsorted(classes, statistics[:, 0]), len(classes) - 1)
    predicted = np.where(classes[nearest] == statistics[:, 0], nearest, len(classes))
    right = weights * (predicted == expected)
    size = len(classes) + 1
    return tuple(
        sums_by(labels, counted, size)
        for labels, counted in ((expected, right), (predicted, weights), (expected, weights))
    )


def matthews_of_sample(
    statistics: Float[np.ndarray, "N 2"], weights: Float[np.ndarray, "R N"]
) -> Float[np.ndarray, " R"]:
    """Matthews correlation (1975), from -1 to 1, of any number of classes (Gorodkin, 2004, R_K).

    It is 0 where all predictions or all references of a sample are one class, as in scikit-learn.
    """
    right, predicted, expected = _class_counts(statistics, weights)
    total = expected.sum(axis=1)
    covariance = right.sum(axis=1) * total - (predicted * expected).sum(axis=1)
    spread = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (expected**2).sum(axis=1))
    return ratio(covariance, np.sqrt(spread))


def macro_f1_of_sample(
    statistics: Float[np.ndarray, "N 2"], weights: Float[np.ndarray, "R N"]
) -> Float[np.ndarray, " R"]:
    """The mean of each class's F1, over the classes that the references of all examples name.

    A class of which a resample has neither references nor predictions counts as 0, as in
    scikit-learn with all labels given. SuperGLUE scores CB so (Wang et al., 2019, section 3).
    """
    right, predicted, expected = (counts[:, :-1] for counts in _class_counts(statistics, weights))
    return ratio(2 * right, predicted + expected).mean(axis=1)


def _same_class(statistics: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return (statistics[..., 0] == statistics[..., 1]).astype(np.float64)


def _verdict(prediction: str, references: Sequence[str]) -> tuple[float, bool, bool]:
    """The code of an answer's question, and whether the answer is and was said to be right."""
    facts = facts_of(references, ("question", "positive"))
    correct = bool(accuracy(prediction, references[:1]))
    positive = references[0].strip() == facts["positive"]
    return code_of(facts["question"]), positive, positive if correct else not positive


def multirc_f1_statistics(prediction: str, references: Sequence[str]) -> tuple[float, ...]:
    """What MultiRC's F1a sums: answers rightly accepted, accepted, and acceptable.

    Args:
      prediction: the verdict on one candidate answer.
      references: the right verdict, and the facts `question` (the same for all candidates of a
        question, another for every other) and `positive` (the verdict that accepts); see
        `flan_jax.data.facts`. Any other verdict than the right one is the opposite.

    Returns:
      Four statistics, the first being the question's code.
    """
    question, positive, accepted = _verdict(prediction, references)
    return (question, *map(float, (positive and accepted, accepted, positive)))


def combine_multirc_f1(
    sums: Float[np.ndarray, "*S 4"], counts: Float[np.ndarray, "*S"]
) -> Float[np.ndarray, "*S"]:
    """F1 of accepting over all candidate answers (Khashabi et al., 2018, section 4: F1a)."""
    return ratio(2 * sums[..., 1], sums[..., 2] + sums[..., 3])


def multirc_exact_statistics(prediction: str, references: Sequence[str]) -> tuple[float, float]:
    """The question's code, and 1.0 where the verdict is right; see `multirc_f1_statistics`."""
    question, positive, accepted = _verdict(prediction, references)
    return question, float(positive == accepted)


def multirc_exact_of_sample(
    statistics: Float[np.ndarray, "N 2"], weights: Float[np.ndarray, "R N"]
) -> Float[np.ndarray, " R"]:
    """The share of questions all of whose candidate answers in the sample are judged rightly."""
    _, question = np.unique(statistics[:, 0], return_inverse=True)
    size = question.max() + 1
    # A resample has all candidates of a question equally often: their mean weight is its own.
    drawn = sums_by(question, weights, size) / np.bincount(question, minlength=size)
    wrong = sums_by(question, weights * (statistics[:, 1] == 0), size)
    return ratio((drawn * (wrong == 0)).sum(axis=1), drawn.sum(axis=1))


METRICS = (
    Metric("matthews", 2, class_statistics, _same_class, over_sample=matthews_of_sample),
    Metric("macro_f1", 2, class_statistics, _same_class, over_sample=macro_f1_of_sample),
    Metric(
        "multirc_f1a",
        4,
        multirc_f1_statistics,
        combine_multirc_f1,
        alone=lambda statistics: statistics[2] == statistics[3],
        grouped=True,
    ),
    Metric(
        "multirc_exact_match",
        2,
        multirc_exact_statistics,
        lambda statistics, counts: statistics[..., 1],
        over_sample=multirc_exact_of_sample,
        grouped=True,
    ),
)
