"""Attention: parameters, masks, positions, and the product itself.

Axes: B rows, T query positions, S key positions, N query heads, K key and value heads,
G = N / K query heads that share a key head, H head width, D model width, L layers.

Masks are boolean [B, T, S], True where a query may attend to a key.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params, dropout, matmul, parameter
from flan_jax.parallel.rules import constrain

# Finite, so that a query with no key at all (padding) averages values instead of giving NaN.
MASKED = -1e9


class Attention(nnx.Module):
    """Parameters of the pre-normalised attention layers of a stack.

    The heads of a kernel are joined in one dimension: Adafactor factors only dimensions of at
    least 128, and [D, N, H] with H = 64 would be kept whole.
    """

    def __init__(self, config: ModelConfig, layers: int, rngs: nnx.Rngs):
        d, heads = config.d_model, config.num_heads * config.head_dim
        kv_heads = config.kv_heads * config.head_dim
        # T5 leaves attention logits unscaled and starts with smaller queries instead.
        query_std = (d * config.head_dim) ** -0.5 if config.scaling == "t5" else d**-0.5
        declare = functools.partial(parameter, config, rngs, layers=layers)
        self.norm = declare((d,), ("norm",), None)
        self.query = declare((d, heads), ("embed", "heads"), query_std)
        self.key = declare((d, kv_heads), ("embed", "kv_heads"), d**-0.5)
        self.value = declare((d, kv_heads), ("embed", "kv_heads"), d**-0.5)
        self.out = declare((heads, d), ("heads", "embed"), heads**-0.5)


def segment_mask(
    query_segments: Int[Array, "B T"], key_segments: Int[Array, "B S"]
) -> Bool[Array, "B T S"]:
    """Allows attention within a segment: packed examples do not see each other.

    Padding (segment 0) sees padding alone; what it computes has no weight anywhere.
    """
    return query_segments[:, :, None] == key_segments[:, None, :]


def causal_mask(
    segments: Int[Array, "B T"], prefix: Bool[Array, "B T"] | None = None
) -> Bool[Array, "B T T"]:
    """Allows attention to earlier positions of the segment, and to all of its prefix.

    Args:
      segments: segment ids.
      prefix: True on positions that the whole segment may see (prefix LM, Raffel et al. 2020,
        section 3.2.1), or None.
    """
    index = jnp.arange(segments.shape[1])
    visible = index[:, None] >= index[None, :]
    if prefix is not None:
        visible = visible | prefix[:, None, :]
    return segment_mask(segments, segments) & visible


@functools.cache
def _bucket_of_distance(buckets: int, max_distance: int) -> np.ndarray:
    """Returns the bucket of the distances 0 .. max_distance, as int32 [max_distance + 1].

    The first half of the buckets hold one distance each; bucket `exact + k` begins at distance
    exact * (max_distance / exact) ** (k / (buckets - exact)), compared here in whole numbers,
    since rounded logarithms would move the edges from one machine to the next.
    """
    exact = buckets // 2
    steps = buckets - exact
    table = np.arange(max_distance + 1, dtype=np.int32)
    for distance in range(exact, max_distance + 1):
        k = 0
        while k + 1 < steps and distance**steps >= (
            exact ** (steps - k - 1) * max_distance ** (k + 1)
        ):
            k += 1
        table[distance] = exact + k
    table.flags.writeable = False
    return table


def relative_bucket(
    relative: Int[Array, "..."], bidirectional: bool, buckets: int, max_distance: int
) -> Int[Array, "..."]:
    """Returns the bucket of relative positions (Raffel et al. 2020, section 2.1).

    Example: with 32 buckets and distance 128, keys 0, 1, 8, 16 and 200 tokens before the query
    are in buckets 0, 1, 8, 10 and 15 where later keys have buckets of their own (16 to 31), and
    in 0, 1, 8, 16 and 31 where there are no later keys.

    Args:
      relative: int32, key position minus query position, in tokens.
      bidirectional: later keys have half of the buckets; if False they share bucket 0.
      buckets: number of buckets.
      max_distance: distance from which all positions share the last bucket.
    """
    offset = 0
    if bidirectional:
        buckets //= 2
        offset = jnp.where(relative > 0, buckets, 0)
        distance = jnp.abs(relative)
    else:
        distance = jnp.maximum(-relative, 0)
    table = jnp.asarray(_bucket_of_distance(buckets, max_distance))
    return offset + table[jnp.minimum(distance, max_distance)]


def relative_bias(
    config: ModelConfig,
    table: Float[Array, "buckets N"],
    queries: int,
    keys: int,
    bidirectional: bool,
) -> Float[Array, "1 N T S"]:
    """Returns the attention bias of every pair of positions of a row.

    Positions are indices in the row. For packed rows that is right as well: a segment is
    contiguous, so two of its positions differ by as much as their indices do, and pairs of
    different segments are masked.

    Args:
      config: the distance of the last bucket.
      table: bias of each bucket and head.
      queries: T.
      keys: S.
      bidirectional: see `relative_bucket`.
    """
    # The bias is a function of s - t alone. One row holds its values at s - t modulo T + S; T
    # copies of the row, read with one entry less to the line, are shifted by one a line. This
    # takes a broadcast and a slice, and its gradient a sum, where a lookup of all T x S pairs
    # would have a scatter for its gradient.
    period = queries + keys
    relative = jnp.concatenate([jnp.arange(keys), jnp.arange(-queries, 0)])
    bucket = relative_bucket(
        relative, bidirectional, table.shape[0], config.relative_max_distance
    )
    values = table.astype(jnp.float32)[bucket].T  # [N, T + S]
    heads = values.shape[0]
    lines = jnp.broadcast_to(values[:, None], (heads, queries, period)).reshape(heads, -1)
    lines = lines[:, : queries * (period - 1)].reshape(heads, queries, period - 1)
    return lines[None, :, :, :keys]


def relative_bias_at(
    config: ModelConfig,
    table: Float[Array, "buckets N"],
    positions: Int[Array, " B"],
    keys: int,
    bidirectional: bool,
) -> Float[Array, "B N 1 S"]:
    """Returns the bias of one query a row, at its own position, to the keys 0 .. S - 1."""
    relative = jnp.arange(keys)[None, :] - positions[:, None]
    bucket = relative_bucket(
        relative, bidirectional, table.shape[0], config.relative_max_distance
    )
    return table.astype(jnp.float32)[bucket].transpose(0, 2, 1)[:, :, None, :]


def rope(
    x: Float[Array, "B T heads H"], positions: Int[Array, "B T"], theta: float
) -> Float[Array, "B T heads H"]:
    """Rotates the halves of each head by angles that grow with position (Su et al. 2021).

    Entry i is paired with entry i + H / 2, as in Llama's published weights on Hugging Face.
    """
    half = x.shape[-1] // 2
    frequencies = theta ** (-np.arange(half, dtype=np.float32) / half)
    angles = positions[:, :, None, None].astype(jnp.float32) * frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    rotated = [first * cos - second * sin, first * sin + second * cos]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def _project(config: ModelConfig, kernel: Array, x: Array, heads: int) -> Array:
    y = matmul(x, kernel.astype(config.dtype))
    return y.reshape(*y.shape[:2], heads, config.head_dim)


def project_queries(
    config: ModelConfig,
    params: Params,
    x: Float[Array, "B T D"],
    positions: Int[Array, "B T"] | None,
) -> Float[Array, "B T N H"]:
    """Returns the queries of normalised inputs, rotated where positions are given."""
    queries = _project(config, params["query"], x, config.num_heads)
    if positions is not None:
        queries = rope(queries, positions, config.rope_theta)
    if config.scaling != "t5":
        queries = queries * config.head_dim**-0.5
    return constrain(queries, "batch", "length", "heads", "head_dim")


def project_keys_values(
    config: ModelConfig,
    params: Params,
    x: Float[Array, "B S D"],
    positions: Int[Array, "B S"] | None,
) -> tuple[Float[Array, "B S K H"], Float[Array, "B S K H"]]:
    """Returns keys and values of normalised inputs; keys are rotated where positions are given."""
    keys = _project(config, params["key"], x, config.kv_heads)
    values = _project(config, params["value"], x, config.kv_heads)
    if positions is not None:
        keys = rope(keys, positions, config.rope_theta)
    axes = ("batch", "key_length", "kv_heads", "head_dim")
    return constrain(keys, *axes), constrain(values, *axes)


def attend(
    config: ModelConfig,
    params: Params,
    queries: Float[Array, "B T N H"],
    keys: Float[Array, "B S K H"],
    values: Float[Array, "B S K H"],
    mask: Bool[Array, "B T S"],
    bias: Float[Array, "#B N T S"] | None,
    key: PRNGKeyArray | None,
) -> Float[Array, "B T D"]:
    """Returns the attention layer's output, before it is added to the residual.

    Args:
      config: head counts and the dropout rate of the probabilities.
      params: `Attention` parameters of one layer.
      queries: scaled queries.
      keys: keys.
      values: values.
      mask: where attention is allowed.
      bias: float32, added to the logits; None for none.
      key: dropout key of the layer, or None.
    """
    rows, length, heads, width = queries.shape
    groups = heads // keys.shape[2]
    queries = queries.reshape(rows, length, keys.shape[2], groups, width)
    logits = jnp.einsum(
        "btkgh,bskh->bkgts", queries, keys, preferred_element_type=jnp.float32
    )
    if bias is not None:
        logits = logits + bias.reshape(bias.shape[0], -1, groups, *bias.shape[2:])
    logits = jnp.where(mask[:, None, None], logits, MASKED)
    # The softmax divides after the product with the values: then its gradient sums over the head
    # width H, and not over all S keys of every query. The division is an einsum, and so its
    # gradient a matrix product, which on a CPU takes a fifth of the time of the sum.
    largest = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    weights = jnp.exp(logits - largest)
    total = jnp.sum(weights, axis=-1)  # [B, K, G, T], at least 1
    weights = dropout(weights, config.attention_dropout_rate, key, site=0).astype(values.dtype)
    mixed = jnp.einsum(
        "bkgts,bskh->btkgh", weights, values, preferred_element_type=jnp.float32
    )
    mixed = jnp.einsum("btkgh,bkgt->btkgh", mixed, 1 / total).astype(values.dtype)
    mixed = mixed.reshape(rows, length, heads * width)
    return matmul(mixed, params["out"].astype(config.dtype))
