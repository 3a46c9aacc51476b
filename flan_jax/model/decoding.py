"""Continuing rows with a cache of keys and values, for both architectures.

Axes: B rows, T prompt positions or new positions, S cache slots or encoder positions, K key and
value heads, H head width, D model width, V embedding rows, L layers.

    logits, cache = start(config, params, tokens, lengths, room)
    while ...:
        logits, cache = decode_step(config, params, cache, logits.argmax(-1))

`start` is `encode` (encoder-decoder models only) and `prefill`. `extend` continues rows by several
tokens at once, or by several continuations that do not see each other.

Rows are left-aligned: row b's prompt is in positions 0 .. lengths[b] - 1, whatever follows is
padding, and the next token takes position lengths[b]. A slot of the cache is thus a position.
A row holds one example; a decoder prompt begins with the start token (`PAD_ID`), which is the
whole prompt of an encoder-decoder model.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from flan_jax.batch import PAD_ID, Batch
from flan_jax.model import attention, kv_cache, soft_prompt
from flan_jax.model.block import LayerCache, Shared, apply_layer, local_layers
from flan_jax.model.config import ModelConfig
from flan_jax.model.kv_cache import CacheDtype
from flan_jax.model.layers import Params, embed, output_logits, rms_norm
from flan_jax.model.transformer import decoder_hidden, encode, scan_or_unroll, with_positions
from flan_jax.model.visibility import causal_mask
from flan_jax.parallel.platform import compiled_for

__all__ = [
    "Cache", "capacity", "decode_step", "encode", "extend", "init_cache", "prefill", "split_layers",
    "split_params", "start", "take_rows",
]  # fmt: skip


class Cache(NamedTuple):
    """The state of decoding; a pytree of constant shapes, fit for `jax.lax.while_loop`.

    Attributes:
      layers: keys and values of all layers as `kv_cache.store` keeps them: own ones
        [L, B, K, capacity, H], those of the encoder's output [L, B, K, S, H] or None; after
        `split_layers` one such for each layer, without the L.
      lengths: int32, tokens that each row has in the cache; the next one's position.
      cross_mask: encoder positions that are no padding, or None.
    """

    layers: LayerCache | tuple[LayerCache, ...]
    lengths: Int[Array, " B"]
    cross_mask: Bool[Array, "B 1 S"] | None = None


class _Next(NamedTuple):
    """The tokens that rows are continued by, as `extend` is given them."""

    tokens: Int[Array, "B T"]
    segments: Int[Array, "B T"]
    positions: Int[Array, "B T"]


def start(
    config: ModelConfig,
    params: Params,
    tokens: Int[Array, "B S"],
    lengths: Int[Array, " B"],
    room: int,
    dtype: CacheDtype | None = None,
    start_token: int | None = PAD_ID,
) -> tuple[Float[Array, "B V"], Cache]:
    """Reads prompts, in the encoder if there is one, else in the decoder behind a start token.

    Args:
      config: the model (static under `jax.jit`).
      params: its parameters.
      tokens: int32 prompts, padded on the right.
      lengths: int32 tokens of each prompt; may be 0 for rows that only fill up a batch.
      room: most tokens that each row is continued by (static).
      dtype: see `prefill`.
      start_token: what decoder-only models read before a prompt, if anything (static); see
        `Boundaries`.

    Returns:
      float32 logits of the first token of each continuation, and the cache.
    """
    rows, width = tokens.shape
    first = jnp.full((rows, 1), PAD_ID, jnp.int32)
    if config.architecture == "decoder_only" and start_token is None:
        # Rows that fill up a batch have no token, and `prefill` wants one.
        some = jnp.maximum(lengths, 1)
        return prefill(config, params, tokens, some, width + room, dtype=dtype)
    if config.architecture == "decoder_only":
        prompt = jnp.concatenate([jnp.full_like(first, start_token), tokens], axis=1)
        capacity = width + 1 + room
        return prefill(config, params, prompt, lengths + 1, capacity, dtype=dtype)
    segments = (jnp.arange(width) < lengths[:, None]).astype(jnp.int32)
    encoded = encode(config, params, tokens, segments)
    ones = jnp.ones(rows, jnp.int32)
    return prefill(config, params, first, ones, 1 + room, encoded, segments, dtype)


def init_cache(config: ModelConfig, rows: int, capacity: int) -> Cache:
    """Returns an empty cache for a decoder-only model.

    Args:
      config: the model.
      rows: B.
      capacity: most positions a row can have, prompt and generated tokens together.
    """
    shape = (config.num_layers, rows, config.kv_heads, capacity, config.head_dim)
    zeros = jnp.zeros(shape, config.dtype)
    return Cache(LayerCache(zeros, zeros, None, None), jnp.zeros(rows, jnp.int32))


def prefill(
    config: ModelConfig,
    params: Params,
    prompt: Int[Array, "B T"],
    lengths: Int[Array, " B"],
    capacity: int,
    encoded: Float[Array, "B S D"] | None = None,
    encoder_segments: Int[Array, "B S"] | None = None,
    dtype: CacheDtype | None = None,
) -> tuple[Float[Array, "B V"], Cache]:
    """Processes the prompts of all rows at once.

    With `prefix_lm`, the whole prompt is attended to in both directions.

    Args:
      config: the model (static under `jax.jit`).
      params: its parameters.
      prompt: int32 decoder inputs, the start token first, padded on the right.
      lengths: int32 tokens in each row's prompt, the start token included; at least 1.
      capacity: most positions a row can have (static), those of a soft prompt not counted; at
        least T.
      encoded: output of `encode`, for encoder-decoder models.
      encoder_segments: segments that went into it, 0 on padding.
      dtype: what keys and values are kept in; None for the dtype of activations.

    Returns:
      float32 logits of the token after each row's prompt, and the cache.

    Raises:
      ValueError: if the prompt is longer than the capacity.
    """
    rows, width = prompt.shape
    if width > capacity:
        raise ValueError(f"A prompt of {width} positions does not fit a cache of {capacity}.")
    positions = jnp.broadcast_to(jnp.arange(width), prompt.shape)
    valid = positions < lengths[:, None]
    present = None if encoder_segments is None else (encoder_segments > 0).astype(jnp.int32)
    batch = Batch(
        decoder_inputs=prompt,
        decoder_targets=prompt,
        decoder_segments=valid.astype(jnp.int32),
        decoder_positions=positions,
        weights=valid.astype(jnp.float32),
        encoder_segments=present,
        decoder_prefix=valid,
    )
    hidden, layers = decoder_hidden(config, params, batch, encoded, None, keep_cache=True)
    room = ((0, 0), (0, 0), (0, 0), (0, capacity - width), (0, 0))
    layers = layers._replace(keys=jnp.pad(layers.keys, room), values=jnp.pad(layers.values, room))
    layers = kv_cache.store(layers, dtype or config.dtype)
    last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)
    logits = output_logits(config, params, last)[:, 0]
    if present is None:
        lengths = lengths + soft_prompt.inserted(params)
        return logits, Cache(layers, lengths.astype(jnp.int32))
    present = soft_prompt.before_segments(params, present)
    return logits, Cache(layers, lengths.astype(jnp.int32), present[:, None, :] > 0)


def decode_step(
    config: ModelConfig,
    params: Params,
    cache: Cache,
    tokens: Int[Array, " B"],
    dtype: CacheDtype | None = None,
) -> tuple[Float[Array, "B V"], Cache]:
    """Appends one token to every row and returns the logits of the one after it.

    A row that is already full is left as it is, and its logits mean nothing.

    Args:
      config: the model (static under `jax.jit`).
      params: its parameters.
      cache: from `start`, `prefill`, `init_cache` or the step before.
      tokens: int32, the next decoder input of each row.
      dtype: what the cache keeps, as given to `start`.
    """
    rows, positions = jnp.arange(tokens.shape[0]), cache.lengths
    alone = jnp.ones((tokens.shape[0], 1), jnp.int32)
    given = _Next(tokens[:, None], segments=alone, positions=0 * alone)

    def write(old, new: Float[Array, "*L B K 1 H"]):
        new = kv_cache.store(new, dtype or config.dtype)
        if not stacked:
            return jax.tree.map(lambda a, b: a.at[rows, :, positions].set(b[:, :, 0]), old, new)
        return jax.tree.map(
            lambda a, b: a.at[:, rows, :, positions].set(b[:, :, :, 0].swapaxes(0, 1)), old, new
        )

    if stacked := isinstance(cache.layers, LayerCache):
        # Writes after the scan; as an output of it the whole cache would be copied.
        hidden, new = extend(config, params, cache, *given)
        keys, values = write(cache.layers.keys, new.keys), write(cache.layers.values, new.values)
        layers = cache.layers._replace(keys=keys, values=values)
    else:
        x, shared = _to_continue(config, params, cache, given, write)
        hidden, layers = _apply_each(config, params["decoder"], cache, x, shared)
    logits = output_logits(config, params, hidden)[:, 0]
    return logits, Cache(layers, jnp.minimum(positions + 1, capacity(cache)), cache.cross_mask)


def extend(
    config: ModelConfig,
    params: Params,
    cache: Cache,
    tokens: Int[Array, "B T"],
    segments: Int[Array, "B T"],
    positions: Int[Array, "B T"],
) -> tuple[Float[Array, "B T D"], LayerCache]:
    """Continues each row by several tokens, and leaves the cache as it is.

    The tokens of a row may be several continuations, one behind the other. Each sees itself and
    the cache, and none sees another.

    Args:
      config: the model (static under `jax.jit`).
      params: its parameters.
      cache: from `start`, `prefill` or `init_cache`.
      tokens: int32 decoder inputs.
      segments: int32, the number of the continuation from 1; 0 on padding.
      positions: int32, index in the continuation; 0 follows the last token of the cache.

    Returns:
      The normalised last hidden states, and the keys and values of the tokens, [L, B, K, T, H].
    """
    x, shared = _to_continue(config, params, cache, _Next(tokens, segments, positions), None)

    def body(x, layer):
        params, layer_cache, local = layer
        layer_cache = kv_cache.load(layer_cache, config.dtype)
        x, new = apply_layer(config, params, x, shared, None, layer_cache, local)
        return x, (new.keys, new.values)

    stack = params["decoder"]
    xs = stack["layers"], cache.layers, local_layers(config, config.num_layers)
    x, (keys, values) = scan_or_unroll(config, body, x, xs)
    return rms_norm(config, x, stack["norm"]), LayerCache(keys, values, None, None)


def _apply_each(
    config: ModelConfig, stack: Params, cache: Cache, x: Float[Array, "B 1 D"], shared: Shared
) -> tuple[Float[Array, "B 1 D"], tuple[LayerCache, ...]]:
    """Applies the layers one after the other, each to a cache of its own."""
    local, layers = local_layers(config, config.num_layers), []
    split = isinstance(stack["layers"], tuple)
    for index, old in enumerate(cache.layers):
        params = stack["layers"][index] if split else _layer(stack["layers"], index)
        x, new = apply_layer(config, params, x, shared, None, old, _layer(local, index))
        layers.append(old._replace(keys=new.keys, values=new.values))
    return rms_norm(config, x, stack["norm"]), tuple(layers)


def _to_continue(
    config: ModelConfig,
    params: Params,
    cache: Cache,
    given: _Next,
    write: Callable | None,
) -> tuple[Float[Array, "B T D"], Shared]:
    """Returns embeddings and what layers share, to continue rows behind or within their cache."""
    tokens, segments, positions = given
    lengths = cache.lengths[:, None]
    slots = jnp.arange(capacity(cache))[None, :]
    positions = lengths + positions
    keys = jnp.broadcast_to(slots, (len(tokens), slots.shape[1]))
    # What is written is in the cache when it is read: one token, at its own slot.
    known = slots < lengths if write is None else slots <= lengths
    mask = jnp.broadcast_to(known[:, None], (*tokens.shape, slots.shape[1]))
    if write is None:
        keys = jnp.concatenate([keys, positions], axis=1)
        mask = jnp.concatenate([mask, causal_mask(segments)], axis=-1)
    full = mask
    if config.sliding_window is not None:
        mask = full & (keys[:, None, :] > positions[:, :, None] - config.sliding_window)
    cross_mask = cache.cross_mask
    if cross_mask is not None:
        cross_mask = jnp.broadcast_to(cross_mask, (*tokens.shape, cross_mask.shape[-1]))
    shared = Shared(mask, cross_mask=cross_mask, write=write)
    if config.global_every is not None:
        shared = shared._replace(mask=full, local_mask=mask)
    bias_of = functools.partial(
        attention.relative_bias_at,
        config,
        queries=positions,
        keys=keys,
        bidirectional=config.prefix_lm,
    )
    shared = with_positions(config, params["decoder"], shared, positions, bias_of)
    return embed(config, params["embedding"], tokens), shared


def split_layers(cache: Cache) -> Cache:
    """Returns the cache as one for each layer: more to compile, and for many steps faster.

    A scan over layers copies each layer's part of a stack at every step, which takes a CPU as long
    as all else.
    """
    count = jax.tree.leaves(cache.layers)[0].shape[0]
    return cache._replace(layers=tuple(_layer(cache.layers, index) for index in range(count)))


def split_params(params: Params) -> Params:
    """Returns parameters for `decode_step` with a split cache, fit for many steps.

    On a CPU a layer's part of a stack is copied before each product, a fifth of the time of a step;
    the decoder's layers are copied once instead. An output layer of its own is turned round, since
    products of few rows take twice as long with it as it lies. Elsewhere the parameters are
    returned as they are: there the product reads its part of the stack.
    """
    if compiled_for() != "cpu":
        return params
    decoder = params["decoder"] | {"layers": _split(params["decoder"]["layers"])}
    by_rows = {"head_by_rows": _turned(params["head"])} if "head" in params else {}
    return params | by_rows | {"decoder": decoder}


@jax.jit
def _split(stack):
    return tuple(_layer(stack, index) for index in range(jax.tree.leaves(stack)[0].shape[0]))


@jax.jit
def _turned(matrix):
    return matrix.T


def _layer(tree, index: int):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def take_rows(cache: Cache, rows: Int[Array, " R"]) -> Cache:
    """Returns the cache with these rows of it, in this order."""
    at = (slice(None), rows) if isinstance(cache.layers, LayerCache) else rows
    layers = jax.tree.map(lambda leaf: leaf[at], cache.layers)
    mask = None if cache.cross_mask is None else cache.cross_mask[rows]
    return Cache(layers, cache.lengths[rows], mask)


def capacity(cache: Cache) -> int:
    """Most positions that a row can have."""
    return jax.tree.leaves(cache.layers)[0].shape[-2]
