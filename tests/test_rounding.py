"""Stochastic rounding: unbiased, keyed, and what a step of bfloat16 parameters does with it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from quick_compilation import compile_quickly  # noqa: F401
from test_train_step import make_batch, make_state, make_step

from flan_jax.train import rounding
from flan_jax.train.state import fresh_state

DRAWS = 1 << 14


@pytest.mark.parametrize("value", [1.0 + 2**-9, -1.0 - 2**-10, 3.1416, -1e-20, 257.3])
def test_is_one_of_the_two_neighbours_and_right_on_average(value):
    x = jnp.full(DRAWS, value, jnp.float32)
    drawn = np.asarray(rounding.stochastic_round(x, jax.random.key(0)), np.float64)
    low, high = sorted({*drawn.tolist()})
    exact = float(x[0])
    assert low < exact < high
    assert float(jnp.nextafter(jnp.bfloat16(low), jnp.bfloat16(np.inf))) == high
    # The mean of n draws of a coin between two neighbours: within four standard deviations.
    share = (exact - low) / (high - low)
    deviation = np.sqrt(share * (1 - share) / DRAWS) * (high - low)
    assert abs(drawn.mean() - exact) < 4 * deviation


def test_numbers_of_bfloat16_and_what_is_no_number_stay():
    kept = jnp.array([0.0, -0.0, 1.5, -(2.0**-126), 3e38, np.inf, -np.inf, np.nan], jnp.bfloat16)
    rounded = rounding.stochastic_round(kept.astype(jnp.float32), jax.random.key(1))
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_array_equal(rounded.view(jnp.uint16)[:-1], kept.view(jnp.uint16)[:-1])
    assert np.isnan(rounded[-1])


def in_bfloat16(optimizer):
    state = make_state(optimizer)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state.params)
    return state._replace(params=params)


def test_small_updates_arrive_on_average_and_are_keyed_by_step():
    """A rate at which few updates reach half the distance of two parameters."""
    rate, steps = 5e-3, 60
    exact = optax.sgd(rate)
    step = make_step(exact)
    small, large = in_bfloat16(exact), make_state(exact)
    start = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), small.params)
    large = large._replace(params=jax.tree.map(jnp.asarray, start))
    seen = []
    for _ in range(steps):
        small, _ = step(small, make_batch())
        seen.append(np.asarray(small.params["head"], np.float32))
        large, _ = step(large, make_batch())
    assert small.params["head"].dtype == jnp.bfloat16
    changed = [np.mean(one != other) for one, other in zip(seen[1:], seen, strict=False)]
    assert 0 < np.mean(changed) < 0.2
    moved = np.asarray(small.params["head"], np.float32) - start["head"]
    wanted = np.asarray(large.params["head"]) - start["head"]
    # The projection on what float32 does is the whole of it: nothing is lost.
    assert np.sum(moved * wanted) / np.sum(wanted * wanted) == pytest.approx(1, abs=0.15)


def test_a_step_from_the_same_state_is_bitwise_the_same_and_the_next_one_is_not():
    optimizer = optax.sgd(1e-3)
    step, batch = make_step(optimizer, accumulation=2), make_batch()
    ends = [step(in_bfloat16(optimizer), batch)[0].params for _ in range(2)]
    jax.tree.map(np.testing.assert_array_equal, *ends)
    later = in_bfloat16(optimizer)._replace(step=jnp.int32(1))
    other = step(later, batch)[0].params
    assert np.any(other["head"] != ends[0]["head"])


def test_optimiser_state_is_float32():
    state = fresh_state(in_bfloat16(optax.sgd(0.1)).params, optax.adam(0.1))
    moments = [leaf.dtype for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim]
    assert set(moments) == {np.dtype("float32")}
