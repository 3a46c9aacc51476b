"""The model card of an exported model: what it is, where it comes from, what it scored."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from flan_jax import storage
from flan_jax.evaluation import results
from flan_jax.interop.weights import parameter_count
from flan_jax.model.config import ModelConfig
from flan_jax.train import run_folder


def text(
    folder: Any, step: int, config: ModelConfig, family: str, library: str = "transformers"
) -> str:
    """Returns the card as Markdown.

    Of paths only the last part is shown: a card is public, where a model was trained is not.

    Args:
      folder: the run's folder; its `results*.json`, and those in `evaluation/`, are the scores.
      step: the checkpoint.
      config: the model.
      family: `model_type` that it was exported as.
      library: what loads it, "transformers" or, for an adapter alone, "peft".
    """
    about = run_folder.read_run(folder)
    source = about.get("init_from") or (about.get("imported") or {}).get("folder")
    fields = about["fingerprint"]["fields"]
    facts = {
        "parameters": f"{parameter_count(config):,}",
        "architecture": f"{config.architecture.replace('_', '-')}, as {family}",
        "checkpoint": f"step {step} of {about.get('steps')}",
        "mixture": about.get("mixture") and PurePosixPath(about["mixture"]).name,
        "started from": source and PurePosixPath(source).name,
        "its fingerprint": fields.get("init_from"),
        "SHA-256 of its files": fields.get("imported"),
        "trained": _trained(about),
        "fingerprint of the run": about["fingerprint"]["digest"],
        "vocabulary (SHA-256)": about["vocabulary"]["digest"],
        "versions": ", ".join(f"{name} {number}" for name, number in about["versions"].items()),
    }
    lines = [
        "---", f"library_name: {library}", "---", "", "# Model card", "",
        "Exported by flan_jax.", "", "| | |", "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items() if value),
    ]  # fmt: skip
    for file in _result_files(folder):
        lines += ["", *_scores(file)]
    return "\n".join(lines) + "\n"


def _trained(about: dict[str, Any]) -> str:
    """What was trained, and the digest of what was not; nothing where all parameters were."""
    if "trainable" not in about:
        return ""
    settings = ", ".join(f"{name} {value}" for name, value in about["trainable"].items())
    return f"{settings}; on frozen weights of digest {about['base']['digest'][:12]}"


def _result_files(folder: Any) -> Iterator[Any]:
    root = storage.path(folder)
    for place in (root, root / "evaluation"):
        if place.exists() and place.is_dir():
            for file in sorted(place.iterdir(), key=str):
                if file.name.startswith("results") and file.name.endswith(".json"):
                    yield file


def _scores(file: Any) -> Iterator[str]:
    """A table of the scores of each cluster, with 95% intervals."""
    scored = results.load(str(file))
    yield f"## Scores: {scored.facts.get('form', scored.system)}"
    yield ""
    yield "| cluster | role | score | 95% interval | chance |"
    yield "|---|---|---|---|---|"
    for name, cluster in results.summarise(scored).clusters.items():
        low, high = cluster.score.interval
        yield (
            f"| {name} | {cluster.role} | {cluster.score.value:.1%} | {low:.1%} to {high:.1%} "
            f"| {cluster.chance:.1%} |"
        )
