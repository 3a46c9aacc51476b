"""Softmax attention one head and row at a time, for CPUs.

The logits of all heads and rows at once, [B, N, T, S], take longer to write to memory and to read
again than to compute: on one core 390 ms forward and backward for 8 rows, 6 heads and 512 x 512
positions, where this takes 160. One head of one row at a time stays in a core's cache, and the
backward pass computes it again from queries and keys instead of keeping it for every layer (Dao
et al. 2022, section 3.1; the blocks need no tiles, since all keys of a row fit). Masks are made of
all rows at once, a byte for each pair of positions, which all heads read.

Axes: B rows, T query positions, S key positions, N query heads, K key and value heads, H head
width.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from flan_jax.model.layers import MIXED, dropout
from flan_jax.model.visibility import MASKED, Visibility


class Settings(NamedTuple):
    """What the backward pass must know that is no array.

    Attributes:
      softcap: bound of the logits, or None.
      dropout_rate: of the probabilities.
    """

    softcap: float | None
    dropout_rate: float


class _Block(NamedTuple):
    """The operands of one head of one row."""

    queries: Float[Array, "T H"]
    keys: Float[Array, "S H"]
    values: Float[Array, "S H"]
    bias: Float[Array, "T S"] | None
    visible: Bool[Array, "T S"]
    key: PRNGKeyArray | None


def attention(
    settings: Settings,
    queries: Float[Array, "B T N H"],
    keys: Float[Array, "B K S H"],
    values: Float[Array, "B K S H"],
    visible: Visibility,
    bias: Float[Array, "1 N T S"] | None,
    key: PRNGKeyArray | None,
) -> Float[Array, "B T N H"]:
    """Returns the values mixed by the softmax of the logits, in the dtype of the values.

    Args:
      settings: bound of the logits and dropout.
      queries: scaled queries.
      keys: any float type; products are of float32, the only type that is fast here.
      values: as the keys.
      visible: which keys a query may attend to.
      bias: float32, added to the logits; None for none.
      key: dropout key, or None.
    """
    operands = (queries, keys, values, bias)
    operands = jax.tree.map(lambda x: x.astype(jnp.float32), operands)
    return _attention(settings, *operands, visible, key).astype(values.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(settings, queries, keys, values, bias, visible, key):
    return _forward(settings, queries, keys, values, bias, visible, key)[0]


def _forward(settings, queries, keys, values, bias, visible, key):
    rows, length, heads, _ = queries.shape
    operands = (queries, keys, values, bias, visible.mask(), key)

    def one(_, place):
        block = _block(operands, *place)
        logits = _logits(settings, block)[0]
        largest = jnp.max(logits, axis=-1, keepdims=True)
        weights = jnp.exp(logits - largest)
        inverse = 1 / jnp.sum(weights, axis=-1, keepdims=True)
        weights = dropout(weights, settings.dropout_rate, block.key, site=0)
        return None, (weights @ block.values * inverse, inverse[:, 0])

    _, (mixed, inverse) = jax.lax.scan(one, None, np.divmod(np.arange(heads * rows), rows))
    mixed = checkpoint_name(_split(mixed, heads).transpose(1, 2, 0, 3), MIXED)
    inverse = checkpoint_name(_split(inverse, heads), MIXED)  # [N, B, T]
    return mixed, ((queries, keys, values, bias, visible, key), mixed, inverse)


def _backward(settings, residuals, gradient):
    operands, mixed, inverse = residuals
    queries, keys, values, bias, visible, key = operands
    operands = (queries, keys, values, bias, visible.mask(), key)
    rows, length, heads, width = queries.shape
    slots, groups = keys.shape[2], heads // keys.shape[1]
    # The softmax divides what comes back instead of each weight.
    gradient = gradient * inverse.transpose(1, 2, 0)[..., None]
    along = jnp.einsum("btnh,btnh->nbt", mixed, gradient)

    def one(bias_gradient, place):
        head, row = place
        block = _block(operands, head, row)
        logits, slope = _logits(settings, block)
        # The largest is found again: with one that was kept the compiler fuses the exponential
        # with what makes the logits, then does not vectorise it, and it takes ten times as long.
        largest = jnp.max(logits, axis=-1, keepdims=True)
        weights = jnp.exp(logits - largest)
        out = gradient[row, :, head]
        of_weights = dropout(out @ block.values.T, settings.dropout_rate, block.key, site=0)
        # What is masked has no weight, but for queries that see nothing at all.
        some = (largest > MASKED).astype(jnp.float32)
        of_logits = weights * (some * (of_weights - along[head, row][:, None]))
        weights = dropout(weights, settings.dropout_rate, block.key, site=0)
        of_bias = None if bias is None else bias_gradient + of_logits
        of_products = of_logits * slope
        of_queries = of_products @ block.keys
        # Transposed: as [S, H] these two products take 1.7 times as long.
        return of_bias, (of_queries, block.queries.T @ of_products, out.T @ weights)

    def one_head(_, head):
        start = None if bias is None else jnp.zeros((length, slots))
        return None, jax.lax.scan(one, start, (jnp.full(rows, head), jnp.arange(rows)))

    _, (of_bias, parts) = jax.lax.scan(one_head, None, jnp.arange(heads))
    of_queries, of_keys, of_values = parts  # [N, B, T, H] and twice [N, B, H, S]
    of_queries = of_queries.transpose(1, 2, 0, 3)
    shared = (keys.shape[1], groups, rows, width, slots)
    of_keys, of_values = (
        jnp.sum(x.reshape(shared), axis=1).transpose(1, 0, 3, 2) for x in (of_keys, of_values)
    )
    of_bias = None if bias is None else of_bias[None]
    return of_queries, of_keys, of_values, of_bias, None, None


_attention.defvjp(_forward, _backward)


def _block(operands, head: Int[Array, ""], row: Int[Array, ""]) -> _Block:
    queries, keys, values, bias, visible, key = operands
    groups = queries.shape[2] // keys.shape[1]
    if key is not None:
        key = jax.random.fold_in(key, head * queries.shape[0] + row)
    return _Block(
        queries[row, :, head],
        keys[row, head // groups],
        values[row, head // groups],
        None if bias is None else bias[0, head],
        visible[row],
        key,
    )


def _logits(
    settings: Settings, block: _Block
) -> tuple[Float[Array, "T S"], Float[Array, "T S"] | float]:
    """Returns the masked logits, and their slope by the product of queries and keys."""
    logits, slope = block.queries @ block.keys.T, 1.0
    if settings.softcap is not None:
        bounded = jnp.tanh(logits / settings.softcap)
        logits, slope = settings.softcap * bounded, 1 - jnp.square(bounded)
    if block.bias is not None:
        logits = logits + block.bias
    return jnp.where(block.visible, logits, MASKED), slope


def _split(x: Array, heads: int) -> Array:
    """[N * B, ...] to [N, B, ...]."""
    return x.reshape(heads, -1, *x.shape[1:])
