"""How benchmarks measure on CPUs, GPUs and TPUs: the clock, the machine, its ceiling, memory.

Runs without TensorFlow, SeqIO and gin, on jax 0.10 to 0.12.
"""

import platform
import resource
import time
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import jaxlib
import optax


def versions() -> dict[str, str]:
    """Returns the versions and the device that a figure depends on."""
    device = jax.devices()[0]
    return {
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "flax": flax.__version__,
        "optax": optax.__version__,
        "python": platform.python_version(),
        "device": device.device_kind if device.platform != "cpu" else processor(),
        "platform": device.platform,
        "devices": jax.device_count(),
    }


def processor() -> str:
    """Returns the name of this machine's processor."""
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def clock() -> float:
    """Seconds: of this process on a CPU, which a busy machine distorts least; else of the wall."""
    return time.process_time() if jax.default_backend() == "cpu" else time.perf_counter()


def timed(function: Callable, *arguments: Any) -> tuple[Any, float]:
    """Returns what the function returns, and the seconds until it is there."""
    start = clock()
    result = jax.block_until_ready(function(*arguments))
    return result, clock() - start


def matmul_ceiling(dtype: str, size: int | None = None, repeats: int = 5) -> float:
    """Returns the FLOP/s of the best of several products of two square matrices.

    Args:
      dtype: of the matrices, which are random: zeros multiply faster on some chips.
      size: rows; None for 2,048 on a CPU and 8,192 elsewhere.
      repeats: products timed, each after the last has ended.
    """
    size = size or (2048 if jax.default_backend() == "cpu" else 8192)
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (size, size), dtype) for key in keys)
    multiply = jax.jit(jnp.matmul)
    timed(multiply, a, b)  # compiles
    return 2 * size**3 / min(timed(multiply, a, b)[1] for _ in range(repeats))


def peak_memory() -> int:
    """Returns the most bytes in use so far: on the fullest device, or of the process on a CPU."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    if all(one and "peak_bytes_in_use" in one for one in stats):
        return max(one["peak_bytes_in_use"] for one in stats)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
