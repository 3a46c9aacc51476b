"""Softmax attention by the kernel for the place.

Axes: B rows, T query positions, S key positions, N query heads, K key and value heads,
G = N / K query heads that share a key head, H head width.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from flan_jax.model import attention_blocks
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import dropout, softcap
from flan_jax.model.visibility import MASKED, Visibility

MIXED = attention_blocks.MIXED


def whole_rows(
    config: ModelConfig,
    queries: Float[Array, "B T N H"],
    keys: Float[Array, "B K S H"],
    values: Float[Array, "B K S H"],
    visible: Visibility,
    bias: Float[Array, "1 N T S"] | None,
    key: PRNGKeyArray | None,
) -> Float[Array, "B T N H"]:
    """Returns the values mixed by the softmax of the logits, by the kernel for the place.

    Args:
      config: the bound of the logits and the dropout rate of the probabilities.
      queries: scaled queries.
      keys: keys of the same rows.
      values: values of the same rows.
      visible: which keys a query may attend to.
      bias: float32, added to the logits; None for none.
      key: dropout key of the layer, or None.
    """
    if jax.default_backend() == "cpu" and _one_device():
        settings = attention_blocks.Settings(
            config.attention_softcap, 0.0 if key is None else config.attention_dropout_rate
        )
        return attention_blocks.attention(settings, queries, keys, values, visible, bias, key)
    mixed = plain(config, queries, (keys,), (values,), visible.mask(), bias, key)
    return checkpoint_name(mixed, MIXED)


def _one_device() -> bool:
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.empty or mesh.size == 1


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
    product = _product_on_cpu if jax.default_backend() == "cpu" else _product
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
