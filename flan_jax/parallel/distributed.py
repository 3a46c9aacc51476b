"""Start-up of the processes of a job, and whose errors and logs are seen."""

import logging
import os
import socket
import sys
import threading
import traceback
import warnings

import jax
from jax._src import clusters, xla_bridge

from flan_jax.parallel.arrival import ArrivalError, Job, roll_call

__all__ = ["ArrivalError", "initialize"]

# Time for the slowest host to come up, in seconds; as in `jax.distributed.initialize`.
_LIMIT = 300


def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    limit: float | None = None,
) -> None:
    """Connects the processes of a job, before the first use of a device.

    On Cloud TPU, Slurm, Open MPI and Kubernetes everything is detected; elsewhere give the three
    arguments, or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. A single
    process needs none of it and is left alone. CPU processes talk through gloo.

    An error that ends a process of several is printed with the process's number and host, and the
    process leaves at once, so that the others notice. Warnings are those of process 0 alone.

    Args:
      coordinator: "host:port" of process 0.
      num_processes: processes in the job.
      process_id: number of this process, from 0.
      limit: seconds to wait for all processes; FLAN_JAX_START_SECONDS, or 300, by default.

    Raises:
      ArrivalError: not all arrived; it names those that did not.
      ValueError: if the job is described in part.
      RuntimeError: if a device was used before.
    """
    if jax.distributed.is_initialized() or _number(num_processes, "JAX_NUM_PROCESSES") == 1:
        return
    if limit is None:
        limit = _number(None, "FLAN_JAX_START_SECONDS") or _LIMIT
    job = _described(coordinator, num_processes, process_id) or _detected(limit)
    if job is None or job.num_processes == 1:
        return
    if xla_bridge.backends_are_initialized():
        raise RuntimeError(
            f"This is process {job.process_id} of {job.num_processes}: distributed.initialize() "
            "must be called before the first use of a device."
        )
    _tell_apart(job)
    roll_call(job, limit)
    jax.distributed.initialize(
        job.coordinator,
        job.num_processes,
        job.process_id,
        local_device_ids=job.local_device_ids,
        cluster_detection_method="deactivate",
        initialization_timeout=int(limit),
    )


def _described(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> Job | None:
    """Returns the job of the arguments and the environment; None where they name none."""
    given = {
        "coordinator": coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS"),
        "num_processes": _number(num_processes, "JAX_NUM_PROCESSES"),
        "process_id": _number(process_id, "JAX_PROCESS_ID"),
    }
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if missing:
        raise ValueError(
            f"Several processes need all of {', '.join(given)}; missing: {', '.join(missing)}. "
            "Give them as arguments or as JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID."
        )
    return Job(**given)


def _number(value: int | None, variable: str) -> int | None:
    """Returns the argument, or else the number in the environment variable, if any."""
    if value is not None or variable not in os.environ:
        return value
    try:
        return int(os.environ[variable])
    except ValueError:
        raise ValueError(f"{variable}={os.environ[variable]!r} is not a whole number.") from None


def _detected(limit: float) -> Job | None:
    """Returns the job that JAX finds by its own rules; None outside a cluster."""
    # `jax.distributed.initialize` asks the same, but tells nobody what it found.
    found = clusters.ClusterEnv.auto_detect_unset_distributed_params(
        None, None, None, None, None, int(limit)
    )
    coordinator, num_processes, process_id, local_device_ids = found
    if coordinator is None:
        return None
    # For each process of Slurm and Open MPI, JAX takes one GPU by its number on the host. That
    # hides the others from a process that is alone there, and is wrong where the process is
    # shown a single GPU.
    alone = "1" == os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") or (
        os.environ.get("SLURM_NTASKS") == os.environ.get("SLURM_STEP_NUM_NODES", "")
    )
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if local_device_ids is None or alone or shown != [""] and len(shown) == 1:
        return Job(coordinator, num_processes, process_id)
    return Job(coordinator, num_processes, process_id, tuple(local_device_ids))


def _tell_apart(job: Job) -> None:
    """Makes errors say which process they are of, and keeps all but process 0 from chatting."""
    prefix = f"[process {job.process_id} of {job.num_processes} on {socket.gethostname()}] "

    def tell(kind, error, trace):
        text = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write("".join(prefix + line for line in text.splitlines(keepends=True)))

    def tell_and_leave(kind, error, trace):
        tell(kind, error, trace)
        sys.stdout.flush()
        sys.stderr.flush()
        # An ordinary exit waits for the other processes, and these wait for this one.
        os._exit(1)

    sys.excepthook = tell_and_leave
    threading.excepthook = lambda thread: tell(
        thread.exc_type, thread.exc_value, thread.exc_traceback
    )
    if job.process_id > 0:
        warnings.simplefilter("ignore")
        logging.getLogger().setLevel(logging.ERROR)
