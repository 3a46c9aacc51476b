"""Logical axis rules: which mesh axes each named dimension is laid out over."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from flan_jax.batch import Batch

# Logical axis -> mesh axis, axes, or None (not split). Parameters are split over `fsdp` on the
# model width and over `tensor` on the width that is private to a layer, so that a matrix product
# needs one collective; activations are split over rows, over length (only where the mesh has a
# `sequence` axis) and over heads. Attention gathers keys and values of a row (`key_length`) and
# leaves queries split, so that a device holds the scores of its own queries alone.
RULES: dict[str, str | tuple[str, ...] | None] = {
    # parameters
    "layers": None,
    "embed": "fsdp",
    "vocab": "tensor",
    "mlp": "tensor",
    "heads": "tensor",
    "kv_heads": "tensor",
    "norm": None,
    "relative_buckets": None,
    "bias_heads": None,
    "rank": None,
    "prompt": None,
    # activations
    "batch": ("data", "fsdp"),
    "length": "sequence",
    "key_length": None,
    "embed_act": None,
    "head_dim": None,
}


def spec(axes: tuple[str | None, ...]) -> PartitionSpec:
    """Returns the partition of an array with these logical axes over a full mesh.

    Args:
      axes: one logical name (a key of `RULES`) or None for each dimension.

    Raises:
      KeyError: for a name that `RULES` does not have.
    """
    return PartitionSpec(*(None if axis is None else RULES[axis] for axis in axes))


def constrain(x: Array, *axes: str | None) -> Array:
    """Lays an activation out by its logical axes; does nothing without a mesh.

    The mesh is the one of `jax.set_mesh`. A mesh axis that the mesh lacks, that `jax.shard_map`
    already handles, or that does not divide the dimension is left out: for an activation the
    layout is a matter of speed alone (a parameter that does not divide is an error: `shardings`).

    Args:
      x: array of any shape.
      *axes: one logical name or None for each dimension of `x`.
    """
    sizes = {name: size for name, size in auto_axes().items() if size > 1}
    if not sizes:
        return x
    pairs = zip(axes, x.shape, strict=True)
    partition = PartitionSpec(*(dividing(axis, size, sizes) for axis, size in pairs))
    return jax.lax.with_sharding_constraint(x, partition)


def auto_axes() -> dict[str, int]:
    """Returns the size of each axis of the current mesh that `jax.shard_map` does not handle."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return {}
    axes = zip(mesh.axis_names, mesh.axis_sizes, mesh.axis_types, strict=True)
    return {name: size for name, size, kind in axes if kind == AxisType.Auto}


def dividing(axis: str | None, size: int, sizes: Mapping[str, int]) -> tuple[str, ...] | None:
    """Returns the mesh axes that a dimension is split over; None if none, or if they do not divide.

    Args:
      axis: the dimension's logical name.
      size: its entries.
      sizes: the mesh axes to choose from, and the devices along each.
    """
    names = None if axis is None else RULES[axis]
    names = (names,) if isinstance(names, str) else names or ()
    present = tuple(name for name in names if name in sizes)
    ways = math.prod(sizes[name] for name in present)
    return present if present and size % ways == 0 else None


def shardings(axes_tree: Any, mesh: Mesh, shapes: Any) -> Any:
    """Returns the sharding of every parameter.

    Args:
      axes_tree: nested dict of tuples of logical names, as `transformer.logical_axes` gives it.
      mesh: the device mesh.
      shapes: the same tree of arrays or `jax.ShapeDtypeStruct`.

    Raises:
      ValueError: if a dimension does not divide; it names the parameter, size and mesh axis.
    """

    def sharding(path, axes, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        partition = spec(axes)
        for dimension, (size, names) in enumerate(zip(leaf.shape, partition, strict=True)):
            names = (names,) if isinstance(names, str) else names or ()
            ways = int(np.prod([mesh.shape[axis] for axis in names]))
            if size % ways:
                raise ValueError(
                    f"Parameter {name} has {size} entries on dimension {dimension} "
                    f"({axes[dimension]}), which mesh axis {'x'.join(names)}={ways} does not "
                    f"divide. Choose a {'x'.join(names)} size that divides {size}, or a model "
                    f"size that is a multiple of {ways}."
                )
        return NamedSharding(mesh, partition)

    return jax.tree_util.tree_map_with_path(
        sharding, axes_tree, shapes, is_leaf=lambda node: isinstance(node, tuple)
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of every `Batch` field: rows over the data-parallel axes."""
    return NamedSharding(mesh, PartitionSpec(RULES["batch"]))


def host_share(mesh: Mesh) -> tuple[int, int]:
    """Returns which share of the rows of every global batch this process feeds, and of how many.

    Usually `(jax.process_index(), jax.process_count())`; processes whose devices hold the same
    rows (a `tensor` axis that spans hosts) have the same share and feed the same rows.

    Raises:
      ValueError: if the mesh gives processes unequal or overlapping shares.
    """
    blocks = mesh.shape["data"] * mesh.shape["fsdp"]
    owned: dict[int, set[int]] = {}
    indices = batch_sharding(mesh).devices_indices_map((blocks,))
    for device, (rows,) in indices.items():
        owned.setdefault(device.process_index, set()).add(rows.start or 0)
    shares = sorted({tuple(sorted(starts)) for starts in owned.values()})
    if sum(len(share) for share in shares) != blocks or len({len(share) for share in shares}) > 1:
        raise ValueError(
            f"The mesh {dict(mesh.shape)} splits rows unevenly over {len(owned)} processes: "
            f"{owned}. Choose data x fsdp as a multiple or a divisor of the process count."
        )
    mine = tuple(sorted(owned[jax.process_index()]))
    return shares.index(mine), len(shares)


def global_batch(batch: Batch, mesh: Mesh) -> Batch:
    """Assembles the rows that each process holds into arrays over the whole mesh.

    Args:
      batch: this process's rows: the share that `host_share` names.
      mesh: the device mesh.

    Raises:
      ValueError: if the rows do not divide over the devices.
    """
    sharding = batch_sharding(mesh)
    _, hosts = host_share(mesh)
    rows, ways = len(batch.decoder_inputs) * hosts, mesh.shape["data"] * mesh.shape["fsdp"]
    if rows % ways:
        raise ValueError(
            f"A batch of {rows} rows does not divide over data x fsdp = "
            f"{mesh.shape['data']} x {mesh.shape['fsdp']} = {ways} devices; choose a batch size "
            f"that is a multiple of {ways}."
        )
    return jax.tree.map(
        lambda field: jax.make_array_from_process_local_data(
            sharding, np.asarray(field), (rows, *field.shape[1:])
        ),
        batch,
    )


def ways(*axes: str) -> int:
    """Returns in how many parts the mesh of `jax.set_mesh` splits dimensions of these names."""
    mesh = jax.sharding.get_abstract_mesh()
    names = [RULES[axis] for axis in axes]
    flat = [name for one in names for name in ((one,) if isinstance(one, str) else one or ())]
    sizes = dict(zip(mesh.axis_names, mesh.axis_sizes, strict=True))
    return int(np.prod([sizes.get(name, 1) for name in flat]))
