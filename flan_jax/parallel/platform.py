"""Which platform a program is compiled for."""

import functools

import jax


def compiled_for() -> str:
    """Returns "tpu", "gpu" or "cpu": the platform of the current mesh, else of this process.

    The two differ where a TPU's program is compiled ahead of time on a machine without one
    (`parallel.planning`), so code that chooses by platform asks here, not `jax.default_backend`.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.default_backend() if device is None else device.platform


# What a training step on a CPU is compiled with beside XLA's defaults. In the order that needs the
# least memory it takes a tenth less, and no longer: all cores work on one operation at a time.
# Products of matrices are Eigen's, a seventh faster here than YNNPACK's; reductions stay with it.
_CPU_OPTIONS = {
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
}


def compiler_options() -> dict[str, str] | None:
    """Returns what XLA is to compile a training step with beside its defaults, or None."""
    if compiled_for() != "cpu":
        return None
    return {name: value for name, value in _CPU_OPTIONS.items() if _has_option(name, value)}


@functools.cache
def _has_option(name: str, value: str) -> bool:
    """Whether this version of XLA has an option: some are not there to stay."""
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
