"""Which platform a program is compiled for."""

import jax


def compiled_for() -> str:
    """Returns "tpu", "gpu" or "cpu": the platform of the current mesh, else of this process.

    The two differ where a TPU's program is compiled ahead of time on a machine without one
    (`parallel.planning`), so code that chooses by platform asks here, not `jax.default_backend`.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.default_backend() if device is None else device.platform


def compiler_options() -> dict[str, str] | None:
    """Returns what XLA is to compile a training step with, beside its defaults.

    XLA orders the operations of a CPU's program so that some can run beside each other. All cores
    work on one at a time anyway, and the order that needs the least memory takes a tenth less.
    """
    if compiled_for() != "cpu":
        return None
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
