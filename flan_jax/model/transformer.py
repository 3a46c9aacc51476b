"""The transformer: encoder-decoder or decoder-only, as pure functions over nested dicts.

Axes: B rows, T decoder positions, S encoder positions, N query heads, K key and value heads,
H head width, D model width, F feed-forward width, V embedding rows, L layers.

    params = init(config, jax.random.key(0))
    logits = apply(config, params, batch)  # [B, T, V] float32

The parameters of all layers of a stack are one array, [L, ...].
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flan_jax.batch import Batch
from flan_jax.model import attention, layers, soft_prompt, visibility
from flan_jax.model.block import (
    LayerCache,
    Layers,
    Shared,
    apply_layer,
    local_layers,
    relative_bias_table,
)
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import (
    Output,
    Params,
    dropout,
    embed,
    logits_of,
    parameter,
    rms_norm,
)
from flan_jax.model.visibility import Visibility

# Distinct streams of dropout keys.
_ENCODER, _DECODER = 0, 1


class Stack(nnx.Module):
    """Parameters of the encoder or the decoder."""

    def __init__(self, config: ModelConfig, layers: int, cross: bool, rngs: nnx.Rngs):
        self.layers = Layers(config, layers, cross, rngs)
        self.norm = parameter(config, rngs, (config.d_model,), ("norm",), None)
        if config.positions == "relative_bias":
            self.relative_bias = relative_bias_table(config, rngs)


class Transformer(nnx.Module):
    """Parameters of the whole model."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        vocab, d = config.vocab_size, config.d_model
        std = 1.0 if config.scaling == "t5" else d**-0.5
        self.embedding = parameter(config, rngs, (vocab, d), ("vocab", "embed"), std)
        if config.encoder_layers:
            self.encoder = Stack(config, config.encoder_layers, False, rngs)
        self.decoder = Stack(config, config.num_layers, config.encoder_layers > 0, rngs)
        if not config.tie_embeddings:
            self.head = parameter(config, rngs, (d, vocab), ("embed", "vocab"), d**-0.5)


def init(config: ModelConfig, key: PRNGKeyArray) -> Params:
    """Returns fresh parameters as a plain nested dict of arrays.

    Under `jax.jit(init, static_argnums=0, out_shardings=...)` each device makes its own part.
    The values do not depend on the mesh.

    Args:
      config: the model.
      key: a key of `jax.random.key`.
    """
    return nnx.to_pure_dict(nnx.state(Transformer(config, nnx.Rngs(key))))


def abstract(config: ModelConfig) -> Params:
    """Returns the parameters' shapes and dtypes: the tree of `init` without the arrays."""
    return nnx.to_pure_dict(nnx.state(_structure(config)))


def logical_axes(config: ModelConfig) -> Params:
    """Returns the tree of `init` with a tuple of logical axis names in place of each array."""
    state = nnx.state(_structure(config))
    names = jax.tree.map(
        lambda leaf: leaf.get_metadata()["axes"],
        state,
        is_leaf=lambda node: isinstance(node, nnx.Variable),
    )
    return nnx.to_pure_dict(names)


@functools.cache
def _structure(config: ModelConfig) -> Transformer:
    return nnx.eval_shape(lambda: Transformer(config, nnx.Rngs(0)))


def rematerialise(config: ModelConfig, layer: Callable) -> Callable:
    """Wraps a layer so that its backward pass recomputes what `config.remat` says."""
    if config.remat == "none":
        return layer
    # By name rather than by kind of operation: the products inside attention are not to be kept.
    kept = {
        "dots_attention": (layers.PRODUCT, layers.MIXED),
        "dots": (layers.PRODUCT,),
        "attention": (layers.MIXED,),
        "full": (),
    }[config.remat]
    policy = jax.checkpoint_policies.save_only_these_names(*kept)
    # Inside a scan the compiler cannot merge the recomputation with the first computation, so
    # the barriers that prevent it are left out.
    return jax.checkpoint(layer, policy=policy, prevent_cse=not config.scan_layers)


def scan_or_unroll(config: ModelConfig, body: Callable, x: Array, xs: Any) -> tuple[Array, Any]:
    """Applies `body(x, slice of xs) -> (x, y)` along the leading axis, stacking the `y`."""
    if config.scan_layers:
        return jax.lax.scan(body, x, xs)
    ys = []
    for index in range(jax.tree.leaves(xs)[0].shape[0]):
        x, y = body(x, jax.tree.map(lambda leaf, index=index: leaf[index], xs))
        ys.append(y)
    return x, jax.tree.map(lambda *leaves: jnp.stack(leaves), *ys)


def apply_stack(
    config: ModelConfig,
    params: Params,
    x: Float[Array, "B T D"],
    shared: Shared,
    key: PRNGKeyArray | None,
    keep_cache: bool = False,
) -> tuple[Float[Array, "B T D"], LayerCache | None]:
    """Applies the layers and the last norm of the encoder or the decoder.

    Args:
      config: the model.
      params: `Stack` parameters.
      x: embeddings.
      shared: masks and the like.
      key: dropout key of the stack, or None.
      keep_cache: return the keys and values of all layers, [L, ...].
    """

    def body(x, layer):
        params, index, local = layer
        layer_key = None if key is None else jax.random.fold_in(key, index)
        x, cache = apply_layer(config, params, x, shared, layer_key, local=local)
        return x, cache if keep_cache else None

    stacked = params["layers"]
    count = jax.tree.leaves(stacked)[0].shape[0]
    x = dropout(x, config.dropout_rate, key, site=count)
    xs = stacked, jnp.arange(count), local_layers(config, count)
    x, cache = scan_or_unroll(config, rematerialise(config, body), x, xs)
    x = rms_norm(config, x, params["norm"])
    return dropout(x, config.dropout_rate, key, site=count + 1), cache


def with_positions(
    config: ModelConfig,
    params: Params,
    shared: Shared,
    positions: Int[Array, "B T"],
    bias_of: Callable[[Array], Array | attention.Bias],
) -> Shared:
    """Adds what the model's kind of positions needs.

    Args:
      config: says which kind.
      params: `Stack` parameters.
      shared: masks and the like.
      positions: int32 positions in the segment.
      bias_of: function from a relative position table to the bias.
    """
    if config.positions == "rope":
        return shared._replace(positions=positions)
    if config.positions == "relative_bias_per_layer":
        return shared._replace(bias_of=bias_of)
    return shared._replace(bias=bias_of(params["relative_bias"]))


def encode(
    config: ModelConfig,
    params: Params,
    tokens: Int[Array, "B S"],
    segments: Int[Array, "B S"],
    positions: Int[Array, "B S"] | None = None,
    dropout_key: PRNGKeyArray | None = None,
) -> Float[Array, "B S D"]:
    """Returns the encoder's output; a soft prompt's positions come first (`model.soft_prompt`).

    Args:
      config: an encoder-decoder model.
      params: its parameters.
      tokens: int32 ids.
      segments: int32 segment ids, 0 on padding.
      positions: int32 positions in the segment; indices in the row by default.
      dropout_key: None for no dropout.
    """
    stack = params["encoder"]
    if positions is None:
        positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    if soft_prompt.inserted(params):
        row = soft_prompt.before_encoder(params, tokens, segments, positions)
        tokens, segments, positions = row
    length = tokens.shape[1]
    bias_of = functools.partial(
        attention.whole_bias, config, queries=length, keys=length, bidirectional=True
    )
    shared = Shared(mask=Visibility(segments, segments))
    shared = with_positions(config, stack, shared, positions, bias_of)
    key = None if dropout_key is None else jax.random.fold_in(dropout_key, _ENCODER)
    x = embed(config, params["embedding"], tokens)
    x = soft_prompt.place(config, params, x, segments, positions)
    return apply_stack(config, stack, x, shared, key)[0]


def decoder_hidden(
    config: ModelConfig,
    params: Params,
    batch: Batch,
    encoded: Float[Array, "B S D"] | None,
    key: PRNGKeyArray | None,
    keep_cache: bool = False,
) -> tuple[Float[Array, "B T D"], LayerCache | None]:
    """Returns the decoder's normalised last hidden states, and its cache if asked.

    The cache has the positions of a soft prompt too, the hidden states have not.

    Raises:
      ValueError: if the batch lacks what the model needs.
    """
    if config.prefix_lm and batch.decoder_prefix is None:
        raise ValueError("ModelConfig.prefix_lm is set, but the batch has no decoder_prefix.")
    # The soft prompt of a model with an encoder is before the encoder's inputs.
    before = 0 if config.encoder_layers else soft_prompt.inserted(params)
    if before:
        batch = soft_prompt.before_decoder(params, batch)
    stack, segments = params["decoder"], batch.decoder_segments
    prefix = batch.decoder_prefix if config.prefix_lm else None
    cross_mask = None
    if encoded is not None:
        encoder_segments = soft_prompt.before_segments(params, batch.encoder_segments)
        cross_mask = Visibility(segments, encoder_segments)
    mask = visibility.causal(segments, prefix, config.sliding_window)
    shared = Shared(mask, encoded=encoded, cross_mask=cross_mask)
    if config.global_every is not None:
        shared = shared._replace(mask=visibility.causal(segments, prefix), local_mask=mask)
    length = segments.shape[1]
    # A prefix looks ahead, so later positions need buckets of their own.
    bias_of = functools.partial(
        attention.whole_bias,
        config,
        queries=length,
        keys=length,
        bidirectional=config.prefix_lm,
    )
    shared = with_positions(config, stack, shared, batch.decoder_positions, bias_of)
    x = embed(config, params["embedding"], batch.decoder_inputs)
    if not config.encoder_layers:
        x = soft_prompt.place(config, params, x, segments, batch.decoder_positions)
    hidden, cache = apply_stack(config, stack, x, shared, key, keep_cache)
    return hidden[:, before:] if before else hidden, cache


def apply(
    config: ModelConfig,
    params: Params,
    batch: Batch,
    dropout_key: PRNGKeyArray | None = None,
) -> Float[Array, "B T V"]:
    """Returns the float32 logits of the whole model; the arguments are those of `output`."""
    return logits_of(output(config, params, batch, dropout_key))


def output(
    config: ModelConfig,
    params: Params,
    batch: Batch,
    dropout_key: PRNGKeyArray | None = None,
) -> Output:
    """Returns what the logits of the whole model are made of, for a loss that needs no more.

    Args:
      config: the model (static under `jax.jit`).
      params: its parameters.
      batch: rows of one or several packed examples.
      dropout_key: the same key gives the same dropout; None for none.

    Raises:
      ValueError: if the batch is for the other architecture.
    """
    has_encoder = batch.encoder_tokens is not None
    if has_encoder != (config.architecture == "encoder_decoder"):
        raise ValueError(
            f"The model is {config.architecture}, but the batch has "
            f"{'' if has_encoder else 'no '}encoder_tokens; build the feed with "
            f"architecture={config.architecture!r}."
        )
    encoded = key = None
    if has_encoder:
        encoded = encode(
            config,
            params,
            batch.encoder_tokens,
            batch.encoder_segments,
            batch.encoder_positions,
            dropout_key,
        )
    if dropout_key is not None:
        key = jax.random.fold_in(dropout_key, _DECODER)
    hidden, _ = decoder_hidden(config, params, batch, encoded, key)
    return layers.output(config, params, hidden)
