"""How the C library keeps memory between the steps of a run on a CPU."""

import ctypes
import platform

import jax

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_between_steps() -> None:
    """Has this process keep memory that it frees; does nothing on accelerators and without glibc.

    XLA's CPU backend allocates what a step needs anew each time, two gigabytes for T5 small. By
    default these pages go back to the system with each step, which then clears them again one by
    one: a tenth of the time of a step. Accelerators have a pool of their own.
    """
    if jax.default_backend() != "cpu" or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)  # never
