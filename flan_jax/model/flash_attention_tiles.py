"""What the flash-attention kernels share: the tiling, who may see whom, and which tiles matter.

Axes: B rows, T queries, S keys (both padded to whole blocks here), N query heads, K key and value
heads, H head width.

A tile is the product of a block of queries and a block of keys. Its position relative to the
diagonal is `key block - query block`, here called its offset.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

# A query with no key so far has `NOTHING` as its largest logit, and `HIDDEN` is far below it: so
# exp(HIDDEN - NOTHING) is 0, a query without keys gets zeros, and nothing is ever infinite.
NOTHING, HIDDEN = -1e30, -2e30
# Segment ids of padding in the row (the batch's 0, moved behind all others so that the ids of a
# row ascend) and of positions that were added to fill a block: those of queries match no key.
_PADDING, _NO_QUERY, _NO_KEY = 2**30, 2**30 + 1, 2**30 + 2


@dataclasses.dataclass(frozen=True)
class Tiling:
    """The static facts of one call.

    Attributes:
      platform: "tpu" or "gpu": whose kernels.
      block_q: queries of a block.
      block_k: keys of a block; with a bias as many as queries.
      query_blocks: blocks of queries.
      key_blocks: blocks of keys.
      scale: factor of the products of queries and keys.
      softcap: bound of the scaled products (Gemma 2), before the bias is added; None for none.
      max_distance: distance from which all keys of a side share a bucket; None without a bias.
      causal: whether later keys are hidden, all of them.
      interpret: run the kernels as JAX operations, on any backend.
    """

    platform: str
    block_q: int
    block_k: int
    query_blocks: int
    key_blocks: int
    scale: float
    softcap: float | None
    max_distance: int | None
    causal: bool
    interpret: bool

    @property
    def queries(self) -> int:
        """Queries of a row, filled up to whole blocks."""
        return self.query_blocks * self.block_q

    @property
    def keys(self) -> int:
        """Keys of a row, filled up to whole blocks."""
        return self.key_blocks * self.block_k

    @property
    def near(self) -> tuple[int, int]:
        """The lowest and highest offset of tiles with pairs less than `max_distance` apart.

        Beyond them the bias is one number a side.
        """
        reach = math.ceil((self.max_distance - 1) / self.block_q)
        highest = 0 if self.causal else min(reach, self.key_blocks - 1)
        return -min(reach, self.query_blocks - 1), highest


class Marks(NamedTuple):
    """Who may see whom, O(T + S) numbers a row.

    A query sees a key of its own segment whose `first` is at most the query's index.

    Attributes:
      queries: segment ids of queries, int32 [B, 1, T].
      keys: segment ids of keys, and the index of the first query that may see each, int32
        [B, 2, S].
    """

    queries: Int[Array, "B one T"]
    keys: Int[Array, "B two S"]


class Inputs(NamedTuple):
    """What a kernel attends with.

    The four axes of queries, keys and values are in the order of the kernels' `LAYOUT`.

    Attributes:
      q: queries.
      k: keys.
      v: values.
      rows: the bias, heads first: the table at the buckets of the kernels' `bias_distances`; empty
        without a bias.
      marks: who may see whom.
    """

    q: Float[Array, "_ _ _ _"]
    k: Float[Array, "_ _ _ _"]
    v: Float[Array, "_ _ _ _"]
    rows: tuple[Float[Array, "N ..."], ...]
    marks: Marks


class Summary(NamedTuple):
    """What is known of whole blocks, int32, flattened to one dimension (row, block).

    Attributes:
      key_start, key_end: first and last block of keys that a block of queries may see any of.
      query_start, query_end: the same of queries, for a block of keys. An end before its start
        says that there is none.
      query_segment: the segment id that all queries of a block have, -1 if they differ.
      key_segment: the same of keys, -2 if they differ.
      last_first: the largest `first` of a block of keys.
    """

    key_start: Int[Array, " BT"]
    key_end: Int[Array, " BT"]
    query_start: Int[Array, " BS"]
    query_end: Int[Array, " BS"]
    query_segment: Int[Array, " BT"]
    key_segment: Int[Array, " BS"]
    last_first: Int[Array, " BS"]


def pad_to(x: Array, axis: int, length: int, value: int = 0) -> Array:
    """Returns `x` filled up with `value` to `length` entries along an axis."""
    widths = [(0, 0)] * x.ndim
    widths[axis] = (0, length - x.shape[axis])
    return jnp.pad(x, widths, constant_values=value) if any(widths[axis]) else x


def make_marks(
    tiling: Tiling,
    query_segments: Int[Array, "B t"],
    key_segments: Int[Array, "B s"],
    prefix: Bool[Array, "B s"] | None,
) -> Marks:
    """Returns the marks of padded rows.

    Args:
      tiling: block sizes, and whether attention is causal.
      query_segments: segment ids of the queries, 0 on padding.
      key_segments: segment ids of the keys, 0 on padding.
      prefix: True on keys that their whole segment may see, where others are seen by later
        queries alone; None where `tiling.causal` says all.
    """
    index = jnp.arange(key_segments.shape[1], dtype=jnp.int32)
    first = jnp.where(prefix, 0, index) if prefix is not None else index * tiling.causal
    first = jnp.broadcast_to(first, key_segments.shape)

    def ids(segments, length, filler):
        segments = jnp.where(segments == 0, _PADDING, segments).astype(jnp.int32)
        return pad_to(segments, 1, length, filler)

    queries = ids(query_segments, tiling.queries, _NO_QUERY)
    keys = ids(key_segments, tiling.keys, _NO_KEY)
    first = pad_to(first, 1, tiling.keys, _NO_KEY)
    return Marks(queries[:, None], jnp.stack([keys, first], axis=1))


def summarise(tiling: Tiling, marks: Marks) -> Summary:
    """Returns what the marks say of whole blocks, so that kernels can leave tiles out.

    It is exact where the segment ids of a row ascend, as packing makes them; of other rows some
    tiles are computed in vain.
    """
    queries = marks.queries[:, 0].reshape(-1, tiling.query_blocks, tiling.block_q)
    keys = marks.keys[:, 0].reshape(-1, tiling.key_blocks, tiling.block_k)
    first = marks.keys[:, 1].reshape(-1, tiling.key_blocks, tiling.block_k)
    low, high = queries.min(-1), queries.max(-1)
    key_low, key_high = keys.min(-1), keys.max(-1)
    last_query = jnp.arange(1, tiling.query_blocks + 1, dtype=jnp.int32) * tiling.block_q - 1
    seen = (low[:, :, None] <= key_high[:, None]) & (key_low[:, None] <= high[:, :, None])
    seen &= first.min(-1)[:, None] <= last_query[:, None]

    def ends(seen, axis):
        blocks = seen.shape[axis]
        start = jnp.argmax(seen, axis)
        end = blocks - 1 - jnp.argmax(jnp.flip(seen, axis), axis)
        end = jnp.where(jnp.any(seen, axis), end, start - 1)
        return start.astype(jnp.int32).reshape(-1), end.astype(jnp.int32).reshape(-1)

    return Summary(
        *ends(seen, 2),
        *ends(seen, 1),
        jnp.where(low == high, low, -1).reshape(-1),
        jnp.where(key_low == key_high, key_low, -2).reshape(-1),
        first.max(-1).reshape(-1),
    )


def capped_logits(tiling: Tiling, products: Array) -> tuple[Array, Array | float]:
    """Returns the logits without bias, and their derivative by the products."""
    logits = products * tiling.scale
    if tiling.softcap is None:
        return logits, tiling.scale
    bounded = jnp.tanh(logits / tiling.softcap)
    return bounded * tiling.softcap, (1 - bounded * bounded) * tiling.scale


def sum_over_queries(shares: Array, keys: Array, axis: int) -> Array:
    """Returns the gradient of keys (or values) that several heads of queries share.

    Args:
      shares: that of each head of queries, which are N along `axis`.
      keys: what the gradient is of; K along `axis`.
      axis: that of the heads.
    """
    kv_heads = keys.shape[axis]
    groups = shares.reshape(*shares.shape[:axis], kv_heads, -1, *shares.shape[axis + 1 :])
    return groups.sum(axis + 1).astype(keys.dtype)


def accumulation_dtype(x: Array) -> np.dtype:
    """Returns float32, or float64 for float64 inputs (in tests)."""
    return jnp.promote_types(jnp.float32, x.dtype)


def multiply(left: Array, right: Array, contract: tuple[int, int]) -> Array:
    """Returns the matrix product over the given dimensions, at full precision for float32."""
    exact = left.dtype.itemsize >= 4
    return jax.lax.dot_general(
        left,
        right,
        (((contract[0],), (contract[1],)), ((), ())),
        precision=jax.lax.Precision.HIGHEST if exact else jax.lax.Precision.DEFAULT,
        preferred_element_type=accumulation_dtype(left),
    )
