"""One layer of the transformer: its parameters, what it is given, and its function.

Axes: B rows, T decoder positions, S encoder positions or cache slots, N query heads, K key and
value heads, H head width, D model width, L layers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from flan_jax.model import attention, kv_cache, visibility
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import (
    FeedForward,
    Params,
    dropout,
    feed_forward,
    parameter,
    rms_norm,
)
from flan_jax.model.visibility import Visibility
from flan_jax.parallel.rules import constrain


def relative_bias_table(
    config: ModelConfig, rngs: nnx.Rngs, layers: int | None = None
) -> nnx.Param:
    """Declares the relative position table of a stack, or one for each of its layers."""
    shape = (config.relative_buckets, config.num_heads)
    axes = ("relative_buckets", "bias_heads")
    return parameter(config, rngs, shape, axes, config.d_model**-0.5, layers)


class Layers(nnx.Module):
    """Parameters of the layers of one stack."""

    def __init__(self, config: ModelConfig, layers: int, cross: bool, rngs: nnx.Rngs):
        self.self_attention = attention.Attention(config, layers, rngs)
        if cross:
            self.cross_attention = attention.Attention(config, layers, rngs)
        self.feed_forward = FeedForward(config, layers, rngs)
        if config.positions == "relative_bias_per_layer":
            self.relative_bias = relative_bias_table(config, rngs, layers)


class Shared(NamedTuple):
    """What every layer of a stack is given alike.

    Attributes:
      mask: self attention, [B, T, S].
      local_mask: the same in layers with a sliding window, where some have one and some do not.
      bias: relative position bias that the layers share, [1 or B, N, T, S], or None.
      bias_of: function from a layer's own table to its bias, or None.
      positions: positions for rotary embeddings, [B, T], or None.
      write: function that puts new keys or values into those of a cache, or None for a cache that
        is followed by what is new.
      encoded: encoder output, [B, S, D], or None.
      cross_mask: cross attention, [B, T, S], or None.
    """

    mask: Bool[Array, "B T S"] | Visibility
    local_mask: Bool[Array, "B T S"] | Visibility | None = None
    bias: Float[Array, "#B N T S"] | attention.Bias | None = None
    bias_of: Callable[[Array], Array | attention.Bias] | None = None
    positions: Int[Array, "B T"] | None = None
    write: Callable[[Any, Array], Any] | None = None
    encoded: Float[Array, "B S D"] | None = None
    cross_mask: Bool[Array, "B T S"] | Visibility | None = None


class LayerCache(NamedTuple):
    """Keys and values that a decoder layer (or, with a leading L, all of them) has computed."""

    keys: Float[Array, "B K S H"]
    values: Float[Array, "B K S H"]
    cross_keys: Float[Array, "B K S H"] | None
    cross_values: Float[Array, "B K S H"] | None


def local_layers(config: ModelConfig, layers: int) -> np.ndarray | None:
    """Returns which layers have a sliding window, bool [L]; None where all layers are alike."""
    if config.global_every is None:
        return None
    return np.arange(1, layers + 1) % config.global_every != 0


def _mask_and_rotation(
    config: ModelConfig, shared: Shared, local: Bool[Array, ""] | None
) -> tuple[Bool[Array, "B T S"] | Visibility, attention.Rotation | None]:
    """Returns the mask and the rotary embedding of one layer."""
    mask = shared.mask
    if local is not None:
        mask = visibility.where(local, shared.local_mask, mask)
    if shared.positions is None:
        return mask, None
    sliding = config.sliding_window is not None
    if local is None:
        frequencies = attention.rope_frequencies(config, sliding)
    else:
        both = [attention.rope_frequencies(config, kind) for kind in (True, False)]
        frequencies = jnp.where(local, *both)
    return mask, attention.Rotation(shared.positions, frequencies)


def apply_layer(
    config: ModelConfig,
    params: Params,
    x: Float[Array, "B T D"],
    shared: Shared,
    key: PRNGKeyArray | None,
    cache: LayerCache | None = None,
    local: Bool[Array, ""] | None = None,
) -> tuple[Float[Array, "B T D"], LayerCache]:
    """Applies one layer.

    Args:
      config: the model.
      params: parameters of this layer alone (no L axis).
      x: residual stream.
      shared: masks and the like.
      key: dropout key of this layer, or None.
      cache: keys and values of earlier positions, when rows are continued; masks and biases are
        of these, followed by the positions of `x`.
      local: whether the layer has a sliding window, where `local_layers` says that some have.

    Returns:
      The residual stream, and the keys and values that were computed for `x`, or the cache with
      them written into it (and those of the encoder output, if there was no cache).
    """
    own, new_cross = params["self_attention"], (None, None)
    keys_of = [None] * 3 if key is None else jax.random.split(key, 3)
    h = rms_norm(config, x, own["norm"])
    mask, rotation = _mask_and_rotation(config, shared, local)
    bias = shared.bias
    if shared.bias_of is not None:
        bias = shared.bias_of(params["relative_bias"])
    queries = attention.project_queries(config, own, h, rotation, keys_of[0])
    new = keys, values = attention.project_keys_values(config, own, h, rotation, keys_of[0])
    pieces = (keys,), (values,)
    if cache is not None and shared.write is None:
        pieces = (cache.keys, keys), (cache.values, values)
    elif cache is not None:
        # Written before it is read: a loop then needs no copy of it.
        new = shared.write(cache.keys, keys), shared.write(cache.values, values)
        pieces = tuple((piece,) for piece in kv_cache.load(new, config.dtype))
    y = attention.attend(config, own, queries, *pieces, mask, bias, keys_of[0])
    x = x + dropout(y, config.dropout_rate, keys_of[0], site=1)

    if "cross_attention" in params:
        cross = params["cross_attention"]
        queries = attention.project_queries(
            config, cross, rms_norm(config, x, cross["norm"]), None, keys_of[1]
        )
        if cache is None:
            new_cross = attention.project_keys_values(
                config, cross, shared.encoded, None, keys_of[1]
            )
            keys, values = new_cross
        else:
            cross_cache = cache.cross_keys, cache.cross_values
            keys, values = kv_cache.load(cross_cache, config.dtype)
        y = attention.attend(
            config, cross, queries, (keys,), (values,), shared.cross_mask, None, keys_of[1]
        )
        x = x + dropout(y, config.dropout_rate, keys_of[1], site=1)

    y = feed_forward(config, params["feed_forward"], x, keys_of[2])
    x = x + dropout(y, config.dropout_rate, keys_of[2], site=1)
    return constrain(x, "batch", "length", "embed_act"), LayerCache(*new, *new_cross)
