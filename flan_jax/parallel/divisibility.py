"""Whether a run divides over a mesh, told at the start with the nearest mesh over which it does."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from flan_jax.parallel.mesh import AXES, describe, propose
from flan_jax.parallel.rules import RULES


class Split(NamedTuple):
    """A size that is split over mesh axes.

    Attributes:
      what: its name, for the error.
      size: the number of entries.
      axis: its logical axis, a key of `rules.RULES`.
    """

    what: str
    size: int
    axis: str


def parameter_splits(axes_tree: Any, shapes: Any) -> list[Split]:
    """Returns one split for each size and logical axis that occur among the parameters.

    Args:
      axes_tree: nested dict of tuples of logical names, as `transformer.logical_axes` gives it.
      shapes: the same tree of arrays or `jax.ShapeDtypeStruct`.
    """
    found: dict[tuple[int, str], Split] = {}

    def add(path, axes, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        for size, axis in zip(leaf.shape, axes, strict=True):
            found.setdefault((size, axis), Split(f"parameter {name} ({axis})", size, axis))

    jax.tree_util.tree_map_with_path(
        add, axes_tree, shapes, is_leaf=lambda node: isinstance(node, tuple)
    )
    return list(found.values())


def check(mesh: Mesh, splits: Sequence[Split]) -> None:
    """Raises a ValueError if a size does not divide over its mesh axes.

    It names every such size, and the nearest meshes of as many devices over which all divide.

    Args:
      mesh: the device mesh.
      splits: all that is split over it.
    """
    shape = tuple(mesh.shape[axis] for axis in AXES)
    wrong = [split for split in splits if split.size % _ways(split, shape)]
    if not wrong:
        return

    def fits(shape):
        return not any(split.size % _ways(split, shape) for split in splits)

    lines = "".join(
        f"\n  {split.what} is {split.size}, not a multiple of "
        f"{' x '.join(_mesh_axes(split))} = {_ways(split, shape)}"
        for split in wrong
    )
    raise ValueError(
        f"The mesh {describe(shape)} does not divide what is split over it:{lines}\n"
        f"{propose(shape, math.prod(shape), fits)}"
    )


def _mesh_axes(split: Split) -> tuple[str, ...]:
    axes = RULES[split.axis]
    return (axes,) if isinstance(axes, str) else axes or ()


def _ways(split: Split, shape: Sequence[int]) -> int:
    return math.prod(shape[AXES.index(axis)] for axis in _mesh_axes(split))
