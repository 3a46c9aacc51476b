"""Memory and time of a train step by formulas: for GPUs, and to choose what to compile for a TPU.

Parameters, optimiser and arithmetic are exact (from the traced train step); working memory and
memory traffic are estimates from the shapes of one layer, and collectives are those that fully
sharded data parallelism (Rajbhandari et al. 2020) and tensor parallelism (Shoeybi et al. 2019)
need. Nothing is compiled.

Axes: B rows on one device, S encoder positions, T decoder positions, D model width, F mlp width.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from flan_jax.model import transformer
from flan_jax.model.config import ModelConfig
from flan_jax.parallel.mesh import AXES
from flan_jax.parallel.planning import arithmetic, compilation
from flan_jax.parallel.planning.chips import Chip
from flan_jax.parallel.planning.compilation import Job
from flan_jax.parallel.planning.roofline import Roofline
from flan_jax.train import flops

_BF16, _F32 = 2, 4


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    Attributes:
      parameters: as they are stored.
      optimizer: its state.
      gradients: as large as the parameters while the optimiser runs (an estimate).
      activations: what the forward pass keeps for the backward pass (an estimate).
      workspace: everything else at the step's peak; by analysis that of the widest layer, by
        compilation what the compiler's temporaries leave after gradients and activations.
      total: all of it; by compilation the compiler's own figure, program included.
    """

    parameters: float
    optimizer: float
    gradients: float
    activations: float
    workspace: float
    total: float


def abstract_mesh(shape: tuple[int, ...]) -> AbstractMesh:
    """Returns a mesh of (data, fsdp, tensor, sequence) without devices, for tracing.

    It says that it is of TPUs: what is traced for this machine's CPU would be other kernels.
    """
    device = AbstractDevice(device_kind="planned", num_cores=None, platform="tpu")
    types = (AxisType.Auto,) * len(AXES)
    return AbstractMesh(tuple(shape), AXES, axis_types=types, abstract_device=device)


def device_bytes(tree: Any) -> float:
    """Bytes of a tree of shapes with shardings on one device."""
    return float(
        sum(
            math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
            for leaf in jax.tree.leaves(tree)
        )
    )


@functools.lru_cache(maxsize=64)
def traced_costs(job: Job) -> tuple[float, float]:
    """FLOPs of a step and bytes of saved activations, over all devices, of the traced step."""
    # Two devices, since kernels for one alone hide their arithmetic; any model and batch can be
    # traced over this axis.
    traced = compilation.trace_train_step(job, abstract_mesh((1, 1, 1, 2)))
    saved = arithmetic.saved_activations(traced.jaxpr)
    return arithmetic.matrix_flops(traced.jaxpr), float(sum(size for _, size in saved))


def memory(job: Job, shape: tuple[int, ...]) -> Memory:
    """Estimates the memory of a train step on one device.

    Args:
      job: what is trained.
      shape: mesh sizes (data, fsdp, tensor, sequence).

    Raises:
      ValueError: if a parameter or the batch does not divide over the mesh.
    """
    check_rows(job, shape)
    state, _ = compilation.abstract_train_state(job, abstract_mesh(shape))
    parameters, optimizer = device_bytes(state.params), device_bytes(state.opt_state)
    _, saved = traced_costs(job)
    data, fsdp, tensor, sequence = shape
    ways = data * fsdp * sequence
    # Besides the residual stream, what a layer keeps is split over the heads or the mlp.
    stream = _residual_stream(job)
    activations = min(saved, stream) / ways + max(0.0, saved - stream) / (ways * tensor)
    work = _layer_workspace(job, shape)
    total = parameters + optimizer + parameters + activations + work
    return Memory(parameters, optimizer, parameters, activations, work, total)


def check_rows(job: Job, shape: tuple[int, ...]) -> None:
    """Raises a ValueError if the rows of a microbatch do not divide over the mesh."""
    ways = shape[0] * shape[1]
    rows = job.feed.batch_size // job.gradient_accumulation
    if rows % ways:
        raise ValueError(
            f"{rows} rows a microbatch do not divide over data x fsdp = {shape[0]} x {shape[1]}; "
            f"choose a batch size that is a multiple of {ways * job.gradient_accumulation}."
        )


def _stacks(job: Job) -> list[tuple[int, int, int]]:
    """(layers, positions, keys that a position attends to) of each stack."""
    config, feed = job.model, job.feed
    if config.architecture == "decoder_only":
        return [(config.num_layers, feed.tokens, feed.tokens)]
    return [
        (config.encoder_layers, feed.inputs_length, feed.inputs_length),
        (config.num_layers, feed.targets_length, feed.targets_length + feed.inputs_length),
    ]


def _microbatch(job: Job) -> int:
    return job.feed.batch_size // job.gradient_accumulation


def _residual_stream(job: Job) -> float:
    """Bytes of the inputs of all layers, all rows of a microbatch."""
    rows, width = _microbatch(job), job.model.d_model
    return float(sum(rows * layers * length * width * _BF16 for layers, length, _ in _stacks(job)))


def _layer_bytes(config: ModelConfig) -> float:
    """bfloat16 bytes of the kernels of the largest layer."""
    layers = transformer.abstract(config)["decoder"]["layers"]
    return sum(leaf.size for leaf in jax.tree.leaves(layers)) / config.num_layers * _BF16


def _layer_workspace(job: Job, shape: tuple[int, ...]) -> float:
    """Bytes that the backward pass of the widest layer, or of the output layer, holds at once."""
    config, (data, fsdp, tensor, sequence) = job.model, shape
    rows = _microbatch(job) / (data * fsdp)
    inner = config.num_heads * config.head_dim + config.kv_heads * config.head_dim
    layer = 0.0
    for _, length, keys in _stacks(job):
        wide = 6 * config.d_model + (3 * config.d_ff + 4 * inner) / tensor
        scores = 3 * config.num_heads / tensor * keys * _F32  # logits, weights, gradient
        layer = max(layer, rows * length / sequence * (wide * _BF16 + scores))
    positions = _stacks(job)[-1][1] / sequence
    logits = 3 * rows * positions * config.vocab_size / tensor * _F32
    gathered = 2 * _layer_bytes(config) / tensor
    return max(layer, logits) + gathered


def estimate(job: Job, shape: tuple[int, ...], chip: Chip, num_slices: int = 1) -> Roofline:
    """Estimates the time of a train step from its arithmetic, memory traffic and collectives.

    Args:
      job: what is trained.
      shape: mesh sizes (data, fsdp, tensor, sequence).
      chip: the device.
      num_slices: slices of a TPU, which `data` spans.
    """
    devices = math.prod(shape)
    executed, _ = traced_costs(job)
    near_devices = devices // num_slices if chip.is_tpu else chip.chips_per_host
    near, far = "link", "network"
    links: dict[str, float] = {}
    inside = 1
    for axis in reversed(AXES):  # inner axes are placed on neighbours first
        size, sent = shape[AXES.index(axis)], collective_bytes(job, shape)[axis]
        neighbours = math.gcd(size, max(1, near_devices // inside))
        inside *= size
        # Each device fetches its part of what is far, and neighbours share what they fetched.
        if neighbours < size:
            links[far] = links.get(far, 0.0) + sent / neighbours / chip.network_bandwidth
        if neighbours > 1:
            # All links of a torus can be kept busy; a GPU's switch is one link.
            bandwidth = chip.link_bandwidth * max(1, 2 * chip.torus_axes)
            links[near] = links.get(near, 0.0) + sent / bandwidth
    return Roofline(
        model_flops=flops.train_step_flops(job.model, job.feed),
        executed_flops=executed,
        devices=devices,
        compute_seconds=executed / devices / chip.peak_flops,
        hbm_seconds=traffic_bytes(job, shape) / chip.hbm_bandwidth,
        link_seconds=links,
    )


def collective_bytes(job: Job, shape: tuple[int, ...]) -> dict[str, float]:
    """Bytes that one device receives in a step over each mesh axis.

    Weights are gathered over `fsdp` in bfloat16 for the forward pass and again for the backward
    pass, and their gradients reduced; what each device then holds is reduced over `data`; over
    `tensor` the output of every sublayer is reduced, and in the backward pass its inputs'
    gradient; recomputation of all repeats the first; over `sequence` keys and values are gathered.
    """
    config, (data, fsdp, tensor, sequence) = job.model, shape
    count = sum(leaf.size for leaf in jax.tree.leaves(transformer.abstract(config)))
    weights, times = count / tensor * _BF16, job.gradient_accumulation
    rows = job.feed.batch_size / (data * fsdp)
    reduced = {"full": 3, "dots": 2, "none": 2}[config.remat]
    stream = kept = 0.0
    for index, (layers, length, _) in enumerate(_stacks(job)):
        sublayers = 3 if index else 2
        positions = rows * length / sequence
        stream += layers * sublayers * positions * config.d_model * _BF16
        kept += layers * 2 * rows * length * config.kv_heads * config.head_dim / tensor * _BF16
    return {
        "fsdp": 3 * times * weights * (fsdp - 1) / fsdp,
        "data": 2 * weights / fsdp * (data - 1) / data,
        "tensor": 2 * reduced * stream * (tensor - 1) / tensor,
        "sequence": reduced * kept * (sequence - 1) / sequence,
    }


def traffic_bytes(job: Job, shape: tuple[int, ...]) -> float:
    """Bytes that one device reads from and writes to its memory in a step.

    Weights are read in three products and written once when they are gathered; parameters, their
    gradient and the optimiser's state are read and written once; every activation of a layer is
    written once and read twice, in the forward and twice in the backward pass.
    """
    config, (data, fsdp, tensor, sequence) = job.model, shape
    state, _ = compilation.abstract_train_state(job, abstract_mesh(shape))
    held = 3 * device_bytes(state.params) + 2 * device_bytes(state.opt_state)
    count = sum(leaf.size for leaf in jax.tree.leaves(transformer.abstract(config)))
    weights = 4 * job.gradient_accumulation * count / tensor * _BF16
    rows = job.feed.batch_size / (data * fsdp)
    inner = config.num_heads * config.head_dim + config.kv_heads * config.head_dim
    passes = 3 * (4 if config.remat == "full" else 3)
    activations = 0.0
    for layers, length, keys in _stacks(job):
        wide = 4 * config.d_model + (2 * config.d_ff + 2 * inner) / tensor
        scores = config.num_heads / tensor * keys * _F32
        positions = rows * length / sequence
        activations += passes * layers * positions * (wide * _BF16 + scores)
    return held + weights + activations
