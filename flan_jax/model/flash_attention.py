"""Attention with T5's relative position bias in memory that grows with length, not its square.

    mixed = flash_attention(q, k, v, query_segments=segments, key_segments=segments,
                            bias_table=table)

The bias of [heads, T, S] is never written out, nor its gradient: the kernels make it tile by tile
from the table. `flash_attention_tpu` and `flash_attention_gpu` say how on each backend.

Axes: B rows, T queries, S keys, N query heads, K key and value heads, H head width.
"""

import functools
from types import ModuleType
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from flan_jax.model import attention, flash_attention_gpu, flash_attention_tpu
from flan_jax.model.flash_attention_tiles import (
    Inputs,
    Tiling,
    accumulation_dtype,
    make_marks,
    pad_to,
)
from flan_jax.model.layers import MIXED
from flan_jax.parallel import rules
from flan_jax.parallel.platform import compiled_for


def flash_attention(
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    *,
    query_segments: Int[Array, "B T"],
    key_segments: Int[Array, "B S"],
    bias_table: Float[Array, "buckets N"] | None = None,
    bidirectional: bool = True,
    max_distance: int = 128,
    causal: bool = False,
    prefix: Bool[Array, "B S"] | None = None,
    scale: float = 1.0,
    softcap: float | None = None,
    block: int | None = None,
    platform: Literal["tpu", "gpu"] | None = None,
    interpret: bool = False,
) -> Float[Array, "B T N H"]:
    """Returns the values mixed by softmax(scale * q k + bias) over the keys of each segment.

    Differentiable by queries, keys, values and the table. Under a mesh (`jax.set_mesh`) the rows
    and heads stay where `parallel.rules` lays them out.

    The bias of a pair is the table at the bucket of key minus query *index*. In packed rows this
    is the distance inside the segment as long as each segment is contiguous (`data.packing`).

    Queries without any key, which `attention.attend` gives a mean of all values, get zeros.

    Args:
      q: queries, float32 or bfloat16.
      k: keys; K divides N, and query head n has key head n // (N / K).
      v: values.
      query_segments: segment ids; padding (0) sees padding alone.
      key_segments: segment ids.
      bias_table: float32 bias of each bucket and head; None for none.
      bidirectional: see `attention.relative_bucket`.
      max_distance: likewise, tokens.
      causal: hide keys whose index is above the query's.
      prefix: True on keys that a causal mask does not hide (prefix LM); None for none.
      scale: T5 has 1, others H ** -0.5.
      softcap: bound of the logits before the bias; None for none.
      block: queries and keys of a tile, a power of two; on TPUs 128 or more (interpreted, 8), on
        GPUs 16. None to have it chosen.
      platform: whose kernels; None for those of the platform that is compiled for.
      interpret: run the kernels as JAX operations, slowly, on any backend.

    Raises:
      ValueError: for heads that do not divide, a table of other heads, a `prefix` without
        `causal`, a `block` that is no power of two, or a backend without kernels.
    """
    _check(q, k, bias_table, causal, prefix, block)
    platform = platform or {"tpu": "tpu", "gpu": "gpu"}.get(compiled_for(), "")
    tiling = Tiling(
        platform,
        *_blocks(platform, q, k, bias_table, block),
        scale=scale,
        softcap=softcap,
        max_distance=None if bias_table is None else max_distance,
        causal=causal and prefix is None,
        interpret=interpret,
    )
    attend = functools.partial(_attend, tiling, bidirectional)
    arrays = (q, k, v, bias_table, query_segments, key_segments, prefix)
    return _over_mesh(attend, q.shape[0], k.shape[2])(*arrays)


def _check(q, k, bias_table, causal, prefix, block) -> None:
    heads, kv_heads = q.shape[2], k.shape[2]
    if block is not None and (block < 8 or block & (block - 1)):
        raise ValueError(f"block: expected a power of two from 8 on, got {block}.")
    if heads % kv_heads:
        raise ValueError(f"{heads} query heads: expected a multiple of the {kv_heads} key heads.")
    if bias_table is not None and bias_table.shape[1] != heads:
        raise ValueError(
            f"bias_table: expected [buckets, {heads}] for {heads} query heads, got "
            f"{list(bias_table.shape)}."
        )
    if prefix is not None and not causal:
        raise ValueError("prefix: without causal=True all keys are seen already; leave it out.")


def _kernels(platform: str) -> ModuleType:
    if platform == "tpu":
        return flash_attention_tpu
    if platform == "gpu":
        return flash_attention_gpu
    raise ValueError(
        f"flash_attention has kernels for TPU and GPU, not for {compiled_for()!r}. Use "
        "flan_jax.model.attention.attend, or platform='tpu', interpret=True in tests."
    )


def _blocks(platform: str, q, k, bias_table, block: int | None) -> tuple[int, int, int, int]:
    """Returns the queries and the keys of a tile, and the number of blocks of each."""
    choose = _kernels(platform).choose_block
    block_q, block_k = (block or choose(x.shape[1], x.dtype) for x in (q, k))
    if bias_table is not None:
        block_q = block_k = min(block_q, block_k)
    return block_q, block_k, -(-q.shape[1] // block_q), -(-k.shape[1] // block_k)


def _attend(tiling: Tiling, bidirectional: bool, q, k, v, table, *seen) -> Float[Array, "B T N H"]:
    """Attends on one device; `seen` are the segments of queries and of keys, and the prefix."""
    kernels = _kernels(tiling.platform)
    rows = ()
    if table is not None:
        rows = (_bias_rows(kernels.bias_distances(tiling), table, bidirectional, tiling),)
    length = q.shape[1]
    q = pad_to(q, 1, tiling.queries)
    k, v = (pad_to(x, 1, tiling.keys) for x in (k, v))
    # Outside of what is differentiated by hand, so that what is kept for the backward pass is as
    # its kernel wants it.
    q, k, v = (x.transpose(kernels.LAYOUT) for x in (q, k, v))
    mixed = _attention(tiling, Inputs(q, k, v, rows, make_marks(tiling, *seen)))
    return mixed.transpose(np.argsort(kernels.LAYOUT))[:, :length]


def _bias_rows(distances, table, bidirectional: bool, tiling: Tiling) -> Float[Array, "N ..."]:
    """Returns the table at the buckets of the distances, heads first.

    A product with a one-hot matrix: its gradient is a product too, where a lookup's would scatter.
    """
    bucket = attention.relative_bucket(
        jnp.asarray(distances), bidirectional, table.shape[0], tiling.max_distance
    )
    table = table.astype(accumulation_dtype(table))
    chosen = jax.nn.one_hot(bucket, table.shape[0], dtype=table.dtype)
    return jnp.einsum("...b,bn->n...", chosen, table, precision=jax.lax.Precision.HIGHEST)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(tiling: Tiling, inputs: Inputs) -> Array:
    return _kernels(tiling.platform).forward(tiling, inputs)[0]


def _attention_forward(tiling, inputs):
    mixed, lse = _kernels(tiling.platform).forward(tiling, inputs)
    mixed, lse = checkpoint_name(mixed, MIXED), checkpoint_name(lse, MIXED)
    return mixed, (inputs, mixed, lse)


def _attention_backward(tiling, saved, gradient):
    gradients = _kernels(tiling.platform).backward(tiling, *saved, gradient)
    return (Inputs(*gradients, marks=None),)


_attention.defvjp(_attention_forward, _attention_backward)


def _over_mesh(attend, rows: int, heads: int):
    """Returns `attend` for each device's rows and heads: a kernel is not split by the compiler.

    Args:
      attend: function of queries, keys, values, table, segments of queries and of keys, and
        prefix.
      rows: B.
      heads: K; the N query heads are split with them.
    """
    free = rules.auto_axes()
    if not free:
        return attend
    batch = rules.dividing("batch", rows, free)
    tensor = rules.dividing("kv_heads", heads, free)
    heads_of = PartitionSpec(batch, None, tensor, None)
    row, table = PartitionSpec(batch, None), PartitionSpec(None, tensor)
    return jax.shard_map(
        attend,
        in_specs=(heads_of, heads_of, heads_of, table, row, row, row),
        out_specs=heads_of,
        axis_names=set(free),
        # Kernels do not say over which axes their results vary.
        check_vma=False,
    )
