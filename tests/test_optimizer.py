"""Optimisers: layers of a stack updated as if alone, decay by name, schedules, sharded state."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_train_step import make_batch

from flan_jax.model.layers import Output
from flan_jax.train.losses import LossConfig
from flan_jax.train.optimizer import (
    OptimizerConfig,
    decay_mask,
    end_step,
    make_optimizer,
    make_schedule,
    state_axes,
)
from flan_jax.train.schedules import schedule
from flan_jax.train.state import fresh_state
from flan_jax.train.step import make_train_step

AXES = {
    "embedding": ("vocab", "embed"),
    "encoder": {"wi": ("layers", "embed", "mlp"), "norm": ("layers", "norm")},
    "decoder": {"wi": ("layers", "embed", "mlp"), "square": ("layers", "embed", "heads")},
}


def parameters(seed=0):
    """Stacks of unequal depth, with layers of unequal size, some of them factored."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        size = np.arange(1, shape[0] + 1).reshape(-1, *(1,) * (len(shape) - 1))
        return jnp.asarray(rng.normal(size=shape) * size, jnp.float32)

    return {
        "embedding": normal(160, 128),
        "encoder": {"wi": normal(3, 128, 256), "norm": normal(3, 128)},
        "decoder": {"wi": normal(2, 128, 256), "square": normal(2, 128, 128)},
    }


def run(config, params, axes, steps=3):
    optimizer = make_optimizer(config, steps=100, logical_axes=axes)
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for step in range(steps):
        gradients = parameters(seed=step + 1)
        gradients = jax.tree.map(lambda p, g: g.reshape(p.shape), params, gradients)
        updates, state = update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_adafactor_updates_each_layer_of_a_stack_as_if_it_were_alone():
    config = OptimizerConfig(name="adafactor", clip_norm=0.0, learning_rate=0.05)
    stacked = run(config, parameters(), AXES)
    # optax's own Adafactor, given each layer as a parameter of its own.
    params = parameters()
    optimizer = optax.adafactor(0.05)
    update = jax.jit(optimizer.update)
    for name in ("encoder", "decoder"):
        for kind, stack in params[name].items():
            for layer in range(stack.shape[0]):
                alone = stack[layer]
                state = optimizer.init(alone)
                for step in range(3):
                    gradient = parameters(seed=step + 1)[name][kind][layer]
                    updates, state = update(gradient, state, alone)
                    alone = optax.apply_updates(alone, updates)
                np.testing.assert_allclose(stacked[name][kind][layer], alone, rtol=1e-6, atol=1e-7)


def test_adafactor_on_whole_stacks_would_differ():
    """The pitfall the test above guards against is real: optax on the stack is far off."""
    params = parameters()["encoder"]["wi"]
    optimizer = optax.adafactor(0.05)
    updates, _ = optimizer.update(parameters(1)["encoder"]["wi"], optimizer.init(params), params)
    alone, _ = optimizer.update(
        parameters(1)["encoder"]["wi"][0], optimizer.init(params[0]), params[0]
    )
    assert np.abs(updates[0] / alone).mean() > 1.5


def test_adamw_equals_optax_with_a_name_mask():
    config = OptimizerConfig(
        name="adamw", learning_rate=0.01, weight_decay=0.1, b2=0.98, clip_norm=1.0
    )
    ours = run(config, parameters(), AXES)
    mask = {
        "embedding": True,
        "encoder": {"wi": True, "norm": False},
        "decoder": {"wi": True, "square": True},
    }
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(0.01, b2=0.98, weight_decay=0.1, mask=mask)
    )
    params = parameters()
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    for step in range(3):
        updates, state = update(parameters(step + 1), state, params)
        params = optax.apply_updates(params, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, params)


def reference_adafactor(gradients, parameter, rate):
    """Shazeer and Stern (2018), algorithms 4 and 5, in numpy, with T5X's constants.

    T5X: exponent 0.8 of the decay, epsilons 1e-30 and 1e-3, threshold 1 (all as in the paper), and
    a matrix is factored if its second largest dimension is at least 128; no momentum.
    """
    x = np.float64(parameter)
    second = None
    for t, gradient in enumerate(np.float64(gradients), 1):
        beta = 1 - t**-0.8
        square = gradient**2 + 1e-30
        factored = x.ndim == 2 and min(x.shape) >= 128
        new = [square.mean(1), square.mean(0)] if factored else [square]
        second = [beta * a + (1 - beta) * b for a, b in zip(second or new, new, strict=True)]
        if factored:
            rows, columns = second
            estimate = np.outer(rows, columns) / rows.mean()
        else:
            (estimate,) = second
        update = gradient / np.sqrt(estimate)
        update /= max(1, np.sqrt((update**2).mean()))
        x = x - rate * max(1e-3, np.sqrt((x**2).mean())) * update
    return x


def test_three_steps_of_adafactor_are_those_of_the_paper_with_t5xs_constants():
    config = OptimizerConfig(name="adafactor", clip_norm=0.0, learning_rate=0.05)
    stacked, start = run(config, parameters(), AXES), parameters()
    every = [parameters(seed) for seed in (1, 2, 3)]

    def check(found, path, layer=None):
        first, *gradients = (
            np.asarray(tree[path[0]][path[1]] if len(path) > 1 else tree[path[0]])
            for tree in (start, *every)
        )
        if layer is not None:
            first, *gradients = (leaf[layer] for leaf in (first, *gradients))
        expected = reference_adafactor(gradients, first, 0.05)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())

    check(stacked["embedding"], ["embedding"])
    for path in (["encoder", "wi"], ["encoder", "norm"], ["decoder", "square"]):
        for layer, found in enumerate(stacked[path[0]][path[1]]):
            check(found, path, layer)
    # And of parameters that are no stacks, as in a model whose layers are kept apart.
    apart = {"wi": start["encoder"]["wi"][1]}
    optimizer = make_optimizer(config, 100, {"wi": ("embed", "mlp")})
    state = optimizer.init(apart)
    for gradients in every:
        updates, state = optimizer.update({"wi": gradients["encoder"]["wi"][1]}, state, apart)
        apart = optax.apply_updates(apart, updates)
    check(apart["wi"], ["encoder", "wi"], 1)


def test_lion_is_the_sign_of_the_interpolated_momentum():
    config = OptimizerConfig(name="lion", learning_rate=0.01, b2=0.99, clip_norm=0.0)
    ours = run(config, parameters(), AXES, steps=2)["embedding"]
    x = np.asarray(parameters()["embedding"])
    momentum = 0.0
    for seed in (1, 2):  # Chen et al. (2023), algorithm 2
        gradient = np.asarray(parameters(seed)["embedding"])
        x = x - 0.01 * np.sign(0.9 * momentum + 0.1 * gradient)
        momentum = 0.99 * momentum + 0.01 * gradient
    np.testing.assert_allclose(ours, x, rtol=1e-5, atol=1e-6)


def test_muon_moves_kernels_of_layers_orthogonally_and_all_else_by_adamw():
    config = OptimizerConfig(name="muon", learning_rate=0.1, clip_norm=0.0)
    before, after = parameters(), run(config, parameters(), AXES, steps=1)
    adam = run(dataclasses.replace(config, name="adamw"), parameters(), AXES, steps=1)
    for path in (["embedding"], ["encoder", "norm"]):
        ours, theirs = after, adam
        for key in path:
            ours, theirs = ours[key], theirs[key]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    for stack, kernel in (("encoder", "wi"), ("decoder", "square")):
        for layer in range(before[stack][kernel].shape[0]):
            update = (after[stack][kernel][layer] - before[stack][kernel][layer]) / -0.1
            gradient = parameters(1)[stack][kernel][layer]
            u, values, vt = np.linalg.svd(np.asarray(update, np.float64), full_matrices=False)
            # Five steps bring singular values to about one, whatever those of the gradient are;
            # a square's smallest one may be left behind.
            scaled = np.sort(values / (0.2 * max(update.shape) ** 0.5))
            assert scaled[len(scaled) // 20] > 0.5 and scaled[-1] < 1.3
            theirs = np.linalg.svd(np.asarray(gradient, np.float64), full_matrices=False)
            expected = theirs[0] @ theirs[2]
            cosine = (u * values @ vt * expected).sum() / np.linalg.norm(values)
            assert cosine / np.linalg.norm(expected) > 0.95


@pytest.mark.parametrize("name", ["adafactor", "adamw", "lion", "muon"])
def test_statistics_of_bfloat16_parameters_are_float32(name):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), parameters())
    optimizer, updates = make_optimizer(OptimizerConfig(name=name), 10, AXES), []

    def update(*arguments):
        given, after = optimizer.update(*arguments)
        updates.append(given)
        return given, after

    def forward(params, batch, key):
        factor = sum(jnp.sum(leaf) for leaf in jax.tree.leaves(params))
        hidden = params["embedding"][batch.decoder_inputs] * factor
        return Output(hidden, params["embedding"], True, None)

    watched = optax.GradientTransformation(optimizer.init, update)
    step = make_train_step(forward, watched, lambda step: 0.1, LossConfig(), jax.random.key(0))
    state = fresh_state(params, watched)
    after, _ = jax.eval_shape(step, state, make_batch())
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(jnp.float32)}
    dtypes = {leaf.dtype for leaf in jax.tree.leaves((state.opt_state, after.opt_state))}
    assert dtypes <= {jnp.dtype(jnp.float32), jnp.dtype(jnp.int32)}


def test_decay_mask_names():
    mask = decay_mask({"a": {"norm_scale": 1, "kernel": 2}, "relative_bias": 3}, ("norm", "bias"))
    assert mask == {"a": {"norm_scale": False, "kernel": True}, "relative_bias": False}


def test_state_axes_follow_parameters_and_factored_statistics():
    params = jax.eval_shape(parameters)
    optimizer = make_optimizer(OptimizerConfig(name="adafactor"), 10, AXES)
    state = jax.eval_shape(optimizer.init, params)
    found = {}
    leaves = jax.tree_util.tree_leaves_with_path(state)
    for (path, leaf), axes in zip(leaves, state_axes(state, params, AXES), strict=True):
        assert len(axes) == leaf.ndim
        found[jax.tree_util.keystr(path)] = axes
    at = {k.split("]", 1)[1]: v for k, v in found.items()}
    # rows average over the largest dimension, columns over the second largest
    assert at["['encoder']['wi'][0].v_row"] == ("layers", "embed")
    assert at["['encoder']['wi'][0].v_col"] == ("layers", "mlp")
    assert at["['embedding'][0].v_row"] == ("embed",)
    assert at["['embedding'][0].v_col"] == ("vocab",)
    assert at["['encoder']['norm'][0].v"] == ("layers", "norm")
    assert at["['encoder']['wi'][0].v"] == (None, None)
    # equal dimensions are told apart by optax's own ordering, checked against real statistics
    real = optimizer.init(parameters())
    gradient = jax.tree.map(jnp.zeros_like, parameters())
    gradient["decoder"]["square"] = gradient["decoder"]["square"].at[:, 5, :].set(1.0)
    _, real = jax.jit(optimizer.update)(gradient, real, parameters())
    rows = real[1]["decoder"]["square"][0].v_row
    has_rows = at["['decoder']['square'][0].v_row"] == ("layers", "embed")
    assert has_rows == bool(jnp.argmax(rows[0]) == 5 and rows[0, 0] < rows[0, 5])
    adam = make_optimizer(OptimizerConfig(name="adamw"), 10, AXES)
    state = jax.eval_shape(adam.init, params)
    assert state_axes(state, params, AXES).count(("layers", "embed", "mlp")) == 4


@pytest.mark.parametrize("name", ["constant", "rsqrt", "linear", "cosine"])
def test_schedules(name):
    rate = schedule(name, 2.0, warmup_steps=10, end_step=110, final_fraction=0.1, timescale=50)
    values = np.array([rate(jnp.int32(i)) for i in range(120)])
    assert values[0] == pytest.approx(0.2)  # no update is spent at rate 0
    assert values[9] == pytest.approx(2.0)
    at = {
        "constant": {59: 2.0, 119: 2.0},
        "rsqrt": {49: 2.0, 99: 2.0 * np.sqrt(50 / 100)},
        "linear": {59: 2.0 * (0.1 + 0.9 * 0.5), 109: 0.2, 119: 0.2},
        "cosine": {59: 2.0 * (0.1 + 0.9 * 0.5), 109: 0.2, 119: 0.2},
    }[name]
    for index, expected in at.items():
        assert values[index] == pytest.approx(expected, rel=1e-5)


def test_the_end_counts_only_for_schedules_that_end():
    constant = OptimizerConfig(schedule="constant")
    cosine = OptimizerConfig(schedule="cosine")
    assert end_step(constant, 100) is None
    assert end_step(cosine, 100) == 100
    assert end_step(dataclasses.replace(cosine, decay_steps=50), 100) == 50
    assert make_schedule(cosine, 100)(jnp.int32(99)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "fields,message",
    [
        ({"name": "sgd"}, "sgd"),
        ({"schedule": "step"}, "step"),
        ({"schedule": "cosine", "warmup_steps": 100}, "warmup_steps"),
    ],
)
def test_bad_configuration_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(OptimizerConfig(**fields), steps=10, logical_axes=AXES)
