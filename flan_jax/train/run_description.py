"""What a run writes down of itself before its first step, and what it is resumed under."""

import dataclasses
from typing import Any

import jax

import flan_jax
from flan_jax.data.mixture import Mixture
from flan_jax.train import fingerprint, partial_run, run_folder, trainable
from flan_jax.train.partial_run import Base
from flan_jax.train.run import TrainRun
from flan_jax.train.run_folder import RunFolder


def write(
    run: TrainRun,
    mixture: Mixture,
    folder: RunFolder,
    latest: int | None,
    base: Base | None = None,
    configuration: str | None = None,
) -> None:
    """Writes `run.json`, `model.json` and the vocabulary, or refuses another run's folder.

    Args:
      run: the run.
      mixture: its mixture.
      folder: its folder.
      latest: step of the latest checkpoint there, or None.
      base: what is frozen, or None.
      configuration: text of `config.gin`, written too; None for none.

    Raises:
      FingerprintMismatch: the folder holds a run with other mathematics.
      RunFolderError: it holds checkpoints of an unknown run.
      ValueError: its checkpoint is beyond the run's last step.
    """
    recorded = None
    if latest is not None:
        recorded = run_folder.read_run(folder.root)["fingerprint"]["fields"]
    fields = _fields(run, mixture, (recorded or {}).get("init_from"), base)
    if recorded is not None:
        defaults = fingerprint.default_fields(**_configurations(run))
        fingerprint.check(recorded, fields, str(folder.root), defaults)
        if latest > run.steps:
            raise ValueError(
                f"{folder.root} holds a checkpoint at step {latest}, beyond TrainRun.steps="
                f"{run.steps}: raise steps, or choose another output_dir"
            )
    about = {
        "fingerprint": {"digest": fingerprint.digest(fields), "fields": fields},
        "vocabulary": mixture.vocabulary,
        "mixture": run.mixture,
        "init_from": run.init_from,
        "steps": run.steps,
        "versions": {"flan_jax": flan_jax.__version__, "jax": jax.__version__},
    }
    if base:
        about |= partial_run.describe(run.trainable, base)
    run_folder.write_json(folder.root, "model.json", dataclasses.asdict(run.model))
    run_folder.write_json(folder.root, "run.json", about)
    run_folder.keep_vocabulary(folder.root, mixture.vocabulary)
    if configuration is not None:
        run_folder.write_text(folder.root, "config.gin", configuration)


def _configurations(run: TrainRun) -> dict[str, Any]:
    """The parts of a run that its mathematics depends on, by name."""
    return {"model": run.model, "feed": run.feed, "optimizer": run.optimizer, "loss": run.loss}


def _fields(
    run: TrainRun, mixture: Mixture, recorded_source: str | None, base: Base | None
) -> fingerprint.Fields:
    """All that the run's mathematics depends on."""
    fields = {
        **fingerprint.configuration_fields(**_configurations(run)),
        **fingerprint.schedule_fields(run.optimizer, run.steps),
        **fingerprint.mixture_fields(mixture),
        "seed": run.seed,
        "gradient_accumulation": run.gradient_accumulation,
        "init_from": fingerprint.source_identity(run.init_from, recorded_source),
    }
    if base:
        settings = trainable.to_json(run.trainable)
        fields |= {f"trainable.{name}": value for name, value in settings.items()}
        fields["base"] = base.digest
    return fields
