"""Checkpoints through orbax: saved in the background, whole or not at all, sharded on both ways.

A checkpoint holds `params`, `optimizer` and `progress` (step and data state) as separate items, so
that evaluation and `init_from` read the parameters alone. Where the best checkpoint is kept, those
of steps that were evaluated also hold their scores, as `metrics`.
"""

import dataclasses
import functools
import logging
import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy

from flan_jax.model.config import ModelConfig
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import partial_run, run_folder
from flan_jax.train.restoring import CheckpointError, restore_params
from flan_jax.train.run_folder import RunFolder
from flan_jax.train.state import TrainState

__all__ = [
    "CheckpointConfig", "CheckpointError", "Checkpoints", "check_best", "load_identified",
    "load_params", "restore_params", "save_params",
]  # fmt: skip

PyTree = Any
_TEMPORARY = ".orbax-checkpoint-tmp"  # orbax's mark on folders it has not finished


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """When checkpoints are saved and which are kept.

    Attributes:
      interval: steps between two checkpoints; the last step is always saved.
      keep: the latest checkpoints that are kept.
      keep_period: steps that are multiples of this are kept for ever; None for none.
      max_failures: consecutive failed saves (a full disk) after which the run stops.
      best: name of a score of the run's evaluations, a held-out cluster or "mean". The checkpoint
        with the highest one (of equal ones the latest) is kept beside the others, and saved when
        it is scored; None for none.
    """

    interval: int = 1000
    keep: int = 2
    keep_period: int | None = None
    max_failures: int = 3
    best: str | None = None

    def __post_init__(self):
        for name in ("interval", "keep", "max_failures"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"CheckpointConfig.{name}: expected at least 1, got {getattr(self, name)}"
                )


class Checkpoints:
    """The checkpoints of one run, while it trains."""

    def __init__(self, folder: RunFolder, config: CheckpointConfig, say: Callable[[str], None]):
        """Opens the folder; half-written checkpoints of a killed run are named and removed.

        Args:
          folder: the run's folder.
          config: retention and bounds.
          say: prints a line on the console.
        """
        self._folder = folder
        self._config = config
        self._say = say
        self._failures = 0
        self._saving: int | None = None
        # Orbax logs tracebacks of failures that are caught and reported here.
        self._orbax_log = logging.getLogger("absl")
        self._orbax_log_level = self._orbax_log.level
        self._orbax_log.setLevel(logging.CRITICAL)
        half_written = _half_written(folder.checkpoints)
        self._manager = ocp.CheckpointManager(
            folder.checkpoints,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=_retention(config),
                best_fn=functools.partial(_score, config.best) if config.best else None,
                cleanup_tmp_directories=True,
            ),
        )
        for name in half_written:
            say(f"checkpoint {name} is half-written (the run was killed while saving it)")

    @property
    def latest(self) -> int | None:
        """Step of the latest complete checkpoint."""
        return self._manager.latest_step()

    def find_best(self) -> tuple[int, float] | None:
        """Step and score of the best complete checkpoint; None where none has the score."""
        self.wait()
        step = self._manager.best_step()
        if step is None:
            return None
        score = _score(self._config.best, self._manager.metrics(step) or {})
        return None if score == -math.inf else (step, score)

    def shall_keep(self, scores: Mapping[str, float] | None) -> bool:
        """Whether a state with these scores is better than all checkpoints.

        Args:
          scores: of this step's evaluation; None for none.
        """
        if self._config.best is None or scores is None:
            return False
        best = self.find_best()
        return best is None or scores[self._config.best] > best[1]

    def restore(self, abstract: TrainState) -> tuple[TrainState, dict[str, Any]] | None:
        """Restores the latest checkpoint that can be read, straight to its shards.

        A damaged checkpoint is named, the previous one is used, and the damaged one is put aside
        as `<step>.damaged`.

        Args:
          abstract: shapes, dtypes and shardings of the state.

        Returns:
          The state and the progress that was saved with it; None where there is no checkpoint.

        Raises:
          CheckpointError: there are checkpoints, but none can be read.
        """
        reasons = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                restored = self._manager.restore(step, args=_restore_args(abstract))
            except Exception as error:  # orbax and tensorstore raise many kinds on damaged files
                reasons[step] = error
                # Other processes may have read their parts: they must not go separate ways.
                if jax.process_count() > 1:
                    break
                self._say(f"checkpoint {step} is damaged ({_reason(error)})")
                continue
            self._put_aside(reasons)
            self._say(f"resuming from checkpoint {step} in {self._folder.root}")
            params, opt_state = restored["params"], restored["optimizer"]
            return TrainState(_step_array(step, abstract), params, opt_state), restored["progress"]
        if reasons:
            listed = "; ".join(f"{step}: {_reason(why)}" for step, why in reasons.items())
            raise CheckpointError(
                f"no checkpoint in {self._folder.checkpoints} can be read ({listed}). Remove or "
                f"mend the latest; to start over, choose another output_dir"
            ) from next(iter(reasons.values()))
        return None

    def save(
        self,
        state: TrainState,
        step: int,
        progress: dict[str, Any],
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """Starts saving in the background; the state may be donated as soon as this returns.

        A save that fails leaves the previous checkpoints as they are and is reported; training
        goes on to the next interval.

        Args:
          state: the state after `step` updates.
          step: updates done.
          progress: JSON values that are saved beside it.
          scores: of this step's evaluation, from which the best checkpoint is told.

        Raises:
          CheckpointError: `max_failures` saves in a row have failed.
        """
        self.wait()
        if step in self._manager.all_steps():
            return
        items = ocp.args.Composite(
            params=ocp.args.StandardSave(state.params),
            optimizer=ocp.args.StandardSave(state.opt_state),
            progress=ocp.args.JsonSave(progress),
        )
        self._saving = step
        try:
            self._manager.save(step, args=items, metrics=scores and dict(scores), force=True)
        except Exception as error:  # what cannot be written may fail here or in the background
            self._failed(error)

    def wait(self) -> None:
        """Waits for the save in progress and reports how it ended.

        Raises:
          CheckpointError: `max_failures` saves in a row have failed.
        """
        if self._saving is None:
            return
        try:
            self._manager.wait_until_finished()
            self._folder.push()
        except Exception as error:
            self._failed(error)
            return
        self._saving = None
        self._failures = 0

    def save_final(
        self,
        state: TrainState,
        step: int,
        progress: dict[str, Any],
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """Saves and waits until the checkpoint is there, trying again if it fails.

        Args:
          state: the state after `step` updates.
          step: updates done.
          progress: JSON values that are saved beside it.
          scores: of this step's evaluation.

        Raises:
          CheckpointError: `max_failures` saves in a row have failed.
        """
        self.wait()
        while step not in self._manager.all_steps():
            self.save(state, step, progress, scores)
            self.wait()

    def close(self) -> None:
        """Releases orbax's threads; waits for a save in progress."""
        try:
            if self._config.best and (best := self.find_best()):
                self._say(f"best checkpoint: {best[0]}, with {self._config.best} {best[1]:.4g}")
            self.wait()
        finally:
            self._manager.close()
            self._orbax_log.setLevel(self._orbax_log_level)

    def _failed(self, error: Exception) -> None:
        """Counts a failed save, frees the space it took, and says what is left."""
        step, self._saving = self._saving, None
        self._failures += 1
        if jax.process_index() == 0:
            for name in _half_written(self._folder.checkpoints):
                (self._folder.checkpoints / (name + _TEMPORARY)).rmtree(missing_ok=True)
        self._manager.reload()
        intact = "there is none before it"
        if self.latest is not None:
            intact = f"checkpoint {self.latest} is intact"
        message = (
            f"checkpoint {step} could not be saved in {self._folder.checkpoints} "
            f"({_reason(error)}); {intact}."
        )
        if self._failures >= self._config.max_failures:
            raise CheckpointError(
                f"{message} {self._failures} saves in a row have failed: the run stops. Free some "
                f"space and start the same command again; it resumes from the latest checkpoint"
            ) from error
        self._say(f"{message} Trying again at the next checkpoint.")

    def _put_aside(self, damaged: dict[int, Exception]) -> None:
        for step in damaged:
            path = self._folder.checkpoints / str(step)
            path.rename(path.parent / f"{step}.damaged")
        if damaged:
            self._manager.reload()


def check_best(config: CheckpointConfig, names: Collection[str]) -> None:
    """Raises ValueError unless `config.best` is one of the scores of the run's evaluations.

    Args:
      config: retention.
      names: of the scores; none where nothing is evaluated.
    """
    if config.best is None or config.best in names:
        return
    there_are = f"they give {', '.join(names)}" if names else "set TrainRun.evaluate_every"
    raise ValueError(
        f"CheckpointConfig.best={config.best!r} is no score of this run's evaluations: {there_are}"
    )


def save_params(folder: RunFolder, params: PyTree) -> None:
    """Saves parameters that were not trained here as checkpoint 0, which others can start from.

    Args:
      folder: the run's folder, without a checkpoint yet.
      params: nested dict of arrays, on any mesh.
    """
    with ocp.CheckpointManager(folder.checkpoints) as manager:
        manager.save(0, args=ocp.args.Composite(params=ocp.args.StandardSave(params)))
        manager.wait_until_finished()
    folder.push()


def load_params(
    path: str, config: ModelConfig, mesh: jax.sharding.Mesh | None = None, step: int | None = None
) -> PyTree:
    """Loads the parameters of a checkpoint alone, each device its own shards.

    Where the run trained low-rank adapters, they are merged into the parameters of its base. Where
    it trained a soft prompt, that lies beside them, and the model's functions put it before their
    inputs (`model.soft_prompt`).

    Args:
      path: a run's folder, or one checkpoint in it (`<run>/checkpoints/<step>`).
      config: the model they are for; see `run_folder.read_model_config`.
      mesh: where they go; None for the first device.
      step: which checkpoint of a run's folder; None for the latest.

    Returns:
      Nested dict of arrays in `config.param_dtype`.

    Raises:
      RunFolderError: there is no such checkpoint, or the run's base is gone or another one.
      CheckpointError: its parameters are not those of `config`; they are listed by name.
    """
    folder, step = run_folder.locate(path, step)
    mesh = mesh or make_mesh(MeshConfig(data=1), devices=jax.local_devices()[:1])
    return partial_run.load(folder, step, config, mesh)


def load_identified(
    path: str, config: ModelConfig, mesh: jax.sharding.Mesh, step: int | None = None
) -> tuple[PyTree, str]:
    """As `load_params`, with a digest of the content that is the same on every mesh."""
    folder, step = run_folder.locate(path, step)
    return partial_run.load_identified(folder, step, config, mesh)


def _retention(config: CheckpointConfig) -> preservation_policy.PreservationPolicy:
    policies = [preservation_policy.LatestN(config.keep)]
    if config.keep_period is not None:
        policies.append(preservation_policy.EveryNSteps(config.keep_period))
    if config.best is not None:
        score = functools.partial(_score, config.best)
        policies.append(
            preservation_policy.BestN(
                get_metric_fn=score, n=1, keep_checkpoints_without_metrics=False
            )
        )
    return preservation_policy.AnyPreservationPolicy(policies)


def _score(name: str, metrics: Mapping[str, float]) -> float:
    """A score of a checkpoint; the lowest where an earlier command evaluated something else."""
    return metrics.get(name, -math.inf)


def _restore_args(abstract: TrainState) -> ocp.args.Composite:
    return ocp.args.Composite(
        params=ocp.args.StandardRestore(abstract.params),
        optimizer=ocp.args.StandardRestore(abstract.opt_state),
        progress=ocp.args.JsonRestore(),
    )


def _step_array(step: int, abstract: TrainState) -> jax.Array:
    return jax.jit(lambda: jnp.int32(step), out_shardings=abstract.step.sharding)()


def _half_written(checkpoints: epath.Path) -> list[str]:
    """Names, without orbax's mark, of checkpoints whose save was cut short."""
    if not checkpoints.exists():
        return []
    names = [entry.name for entry in checkpoints.iterdir()]
    return sorted(name.split(_TEMPORARY)[0] for name in names if _TEMPORARY in name)


def _reason(error: Exception) -> str:
    """The system's own words if the error has them (`No space left on device`), or its start."""
    text = str(error).strip() or type(error).__name__
    system = re.search(r"os_error_code='(\d+)'", text)
    return os.strerror(int(system[1])) if system else text.splitlines()[0][:200]
