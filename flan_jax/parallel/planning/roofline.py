"""The least time that a step can take, and with it the most of a chip's peak that it can use.

Arithmetic, memory traffic and each kind of link are taken to work at their peak and at the same
time (Williams et al. 2009), so a step takes at least as long as the longest of them. What a
compiler cannot overlap comes on top; the sum of all is the other end. The bound on model FLOPs
utilisation (Chowdhery et al. 2022, appendix B) follows: useful arithmetic over peak arithmetic in
that time. Recomputed arithmetic takes time and is not useful. The devices' shares are taken to be
equal.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Times of one step, in seconds, on one of equal devices.

    Attributes:
      model_flops: FLOPs that the mathematics needs, all devices together (`train.flops`).
      executed_flops: FLOPs of the matrix products of the program, all devices together.
      devices: how many.
      compute_seconds: executed FLOPs at peak.
      hbm_seconds: memory traffic at peak bandwidth.
      link_seconds: traffic of each kind of link at its bandwidth.
    """

    model_flops: float
    executed_flops: float
    devices: int
    compute_seconds: float
    hbm_seconds: float
    link_seconds: dict[str, float]

    @property
    def network_seconds(self) -> float:
        """Time of the busiest link."""
        return max(self.link_seconds.values(), default=0.0)

    @property
    def step_seconds(self) -> float:
        """Least time of a step: everything overlaps."""
        return max(self.compute_seconds, self.hbm_seconds, self.network_seconds)

    @property
    def serial_seconds(self) -> float:
        """Time of a step in which nothing overlaps."""
        return self.compute_seconds + self.hbm_seconds + self.network_seconds

    @property
    def bound_by(self) -> str:
        """What takes longest: "compute", "memory" or "network"."""
        times = {
            "compute": self.compute_seconds,
            "memory": self.hbm_seconds,
            "network": self.network_seconds,
        }
        return max(times, key=times.get)

    @property
    def mfu_bound(self) -> float:
        """Most of the peak that useful arithmetic can reach."""
        return self._utilisation(self.step_seconds)

    @property
    def mfu_serial(self) -> float:
        """The same where nothing overlaps."""
        return self._utilisation(self.serial_seconds)

    def _utilisation(self, seconds: float) -> float:
        ideal = self.model_flops / self.executed_flops * self.compute_seconds
        return ideal / seconds if seconds else 0.0
