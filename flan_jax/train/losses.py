"""The training loss: token-weighted cross-entropy with z-loss and label smoothing.

Everything here returns sums, never means: gradient accumulation, data-parallel hosts and logging
intervals add the sums up and divide once, so that every real token counts the same wherever it
was computed.

Axes: B rows of a batch, T target positions, V vocabulary rows.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


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
    weights = weights.astype(jnp.float32)
    vocab_size = logits.shape[-1]
    log_z = jax.nn.logsumexp(logits, axis=-1)
    # Compare and sum rather than gather: it fuses, and a vocabulary sharded over the mesh needs
    # one all-reduce of [B, T], where a gather would collect the logits.
    is_target = jnp.arange(vocab_size) == targets[..., None]
    target_logit = jnp.sum(jnp.where(is_target, logits, 0.0), axis=-1)
    loss = log_z - target_logit
    if label_smoothing:
        confidence = 1.0 - label_smoothing
        low = label_smoothing / (vocab_size - 1)
        entropy = -(confidence * math.log(confidence) + label_smoothing * math.log(low))
        sum_of_others = jnp.sum(logits, axis=-1) - target_logit
        loss = log_z - confidence * target_logit - low * sum_of_others - entropy
    z_losses = z_loss * jnp.square(log_z)
    counted = (weights > 0).astype(jnp.float32)
    correct = (jnp.argmax(logits, axis=-1) == targets).astype(jnp.float32)
    sums = LossSums(
        z_loss=jnp.sum(weights * z_losses),
        weight=jnp.sum(weights),
        correct=jnp.sum(counted * correct),
        tokens=jnp.sum(counted),
    )
    return jnp.sum(weights * (loss + z_losses)), sums
