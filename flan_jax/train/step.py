"""One training step: gradients over microbatches, clipped, applied.

Axes: B rows of a batch, M microbatches.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from flan_jax.batch import Batch
from flan_jax.model.layers import Output
from flan_jax.parallel import platform, rules
from flan_jax.train import rounding
from flan_jax.train.losses import LossConfig, LossSums, chunked_cross_entropy
from flan_jax.train.schedules import Schedule
from flan_jax.train.state import TrainState

PyTree = Any
Forward = Callable[..., Output]
Metrics = dict[str, Float[Array, ""]]

# The stream of the step's key that rounds parameters; microbatches have those from 0.
_ROUNDING = 2**31 - 1


def make_train_step(
    forward: Forward,
    optimizer: optax.GradientTransformation,
    learning_rate: Schedule,
    loss: LossConfig,
    dropout_key: Array,
    gradient_accumulation: int = 1,
    state_shardings: PyTree = None,
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Builds the jitted training step for the current mesh; it donates the state it is given.

    The loss is the mean over target tokens of the whole batch, so accumulating gradients over
    microbatches gives the gradient of the batch whatever their shares of real tokens. Dropout is
    keyed by the step and the microbatch, so a resumed run draws what it would have drawn; so is
    the rounding of bfloat16 parameters, whose gradients are summed and whose updates are computed
    in float32.

    Args:
      forward: function of the state's parameters, batch, dropout key and, if the step is given
        them, frozen parameters to what logits are made of (`transformer.output`).
      optimizer: the optimiser; `learning_rate` is its schedule, here for the metrics.
      learning_rate: function of the update's index, from 0.
      loss: what is added to cross-entropy.
      dropout_key: the run's key; each step folds in its number.
      gradient_accumulation: M, microbatches a step; divides B.
      state_shardings: tree of shardings like the state, so that they stay what they were; None
        leaves them to the compiler.

    Returns:
      A function of (state, batch) or (state, batch, frozen) to (new state, metrics). Frozen
      parameters are a tree that no gradient is taken of, and which is not donated. Metrics are
      float32 scalars: sums
      `loss_sum` (nats, z-loss included), `z_loss_sum`, `weight_sum`, `correct_sum`,
      `target_tokens` (weight above 0), `tokens` (not padding, inputs included); and `grad_norm`
      (before clipping), `param_norm` (before the update), `learning_rate`, `skipped`. A step whose
      loss or gradient is not finite is skipped: it changes the state's step alone.
    """

    gradient_of_sum = jax.value_and_grad(functools.partial(_loss_sum, forward, loss), has_aux=True)

    def step(state: TrainState, batch: Batch, *frozen: PyTree) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(dropout_key, state.step)
        total, sums, gradient = _mean_gradient(
            gradient_of_sum, state.params, batch, key, gradient_accumulation, *frozen
        )
        params = rounding.as_float32(state.params)
        updates, opt_state = optimizer.update(gradient, state.opt_state, params)
        grad_norm = optax.global_norm(gradient)
        finite = jnp.isfinite(grad_norm) & jnp.isfinite(total)
        metrics = _sums(total, sums, batch) | {
            "grad_norm": grad_norm,
            "param_norm": optax.global_norm(params),
            "learning_rate": learning_rate(state.step),
            "skipped": 1.0 - finite.astype(jnp.float32),
        }
        return _next_state(state, updates, opt_state, finite, key), metrics

    return jax.jit(
        step,
        donate_argnums=0,
        out_shardings=(state_shardings, None),
        compiler_options=platform.compiler_options(),
    )


def _loss_sum(
    forward: Forward, loss: LossConfig, params: PyTree, batch: Batch, key: Array, *frozen: PyTree
) -> tuple[Float[Array, ""], LossSums]:
    output = forward(params, batch, key, *frozen)
    return chunked_cross_entropy(loss, output, batch.decoder_targets, batch.weights)


def _mean_gradient(
    gradient_of_sum, params: PyTree, batch: Batch, key: Array, count: int, *frozen: PyTree
) -> tuple[Float[Array, ""], LossSums, PyTree]:
    """Sums of the loss and beside it over `count` microbatches, and the gradient of the mean."""
    if count == 1:
        (total, sums), gradient = gradient_of_sum(params, batch, key, *frozen)
    else:
        (total, sums), gradient = _accumulate(gradient_of_sum, params, batch, key, count, *frozen)
    # A batch without target tokens has gradient 0, not 0 / 0.
    divisor = jnp.where(sums.weight > 0, sums.weight, 1.0)
    return total, sums, jax.tree.map(lambda g: g / divisor, rounding.as_float32(gradient))


def _accumulate(
    gradient_of_sum, params: PyTree, batch: Batch, key: Array, count: int, *frozen: PyTree
):
    """Sums loss, sums and gradients over `count` microbatches, one at a time."""
    microbatches = jax.tree.map(lambda x: _split_rows(x, count), batch)

    def one_microbatch(microbatch, key):
        # Sums of bfloat16 would lose what comes last.
        return rounding.as_float32(gradient_of_sum(params, microbatch, key, *frozen))

    def add_one(total, item):
        index, microbatch = item
        one = one_microbatch(microbatch, jax.random.fold_in(key, index))
        return jax.tree.map(jnp.add, total, one), None

    first = jax.tree.map(lambda x: x[0], microbatches)
    shapes = jax.eval_shape(one_microbatch, first, key)
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    total, _ = jax.lax.scan(add_one, zeros, (jnp.arange(count), microbatches))
    return total


def _next_state(
    state: TrainState, updates: PyTree, opt_state: PyTree, finite: Bool[Array, ""], key: Array
) -> TrainState:
    """Adds the updates; where the step is not finite, parameters and optimiser stay."""
    rounding_key = jax.random.fold_in(key, _ROUNDING)
    params = rounding.apply_updates(state.params, updates, rounding_key)
    params, opt_state = jax.tree.map(
        lambda new, old: jnp.where(finite, new, old),
        (params, opt_state),
        (state.params, state.opt_state),
    )
    return TrainState(state.step + 1, params, opt_state)


def _sums(total: Float[Array, ""], sums: LossSums, batch: Batch) -> Metrics:
    """The metrics that are sums over the batch."""
    return {
        "loss_sum": total,
        "z_loss_sum": sums.z_loss,
        "weight_sum": sums.weight,
        "correct_sum": sums.correct,
        "target_tokens": sums.tokens,
        "tokens": _real_tokens(batch),
    }


def _real_tokens(batch: Batch) -> Float[Array, ""]:
    """Tokens of a batch that are not padding, on both sides of the model."""
    segments = (batch.encoder_segments, batch.decoder_segments)
    counts = [jnp.sum(side > 0, dtype=jnp.float32) for side in segments if side is not None]
    return sum(counts)


def _split_rows(x: Array, count: int) -> Array:
    """[B, ...] to [M, B / M, ...], where microbatch i takes rows i, i + M, i + 2M ...

    Taking every M-th row keeps each device's rows on that device; contiguous blocks would move
    the whole batch between devices.
    """
    rows = x.shape[0] // count
    split = jnp.swapaxes(x.reshape(rows, count, *x.shape[1:]), 0, 1)
    return rules.constrain(split, None, "batch", *(None,) * (x.ndim - 1))
