"""Scores a model while it trains: the same engine, on the parameters where they are."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from flan_jax.evaluation.evaluate import Decode, EvaluationConfig, evaluate
from flan_jax.evaluation.examples import check_content_free, check_vocabulary, expand
from flan_jax.evaluation.results import summarise
from flan_jax.model.config import ModelConfig

MEAN = "mean"  # name of the mean over clusters


@dataclasses.dataclass(frozen=True)
class TrainingEvaluation:
    """What is scored every `TrainRun.evaluate_every` steps.

    Attributes:
      caches: folders of evaluation caches, or lists of them (`<cache_dir>/<collection>.json`).
      form: prompt form that is taken from lists.
      settings: how examples are scored.
    """

    caches: Sequence[str] = ()
    form: str = "zero_shot"
    settings: EvaluationConfig = EvaluationConfig()


def score_names(scored: TrainingEvaluation) -> tuple[str, ...]:
    """Names the scores that `make_evaluate` gives, from the caches' manifests alone.

    Raises:
      ValueError: a list of caches does not have the form.
    """
    from flan_jax.data import store  # pyarrow, which scoring itself does not need

    caches = expand(scored.caches, scored.form)
    clusters = [store.read_manifest(path)["cluster"] for path in caches]
    return (*dict.fromkeys(clusters), MEAN)


def make_evaluate(
    config: ModelConfig,
    scored: TrainingEvaluation,
    decode: Decode | None = None,
    vocabulary: str | None = None,
) -> Callable[[Any, int], dict[str, float]]:
    """Makes the function that `flan_jax.train.loop.train` calls.

    Args:
      config: the model.
      scored: what is scored.
      decode: token ids to text; needed for caches whose answers are generated.
      vocabulary: digest of the model's vocabulary; None where none is known.

    Returns:
      A function of (parameters, step) to scores from 0 to 1: one for each cluster, and `mean`.

    Raises:
      ValueError: there are no caches, one is of another vocabulary, or one has no content-free
        prompts and calibrated scores are asked for.
    """
    if not scored.caches:
        raise ValueError(
            "TrainRun.evaluate_every is set, but TrainingEvaluation.caches is empty: name "
            "<cache_dir>/<collection>.json, or the folders of the caches to score"
        )
    caches = expand(scored.caches, scored.form)
    for path in caches if vocabulary else ():
        check_vocabulary(path, vocabulary)
    for path in caches if scored.settings.needs_content_free else ():
        check_content_free(path)

    def score(params: Any, step: int) -> dict[str, float]:
        found = evaluate(config, params, caches, scored.settings, decode, progress=False)
        summary = summarise(found, resamples=1)
        clusters = {name: cluster.score.value for name, cluster in summary.clusters.items()}
        return {**clusters, MEAN: sum(clusters.values()) / len(clusters)}

    return score
