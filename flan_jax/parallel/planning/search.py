"""Which meshes and rematerialisation policies to try, and trying them within a time budget."""

import dataclasses
import hashlib
import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

import flan_jax
from flan_jax.parallel.mesh import describe
from flan_jax.parallel.planning import chips, plan, worker
from flan_jax.parallel.planning.compilation import Job
from flan_jax.parallel.planning.plan import Plan

Shape = tuple[int, int, int, int]
Say = Callable[[str], None]
REMATS = ("none", "dots", "full")
# More ways than this leave each device of a `tensor` axis too little of a layer to multiply.
_MOST_TENSOR = 16


class DoesNotFit(ValueError):
    """A step needs more memory than a device has."""


def candidates(
    job: Job, topology: str, num_slices: int = 1, remats: Sequence[str] = REMATS
) -> list[Plan]:
    """Returns plans by analysis of all meshes that divide model and batch, best first.

    `sequence` is 1; several slices are spanned by `data`. On a TPU, meshes that keep the torus's
    axes whole come before those that split one.

    Args:
      job: what is trained.
      topology: of one slice.
      num_slices: slices.
      remats: rematerialisation policies to try.

    Raises:
      ValueError: if no mesh divides the model and the batch.
    """
    devices = plan.device_count(topology, num_slices)
    divisors = [size for size in range(1, devices + 1) if devices % size == 0]
    found = []
    for fsdp, tensor in itertools.product(divisors, repeat=2):
        if devices % (fsdp * tensor) or tensor > _MOST_TENSOR or job.model.num_heads % tensor:
            continue
        shape = (devices // (fsdp * tensor), fsdp, tensor, 1)
        if shape[0] % num_slices:
            continue
        for remat in remats:
            try:
                found.append(plan.analyse(with_remat(job, remat), topology, shape, num_slices))
            except ValueError:
                break  # heads, widths or rows do not divide over this mesh
    if not found:
        raise ValueError(
            f"No mesh of {devices} devices divides a batch of {job.feed.batch_size} rows and the "
            f"model; choose a batch size that is a multiple of {devices}."
        )
    whole = {one.mesh: keeps_torus_axes(one.mesh, topology, num_slices) for one in found}
    return sorted(found, key=lambda one: (not one.fits, not whole[one.mesh], one.rank))


def keeps_torus_axes(shape: Shape, topology: str, num_slices: int = 1) -> bool:
    """Whether every mesh axis takes whole axes of the torus; always for GPUs.

    A mesh axis that takes a part of one shares its links with another, and closes to no ring.
    """
    if not chips.of_topology(topology).is_tpu:
        return True
    wanted = sorted((shape[0] // num_slices, *shape[1:]))
    sides = [int(size) for size in topology.partition(":")[2].split("x")]
    # Each side of the torus goes to one of the mesh axes.
    for owners in itertools.product(range(len(shape)), repeat=len(sides)):
        sizes = [1] * len(shape)
        for side, owner in zip(sides, owners, strict=True):
            sizes[owner] *= side
        if sorted(sizes) == wanted:
            return True
    return False


def with_remat(job: Job, remat: str) -> Job:
    """Returns the job with another rematerialisation policy."""
    return dataclasses.replace(job, model=dataclasses.replace(job.model, remat=remat))


def nearest_that_fits(refused: Plan, known: Sequence[Plan]) -> Plan | None:
    """Returns the plan nearest to one that does not fit, among those that do.

    Nearest is the least change of axis sizes, in factors of two, and of rematerialisation.

    Args:
      refused: what does not fit.
      known: other plans of the same job, compiled or by analysis.
    """
    limit = refused.memory.total if refused.memory else math.inf

    def distance(other: Plan) -> tuple[float, float]:
        pairs = zip(other.mesh, refused.mesh, strict=True)
        sizes = sum(abs(math.log2(a / b)) for a, b in pairs)
        return sizes + (other.remat != refused.remat), -other.roofline.mfu_bound

    fitting = [one for one in known if one.fits and one.memory.total < limit]
    return min(fitting, key=distance, default=None)


def refusal(refused: Plan, known: Sequence[Plan]) -> str:
    """Returns why a plan does not fit, and the nearest that would."""
    other = nearest_that_fits(refused, known)
    said = (
        f"The mesh {describe(refused.mesh)} with remat={refused.remat} does not fit "
        f"{refused.topology}: {refused.note}."
    )
    if other is None:
        least = min(one.memory.total for one in known if one.memory)
        return (
            f"{said} No mesh of these devices does: the least is {least / 2**30:.1f} GiB a device. "
            "Take a larger topology, a smaller batch, or more gradient accumulation."
        )
    return (
        f"{said} The nearest that would: {describe(other.mesh)} with remat={other.remat}, "
        f"{other.memory.total / 2**30:.1f} GiB ({other.method})."
    )


class Results:
    """A file of compiled plans, one JSON record a line; what is in it is not compiled again."""

    def __init__(self, path: str | None):
        self._path = None if path is None else Path(path)
        self.plans: dict[str, Plan] = {}
        if self._path and self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                self.plans[record["key"]] = plan.from_json(record["plan"])

    def add(self, key: str, name: str, done: Plan) -> None:
        """Keeps a plan, at once on disk; `name` says for a reader what was planned."""
        self.plans[key] = done
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            record = {"key": key, "name": name, "plan": plan.to_json(done)}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")


def key_of(asked: dict) -> str:
    """A digest of the request and of the versions that compile it."""
    kept = {name: value for name, value in asked.items() if name != "hlo_file"}
    kept |= {"jax": jax.__version__, "flan_jax": flan_jax.__version__}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def compile_all(
    jobs: Sequence[tuple[Job, Plan]],
    results: Results,
    minutes: float,
    say: Say,
    name: str = "",
    program: str = "train",
    hlo_file: str | None = None,
) -> list[Plan]:
    """Compiles plans one after the other until the time is over.

    Args:
      jobs: jobs and the plans by analysis that say on which mesh.
      results: compiled plans that are known, and where new ones go.
      minutes: wall time; what would end later is ended, and can be resumed.
      say: prints a line.
      name: of the model, for the results file.
      program: "train" or "decode".
      hlo_file: where the compiled program goes; None for nowhere.

    Returns:
      The compiled plans, best first.
    """
    end = time.monotonic() + 60 * minutes
    done = []
    for job, sketch in jobs:
        asked = worker.request(
            job, sketch.topology, sketch.mesh, sketch.num_slices, program, hlo_file
        )
        key, what = key_of(asked), f"{describe(sketch.mesh)} remat={sketch.remat} {program}"
        if key in results.plans:
            done.append(results.plans[key])
            continue
        left = end - time.monotonic()
        if left <= 0:
            say(f"{what}: not compiled, the time is over")
            continue
        try:
            compiled = worker.compile_apart(asked, left)
        except (TimeoutError, worker.WorkerFailed) as error:
            say(f"{what}: {error}")
            continue
        results.add(key, name, compiled)
        state = compiled.note or f"compiled in {compiled.compile_seconds:.0f} CPU seconds"
        say(f"{what}: {state}")
        done.append(compiled)
    return sorted(done, key=lambda one: one.rank)


def is_compilable(topology: str) -> bool:
    """Whether there is ahead-of-time compilation for this chip; GPUs are planned by analysis."""
    return chips.of_topology(topology).is_tpu
