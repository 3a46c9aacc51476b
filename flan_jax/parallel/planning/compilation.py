"""Compiles the real train step and the real decode step for a TPU that need not be there.

`libtpu` compiles for a named topology on any Linux machine. Nothing is allocated: states and
batches are shapes with shardings.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh, NamedSharding

from flan_jax.batch import Batch
from flan_jax.data.feed import FeedConfig
from flan_jax.model import decoding, transformer
from flan_jax.model.config import ModelConfig
from flan_jax.parallel import rules
from flan_jax.parallel.planning.chips import of_topology
from flan_jax.train.losses import LossConfig
from flan_jax.train.optimizer import OptimizerConfig, make_optimizer, make_schedule
from flan_jax.train.state import TrainState, abstract_state
from flan_jax.train.step import make_train_step

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be trained.

    Attributes:
      model: the transformer; its `remat` is what the plan varies.
      feed: rows and lengths of a global batch.
      optimizer: the optimiser.
      loss: what is added to cross-entropy.
      gradient_accumulation: microbatches a step.
    """

    model: ModelConfig
    feed: FeedConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    loss: LossConfig = LossConfig()
    gradient_accumulation: int = 1


def abstract_batch(feed: FeedConfig, mesh: Mesh, prefix: bool) -> Batch:
    """Returns shapes and shardings of a global batch.

    Args:
      feed: rows, lengths and architecture.
      mesh: the device mesh.
      prefix: whether the model reads `decoder_prefix`.
    """
    sharding = rules.batch_sharding(mesh)
    targets = feed.targets_length

    def field(length: int, dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((feed.batch_size, length), dtype, sharding=sharding)

    if feed.architecture == "decoder_only":
        row = [field(feed.tokens)] * 4
        mask = field(feed.tokens, jnp.bool_) if prefix else None
        return Batch(*row, field(feed.tokens, jnp.float32), decoder_prefix=mask)
    return Batch(
        *[field(targets)] * 4, field(targets, jnp.float32), *[field(feed.inputs_length)] * 3
    )


def abstract_train_state(job: Job, mesh: Mesh) -> tuple[TrainState, Any]:
    """Returns shapes and shardings of the train state, and the optimiser."""
    axes = transformer.logical_axes(job.model)
    optimizer = make_optimizer(job.optimizer, 1000, axes)
    abstract = abstract_state(transformer.abstract(job.model), optimizer, axes, mesh)
    return abstract, optimizer


def trace_train_step(job: Job, mesh: Mesh) -> jax.stages.Traced:
    """Traces the train step that `train.loop` runs, over a mesh of any devices."""
    abstract, optimizer = abstract_train_state(job, mesh)
    batch = abstract_batch(job.feed, mesh, job.model.prefix_lm)
    key = jax.random.key(0)  # the mesh may have no devices that could make one
    with using(mesh):
        step = make_train_step(
            functools.partial(transformer.output, job.model),
            optimizer,
            make_schedule(job.optimizer, 1000),
            job.loss,
            key,
            job.gradient_accumulation,
            jax.tree.map(lambda leaf: leaf.sharding, abstract),
        )
        return step.trace(abstract, batch)


def using(mesh: Mesh | AbstractMesh) -> contextlib.AbstractContextManager:
    """Makes the mesh current, for tracing; a mesh without devices will do."""
    if isinstance(mesh, AbstractMesh):
        return jax.sharding.use_abstract_mesh(mesh)
    return jax.set_mesh(mesh)


class NoCompiler(RuntimeError):
    """There is no compiler for TPUs here."""


def topology_devices(topology: str, num_slices: int = 1) -> Sequence[Any]:
    """Returns the devices of a TPU topology that need not be there.

    Args:
      topology: of one slice, e.g. "v5p:4x4x4".
      num_slices: slices of that topology.

    Raises:
      NoCompiler: libtpu is not installed, or is not the one that jax was released with.
      ValueError: an unknown chip or topology.
    """
    from jax.experimental import topologies

    chip = of_topology(topology)
    # Without these libtpu asks Google Cloud's metadata server what machine this is, and a second
    # process could not load it.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v4-8")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    options: dict[str, Any] = {"num_slices": num_slices} if num_slices > 1 else {}
    if chip.name == "v4":
        options["chip_config_name"] = "megacore"  # its two cores as one device, as JAX has them
    try:
        return topologies.get_topology_desc(
            topology_name=topology, platform="tpu", **options
        ).devices
    except (RuntimeError, ImportError, FileNotFoundError) as error:
        if "libtpu" in str(error).lower():
            raise NoCompiler(
                "Compiling for a TPU needs libtpu: pip install 'flan_jax[tpu]', or the version "
                f"that pip show jax[tpu] asks for ({error})."
            ) from error
        raise ValueError(
            f"There is no topology {topology!r} of {num_slices} slice(s): {str(error)[:300]}"
        ) from error


def compile_train_step(job: Job, mesh: Mesh) -> tuple[jax.stages.Traced, jax.stages.Compiled]:
    """Traces and compiles the train step that `train.loop` runs.

    Raises:
      jax.errors.JaxRuntimeError: with RESOURCE_EXHAUSTED in it where the step does not fit.
    """
    traced = trace_train_step(job, mesh)
    with using(mesh):
        return traced, traced.lower().compile()


def compile_decode_step(job: Job, mesh: Mesh) -> tuple[jax.stages.Traced, jax.stages.Compiled]:
    """Traces and compiles one token of generation for `feed.batch_size` rows.

    The cache holds prompts of `feed.inputs_length` and room for `feed.targets_length` tokens;
    rows are split as in training, heads over `tensor`.
    """
    feed = job.feed
    state, _ = abstract_train_state(job, mesh)
    tokens = jax.ShapeDtypeStruct((feed.batch_size, feed.inputs_length), jnp.int32)
    lengths = jax.ShapeDtypeStruct((feed.batch_size,), jnp.int32)

    def start(params: PyTree, tokens: Any, lengths: Any) -> decoding.Cache:
        _, cache = decoding.start(job.model, params, tokens, lengths, feed.targets_length)
        return decoding.split_layers(cache)  # as `evaluation.continuous` has it

    cache = jax.eval_shape(start, transformer.abstract(job.model), tokens, lengths)
    cache = jax.tree.map(lambda leaf: _in_cache(leaf, mesh), cache)
    rows = jax.ShapeDtypeStruct(lengths.shape, jnp.int32, sharding=rules.batch_sharding(mesh))
    step = jax.jit(functools.partial(decoding.decode_step, job.model), donate_argnums=1)
    with using(mesh):
        traced = step.trace(state.params, cache, rows)
        return traced, traced.lower().compile()


def _in_cache(leaf: jax.ShapeDtypeStruct, mesh: Mesh) -> jax.ShapeDtypeStruct:
    """A leaf of the cache with its layout: keys and values [B, K, S, H], others [B, ...]."""
    names: list[str | None] = ["batch", *[None] * (leaf.ndim - 1)]
    if leaf.ndim == 4 and leaf.shape[1] % mesh.shape["tensor"] == 0:
        names[1] = "kv_heads"
    sharding = NamedSharding(mesh, rules.spec(tuple(names)))
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
