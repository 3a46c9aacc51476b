"""Which platform a program is compiled for."""

import jax


def compiled_for() -> str:
    """Returns "tpu", "gpu" or "cpu": the platform of the current mesh, else of this process.

    The two differ where a TPU's program is compiled ahead of time on a machine without one
    (`parallel.planning`), so code that chooses by platform asks here, not `jax.default_backend`.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.default_backend() if device is None else device.platform
