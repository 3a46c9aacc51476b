"""The device mesh."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

AXES = ("data", "fsdp", "tensor", "sequence")


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Devices along each mesh axis; one of them may be -1 for whatever the others leave.

    Attributes:
      data: replicas of the parameters; rows of a batch are split over `data` x `fsdp`.
      fsdp: ways that parameters and optimiser state are split, and gathered when they are used
        (ZeRO stage 3, Rajbhandari et al. 2020).
      tensor: ways that the inside of each layer is split (Shoeybi et al. 2019).
      sequence: ways that the positions of a row are split, for long inputs.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    sequence: int = 1

    def __post_init__(self):
        sizes = dataclasses.astuple(self)
        if any(size < 1 and size != -1 for size in sizes) or sizes.count(-1) > 1:
            raise ValueError(
                f"{self}: expected positive axis sizes, at most one of them -1 (the rest)."
            )


def resolve(config: MeshConfig, num_devices: int) -> tuple[int, ...]:
    """Returns the mesh shape (data, fsdp, tensor, sequence) for a number of devices.

    Example: `MeshConfig(data=-1, fsdp=2)` on 8 devices is (4, 2, 1, 1).

    Raises:
      ValueError: if the shape does not use the devices exactly; it names the nearest that do.
    """
    sizes = dataclasses.astuple(config)
    known = math.prod(size for size in sizes if size != -1)
    shape = tuple(num_devices // known if size == -1 else size for size in sizes)
    if math.prod(shape) == num_devices:
        return shape
    wanted = " x ".join(f"{axis}={size}" for axis, size in zip(AXES, sizes, strict=True))
    nearest = "; ".join(
        ", ".join(f"{axis}={size}" for axis, size in zip(AXES, shape, strict=True))
        for shape in _nearest_shapes(sizes, num_devices)
    )
    raise ValueError(
        f"Mesh {wanted} needs a {'multiple' if -1 in sizes else 'total'} of {known} devices, but "
        f"there are {num_devices}. The nearest shapes that work: {nearest}."
    )


def _nearest_shapes(sizes: Sequence[int], num_devices: int, count: int = 3) -> list[tuple]:
    """Returns the factorisations of `num_devices` closest to `sizes` in ratio."""
    divisors = [n for n in range(1, num_devices + 1) if num_devices % n == 0]
    shapes = [
        shape
        for shape in itertools.product(divisors, repeat=len(sizes))
        if math.prod(shape) == num_devices
    ]

    def distance(shape):
        return sum(
            abs(math.log(n / size)) for n, size in zip(shape, sizes, strict=True) if size != -1
        )

    return sorted(shapes, key=distance)[:count]


def make_mesh(config: MeshConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns the mesh of axes (data, fsdp, tensor, sequence).

    Axis types are Auto: the compiler places collectives, guided by `parallel.rules`.

    Args:
      config: axis sizes.
      devices: all devices of all processes by default.

    Raises:
      ValueError: if the axis sizes do not use the devices exactly.
    """
    devices = jax.devices() if devices is None else devices
    shape = resolve(config, len(devices))
    # A mesh axis that is no product of torus axes must split one: `jax.make_mesh` refuses to.
    grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    return Mesh(grid, AXES, axis_types=(AxisType.Auto,) * len(AXES))
