"""The train state and its creation, sharded from the first byte."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from flan_jax.parallel import rules
from flan_jax.train import rounding
from flan_jax.train.optimizer import state_axes

PyTree = Any


class TrainState(NamedTuple):
    """All that a training step changes.

    Attributes:
      step: int32 scalar, updates done so far.
      params: nested dict of the model's parameters.
      opt_state: the optimiser's state.
    """

    step: Int[Array, ""]
    params: PyTree
    opt_state: PyTree


def fresh_state(params: PyTree, optimizer: optax.GradientTransformation) -> TrainState:
    """The state at step 0 from given parameters."""
    return TrainState(jnp.zeros((), jnp.int32), params, _init(optimizer, params))


def _init(optimizer: optax.GradientTransformation, params: PyTree) -> PyTree:
    # The optimiser works in float32 whatever the parameters are stored in.
    return optimizer.init(rounding.as_float32(params))


def abstract_state(
    abstract_params: PyTree,
    optimizer: optax.GradientTransformation,
    logical_axes: PyTree,
    mesh: jax.sharding.Mesh,
) -> TrainState:
    """Shapes, dtypes and shardings of a whole train state; nothing is allocated.

    Args:
      abstract_params: nested dict of `jax.ShapeDtypeStruct`.
      optimizer: the optimiser.
      logical_axes: nested dict of the parameters' logical axis names.
      mesh: the device mesh.

    Returns:
      A `TrainState` of `jax.ShapeDtypeStruct` with shardings.
    """
    shapes = jax.eval_shape(lambda p: fresh_state(p, optimizer), abstract_params)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(shapes)]
    leaves, structure = jax.tree.flatten(shapes)
    axes = state_axes(shapes, abstract_params, logical_axes)
    shardings = rules.shardings(
        dict(zip(names, axes, strict=True)), mesh, dict(zip(names, leaves, strict=True))
    )
    return structure.unflatten(
        jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=shardings[name])
        for name, leaf in zip(names, leaves, strict=True)
    )


def create_state(
    init_params: Callable[[Array], PyTree],
    optimizer: optax.GradientTransformation,
    abstract: TrainState,
    key: Array,
) -> TrainState:
    """Initialises a run so that every device only ever holds its own share.

    Args:
      init_params: traceable function from a key to the nested dict of parameters.
      optimizer: the optimiser.
      abstract: shapes and shardings, from `abstract_state`.
      key: the initialisation's key.
    """

    def initialize(key: Array) -> TrainState:
        return fresh_state(init_params(key), optimizer)

    return jax.jit(initialize, out_shardings=_shardings(abstract))(key)


def state_from_params(
    params: PyTree, optimizer: optax.GradientTransformation, abstract: TrainState
) -> TrainState:
    """The state at step 0 from parameters that lie on their devices already; they are not copied.

    Args:
      params: nested dict of arrays, sharded as `abstract` says.
      optimizer: the optimiser.
      abstract: shapes and shardings, from `abstract_state`.
    """
    shardings = _shardings(abstract)
    init = functools.partial(_init, optimizer)
    opt_state = jax.jit(init, out_shardings=shardings.opt_state)(params)
    step = jax.device_put(jnp.zeros((), jnp.int32), shardings.step)
    return TrainState(step, params, opt_state)


def _shardings(abstract: TrainState) -> TrainState:
    return jax.tree.map(lambda leaf: leaf.sharding, abstract)
