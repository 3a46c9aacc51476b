"""One plan: a job on a mesh of a topology, compiled or estimated, with memory and time."""

import dataclasses
import math
import time
from typing import Any

import jax
from jax.sharding import Mesh

from flan_jax.model import transformer
from flan_jax.parallel import rules
from flan_jax.parallel.mesh import AXES, MeshConfig, make_mesh
from flan_jax.parallel.planning import (
    analysis,
    arithmetic,
    chips,
    collectives,
    compilation,
    hlo,
    network,
    traffic,
)
from flan_jax.parallel.planning.analysis import Memory
from flan_jax.parallel.planning.chips import Chip
from flan_jax.parallel.planning.compilation import Job
from flan_jax.parallel.planning.roofline import Roofline
from flan_jax.train import flops

# Compiled train steps of T5 XXL take 1.12 to 1.38 times what analysis says (docs/plans.md); what
# analysis calls fitting has room for that.
_MARGIN = 1.4


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a step takes on one mesh.

    Attributes:
      topology: of one slice, or e.g. "h100:64".
      num_slices: slices of it.
      mesh: sizes (data, fsdp, tensor, sequence).
      remat: rematerialisation policy.
      program: "train" or "decode".
      method: "compiled", or "analysis" for estimates by formulas.
      fits: whether a device's memory holds it.
      memory: bytes on one device; None if the compiler refused before it could say.
      hbm_bytes: memory of the device.
      roofline: times; None if it does not fit.
      collectives: {kind: {"count", "bytes"}} of one step and device; None by analysis.
      forward_weight_all_reduces: all-reduces of weights outside of gradients, a step.
      compile_seconds: CPU seconds that compilation took; None by analysis.
      note: why it does not fit, in the compiler's words.
    """

    topology: str
    num_slices: int
    mesh: tuple[int, int, int, int]
    remat: str
    program: str
    method: str
    fits: bool
    memory: Memory | None
    hbm_bytes: float
    roofline: Roofline | None
    collectives: dict[str, dict[str, int]] | None = None
    forward_weight_all_reduces: int | None = None
    compile_seconds: float | None = None
    note: str = ""

    @property
    def rank(self) -> tuple[bool, float]:
        """Sorts plans best first: those that fit, by the bound on utilisation."""
        bound = self.roofline.mfu_bound if self.roofline else 0.0
        serial = self.roofline.mfu_serial if self.roofline else 0.0
        # Within a percent the one that needs less overlap is better.
        return (not self.fits, -round(bound, 2), -serial)


def to_json(plan: Plan) -> dict[str, Any]:
    """Returns a plan as JSON types, with the derived figures."""
    record = dataclasses.asdict(plan)
    record["mesh"] = list(plan.mesh)
    if plan.roofline:
        names = ("network_seconds", "step_seconds", "serial_seconds", "bound_by", "mfu_bound")
        record["roofline"] |= {name: getattr(plan.roofline, name) for name in names}
        record["roofline"]["mfu_serial"] = plan.roofline.mfu_serial
    return record


def from_json(record: dict[str, Any]) -> Plan:
    """Reads what `to_json` wrote."""
    fields = {field.name for field in dataclasses.fields(Roofline)}
    values = dict(record, mesh=tuple(record["mesh"]))
    if record["memory"]:
        values["memory"] = Memory(**record["memory"])
    if record["roofline"]:
        kept = {name: value for name, value in record["roofline"].items() if name in fields}
        values["roofline"] = Roofline(**kept)
    return Plan(**values)


def device_count(topology: str, num_slices: int = 1) -> int:
    """Devices of a topology: the product of its sizes.

    Raises:
      ValueError: if it is not written as chip:AxB, chip:AxBxC or gpu:N.
    """
    chip = chips.of_topology(topology)
    sizes = topology.partition(":")[2].split("x")
    expected = chip.torus_axes or 1
    if len(sizes) != expected or not all(size.isdigit() and int(size) for size in sizes):
        raise ValueError(
            f"Topology {topology!r}: expected {chip.name}:{'x'.join(['4'] * expected)} or the "
            f"like, {expected} size(s) behind the colon."
        )
    return math.prod(int(size) for size in sizes) * num_slices


def analyse(job: Job, topology: str, shape: tuple[int, ...], num_slices: int = 1) -> Plan:
    """Plans a train step by formulas (`planning.analysis`).

    Raises:
      ValueError: if the model or the batch does not divide over the mesh.
    """
    chip = chips.of_topology(topology)
    used = analysis.memory(job, shape)
    fits = _MARGIN * used.total <= chip.hbm_bytes
    roofline = analysis.estimate(job, shape, chip, num_slices) if fits else None
    note = "" if fits else f"{_too_large(used.total, chip)} by analysis"
    if not fits and used.total <= chip.hbm_bytes:
        note += f", and compiled steps take up to {_MARGIN} times that"
    return Plan(
        topology, num_slices, tuple(shape), job.model.remat, "train", "analysis", fits, used,
        chip.hbm_bytes, roofline, note=note,
    )  # fmt: skip


def _too_large(total: float, chip: Chip) -> str:
    return f"needs {total / 2**30:.1f} GiB of {chip.hbm_bytes / 2**30:.1f} GiB"


def compile_plan(
    job: Job,
    topology: str,
    shape: tuple[int, ...],
    num_slices: int = 1,
    program: str = "train",
    hlo_file: str | None = None,
) -> Plan:
    """Plans a step by compiling it for the topology.

    Args:
      job: what is trained.
      topology: of one slice, e.g. "v5p:4x4x4".
      shape: mesh sizes (data, fsdp, tensor, sequence).
      num_slices: slices.
      program: "train" or "decode".
      hlo_file: file to write the compiled program to; None for none.

    Raises:
      NoCompiler: libtpu is missing.
      ValueError: if the model or the batch does not divide over the mesh.
    """
    chip = chips.of_topology(topology)
    if program == "train":
        analysis.check_rows(job, shape)
    devices = compilation.topology_devices(topology, num_slices)
    mesh = make_mesh(MeshConfig(*shape), devices)
    begun = time.process_time()
    facts = (topology, num_slices, tuple(shape), job.model.remat, program, "compiled")
    build = (
        compilation.compile_train_step if program == "train" else compilation.compile_decode_step
    )
    try:
        traced, compiled = build(job, mesh)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        spent = time.process_time() - begun
        return Plan(
            *facts, False, None, chip.hbm_bytes, None, compile_seconds=spent,
            note=str(error).splitlines()[0][:300],
        )  # fmt: skip
    spent = time.process_time() - begun
    text = compiled.as_text()
    if hlo_file:
        with open(hlo_file, "w", encoding="utf-8") as file:
            file.write(text)
    module = hlo.parse(text)
    found = collectives.collectives(module, mesh.size)
    used = _compiled_memory(job, mesh, traced, compiled, program)
    bad = collectives.forward_weight_all_reduces(found, _gathered_shapes(job, mesh))
    return Plan(
        *facts,
        used.total <= chip.hbm_bytes,
        used,
        chip.hbm_bytes,
        _compiled_roofline(job, mesh, chip, module, found, traced, program),
        collectives.totals(found),
        sum(one.times for one in bad),
        spent,
        "" if used.total <= chip.hbm_bytes else _too_large(used.total, chip),
    )


def _compiled_roofline(
    job: Job, mesh: Mesh, chip: Chip, module: hlo.Module, found: list, traced: Any, program: str
) -> Roofline:
    executed = arithmetic.matrix_flops(traced.jaxpr)
    where = network.torus(chip, list(mesh.devices.flat))
    needed = flops.train_step_flops(job.model, job.feed) if program == "train" else executed
    return Roofline(
        model_flops=needed,
        executed_flops=executed,
        devices=mesh.size,
        compute_seconds=executed / mesh.size / chip.peak_flops,
        hbm_seconds=traffic.hbm_bytes(module) / chip.hbm_bandwidth,
        link_seconds=network.link_seconds(found, where, chip),
    )


def _compiled_memory(job: Job, mesh: Mesh, traced: Any, compiled: Any, program: str) -> Memory:
    """The compiler's figures, its temporaries split by what analysis knows of them."""
    state, _ = compilation.abstract_train_state(job, mesh)
    parameters = analysis.device_bytes(state.params)
    stats = compiled.memory_analysis()
    arguments = stats.argument_size_in_bytes
    total = (
        arguments
        + stats.output_size_in_bytes
        - stats.alias_size_in_bytes
        + stats.temp_size_in_bytes
        + stats.generated_code_size_in_bytes
    )
    if program == "decode":
        rest = float(total - parameters)
        return Memory(parameters, 0.0, 0.0, 0.0, rest, float(total))
    optimizer = analysis.device_bytes(state.opt_state)
    shape = tuple(mesh.shape[axis] for axis in AXES)
    activations = analysis.memory(job, shape).activations
    known = parameters + optimizer + parameters + activations
    return Memory(
        parameters, optimizer, parameters, activations, max(0.0, total - known), float(total)
    )


def _gathered_shapes(job: Job, mesh: Mesh) -> list[tuple[int, ...]]:
    """Shapes of all matrices of one layer on a device, once they are gathered over `fsdp`."""
    axes = jax.tree.leaves(
        transformer.logical_axes(job.model), is_leaf=lambda node: isinstance(node, tuple)
    )
    whole = {**mesh.shape, "fsdp": 1}

    def ways(name: str) -> int:
        over = rules.RULES[name] or ()
        return math.prod(whole[axis] for axis in ((over,) if isinstance(over, str) else over))

    shapes = []
    for leaf, names in zip(jax.tree.leaves(transformer.abstract(job.model)), axes, strict=True):
        dimensions = zip(leaf.shape, names, strict=True)
        gathered = tuple(size // ways(name) for size, name in dimensions if name != "layers")
        if len(gathered) == 2:
            shapes.append(gathered)
    return shapes
