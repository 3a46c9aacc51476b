"""What the chips can do, with the source of each figure.

A TPU's links are counted one way: a chip's published "bidirectional" inter-chip bandwidth is the
sum over its links of both directions.
"""

import dataclasses

from flan_jax.train.flops import PEAK_FLOPS


@dataclasses.dataclass(frozen=True)
class Chip:
    """One accelerator, as JAX counts devices.

    Attributes:
      name: as in topology names, e.g. "v5p".
      peak_flops: dense bfloat16 FLOP/s.
      hbm_bytes: bytes of memory.
      hbm_bandwidth: bytes/s.
      link_bandwidth: bytes/s of one inter-chip link, one way; for a GPU, of its NVLinks together.
      torus_axes: dimensions of the torus; 0 for GPUs, which reach each other through a switch.
      network_bandwidth: bytes/s a chip, one way, to other slices (TPU) or other nodes (GPU).
      chips_per_host: devices of one host.
      sources: where the figures come from.
    """

    name: str
    peak_flops: float
    hbm_bytes: float
    hbm_bandwidth: float
    link_bandwidth: float
    torus_axes: int
    network_bandwidth: float
    chips_per_host: int
    sources: tuple[str, ...]

    @property
    def is_tpu(self) -> bool:
        return self.torus_axes > 0


_GIB = 2**30
_GBIT = 1e9 / 8

CHIPS = {
    chip.name: chip
    for chip in (
        Chip(
            "v4", PEAK_FLOPS["TPU v4"], 32 * _GIB, 1200e9,
            50e9,  # six links of 50 GB/s
            3,
            81e12 / 8 / 6144,  # measured between two pods of 3,072 chips, both sending
            4,
            (
                "cloud.google.com/tpu/docs/v4 (compute, memory)",
                "Jouppi et al. 2023, arXiv:2304.01433, table 4 (links)",
                "Chowdhery et al. 2022, arXiv:2204.02311, section 4 (81 Tbit/s between two pods)",
            ),
        ),
        Chip(
            "v5e", PEAK_FLOPS["TPU v5e"], 16 * _GIB, 819e9,
            400e9 / 4 / 2,  # 400 GB/s over four links, both ways
            2,
            6.4e12 / 8 / 256,  # 6.4 Tbit/s a pod of 256
            4,
            ("cloud.google.com/tpu/docs/v5e",),
        ),
        Chip(
            "v5p", PEAK_FLOPS["TPU v5"], 95 * _GIB, 2765e9,
            1200e9 / 6 / 2,  # 1,200 GB/s over six links, both ways
            3,
            50 * _GBIT,
            4,
            ("cloud.google.com/tpu/docs/v5p",),
        ),
        Chip(
            "v6e", PEAK_FLOPS["TPU v6e"], 32 * _GIB, 1638e9,
            800e9 / 4 / 2,  # 800 GB/s over four links, both ways
            2,
            25.6e12 / 8 / 256,  # 25.6 Tbit/s a pod of 256
            4,
            ("cloud.google.com/tpu/docs/v6e",),
        ),
        Chip(
            "a100", PEAK_FLOPS["A100"], 80e9, 2039e9,
            300e9,  # 600 GB/s both ways
            0,
            200 * _GBIT,  # one 200 Gbit/s adapter a GPU
            8,
            ("NVIDIA A100 80GB SXM data sheet", "NVIDIA DGX A100 data sheet (network)"),
        ),
        Chip(
            "h100", PEAK_FLOPS["H100"], 80e9, 3350e9,
            450e9,  # 900 GB/s both ways
            0,
            400 * _GBIT,  # one 400 Gbit/s adapter a GPU
            8,
            ("NVIDIA H100 SXM data sheet", "NVIDIA DGX H100 data sheet (network)"),
        ),
        Chip(
            "h200", PEAK_FLOPS["H200"], 141e9, 4800e9,
            450e9,
            0,
            400 * _GBIT,
            8,
            ("NVIDIA H200 SXM data sheet", "NVIDIA DGX H200 data sheet (network)"),
        ),
    )
}  # fmt: skip


def of_topology(topology: str) -> Chip:
    """Returns the chip of a topology such as "v5p:4x4x4" or "h100:64".

    Raises:
      ValueError: for an unknown chip; it names those that are known.
    """
    name = topology.partition(":")[0].lower()
    if name not in CHIPS:
        raise ValueError(
            f"Topology {topology!r}: the chip {name!r} is not known; there are "
            f"{', '.join(CHIPS)}. Write e.g. v5p:4x4x4, v5e:16x16, or h100:64 (64 GPUs)."
        )
    return CHIPS[name]
