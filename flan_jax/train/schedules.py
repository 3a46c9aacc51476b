"""Learning-rate schedules: pure functions of the update's index."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]

# Schedules whose values depend on when they end; only these make a run's length part of its
# mathematics.
ENDING = ("linear", "cosine")
NAMES = ("constant", "rsqrt", *ENDING)


def schedule(
    name: str,
    peak: float,
    warmup_steps: int = 0,
    end_step: int = 0,
    final_fraction: float = 0.0,
    timescale: int = 10_000,
) -> Schedule:
    """Builds the learning rate as a function of the index of the update, from 0.

    Warm-up is linear and reaches `peak` with update number `warmup_steps` (counting from 1), so
    that no update is spent at rate 0.

    Args:
      name: "constant"; "rsqrt", `peak` until `timescale` and from there falling as the inverse
        square root (T5: peak 0.01, timescale 10,000, no warm-up; Raffel et al. 2020, section
        3.1.2); "linear" or "cosine", falling to `final_fraction * peak` at `end_step`.
      peak: the highest learning rate.
      warmup_steps: steps of linear warm-up; 0 for none.
      end_step: the run's last step; read by "linear" and "cosine".
      final_fraction: the share of `peak` that is left at `end_step`, and kept from there.
      timescale: steps before "rsqrt" begins to fall.

    Returns:
      A function from an int32 scalar to a float32 scalar.

    Raises:
      ValueError: an unknown name, or a warm-up that does not end before the run.
    """
    if name not in NAMES:
        raise ValueError(f"unknown schedule {name!r}: expected one of {', '.join(NAMES)}")
    if name in ENDING and warmup_steps >= end_step:
        raise ValueError(
            f"the {name} schedule warms up for {warmup_steps} steps but the run ends at step "
            f"{end_step}: shorten OptimizerConfig.warmup_steps or lengthen the run"
        )

    def decay(step: Float[Array, ""]) -> Float[Array, ""]:
        if name == "constant":
            return jnp.ones_like(step)
        if name == "rsqrt":
            return jnp.sqrt(timescale / jnp.maximum(step, timescale))
        done = jnp.clip((step - warmup_steps) / (end_step - warmup_steps), 0.0, 1.0)
        remaining = 1.0 - done if name == "linear" else 0.5 * (1.0 + jnp.cos(jnp.pi * done))
        return final_fraction + (1.0 - final_fraction) * remaining

    def learning_rate(index: Int[Array, ""]) -> Float[Array, ""]:
        step = jnp.asarray(index, jnp.float32) + 1.0
        warm = jnp.minimum(step / max(warmup_steps, 1), 1.0)
        return peak * warm * decay(step)

    return learning_rate
