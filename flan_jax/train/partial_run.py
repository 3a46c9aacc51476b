"""Runs whose checkpoints hold only what was trained, and the base that completes them.

`run.json` of such a run says what was trained ("trainable") and of what ("base": the run folder
that held the weights, the step, the dtype that they were used in, and a digest of their content).
Such a folder is not complete without its base. A base of another content is refused, wherever it
lies; it may itself be such a run.
"""

import dataclasses
import hashlib
from typing import Any, NamedTuple

import jax

from flan_jax import storage
from flan_jax.model import soft_prompt
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params
from flan_jax.parallel import rules
from flan_jax.parallel.digest import params_digest
from flan_jax.train import run_folder, trainable
from flan_jax.train.restoring import restore_params
from flan_jax.train.run_folder import RunFolderError
from flan_jax.train.trainable import Adaptation


class Base(NamedTuple):
    """What a run keeps frozen, as `run.json` names it.

    Attributes:
      folder: the run folder that holds it.
      step: the checkpoint.
      dtype: in which the run has it.
      digest: of its content in this dtype.
    """

    folder: str
    step: int
    dtype: str
    digest: str


def describe(adaptation: Adaptation, base: Base) -> dict[str, Any]:
    """Returns the entries of `run.json`."""
    return {"trainable": trainable.to_json(adaptation), "base": base._asdict()}


def read(folder: Any) -> tuple[Adaptation, Base] | None:
    """Reads what a run trained, and of what; None for a run that is complete by itself."""
    about = run_folder.read_json(folder, "run.json") or {}
    if "trainable" not in about:
        return None
    return trainable.from_json(about["trainable"]), Base(**about["base"])


def load(folder: Any, step: int, config: ModelConfig, mesh: jax.sharding.Mesh) -> Params:
    """Loads the parameters of a checkpoint, complete by itself or with its base.

    Args:
      folder: the run's folder.
      step: a checkpoint that is there.
      config: the model they are for.
      mesh: where they go.

    Raises:
      RunFolderError: the base is gone, or another one.
      CheckpointError: the parameters are not those of `config`.
    """
    if read(folder) is None:
        return load_trained(folder, step, None, config, mesh)
    return load_identified(folder, step, config, mesh)[0]


def load_identified(
    folder: Any, step: int, config: ModelConfig, mesh: jax.sharding.Mesh
) -> tuple[Params, str]:
    """As `load`, with a digest of the content, the same on every mesh."""
    record = read(folder)
    if record is None:
        params = load_trained(folder, step, None, config, mesh)
        return params, params_digest(params)
    adaptation, base = record
    frozen = _load_base(folder, base, config, mesh)
    # As it was trained: rounded first, an adapter would lose more than its sum with the base.
    own = run_folder.read_model_config(folder).param_dtype
    exact = dataclasses.replace(config, param_dtype=own)
    trained = load_trained(folder, step, adaptation, exact, mesh)
    # The sum's last bits may depend on the mesh, its terms do not.
    terms = base.digest + params_digest(trained)
    digest = hashlib.sha256(terms.encode()).hexdigest()
    return trainable.merge(adaptation, config, frozen, trained), digest


def load_trained(
    folder: Any,
    step: int,
    adaptation: Adaptation | None,
    config: ModelConfig,
    mesh: jax.sharding.Mesh,
) -> Params:
    """Loads what a checkpoint itself holds.

    Args:
      folder: the run's folder.
      step: a checkpoint that is there.
      adaptation: what was trained; None for all parameters.
      config: the model.
      mesh: where the arrays go.
    """
    shapes = trainable.abstract(adaptation, config)
    abstract = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        rules.shardings(trainable.logical_axes(adaptation, config), mesh, shapes),
    )
    return restore_params(run_folder.local_checkpoint(folder, step), abstract)


def open_base(
    init_from: str,
    adaptation: Adaptation,
    config: ModelConfig,
    mesh: jax.sharding.Mesh,
    run: Any,
) -> tuple[Base, Params]:
    """Loads the parameters that a run keeps frozen, when it begins and when it is resumed.

    Args:
      init_from: a run's folder or a checkpoint in it.
      adaptation: what is trained beside them.
      config: the model.
      mesh: where they go.
      run: the folder of the run, which names its base if it is resumed; None for a new run.

    Raises:
      RunFolderError: there is no such checkpoint, or a resumed run began with another base.
    """
    recorded = read(run)[1] if run is not None and read(run) else None
    try:
        folder, step = run_folder.locate(init_from, recorded.step if recorded else None)
    except RunFolderError as error:
        if recorded is None:
            raise
        raise _incomplete(run, recorded, error) from error
    dtype = trainable.base_dtype(adaptation, config)
    frozen = dataclasses.replace(config, param_dtype=dtype)
    params, digest = load_identified(folder, step, frozen, mesh)
    refuse_prompt(params, init_from)
    where = folder if storage.is_remote(folder) else folder.absolute()
    base = Base(str(where), step, dtype, digest)
    if recorded is not None and (digest, dtype) != (recorded.digest, recorded.dtype):
        raise _other_base(run, recorded, base)
    return base, params


def refuse_prompt(params: Params, folder: Any) -> None:
    """Raises a RunFolderError for parameters with a soft prompt, which no weights can hold."""
    if soft_prompt.INSERTED in params:
        raise RunFolderError(
            f"{folder} is a run of prompt tuning: its soft prompt is no part of the weights, so "
            "that it can be scored and generate, but not be trained from (start from its base) or "
            "exported merged (`scripts/convert.py export --adapter` writes it alone)"
        )


def _load_base(folder: Any, base: Base, config: ModelConfig, mesh: jax.sharding.Mesh) -> Params:
    try:
        there, step = run_folder.locate(base.folder, base.step)
    except RunFolderError as error:
        raise _incomplete(folder, base, error) from error
    as_used = dataclasses.replace(config, param_dtype=base.dtype)
    params, digest = load_identified(there, step, as_used, mesh)
    if digest != base.digest:
        raise _other_base(folder, base, base._replace(digest=digest))
    return params


def _incomplete(folder: Any, base: Base, error: Exception) -> RunFolderError:
    return RunFolderError(
        f"{folder} holds only what was trained and is not complete without its base, step "
        f"{base.step} of {base.folder} (digest {base.digest[:12]}): {error}. Put the base back, or "
        f"write where it is now into {folder}/run.json as base.folder (for a resume: into "
        "TrainRun.init_from)"
    )


def _other_base(folder: Any, base: Base, found: Base) -> RunFolderError:
    return RunFolderError(
        f"{folder} was trained on another base: step {base.step} of {base.folder} in {base.dtype} "
        f"had digest {base.digest[:12]}, step {found.step} of {found.folder} in {found.dtype} has "
        f"{found.digest[:12]}. Restore the original weights, or name the folder that holds them"
    )
