"""Attention: parameters, masks, positions, and the product itself.

Axes: B rows, T query positions, S key positions, N query heads, K key and value heads,
G = N / K query heads that share a key head, H head width, D model width, L layers.

Masks are boolean [B, T, S], True where a query may attend to a key.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from flan_jax.model import attention_kernels
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params, linear, parameter, rms_norm
from flan_jax.model.visibility import Visibility
from flan_jax.parallel.rules import constrain


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
        if config.qkv_bias:
            self.query_bias = declare((heads,), ("heads",), 0.0)
            self.key_bias = declare((kv_heads,), ("kv_heads",), 0.0)
            self.value_bias = declare((kv_heads,), ("kv_heads",), 0.0)
        if config.qk_norm:
            self.query_norm = declare((config.head_dim,), ("norm",), None)
            self.key_norm = declare((config.head_dim,), ("norm",), None)
        if config.post_norms:
            self.post_norm = declare((d,), ("norm",), None)


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
    bucket = relative_bucket(relative, bidirectional, table.shape[0], config.relative_max_distance)
    values = table.astype(jnp.float32)[bucket].T  # [N, T + S]
    heads = values.shape[0]
    lines = jnp.broadcast_to(values[:, None], (heads, queries, period)).reshape(heads, -1)
    lines = lines[:, : queries * (period - 1)].reshape(heads, queries, period - 1)
    return lines[None, :, :, :keys]


class Bias(NamedTuple):
    """The relative position bias of whole rows, for kernels that want it written out or do not.

    Attributes:
      values: float32, written out; never computed where the kernel makes it of the table.
      table: bias of each bucket and head.
      bidirectional: see `relative_bucket`.
    """

    values: Float[Array, "1 N T S"]
    table: Float[Array, "buckets N"]
    bidirectional: bool


def whole_bias(
    config: ModelConfig,
    table: Float[Array, "buckets N"],
    queries: int,
    keys: int,
    bidirectional: bool,
) -> Bias:
    """Returns the bias of whole rows; the arguments are those of `relative_bias`."""
    values = relative_bias(config, table, queries, keys, bidirectional)
    return Bias(values, table, bidirectional)


def relative_bias_at(
    config: ModelConfig,
    table: Float[Array, "buckets N"],
    queries: Int[Array, "B T"],
    keys: Int[Array, "B S"],
    bidirectional: bool,
) -> Float[Array, "B N T S"]:
    """Returns the bias of queries to keys that are both at positions of their own.

    Args:
      config: the distance of the last bucket.
      table: bias of each bucket and head.
      queries: positions of the queries.
      keys: positions of the keys.
      bidirectional: see `relative_bucket`.
    """
    relative = keys[:, None, :] - queries[:, :, None]
    bucket = relative_bucket(relative, bidirectional, table.shape[0], config.relative_max_distance)
    return table.astype(jnp.float32)[bucket].transpose(0, 3, 1, 2)


@functools.cache
def rope_frequencies(config: ModelConfig, local: bool = False) -> np.ndarray:
    """Returns the rotary frequencies of each pair of entries, radians a token, float32 [H / 2].

    Args:
      config: their base and how they are scaled.
      local: those of a layer with a sliding window, where they may differ.
    """
    exponents = -np.arange(config.head_dim // 2, dtype=np.float32) / (config.head_dim // 2)
    if local and config.rope_theta_local is not None:
        return config.rope_theta_local**exponents
    frequencies = config.rope_theta**exponents
    if config.rope_scaling == "none":
        return frequencies
    scaled = frequencies / config.rope_factor
    if config.rope_scaling == "linear":
        return scaled
    turns = config.rope_original_length * frequencies / (2 * np.pi)
    low, high = config.rope_low_factor, config.rope_high_factor
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return ((1 - kept) * scaled + kept * frequencies).astype(np.float32)


class Rotation(NamedTuple):
    """What rotary embeddings need: positions and the frequencies of the layer."""

    positions: Int[Array, "B T"]
    frequencies: Float[Array, " half"]


def rope(x: Float[Array, "B T heads H"], rotation: Rotation) -> Float[Array, "B T heads H"]:
    """Rotates the halves of each head by angles that grow with position (Su et al. 2021).

    Entry i is paired with entry i + H / 2, as in Llama's published weights on Hugging Face.
    """
    half = x.shape[-1] // 2
    angles = rotation.positions[:, :, None, None].astype(jnp.float32) * rotation.frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second = x[..., :half].astype(jnp.float32), x[..., half:].astype(jnp.float32)
    rotated = [first * cos - second * sin, first * sin + second * cos]
    return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def _project(
    config: ModelConfig, params: Params, name: str, x: Array, key: PRNGKeyArray | None, site: int
) -> Array:
    """Returns queries, keys or values as heads, with their bias and norm if they have one."""
    y = linear(config, x, params[name], key, site)
    if f"{name}_bias" in params:
        y = y + params[f"{name}_bias"].astype(config.dtype)
    y = y.reshape(*y.shape[:2], -1, config.head_dim)
    return rms_norm(config, y, params[f"{name}_norm"]) if f"{name}_norm" in params else y


def project_queries(
    config: ModelConfig,
    params: Params,
    x: Float[Array, "B T D"],
    rotation: Rotation | None,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "B T N H"]:
    """Returns the queries of normalised inputs, rotated if they are to be."""
    queries = _project(config, params, "query", x, key, site=2)
    if rotation is not None:
        queries = rope(queries, rotation)
    if config.scaling != "t5":
        queries = queries * (config.query_scaling_dim or config.head_dim) ** -0.5
    return constrain(queries, "batch", "length", "heads", "head_dim")


def project_keys_values(
    config: ModelConfig,
    params: Params,
    x: Float[Array, "B S D"],
    rotation: Rotation | None,
    key: PRNGKeyArray | None = None,
) -> tuple[Float[Array, "B K S H"], Float[Array, "B K S H"]]:
    """Returns keys and values of normalised inputs; the keys are rotated if they are to be.

    Heads come before positions, as products with them want it on a CPU: a cache in any other
    order would be turned round at each token.
    """
    keys = _project(config, params, "key", x, key, site=3)
    values = _project(config, params, "value", x, key, site=4)
    if rotation is not None:
        keys = rope(keys, rotation)
    axes = ("batch", "key_length", "kv_heads", "head_dim")
    keys, values = constrain(keys, *axes), constrain(values, *axes)
    return keys.swapaxes(1, 2), values.swapaxes(1, 2)


def attend(
    config: ModelConfig,
    params: Params,
    queries: Float[Array, "B T N H"],
    keys: Sequence[Float[Array, "B K _ H"]],
    values: Sequence[Float[Array, "B K _ H"]],
    mask: Bool[Array, "B T S"] | Visibility,
    bias: Float[Array, "#B N T S"] | Bias | None,
    key: PRNGKeyArray | None,
) -> Float[Array, "B T D"]:
    """Returns the attention layer's output, before it is added to the residual.

    Args:
      config: the bound of the logits and the dropout rate of the probabilities.
      params: `Attention` parameters of one layer.
      queries: scaled queries.
      keys: keys, in pieces that follow each other along S: copying a cache and what is new into
        one array would take longer than the products.
      values: values, likewise.
      mask: where attention is allowed; a `Visibility` for whole rows (one piece of keys), which
        leaves the kernel to `attention_kernels`.
      bias: float32, added to the logits, or a `Bias` for whole rows; None for none.
      key: dropout key of the layer, or None.
    """
    if isinstance(mask, Visibility):
        mixed = attention_kernels.whole_rows(config, queries, *keys, *values, mask, bias, key)
    else:
        mixed = attention_kernels.plain(config, queries, keys, values, mask, bias, key)
    mixed = mixed.reshape(*mixed.shape[:2], -1)
    y = linear(config, mixed, params["out"], key, site=5)
    return rms_norm(config, y, params["post_norm"]) if config.post_norms else y
