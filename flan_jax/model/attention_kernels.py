"""Softmax attention by the kernel for the place.

Axes: B rows, T query positions, S key positions, N query heads, K key and value heads,
G = N / K query heads that share a key head, H head width.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from flan_jax.model import attention_blocks
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import MIXED, dropout, softcap
from flan_jax.model.visibility import MASKED, Visibility
from flan_jax.parallel.platform import compiled_for

# What a core keeps near: logits that fit are written out at once, since blocks have a cost each.
_CACHE_BYTES = 2**21


class Bias(Protocol):
    """`attention.Bias`, of which a kernel reads what it needs."""

    values: Float[Array, "1 N T S"]
    table: Float[Array, "buckets N"]
    bidirectional: bool


class Operands(NamedTuple):
    """What every kernel is given.

    Attributes:
      queries: scaled queries.
      keys: keys of the same rows.
      values: values of the same rows.
      visible: which keys a query may attend to.
      bias: added to the logits; None for none.
      key: dropout key of the layer; None where nothing is dropped.
    """

    queries: Float[Array, "B T N H"]
    keys: Float[Array, "B K S H"]
    values: Float[Array, "B K S H"]
    visible: Visibility
    bias: Bias | None
    key: PRNGKeyArray | None


Kernel = Callable[[ModelConfig, Operands], Float[Array, "B T N H"]]


def whole_rows(
    config: ModelConfig,
    queries: Float[Array, "B T N H"],
    keys: Float[Array, "B K S H"],
    values: Float[Array, "B K S H"],
    visible: Visibility,
    bias: Bias | None,
    key: PRNGKeyArray | None,
) -> Float[Array, "B T N H"]:
    """Returns the values mixed by the softmax of the logits, by the kernel for the place.

    Args:
      config: the bound of the logits and the dropout rate of the probabilities.
      queries: the others are those of `Operands`.
    """
    key = key if config.attention_dropout_rate else None
    operands = Operands(queries, keys, values, visible, bias, key)
    kernel = choose(config, operands, compiled_for())
    mixed = kernel(config, operands)
    # Flash attention names what it keeps; named again, it would be kept twice.
    return mixed if kernel is flash else checkpoint_name(mixed, MIXED)


def choose(config: ModelConfig, operands: Operands, platform: str) -> Kernel:
    """Returns the kernel for a platform: the fastest that computes all that is asked for."""
    mesh = jax.sharding.get_abstract_mesh()
    alone = mesh.empty or mesh.size == 1
    if platform == "cpu" and alone and _bytes_of_logits(operands) > _CACHE_BYTES:
        return in_blocks
    if platform == "gpu" and _cudnn_can(config, operands):
        return cudnn
    # On rows that lie on several devices, flash attention would gather the queries too.
    whole = mesh.empty or mesh.shape.get("sequence", 1) == 1
    if platform == "tpu" and whole and operands.key is None and operands.visible.window is None:
        return flash
    if platform == "tpu" and alone and _splash_can(operands):
        return splash
    return written_out


def _bytes_of_logits(operands: Operands) -> int:
    rows, length, heads, _ = operands.queries.shape
    return 4 * rows * heads * length * operands.keys.shape[2]


def written_out(config: ModelConfig, operands: Operands) -> Float[Array, "B T N H"]:
    """By ordinary operations, with logits, mask and bias in memory."""
    queries, keys, values, visible, bias, key = operands
    bias = None if bias is None else bias.values
    return plain(config, queries, (keys,), (values,), visible.mask(), bias, key)


def in_blocks(config: ModelConfig, operands: Operands) -> Float[Array, "B T N H"]:
    """One head and row at a time: `attention_blocks`."""
    queries, keys, values, visible, bias, key = operands
    rate = 0.0 if key is None else config.attention_dropout_rate
    settings = attention_blocks.Settings(config.attention_softcap, rate)
    bias = None if bias is None else bias.values
    return attention_blocks.attention(settings, queries, keys, values, visible, bias, key)


def cudnn(config: ModelConfig, operands: Operands) -> Float[Array, "B T N H"]:
    """NVIDIA's fused kernel, which adds a bias, of which the mask becomes part."""
    queries, keys, values, visible, bias, _ = operands
    groups = queries.shape[2] // keys.shape[1]
    keys, values = (jnp.repeat(x.swapaxes(1, 2), groups, axis=2) for x in (keys, values))
    return jax.nn.dot_product_attention(
        queries,
        keys,
        values,
        bias=None if bias is None else bias.values.astype(queries.dtype),
        mask=visible.mask()[:, None],
        scale=1.0,
        implementation="cudnn",
    )


def _cudnn_can(config: ModelConfig, operands: Operands) -> bool:
    """The limits of `jax.nn.dot_product_attention`, on all GPUs that it runs on."""
    width, lengths = operands.queries.shape[3], (operands.queries.shape[1], operands.keys.shape[2])
    return (
        operands.queries.dtype == jnp.bfloat16
        and config.attention_softcap is None
        and operands.key is None
        and width % 8 == 0
        and width <= 128
        and all(length % 2 == 0 for length in lengths)
    )


def flash(
    config: ModelConfig, operands: Operands, interpret: bool = False
) -> Float[Array, "B T N H"]:
    """Our own kernel, in which T5's bias is made (Pallas); on any mesh.

    Args:
      config: distance of the last bucket and bound of the logits.
      operands: without a window and a dropout key.
      interpret: run the TPU's kernel as ordinary operations, slowly, on any backend.
    """
    # Imported here: Pallas takes a second, and the module imports `attention`.
    from flan_jax.model.flash_attention import flash_attention

    queries, keys, values, visible, bias, _ = operands
    biased = {}
    if bias is not None:
        biased = {"bias_table": bias.table, "bidirectional": bias.bidirectional}
    return flash_attention(
        queries,
        keys.swapaxes(1, 2),
        values.swapaxes(1, 2),
        query_segments=visible.queries,
        key_segments=visible.keys,
        max_distance=config.relative_max_distance,
        causal=visible.causal,
        prefix=visible.prefix,
        softcap=config.attention_softcap,
        platform="tpu" if interpret else None,
        interpret=interpret,
        **biased,
    )


def splash(
    config: ModelConfig, operands: Operands, interpret: bool = False
) -> Float[Array, "B T N H"]:
    """JAX's sparse flash attention for TPUs, which has no bias (Pallas).

    Args:
      config: the bound of the logits.
      operands: see `_splash_can`.
      interpret: run the kernel as ordinary operations, slowly, on any backend.
    """
    # Imported here: it takes a second, and only TPUs need it.
    from jax.experimental.pallas.ops.tpu.splash_attention import (
        splash_attention_kernel,
        splash_attention_mask,
    )

    queries, keys, values, visible, _, _ = operands
    rows, length, heads, width = queries.shape
    kv_heads, groups = keys.shape[1], heads // keys.shape[1]
    shape = (length, keys.shape[2])
    if not visible.causal:
        mask = splash_attention_mask.FullMask(shape)
    elif visible.window is None:
        mask = splash_attention_mask.CausalMask(shape)
    else:
        mask = splash_attention_mask.LocalMask(shape, (visible.window - 1, 0), 0)
    # Few large tiles: the default of 128 leaves most of the time to what comes between products.
    tile = max(size for size in (128, 256, 512) if all(n % size == 0 for n in shape))
    tiles = ("block_q", "block_kv", "block_kv_compute", "block_q_dkv", "block_kv_dkv",
             "block_kv_dkv_compute", "block_q_dq", "block_kv_dq")  # fmt: skip
    kernel = splash_attention_kernel.make_splash_mqa_single_device(
        splash_attention_mask.MultiHeadMask([mask] * groups),
        block_sizes=splash_attention_kernel.BlockSizes(**dict.fromkeys(tiles, tile)),
        attn_logits_soft_cap=config.attention_softcap,
        interpret=interpret,
    )
    segments = splash_attention_kernel.SegmentIds(visible.queries, visible.keys)
    queries = queries.reshape(rows, length, kv_heads, groups, width).transpose(0, 2, 3, 1, 4)
    over_heads = jax.vmap(kernel, in_axes=(0, 0, 0, None))
    mixed = jax.vmap(over_heads)(queries, keys, values, segments)  # [B, K, G, T, H]
    return mixed.transpose(0, 3, 1, 2, 4).reshape(rows, length, heads, width)


def _splash_can(operands: Operands) -> bool:
    """No bias, dropout, prefix or window that differs between layers; lengths of whole tiles."""
    visible, window = operands.visible, operands.visible.window
    lengths = (operands.queries.shape[1], operands.keys.shape[2])
    return (
        operands.bias is None
        and operands.key is None
        and visible.prefix is None
        and (window is None or isinstance(window, int))
        and all(length % 128 == 0 for length in lengths)
        and operands.queries.shape[3] % 128 == 0
    )


_product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)


def _product_on_cpu(axes: str, *operands: Array) -> Array:
    """The same sum of products; XLA's CPU backend has none of bfloat16 in all layouts."""
    return jnp.einsum(axes, *(operand.astype(jnp.float32) for operand in operands))


def plain(
    config: ModelConfig,
    queries: Float[Array, "B T N H"],
    keys: Sequence[Float[Array, "B K _ H"]],
    values: Sequence[Float[Array, "B K _ H"]],
    mask: Bool[Array, "B T S"],
    bias: Float[Array, "#B N T S"] | None,
    key: PRNGKeyArray | None,
) -> Float[Array, "B T N H"]:
    """The same by ordinary operations, with the logits [B, N, T, S] in memory.

    Args:
      config: as for `whole_rows`.
      queries: scaled queries.
      keys: in pieces that follow each other along S.
      values: likewise.
      mask: where attention is allowed.
      bias: float32, added to the logits; None for none.
      key: dropout key of the layer, or None.
    """
    rows, length, heads, width = queries.shape
    kv_heads, dtype = keys[0].shape[1], values[0].dtype
    groups = heads // kv_heads
    queries = queries.reshape(rows, length, kv_heads, groups, width)
    product = _product_on_cpu if compiled_for() == "cpu" else _product
    logits = [product("btkgh,bksh->bkgts", queries, piece) for piece in keys]
    logits = jnp.concatenate(logits, axis=-1) if len(logits) > 1 else logits[0]
    logits = softcap(logits, config.attention_softcap)
    if bias is not None:
        logits = logits + bias.reshape(bias.shape[0], -1, groups, *bias.shape[2:])
    logits = jnp.where(mask[:, None, None], logits, MASKED)
    # The softmax divides after the product with the values: then its gradient sums over the head
    # width H, and not over all S keys of every query. The division is an einsum, and so its
    # gradient a matrix product, which on a CPU takes a fifth of the time of the sum.
    largest = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    weights = jnp.exp(logits - largest)
    total = jnp.sum(weights, axis=-1)  # [B, K, G, T], at least 1
    weights = dropout(weights, config.attention_dropout_rate, key, site=0).astype(dtype)
    edges = np.cumsum([piece.shape[2] for piece in values])[:-1].tolist()
    parts = zip(jnp.split(weights, edges, axis=-1), values, strict=True)
    mixed = sum(product("bkgts,bksh->btkgh", part, piece) for part, piece in parts)
    mixed = jnp.einsum("btkgh,bkgt->btkgh", mixed, 1 / total).astype(dtype)
    return mixed.reshape(rows, length, heads, width)
