"""How options of different lengths are compared, and which one is chosen.

Axes: k options of an example.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from flan_jax.evaluation.examples import Example

# Scores that differ by less than this (nats) are a tie: shapes and devices change the order of
# sums, and by it the last bits.
TIE = 1e-5

Scores = Float[np.ndarray, " k"]


def total(scores: Scores, example: Example, unconditional: Scores | None = None) -> Scores:
    """The log-probability of the whole option (Wei et al., 2022, section 2.4)."""
    return scores


def mean_per_token(scores: Scores, example: Example, unconditional: Scores | None = None) -> Scores:
    """Log-probability by token, end of sequence included (Brown et al., 2020, section 2.4)."""
    return scores / np.array([len(tokens) for tokens in example.option_tokens])


def mean_per_byte(scores: Scores, example: Example, unconditional: Scores | None = None) -> Scores:
    """Log-probability by byte of the option's text in UTF-8, whatever the vocabulary.

    The `acc_bytes` of Gao et al., "Multiple Choice Normalization in LM Evaluation" (2021). A text
    of no bytes counts as one.
    """
    return scores / np.array([max(1, len(text.encode())) for text in example.options])


def pmi(scores: Scores, example: Example, unconditional: Scores | None = None) -> Scores:
    """By how much the prompt makes the option more likely (Brown et al., 2020, section 2.4).

    The pointwise mutual information of prompt and option (Holtzman et al., 2021, section 3), with
    no prompt at all as the domain.
    """
    if unconditional is None:
        raise ValueError("pmi needs the options' scores without a prompt")
    return scores - unconditional


def calibrated(
    scores: Scores, example: Example, content_free: Float[np.ndarray, "c k"] | None = None
) -> Scores:
    """By how much the prompt makes the option more likely than a prompt without content does.

    Contextual calibration (Zhao et al. 2021, "Calibrate Before Use", section 5): probabilities over
    the options, divided by their mean over content-free prompts of the same template, such as the
    template with "N/A", "[MASK]" or nothing in place of what differs between examples. With one
    such prompt the choice is that of `pmi` with it as the domain; several are averaged as
    probabilities.

    Args:
      scores: nats.
      example: not looked at.
      content_free: scores of the options behind c content-free prompts, of
        `scoring.score_content_free`.

    Returns:
      Log-probabilities over the options; the probabilities sum to one.

    Raises:
      ValueError: there is no content-free prompt.
    """
    if content_free is None or not len(content_free):
        raise ValueError(
            "calibrated needs the options' scores behind content-free prompts, which caches have "
            "that are built with CacheConfig.content_free=True"
        )
    without = np.logaddexp.reduce(_log_shares(content_free), axis=0) - np.log(len(content_free))
    return _log_shares(_log_shares(scores) - without)


def _log_shares(scores: Float[np.ndarray, "*c k"]) -> Float[np.ndarray, "*c k"]:
    """Log-probabilities that sum to one over the options."""
    scores = np.asarray(scores, np.float64)
    return scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)


# By name: what a configuration may ask for. The third argument is None where it is not needed.
NORMALISATIONS: dict[str, Callable[..., Scores]] = {
    "sum": total,
    "mean": mean_per_token,
    "mean_per_byte": mean_per_byte,
    "pmi": pmi,
    "calibrated": calibrated,
}


def choose(scores: Scores) -> int:
    """The option with the highest score, the first of several within `TIE` of it.

    Raises:
      ValueError: a score is not a number; else the first option would be chosen.
    """
    if np.isnan(scores).any():
        raise ValueError(f"expected scores that are numbers, got {np.asarray(scores).tolist()}")
    return int(np.argmax(scores >= np.max(scores) - TIE))
