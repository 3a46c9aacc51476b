"""The training loss: token-weighted cross-entropy with z-loss and label smoothing.

Everything here returns sums, never means: gradient accumulation, data-parallel hosts and logging
intervals add the sums up and divide once, so that every real token counts the same wherever it
was computed.

Axes: B rows of a batch, T target positions, V vocabulary rows.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from flan_jax.model.layers import Output, over_tokens, softcap
from flan_jax.parallel import rules

# Target tokens of a device whose logits are in memory at a time. The gradient of the output
# kernel is read and written once a chunk, which 512 tokens hide behind their own arithmetic
# (3 * 2 * 512 FLOPs for 8 bytes: near the balance of an H200); their float32 logits take 66 MB of
# T5's 32,128 rows and 525 MB of Gemma's 256,128.
CHUNK_TOKENS = 512
# In the names of operations, where gradients are taken although the program goes forward.
GRADIENT_SCOPE = "loss_and_gradient"


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """What the loss adds to plain cross-entropy.

    Attributes:
      z_loss: weight of the squared log-partition function, which keeps logits from drifting
        (1e-4 in Mesh TensorFlow's T5 and in PaLM, section 5).
      label_smoothing: probability mass taken from the target and spread over the other V - 1
        tokens, from 0 to below 1.
    """

    z_loss: float = 1e-4
    label_smoothing: float = 0.0

    def __post_init__(self):
        if not self.z_loss >= 0:
            raise ValueError(f"LossConfig.z_loss: expected 0 or more, got {self.z_loss}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"LossConfig.label_smoothing: expected 0 <= x < 1, got {self.label_smoothing}"
            )


class LossSums(NamedTuple):
    """Sums over the target tokens of a batch, float32 scalars.

    Attributes:
      z_loss: weighted z-loss in nats; it is part of the loss already.
      weight: token weights.
      correct: target tokens (weight above 0) whose most probable prediction is right.
      tokens: target tokens (weight above 0).
    """

    z_loss: Float[Array, ""]
    weight: Float[Array, ""]
    correct: Float[Array, ""]
    tokens: Float[Array, ""]


def cross_entropy(
    logits: Float[Array, "B T V"],
    targets: Int[Array, "B T"],
    weights: Float[Array, "B T"],
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
) -> tuple[Float[Array, ""], LossSums]:
    """Sums the token-weighted cross-entropy, in nats, computed in float32.

    With label smoothing the entropy of the smoothed target distribution is subtracted, so that a
    perfect prediction costs 0 whatever the smoothing (as in Mesh TensorFlow and T5X).

    Args:
      logits: of any float type.
      targets: token ids.
      weights: weight of each target token; 0 leaves it out of every sum.
      z_loss: weight of the squared log-partition function.
      label_smoothing: probability mass spread over the other V - 1 tokens.

    Returns:
      The loss summed over tokens (z-loss included), and the other sums.
    """
    logits = logits.astype(jnp.float32)
    sums, _, loss = _token_sums(LossConfig(z_loss, label_smoothing), logits, targets, weights)
    return loss, sums


def _token_sums(config: "LossConfig", logits: Array, targets: Array, weights: Array):
    """The sums of `cross_entropy`, the log-partition function [B, T], and the loss."""
    weights = weights.astype(jnp.float32)
    vocab_size, smoothing = logits.shape[-1], config.label_smoothing
    log_z = jax.nn.logsumexp(logits, axis=-1)
    # Compare and sum rather than gather: it fuses, and a vocabulary sharded over the mesh needs
    # one all-reduce of [B, T], where a gather would collect the logits.
    is_target = jnp.arange(vocab_size) == targets[..., None]
    target_logit = jnp.sum(jnp.where(is_target, logits, 0.0), axis=-1)
    loss = log_z - target_logit
    if smoothing:
        confidence, low = 1.0 - smoothing, smoothing / (vocab_size - 1)
        entropy = -(confidence * math.log(confidence) + smoothing * math.log(low))
        sum_of_others = jnp.sum(logits, axis=-1) - target_logit
        loss = log_z - confidence * target_logit - low * sum_of_others - entropy
    z_losses = config.z_loss * jnp.square(log_z)
    counted = (weights > 0).astype(jnp.float32)
    # The largest is at hand; to find its place would take longer than the products on a CPU.
    correct = (target_logit == jnp.max(logits, axis=-1)).astype(jnp.float32)
    sums = LossSums(
        z_loss=jnp.sum(weights * z_losses),
        weight=jnp.sum(weights),
        correct=jnp.sum(counted * correct),
        tokens=jnp.sum(counted),
    )
    return sums, log_z, jnp.sum(weights * (loss + z_losses))


def chunked_cross_entropy(
    config: LossConfig,
    output: Output,
    targets: Int[Array, "B T"],
    weights: Float[Array, "B T"],
) -> tuple[Float[Array, ""], LossSums]:
    """The loss of `cross_entropy`, without ever having all logits in memory.

    The logits of `CHUNK_TOKENS` tokens are computed at a time. Where a gradient is asked for, it
    is taken in the same pass, since the loss is a plain sum: the logits are then computed once,
    and of the backward pass nothing is left but a factor (the idea of Wijmans et al. 2024, "Cut
    Your Losses in Large-Vocabulary Language Models", with whole rows of the vocabulary). Sums
    other than the loss have no gradient.

    Args:
      config: what is added to cross-entropy.
      output: hidden states and the kernel that makes logits of them.
      targets: token ids.
      weights: weight of each target token; 0 leaves it out of every sum.

    Returns:
      The loss summed over tokens (z-loss included), in nats, and the other sums.
    """
    static = (config, output.softcap, output.rows_first)
    return _chunked(static, output.hidden, output.kernel, targets, weights)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _chunked(static, hidden, kernel, targets, weights):
    def add(total, chunk):
        logits = _chunk_logits(static, chunk[0], kernel)
        sums, _, loss = _token_sums(static[0], logits, *chunk[1:])
        return jax.tree.map(jnp.add, total, (loss, sums)), None

    total, _ = jax.lax.scan(add, _zero_sums(), _chunks(hidden, targets, weights))
    return total


def _chunked_forward(static, hidden, kernel, targets, weights):
    config, cap, rows_first = static
    to_hidden = "btv,vd->btd" if rows_first else "btv,dv->btd"
    axes = ("vocab", "embed") if rows_first else ("embed", "vocab")

    def add(carry, chunk):
        total, of_kernel = carry
        states, chunk_targets, chunk_weights = chunk
        logits = _chunk_logits(static, states, kernel)
        sums, log_z, loss = _token_sums(config, logits, chunk_targets, chunk_weights)
        gradient = _of_logits(config, logits, log_z, chunk_targets, chunk_weights)
        if cap is not None:
            gradient = gradient * (1 - jnp.square(logits / cap))
        # Products are of the model's dtype, as those of every layer are.
        gradient = gradient.astype(states.dtype)
        operands = (gradient, states) if rows_first else (states, gradient)
        of_kernel = rules.constrain(of_kernel + over_tokens(*operands), *axes)
        of_states = jnp.einsum(to_hidden, gradient, kernel)
        return (jax.tree.map(jnp.add, total, (loss, sums)), of_kernel), of_states

    start = (_zero_sums(), jnp.zeros(kernel.shape, jnp.float32))
    chunks = _chunks(hidden, targets, weights)
    with jax.named_scope(GRADIENT_SCOPE):
        (total, of_kernel), of_hidden = jax.lax.scan(add, start, chunks)
    of_hidden = jnp.moveaxis(of_hidden, 0, 2).reshape(hidden.shape[0], -1, hidden.shape[2])
    of_hidden = of_hidden[:, : hidden.shape[1]]
    return total, (of_hidden, of_kernel.astype(kernel.dtype))


def _chunked_backward(static, residuals, gradient):
    of_hidden, of_kernel = (x * gradient[0].astype(x.dtype) for x in residuals)
    return of_hidden, of_kernel, None, None


_chunked.defvjp(_chunked_forward, _chunked_backward)


def _chunk_logits(static, states: Array, kernel: Array) -> Float[Array, "B c V"]:
    _, cap, rows_first = static
    axes = "btd,vd->btv" if rows_first else "btd,dv->btv"
    logits = jnp.einsum(axes, states, kernel, preferred_element_type=jnp.float32)
    return rules.constrain(softcap(logits, cap), "batch", "length", "vocab")


def _of_logits(config: LossConfig, logits: Array, log_z: Array, targets: Array, weights: Array):
    """The gradient of the weighted loss by the logits, float32."""
    low = config.label_smoothing / (logits.shape[-1] - 1)
    is_target = jnp.arange(logits.shape[-1]) == targets[..., None]
    expected = jnp.where(is_target, 1.0 - config.label_smoothing, low)
    probability = jnp.exp(logits - log_z[..., None])
    factor = weights.astype(jnp.float32)[..., None]
    slope = (1 + 2 * config.z_loss * log_z)[..., None]
    return factor * (slope * probability - expected)


def _zero_sums() -> tuple[Array, LossSums]:
    return jnp.zeros(()), LossSums(*(jnp.zeros(()) for _ in LossSums._fields))


def _chunks(hidden: Array, targets: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Splits tokens into chunks: [B, T, ...] to [chunks, B, T / chunks, ...].

    Each chunk has every n-th position of all rows, so that a batch that is split over devices, by
    rows or by positions, stays where it is. Positions that are added to fill up have weight 0.
    """
    rows, length = targets.shape
    count = -(-rows * length // (CHUNK_TOKENS * rules.ways("batch", "length")))
    missing = -length % count

    def split(x):
        x = jnp.pad(x, ((0, 0), (0, missing), *((0, 0),) * (x.ndim - 2)))
        x = x.reshape(rows, -1, count, *x.shape[2:])
        x = jnp.moveaxis(x, 2, 0)
        return rules.constrain(x, None, "batch", "length", *(None,) * (x.ndim - 3))

    return split(hidden), split(targets), split(weights)
