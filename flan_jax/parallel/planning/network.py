"""How long a program's collectives keep the links between chips busy.

The model: a collective's traffic is spread evenly over all links that its groups can use, as
bandwidth-optimal ring algorithms do (Chan et al. 2007, "Collective communication: theory, practice,
and experience"); different links work at the same time; a link's time is its bytes over its
bandwidth, and the network's time that of the busiest link. Latency is left out, and so is waiting
for the arithmetic, so this is a lower bound.

On one chip, with a buffer of n bytes in a group of g chips, n (g - 1) / g bytes are received in an
all-gather or a reduce-scatter, and twice that in an all-reduce. Along a torus axis that closes to
a ring they come from both sides; along one that does not, the chip at the end gets all of them
through one link. A group of every s-th chip of an axis shares its links with s - 1 others.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from flan_jax.parallel.planning.chips import Chip
from flan_jax.parallel.planning.collectives import BETWEEN_SLICES, Collective


@dataclasses.dataclass(frozen=True)
class Torus:
    """Where the devices of a mesh are.

    Attributes:
      coordinates: of each device in the mesh's order, int [devices, axes].
      slices: number of the slice of each device, int [devices].
      closed: whether each axis of the torus closes to a ring.
    """

    coordinates: np.ndarray
    slices: np.ndarray
    closed: tuple[bool, ...]

    @property
    def sizes(self) -> np.ndarray:
        return self.coordinates.max(axis=0) + 1


def torus(chip: Chip, devices: Sequence) -> Torus:
    """Reads the places of a topology's devices.

    Args:
      chip: v4 and v5p join cubes of 4x4x4 to rings in all directions, v5e and v6e close an axis
        when it spans the pod of 16x16 (Google Cloud's pages on each).
      devices: in the mesh's order.
    """
    coordinates = np.array([device.coords[: chip.torus_axes] for device in devices])
    slices = np.array([getattr(device, "slice_index", 0) or 0 for device in devices])
    sizes = coordinates.max(axis=0) + 1
    if chip.torus_axes == 3:
        closed = (bool((sizes % 4 == 0).all()),) * 3
    else:
        closed = tuple(bool(size == 16) for size in sizes)
    return Torus(coordinates, slices, closed)


def link_seconds(found: Iterable[Collective], where: Torus, chip: Chip) -> dict[str, float]:
    """Returns how long each kind of link is busy in one step, in seconds.

    The keys are the torus's axes with the direction ("x+", "x-", ...) and `BETWEEN_SLICES`.
    """
    load: dict[str, float] = {}
    for one in found:
        place = _PLACES.get(one.kind, _group_bytes)
        for link, size in place(one, where).items():
            load[link] = load.get(link, 0.0) + one.times * size
    bandwidth = {BETWEEN_SLICES: chip.network_bandwidth}
    return {
        link: size / bandwidth.get(link, chip.link_bandwidth) for link, size in sorted(load.items())
    }


def _group_bytes(one: Collective, where: Torus) -> dict[str, float]:
    """Bytes over each link of one collective among groups."""
    group = one.groups[0]
    passes = 2 if one.kind == "all-reduce" else 1
    slices = len(np.unique(where.slices[group]))
    inside = len(group) // slices
    load = {}
    if slices > 1:
        # Each chip exchanges the part that it holds after the slice's own share of the work.
        load[BETWEEN_SLICES] = passes * one.bytes / inside * (slices - 1) / slices
    if inside == 1:
        return load
    first = group[where.slices[group] == where.slices[group[0]]]
    received = passes * one.bytes * (inside - 1) / inside
    coordinates = where.coordinates[first]
    axes = [axis for axis in range(coordinates.shape[1]) if np.ptp(coordinates[:, axis])]
    # A ring takes from two sides, a line from one.
    sides = sum(2 if _is_ring(coordinates, axis, where) else 1 for axis in axes)
    for axis in axes:
        values = np.unique(coordinates[:, axis])
        stride = int(np.diff(values).min())
        for sign in "+-":
            load["xyz"[axis] + sign] = received * stride / sides
    return load


def _is_ring(coordinates: np.ndarray, axis: int, where: Torus) -> bool:
    spans = len(np.unique(coordinates[:, axis])) == where.sizes[axis]
    return bool(where.closed[axis] and spans)


def _permute_bytes(one: Collective, where: Torus) -> dict[str, float]:
    """Bytes over the busiest link of each direction; every pair goes the shortest way."""
    sources, targets = one.groups[:, 0], one.groups[:, 1]
    load = {}
    outside = where.slices[sources] != where.slices[targets]
    if outside.any():
        load[BETWEEN_SLICES] = float(one.bytes)
    steps = where.coordinates[targets] - where.coordinates[sources]
    for axis, size in enumerate(where.sizes):
        step = steps[~outside, axis]
        if where.closed[axis]:
            step = (step + size // 2) % size - size // 2
        for sign, hops in (("+", np.maximum(step, 0)), ("-", np.maximum(-step, 0))):
            if hops.any():
                # All links of the axis share the hops of all pairs.
                load["xyz"[axis] + sign] = one.bytes * max(1.0, hops.sum() / len(where.slices))
    return load


def _slice_bytes(one: Collective, where: Torus) -> dict[str, float]:
    """Bytes that a chip's host sends to other slices to sum a buffer over all of them."""
    slices = len(np.unique(where.slices))
    return {BETWEEN_SLICES: 2 * one.bytes * (slices - 1) / slices}


_PLACES = {"collective-permute": _permute_bytes, BETWEEN_SLICES: _slice_bytes}
