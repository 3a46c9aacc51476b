"""Adafactor, AdamW, Lion and Muon through optax, made right for stacked layers and sharded state.

A parameter of a scanned stack holds all layers, `[L, ...]`. Adafactor works on one weight matrix
at a time: it factors, clips the update and scales by the parameter's size per matrix. Handed the
stack it would do so over all layers at once, so it is vmapped over them: each layer gets the
update it would get alone. Muon orthogonalises each layer's matrix for itself, too.

Statistics are float32, whatever the parameters are, since `state` and `step` give every optimiser
float32 parameters and gradients: in bfloat16 a second moment that decays by 0.999 would never
change.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from flan_jax.train.schedules import ENDING, Schedule, schedule

PyTree = Any

# Root mean square of Muon's updates, that of AdamW's as Liu et al. (2025, section 2.2) measured it.
_MUON_RMS = 0.2
# Adafactor moves parameters that are smaller as if they had this size (Shazeer and Stern 2018,
# section 8, epsilon_2).
_LEAST_SIZE = 1e-3


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The optimiser and its learning rate.

    Attributes:
      name: "adafactor" (Shazeer and Stern 2018), "adamw" (Loshchilov and Hutter 2019), "lion" (Chen
        et al. 2023) or "muon" (Jordan et al. 2024) for the kernels of the layers beside AdamW for
        all else; Muon's updates have the size of AdamW's (Liu et al. 2025, section 2.2), so that
        both go by one rate.
      learning_rate: the peak; for Adafactor relative to each matrix's root mean square.
      schedule: "constant", "rsqrt", "linear" or "cosine"; see `schedules.schedule`.
      warmup_steps: steps of linear warm-up.
      decay_steps: the step at which "linear" and "cosine" end; None for the run's own length.
      final_fraction: share of the peak that "linear" and "cosine" end at.
      rsqrt_timescale: steps before "rsqrt" begins to fall.
      clip_norm: the gradient's global norm is clipped to this; 0 for no clipping.
      weight_decay: decoupled, multiplied by the learning rate.
      no_decay: parameters whose `/`-joined name holds one of these words are not decayed.
      b1: decay of AdamW's first moment; weight of the momentum in Lion's update.
      b2: decay of AdamW's second moment, and of Lion's momentum (0.99 in its paper).
      epsilon: AdamW's denominator offset.
      muon_momentum: decay of Muon's (Nesterov) momentum.
      adafactor_decay: the second moment's decay at step t is 1 - t ** -adafactor_decay.
      adafactor_clip: each matrix's update is clipped to this root mean square.
      adafactor_parameter_scale: multiply each matrix's update by the matrix's root mean square.
      adafactor_min_factored: matrices with a smaller dimension keep the full second moment.
    """

    name: str = "adafactor"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup_steps: int = 0
    decay_steps: int | None = None
    final_fraction: float = 0.0
    rsqrt_timescale: int = 10_000
    clip_norm: float = 1.0
    weight_decay: float = 0.0
    no_decay: tuple[str, ...] = ("norm", "bias")
    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-8
    muon_momentum: float = 0.95
    adafactor_decay: float = 0.8
    adafactor_clip: float = 1.0
    adafactor_parameter_scale: bool = True
    adafactor_min_factored: int = 128


def end_step(config: OptimizerConfig, steps: int) -> int | None:
    """The step at which the schedule ends, or None where its values do not depend on an end.

    Args:
      config: the optimiser.
      steps: the run's length in steps.
    """
    if config.schedule not in ENDING:
        return None
    return steps if config.decay_steps is None else config.decay_steps


def make_schedule(config: OptimizerConfig, steps: int) -> Schedule:
    """The learning rate of `config` for a run of `steps` steps."""
    return schedule(
        config.schedule,
        config.learning_rate,
        warmup_steps=config.warmup_steps,
        end_step=end_step(config, steps) or 0,
        final_fraction=config.final_fraction,
        timescale=config.rsqrt_timescale,
    )


def make_optimizer(
    config: OptimizerConfig, steps: int, logical_axes: PyTree
) -> optax.GradientTransformation:
    """Builds the optimiser: global-norm clip, scaling, weight decay, learning rate.

    Args:
      config: which optimiser, and its constants.
      steps: the run's length in steps, for schedules that end with it.
      logical_axes: nested dict of the parameters' logical axis names; a first name "layers"
        marks a stack of layers.

    Returns:
      An optax transformation of float32 gradients and parameters, whose updates are added to the
      parameters.

    Raises:
      ValueError: an unknown optimiser or schedule.
    """
    if config.name not in _SCALINGS:
        raise ValueError(
            f"OptimizerConfig.name: expected one of {', '.join(_SCALINGS)}, got {config.name!r}"
        )
    scaling = _SCALINGS[config.name](config, logical_axes)
    parts = [scaling, optax.scale_by_learning_rate(make_schedule(config, steps))]
    if config.weight_decay:
        decayed = optax.add_decayed_weights(
            config.weight_decay, mask=lambda params: decay_mask(params, config.no_decay)
        )
        parts.insert(1, decayed)
    if config.clip_norm:
        parts.insert(0, optax.clip_by_global_norm(config.clip_norm))
    return optax.chain(*parts)


def decay_mask(params: PyTree, no_decay: tuple[str, ...]) -> PyTree:
    """Marks with True the parameters whose `/`-joined name holds none of the given words."""

    def decays(path, _) -> bool:
        name = "/".join(_key_name(key) for key in path)
        return not any(word in name for word in no_decay)

    return jax.tree_util.tree_map_with_path(decays, params)


def _adamw(config: OptimizerConfig, logical_axes: PyTree = None) -> optax.GradientTransformation:
    del logical_axes
    return optax.scale_by_adam(b1=config.b1, b2=config.b2, eps=config.epsilon)


def _lion(config: OptimizerConfig, logical_axes: PyTree) -> optax.GradientTransformation:
    del logical_axes
    return optax.scale_by_lion(b1=config.b1, b2=config.b2)


def _adafactor(config: OptimizerConfig, logical_axes: PyTree) -> optax.GradientTransformation:
    """Adafactor's scaling of each matrix on its own, whether or not it lies in a stack."""
    core = [
        optax.scale_by_factored_rms(
            decay_rate=config.adafactor_decay,
            min_dim_size_to_factor=config.adafactor_min_factored,
        ),
        optax.clip_by_block_rms(config.adafactor_clip),
    ]
    if config.adafactor_parameter_scale:
        core.append(optax.stateless_with_tree_map(_times_size))
    alone = optax.chain(*core)
    stacked = optax.GradientTransformation(jax.vmap(alone.init), jax.vmap(alone.update))
    return _for_each(lambda axes: stacked if _is_stacked(axes) else alone, logical_axes)


def _times_size(update: Array, parameter: Array) -> Array:
    """Scales by the root mean square of the parameter (Shazeer and Stern 2018, section 8).

    Optax's `scale_by_param_block_rms` is the same, made to be differentiated: it reads and writes
    every parameter twice more, 3% of a step on a CPU.
    """
    size = jnp.sqrt(jnp.mean(jnp.square(parameter)))
    return update * jnp.maximum(size, _LEAST_SIZE)


def _muon(config: OptimizerConfig, logical_axes: PyTree) -> optax.GradientTransformation:
    """Muon's orthogonal updates for kernels of layers, AdamW's for all else."""
    matrix = MuonDimensionNumbers(reduction_axis=1, output_axis=2)

    def resize(update: Array, _: PyTree) -> Array:
        # An orthogonal matrix has a root mean square of 1 / sqrt(its larger dimension).
        return _MUON_RMS * max(update.shape[1:]) ** 0.5 * update

    orthogonal = optax.chain(
        scale_by_muon(beta=config.muon_momentum, weight_dimension_numbers=matrix),
        optax.stateless(resize),
    )
    adam = _adamw(config)

    def choose(axes: tuple) -> optax.GradientTransformation:
        kernel = _is_stacked(axes) and len(axes) == 3 and "relative_buckets" not in axes
        return orthogonal if kernel else adam

    return _for_each(choose, logical_axes)


_SCALINGS = {"adafactor": _adafactor, "adamw": _adamw, "lion": _lion, "muon": _muon}


def _for_each(
    choose: Callable[[tuple], optax.GradientTransformation], logical_axes: PyTree
) -> optax.GradientTransformation:
    """The transformation that `choose` gives for its axes, for each parameter on its own.

    One state a parameter, since stacks of different depths cannot share one vmap.
    """

    def init(params: PyTree) -> PyTree:
        return _map(lambda axes, p: choose(axes).init(p), logical_axes, params)

    def update(updates: PyTree, state: PyTree, params: PyTree) -> tuple[PyTree, PyTree]:
        pairs = _map(
            lambda axes, u, s, p: choose(axes).update(u, s, p), logical_axes, updates, state, params
        )
        return (
            _map(lambda _, pair: pair[0], logical_axes, pairs),
            _map(lambda _, pair: pair[1], logical_axes, pairs),
        )

    return optax.GradientTransformation(init, update)


def state_axes(state: PyTree, params: PyTree, logical_axes: PyTree) -> list[tuple]:
    """Names the logical axes of every leaf of a train state.

    Moments have their parameter's axes; Adafactor's row and column statistics have them less the
    dimension that was averaged over; counters have none and are replicated.

    Args:
      state: a train state or an optimiser's state, or its `jax.eval_shape`.
      params: nested dict of the parameters, or of their shapes.
      logical_axes: nested dict of the parameters' logical axis names.

    Returns:
      A tuple of names (or None) for each leaf, in the order of `jax.tree.leaves`.
    """
    axes_of = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        axes = logical_axes
        for key in path:
            axes = axes[key.key]
        axes_of[tuple(key.key for key in path)] = (leaf.shape, axes)

    def leaf_axes(path, leaf) -> tuple:
        # Dict keys in the path of a state leaf can only be those of its parameter.
        name = tuple(key.key for key in path if isinstance(key, jax.tree_util.DictKey))
        shape, axes = axes_of.get(name, (None, ()))
        if leaf.shape == shape:
            return axes
        statistic = _key_name(path[-1])
        if statistic in ("v_row", "v_col") and leaf.ndim == len(shape or ()) - 1:
            removed = _averaged_dimension(shape, axes, statistic)
            # What is not factored has a placeholder of size 1 here.
            if leaf.shape == shape[:removed] + shape[removed + 1 :]:
                return axes[:removed] + axes[removed + 1 :]
        return (None,) * leaf.ndim

    return [leaf_axes(path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)]


def _averaged_dimension(shape: tuple[int, ...], axes: tuple, statistic: str) -> int:
    """The dimension of a parameter that optax's `v_row` or `v_col` does not have.

    Optax orders one matrix's dimensions by size: rows are averaged over the largest, columns over
    the second largest.
    """
    stack = 1 if _is_stacked(axes) else 0
    by_size = np.argsort(shape[stack:])
    return stack + int(by_size[-1] if statistic == "v_row" else by_size[-2])


def _map(function, logical_axes: PyTree, *trees: PyTree) -> PyTree:
    """Maps over parameters; what lies below a parameter's place in `trees` comes as a whole."""
    return jax.tree.map(function, logical_axes, *trees, is_leaf=lambda x: isinstance(x, tuple))


def _is_stacked(axes: tuple) -> bool:
    return bool(axes) and axes[0] == "layers"


def _key_name(key: Any) -> str:
    return str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key))))
