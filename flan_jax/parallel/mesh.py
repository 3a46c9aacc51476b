"""The device mesh: its configuration, and how it is laid over slices and tori."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

AXES = ("data", "fsdp", "tensor", "sequence")
Shape = tuple[int, ...]  # devices along each of `AXES`


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each mesh axis; one of them may be -1 for whatever the others leave.

    `MeshConfig.parse("data=2,fsdp=-1")` is the short form, which gin files use too:
    `TrainRun.mesh = "data=2,fsdp=-1"`.

    Attributes:
      data: replicas of the parameters; rows of a batch are split over `data` x `fsdp`.
      fsdp: ways that parameters and optimiser state are split, and gathered when they are used
        (ZeRO stage 3, Rajbhandari et al. 2020).
      tensor: ways that the inside of each layer is split (Shoeybi et al. 2019).
      sequence: ways that the positions of a row are split, for long inputs: embeddings, residual
        stream, feed-forward layers and the queries of attention, to which all keys are gathered.
      slices: groups of devices with a slower network between them, over which `data` is split
        first and then `fsdp`: the other axes stay within a slice. None for as many as TPUs
        report; elsewhere a number cuts the devices into equal runs of neighbours.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    sequence: int = 1
    slices: int | None = None

    def __post_init__(self):
        sizes = self.sizes
        if any(size < 1 and size != -1 for size in sizes) or sizes.count(-1) > 1:
            raise ValueError(
                f"{self}: expected positive axis sizes, at most one of them -1 (the rest)."
            )
        if self.slices is not None and self.slices < 1:
            raise ValueError(f"{self}: expected at least one slice.")

    @property
    def sizes(self) -> Shape:
        """The sizes of the axes, as given."""
        return self.data, self.fsdp, self.tensor, self.sequence

    @classmethod
    def parse(cls, text: str) -> "MeshConfig":
        """Returns the mesh of a line such as "data=2,fsdp=-1,slices=2".

        Axes that are left out have one device; if no axis is -1, `data` must be named.

        Raises:
          ValueError: for anything else.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        sizes: dict[str, int] = {}
        for part in filter(None, text.replace(" ", "").split(",")):
            name, _, size = part.partition("=")
            if name not in names or name in sizes or not size.removeprefix("-").isdecimal():
                raise ValueError(
                    f"Mesh {text!r}: {part!r} is not understood. Expected name=number once for "
                    f"some of {', '.join(names)}, for instance 'data=2,fsdp=-1'."
                )
            sizes[name] = int(size)
        if -1 in sizes.values():
            sizes.setdefault("data", 1)
        return cls(**sizes)


def describe(shape: Sequence[int]) -> str:
    """Returns a mesh shape in the form that `MeshConfig.parse` reads, such as "data=4,fsdp=2"."""
    named = zip(AXES, shape, strict=True)
    return ",".join(f"{axis}={size}" for axis, size in named if size != 1 or axis == "data")


def resolve(config: MeshConfig, num_devices: int) -> Shape:
    """Returns the mesh shape (data, fsdp, tensor, sequence) for a number of devices.

    Example: `MeshConfig(data=-1, fsdp=2)` on 8 devices is (4, 2, 1, 1).

    Raises:
      ValueError: if the shape does not use the devices exactly; it names the nearest that do.
    """
    sizes = config.sizes
    known = math.prod(size for size in sizes if size != -1)
    shape = tuple(num_devices // known if size == -1 else size for size in sizes)
    if math.prod(shape) == num_devices:
        return shape
    raise ValueError(
        f"Mesh {describe(sizes)} needs a {'multiple' if -1 in sizes else 'total'} of {known} "
        f"devices, but there are {num_devices}. {propose(sizes, num_devices)}"
    )


def propose(
    sizes: Sequence[int],
    num_devices: int,
    works: Callable[[Shape], bool] = lambda shape: True,
    which: str = "that work",
) -> str:
    """Returns a sentence with the nearest mesh shapes that work.

    Args:
      sizes: what was asked for; -1 for any size.
      num_devices: devices to use, all of them.
      works: whether a shape is acceptable.
      which: what is said of those that are.
    """
    found = list(itertools.islice(filter(works, _by_distance(sizes, num_devices)), 3))
    if not found:
        return f"There are no meshes of {num_devices} devices {which}."
    return f"The nearest {which}: {' or '.join(map(describe, found))}."


def _by_distance(sizes: Sequence[int], num_devices: int) -> Iterator[Shape]:
    """Yields the factorisations of `num_devices`, those closest to `sizes` in ratio first."""
    divisors = [n for n in range(1, num_devices + 1) if num_devices % n == 0]
    shapes = [
        (num_devices // math.prod(rest), *rest)
        for rest in itertools.product(divisors, repeat=len(sizes) - 1)
        if num_devices % math.prod(rest) == 0
    ]

    def distance(shape):
        return sum(
            abs(math.log(n / size)) for n, size in zip(shape, sizes, strict=True) if size != -1
        )

    return iter(sorted(shapes, key=distance))


def across_slices(shape: Sequence[int], slices: int) -> Shape | None:
    """Returns how many slices each axis spans, or None if the slices do not divide the shape.

    Example: (4, 8, 2, 1) over 8 slices is (4, 2, 1, 1): `data` spans four, `fsdp` two.
    """
    data = math.gcd(shape[0], slices)
    fsdp = slices // data
    return None if shape[1] % fsdp else (data, fsdp, 1, 1)


def make_mesh(config: MeshConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns the mesh of axes (data, fsdp, tensor, sequence).

    Axis types are Auto: the compiler places collectives, guided by `parallel.rules`.

    Args:
      config: axis sizes.
      devices: all devices of all processes by default.

    Raises:
      ValueError: if the axis sizes do not use the devices exactly, or do not divide over slices;
        it names the nearest that do.
    """
    devices = jax.devices() if devices is None else devices
    grid = device_grid(config, devices)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def device_grid(config: MeshConfig, devices: Sequence[jax.Device]) -> np.ndarray:
    """Returns the devices in the mesh's shape: neighbours in it are near each other.

    Args:
      config: axis sizes.
      devices: all devices of the mesh.

    Raises:
      ValueError: as `make_mesh`.
    """
    slices = _slices(config, devices)
    across, within = _split(config, len(devices), len(slices))
    # A mesh axis that is no product of torus axes must split one: `jax.make_mesh` refuses to.
    grids = [
        mesh_utils.create_device_mesh(within, part, allow_split_physical_axes=True)
        for part in slices
    ]
    rows = [grids[start : start + across[1]] for start in range(0, len(grids), across[1])]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


def _split(config: MeshConfig, num_devices: int, slices: int) -> tuple[Shape, Shape]:
    """Returns the shape of the slices, and the shape of the mesh within each."""
    shape = resolve(config, num_devices)
    across = across_slices(shape, slices)
    if across is None:
        nearest = propose(
            shape, num_devices, lambda shape: across_slices(shape, slices) is not None
        )
        raise ValueError(
            f"Mesh {describe(shape)} does not divide over {slices} slices: data x fsdp must be "
            f"split {slices} ways, since tensor and sequence stay within a slice. {nearest}"
        )
    return across, tuple(n // ways for n, ways in zip(shape, across, strict=True))


def _slices(config: MeshConfig, devices: Sequence[jax.Device]) -> list[Sequence[jax.Device]]:
    """Returns the devices of each slice."""
    if devices[0].platform == "tpu":
        reported: dict[int, list[jax.Device]] = {}
        for device in devices:
            reported.setdefault(getattr(device, "slice_index", 0), []).append(device)
        if config.slices not in (None, len(reported)):
            raise ValueError(
                f"MeshConfig.slices={config.slices}, but the devices report {len(reported)}: "
                f"leave slices out, or set slices={len(reported)}."
            )
        return [reported[index] for index in sorted(reported)]
    count = config.slices or 1
    if len(devices) % count:
        divisors = [n for n in range(1, count + 1) if len(devices) % n == 0]
        raise ValueError(
            f"MeshConfig.slices={count} does not divide {len(devices)} devices; the nearest that "
            f"does is slices={divisors[-1]}."
        )
    if count == 1:
        return [devices]
    ordered = sorted(devices, key=lambda device: (device.process_index, device.id))
    size = len(devices) // count
    return [ordered[start : start + size] for start in range(0, len(devices), size)]


def torus_note(config: MeshConfig, devices: Sequence[jax.Device] | None = None) -> str | None:
    """Returns what is slow about a mesh on these TPUs and which one is not, or None.

    A mesh axis that is a product of whole torus axes has their links to itself. One that takes a
    part of a torus axis shares its links with another mesh axis, and has no ring of its own.

    Args:
      config: axis sizes.
      devices: all devices of all processes by default.
    """
    devices = jax.devices() if devices is None else devices
    if devices[0].platform != "tpu":
        return None
    slices = _slices(config, devices)
    _, within = _split(config, len(devices), len(slices))

    def whole(shape: Shape) -> bool:
        across = across_slices(shape, len(slices))
        if across is None:
            return False
        inner = [n // ways for n, ways in zip(shape, across, strict=True)]
        try:
            mesh_utils.create_device_mesh(inner, slices[0])
        except NotImplementedError:  # how it says that it would have to split a torus axis
            return False
        return True

    shape = resolve(config, len(devices))
    if whole(shape):
        return None
    sides = np.ptp([device.coords for device in slices[0]], axis=0) + 1
    torus = "x".join(str(side) for side in sides if side > 1)
    part = f", {describe(within)} in each slice," if len(slices) > 1 else ""
    return (
        f"Mesh {describe(shape)}{part} splits an axis of the {torus} torus between mesh axes, "
        f"which then share its links. {propose(shape, len(devices), whole, 'that split none')}"
    )
