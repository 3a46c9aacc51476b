"""IFEval's four scores (Zhou et al., 2023, section 3): by prompt and by instruction, both ways."""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from flan_jax.data.facts import facts_of
from flan_jax.evaluation import ifeval
from flan_jax.evaluation.metrics.metric import Metric, combine_mean

Verdicts = tuple[tuple[bool, ...], tuple[bool, ...]]


def verdicts(response: str, references: Sequence[str]) -> Verdicts:
    """Which instructions a response follows.

    Args:
      response: a generated text.
      references: of which the last holds the facts `instruction_id_list` and `kwargs` of IFEval's
        release; see `flan_jax.data.facts`.

    Returns:
      Strict and loose verdicts, one an instruction.

    Raises:
      ValueError: the facts are not there, or name an instruction or argument that is unknown.
    """
    return _verdicts(response, tuple(references))


@functools.lru_cache(maxsize=16)  # four metrics ask for one example in turn
def _verdicts(response: str, references: tuple[str, ...]) -> Verdicts:
    facts = facts_of(references, ("instruction_id_list", "kwargs"))
    asked = list(zip(facts["instruction_id_list"], facts["kwargs"], strict=True))
    return ifeval.strict(response, asked), ifeval.loose(response, asked)


def _by_prompt(loose: bool, response: str, references: Sequence[str]) -> tuple[float]:
    return (float(all(verdicts(response, references)[loose])),)


def _by_instruction(loose: bool, response: str, references: Sequence[str]) -> tuple[float, float]:
    found = verdicts(response, references)[loose]
    return float(sum(found)), float(len(found))


def combine_by_instruction(
    sums: Float[np.ndarray, "*S 2"], counts: Float[np.ndarray, "*S"]
) -> Float[np.ndarray, "*S"]:
    """Instructions followed of those given, over all prompts."""
    return sums[..., 0] / np.maximum(sums[..., 1], 1.0)


METRICS = tuple(
    metric
    for loose, kind in enumerate(("strict", "loose"))
    for metric in (
        Metric(
            f"ifeval_prompt_{kind}",
            1,
            functools.partial(_by_prompt, bool(loose)),
            combine_mean,
            of_answers=False,
        ),
        Metric(
            f"ifeval_instruction_{kind}",
            2,
            functools.partial(_by_instruction, bool(loose)),
            combine_by_instruction,
            of_answers=False,
        ),
    )
)
