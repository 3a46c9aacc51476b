"""The fingerprint of a run: everything that affects its mathematics, in readable fields.

A run resumes only under the fingerprint it began with. Where it runs and what it reports (mesh,
hosts, logging, intervals, folders, retention, rematerialisation) are not part of it: the same run
may go on elsewhere.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from flan_jax import storage
from flan_jax.data.mixture import Mixture
from flan_jax.train import run_folder
from flan_jax.train.optimizer import OptimizerConfig, end_step

Fields = dict[str, Any]

# Fields of configurations that change how a value is computed, but not which value.
_HOW_ONLY = {"model.remat", "model.scan_layers", "optimizer.decay_steps"}


class FingerprintMismatch(ValueError):
    """The folder holds a run with other mathematics than the one that is asked for."""


def configuration_fields(**configurations: Any) -> Fields:
    """Flattens frozen dataclasses into `name.field` entries.

    Args:
      **configurations: dataclasses by the name they get, e.g. `model=ModelConfig(...)`.

    Example: `configuration_fields(loss=LossConfig(z_loss=0.0))` is
    `{"loss.z_loss": 0.0, "loss.label_smoothing": 0.0}`.
    """
    fields = {
        f"{name}.{key}": list(value) if isinstance(value, tuple) else value
        for name, configuration in configurations.items()
        for key, value in dataclasses.asdict(configuration).items()
    }
    return {key: value for key, value in fields.items() if key not in _HOW_ONLY}


def default_fields(**configurations: Any) -> Fields:
    """As `configuration_fields`, the default of each field that has one.

    A field that a run began without has its default: a new field's default must be what was
    computed before there was that field.
    """
    return {
        f"{name}.{field.name}": field.default
        for name, configuration in configurations.items()
        for field in dataclasses.fields(configuration)
        if field.default is not dataclasses.MISSING
    }


def schedule_fields(config: OptimizerConfig, steps: int) -> Fields:
    """The schedule's end, which belongs to the mathematics only where the rate depends on it.

    A run at constant rate may be extended; a cosine that ends elsewhere is another run.
    """
    return {"optimizer.end_step": end_step(config, steps)}


def mixture_fields(mixture: Mixture) -> Fields:
    """One field a task, of its rate and its cache, and the vocabulary.

    A cache is told by what it was made from and what came out of it; where and when it was built,
    and in how many files, is of no account.
    """
    fields = {"vocabulary": mixture.vocabulary["digest"]}
    for member in mixture.members:
        facts = ("cache", "rows", "examples", "tokens", "objective")
        fields[f"mixture.{member.task}"] = {"rate": member.rate} | {
            fact: member.cache.manifest[fact] for fact in facts
        }
    return fields


def source_identity(init_from: str | None, recorded: str | None) -> str | None:
    """Identifies the weights that a run starts from: the source's fingerprint and its step.

    A run that is resumed has its weights already. So it goes on when the source is gone, or when
    `init_from` names a run's folder that has been trained further since.

    Args:
      init_from: a run's folder or a checkpoint in it; None for random weights.
      recorded: the identity that the run began with; None for a new run.

    Returns:
      `<digest>@<step>`, or None for random weights.

    Raises:
      RunFolderError: a new run's source holds no checkpoint.
    """
    if init_from is None:
        return None
    try:
        folder, step = run_folder.locate(init_from)
        source = run_folder.read_run(folder)["fingerprint"]["digest"]
    except run_folder.RunFolderError:
        if recorded is None:
            raise
        return recorded
    names_a_step = storage.path(init_from) != folder
    if recorded and recorded.startswith(f"{source}@") and not names_a_step:
        return recorded
    return f"{source}@{step}"


def digest(fields: Fields) -> str:
    """First 16 hex digits of the SHA-256 of the fields as sorted JSON."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check(
    recorded: Mapping[str, Any],
    current: Mapping[str, Any],
    folder: str,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Refuses to resume a run under another fingerprint.

    Args:
      recorded: the fields the run in the folder began with.
      current: the fields of the run that is asked for.
      folder: the run's folder, for the message.
      defaults: what a field is taken to be that was not recorded (`default_fields`).

    Raises:
      FingerprintMismatch: they differ; each differing field is listed with both values.
    """
    # Compared as JSON has them: a recorded tuple comes back as a list.
    known = {name: value for name, value in (defaults or {}).items() if name in current}
    recorded, current = json.loads(json.dumps([{**known, **recorded}, current]))
    absent = "(absent)"
    differing = [
        f"  {key}: {recorded.get(key, absent)!r} -> {current.get(key, absent)!r}"
        for key in sorted({*recorded, *current})
        if recorded.get(key, absent) != current.get(key, absent)
    ]
    if differing:
        raise FingerprintMismatch(
            f"{folder} holds a run that differs from this one in what it computes "
            f"(there -> here):\n" + "\n".join(differing) + "\n"
            f"To go on with that run, set these back. To start a new run from its weights, "
            f"choose another TrainRun.output_dir and set TrainRun.init_from='{folder}'. "
            f"To start over, remove the folder."
        )
