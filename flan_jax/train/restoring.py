"""Reading the parameters of one checkpoint, straight to their shards."""

import logging
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

PyTree = Any


class CheckpointError(RuntimeError):
    """Checkpoints that cannot be written or read; the message says which, why and what to do."""


def restore_params(checkpoint: epath.Path, abstract: PyTree) -> PyTree:
    """Restores the `params` item of one checkpoint folder to the given shapes and shardings.

    Args:
      checkpoint: the folder of one step.
      abstract: nested dict of `jax.ShapeDtypeStruct` with shardings.

    Raises:
      CheckpointError: names or shapes differ (they are listed by name), or files are damaged.
    """
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)  # orbax warns that an item of a checkpoint is no checkpoint itself
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            item = checkpoint / "params"
            saved = checkpointer.metadata(item).item_metadata.tree
            _check_shapes(saved, abstract, checkpoint)
            return checkpointer.restore(item, abstract)
    except CheckpointError:
        raise
    except Exception as error:  # orbax raises whatever a reader of its raises
        while error.__cause__:
            error = error.__cause__
        reason = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
    finally:
        log.setLevel(level)
    # Outside of the block: what orbax left unfinished would print errors of its own at the end.
    raise CheckpointError(
        f"{checkpoint} cannot be read ({reason}); where files are gone or cut off, bring them "
        "back or name another step"
    )


def _check_shapes(saved: PyTree, wanted: PyTree, checkpoint: epath.Path) -> None:
    saved, wanted = _shapes_by_name(saved), _shapes_by_name(wanted)
    differing = [
        f"  {name}: {saved.get(name, '(absent)')} -> {wanted.get(name, '(absent)')}"
        for name in sorted({*saved, *wanted})
        if saved.get(name) != wanted.get(name)
    ]
    if differing:
        raise CheckpointError(
            f"{checkpoint} holds parameters of another model (there -> here):\n"
            + "\n".join(differing)
            + "\nUse the model of that run: its configuration is in model.json in the run's folder"
        )


def _shapes_by_name(tree: PyTree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
        for path, leaf in leaves
    }
