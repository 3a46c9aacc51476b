"""Start-up of the processes of a job."""

import os

import jax


def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Connects the processes of a job, before the first use of a device.

    On Cloud TPU, Slurm and Open MPI everything is detected; elsewhere give the three arguments,
    or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID. A single process needs
    none of it and is left alone. CPU processes talk through gloo.

    Args:
      coordinator: "host:port" of process 0.
      num_processes: processes in the job.
      process_id: number of this process, from 0.

    Raises:
      ValueError: if the job is described in part.
      RuntimeError: if a device was used before, or the coordinator does not answer.
    """
    coordinator = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    num_processes = _number(num_processes, "JAX_NUM_PROCESSES")
    process_id = _number(process_id, "JAX_PROCESS_ID")
    if jax.distributed.is_initialized() or num_processes == 1:
        return
    given = {
        "coordinator": coordinator,
        "num_processes": num_processes,
        "process_id": process_id,
    }
    missing = [name for name, value in given.items() if value is None]
    if not missing:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    elif len(missing) < len(given):
        raise ValueError(
            f"Several processes need all of {', '.join(given)}; missing: {', '.join(missing)}. "
            "Give them as arguments or as JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID."
        )
    else:
        _detect()


def _number(value: int | None, variable: str) -> int | None:
    """Returns the argument, or else the number in the environment variable, if any."""
    if value is not None or variable not in os.environ:
        return value
    try:
        return int(os.environ[variable])
    except ValueError:
        raise ValueError(f"{variable}={os.environ[variable]!r} is not a whole number.") from None


def _detect() -> None:
    """Lets jax find the job's processes; does nothing outside a cluster."""
    tasks = {os.environ.get("SLURM_NTASKS"), os.environ.get("OMPI_COMM_WORLD_SIZE")} - {None}
    # For a job of one task, jax would hide all of the host's GPUs but the first.
    if tasks == {"1"}:
        return
    try:
        jax.distributed.initialize()
    except ValueError as error:
        # What jax says where it finds no cluster at all.
        if "coordinator_address should be defined" not in str(error):
            raise
    except RuntimeError as error:
        # Too late, devices are in use; a process that is alone (a notebook) loses nothing.
        too_late = "must be called before" in str(error)
        if not too_late or tasks or jax.process_count() > 1:
            raise
