"""Counts what devices send each other in one run of a compiled program.

Bytes are those of the whole buffer that a collective assembles or reduces on one device: the
result of an all-gather, an all-reduce, an all-to-all or a permute, the input of a reduce-scatter.
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from flan_jax.parallel.planning import hlo
from flan_jax.train.losses import GRADIENT_SCOPE

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
# What the compiler hands to the hosts, which exchange it with the other slices.
BETWEEN_SLICES = "between-slices"


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective of the program.

    Attributes:
      kind: one of `KINDS`, or `BETWEEN_SLICES`.
      times: how often it runs.
      bytes: bytes of its buffer on one device, each time.
      shapes: shapes of its buffers.
      groups: devices that talk to each other, by index in the mesh, int [groups, size]; for a
        permute (source, target) pairs, int [pairs, 2].
      op_name: where in the traced Python program it comes from.
    """

    kind: str
    times: int
    bytes: int
    shapes: tuple[tuple[int, ...], ...]
    groups: np.ndarray
    op_name: str


def collectives(module: hlo.Module, num_devices: int) -> list[Collective]:
    """Returns the collectives of a program, loop bodies multiplied.

    Args:
      module: the compiled program.
      num_devices: devices that it runs on.

    Raises:
      ValueError: for a loop of unknown length, or device groups in an unknown notation.
    """
    found, seen = [], set()
    for one in hlo.executions(module):
        instruction = one.instruction
        kind = instruction.opcode.removesuffix("-start")
        if kind == "send" and "_xla_megascale_transfer_type" in instruction.rest:
            kind = BETWEEN_SLICES
        if kind not in (*KINDS, BETWEEN_SLICES):
            continue
        channel = re.search(r"channel_id=(\d+)", instruction.rest)
        # A TPU's asynchronous collective is cut up into several fusions of one channel.
        if one.fused and channel:
            if (one.region, channel[1]) in seen:
                continue
            seen.add((one.region, channel[1]))
        arrays = instruction.results
        if instruction.opcode in ("all-gather-start", "collective-permute-start"):
            arrays = _results_of_start(arrays)
        elif kind == BETWEEN_SLICES:
            arrays = arrays[:1]
        groups = _groups(instruction, num_devices)
        size = sum(array.bytes for array in arrays)
        if kind == "reduce-scatter":
            size *= groups.shape[1]
        # A TPU's reduce-scatter is a fusion of an all-reduce and the slice that is kept.
        if kind == "all-reduce" and one.fused and "reduce-scatter" in one.computation:
            kind = "reduce-scatter"
        shapes = tuple(array.shape for array in arrays)
        found.append(Collective(kind, one.times, size, shapes, groups, instruction.op_name))
    return [one for one in found if one.groups.shape[1] > 1]


def _results_of_start(arrays: Sequence[hlo.Array]) -> Sequence[hlo.Array]:
    """The results among (operands..., results..., flags...) of an asynchronous start."""
    data = [array for array in arrays if array.shape or array.dtype != "u32"]
    return data[len(data) // 2 :]


def totals(found: Iterable[Collective]) -> dict[str, dict[str, int]]:
    """Returns {kind: {"count": times they run, "bytes": bytes of all of them}} of one device."""
    result: dict[str, dict[str, int]] = {}
    for one in found:
        entry = result.setdefault(one.kind, {"count": 0, "bytes": 0})
        entry["count"] += one.times
        entry["bytes"] += one.times * one.bytes
    return result


def forward_weight_all_reduces(
    found: Iterable[Collective], weight_shapes: Iterable[tuple[int, ...]]
) -> list[Collective]:
    """Returns all-reduces of whole weights outside of the gradients: there should be none.

    A weight that is split over devices should be gathered; XLA may instead put each device's part
    into zeros and sum, which sends twice as much.

    Args:
      found: the program's collectives.
      weight_shapes: shapes of matrices on one device once they are gathered, without the layer.
    """
    weights = {_squeezed(shape) for shape in weight_shapes}
    weights |= {shape[::-1] for shape in weights}

    def is_gradient(one: Collective) -> bool:
        if GRADIENT_SCOPE in one.op_name:
            return True
        return "transpose(" in one.op_name and "rematted_computation" not in one.op_name

    return [
        one
        for one in found
        if one.kind == "all-reduce"
        and not is_gradient(one)
        and any(_squeezed(shape) in weights for shape in one.shapes)
    ]


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _groups(instruction: hlo.Instruction, num_devices: int) -> np.ndarray:
    """Devices of each group; see `Collective`."""
    rest = instruction.rest
    if "source_target_pairs=" in rest:
        return _pairs(rest.split("source_target_pairs=")[1])
    text = rest.split("replica_groups=")[1] if "replica_groups=" in rest else "{}"
    if text.startswith("{}"):
        return np.arange(num_devices).reshape(1, -1)
    if text.startswith("{"):
        return _pairs(text)
    if text.startswith("["):
        match = re.match(r"\[([\d,]+)\](<=\[[\d,]+\](?:T\([\d,]+\))?)", text)
        return _iota(match[2]).reshape(_numbers(match[1]))
    if text.startswith("mesh["):
        return _mesh_groups(text)
    raise ValueError(
        f"{instruction.name}: device groups in a notation that is not known: {text[:100]!r}"
    )


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _pairs(text: str) -> np.ndarray:
    """Reads {{0,1},{2,3}}."""
    end = re.search(r"\}\s*\}", text)
    return np.array([_numbers(part) for part in re.findall(r"\{([\d,]+)\}", text[: end.end()])])


def _iota(text: str) -> np.ndarray:
    """Reads <=[4,16]T(1,0): device numbers in order, in that shape, transposed."""
    match = re.match(r"<=\[([\d,]+)\](?:T\(([\d,]+)\))?", text)
    shape = _numbers(match[1])
    devices = np.arange(math.prod(shape)).reshape(shape)
    return devices.transpose(_numbers(match[2])) if match[2] else devices


def _mesh_groups(text: str) -> np.ndarray:
    """Reads mesh['a'=2,'b'=8], device_ids=([8,2]T(1,0)) {'b'}: groups along the axes named."""
    match = re.match(
        r"mesh\[([^\]]*)\](?:, ?device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))? ?\{([^}]*)\}", text
    )
    if match is None:
        raise ValueError(f"device groups in a notation that is not known: {text[:100]!r}")
    axes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", match[1])}
    devices = np.arange(math.prod(axes.values()))
    if match[2]:
        transposition = f"T({match[3]})" if match[3] else ""
        devices = _iota(f"<=[{match[2]}]{transposition}").reshape(-1)
    # An axis may be taken in part: 'a':(2)4 is the 4 that follow the outermost 2 of axis a.
    parts: list[tuple[int, bool]] = []
    taken = {
        name: (int(before or 1), int(size) if size else None)
        for name, before, size in re.findall(r"'(\w+)'(?::\((\d+)\)(\d+))?", match[4])
    }
    for name, size in axes.items():
        before, inside = taken.get(name, (1, 1))
        inside = size if inside is None else inside
        parts += [(before, False), (inside, True), (size // (before * inside), False)]
    devices = devices.reshape([size for size, _ in parts])
    kept = [axis for axis, (_, inside) in enumerate(parts) if not inside]
    within = [axis for axis, (_, inside) in enumerate(parts) if inside]
    width = math.prod(parts[axis][0] for axis in within)
    return devices.transpose(kept + within).reshape(-1, width)
