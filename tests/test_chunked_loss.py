"""The loss without the logits in memory equals the plain one, its gradients too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quick_compilation import compile_quickly  # noqa: F401

from flan_jax.model.layers import Output, logits_of
from flan_jax.train import losses
from flan_jax.train.losses import LossConfig, chunked_cross_entropy, cross_entropy

ROWS, LENGTH, WIDTH, VOCAB = 4, 15, 6, 23


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """60 tokens in four chunks, the last of which is filled up."""
    monkeypatch.setattr(losses, "CHUNK_TOKENS", 16)


def example(rows_first: bool, softcap: float | None, dtype=jnp.float32):
    rng = np.random.default_rng(3)
    shape = (VOCAB, WIDTH) if rows_first else (WIDTH, VOCAB)
    hidden = jnp.asarray(2 * rng.normal(size=(ROWS, LENGTH, WIDTH)), dtype)
    kernel = jnp.asarray(rng.normal(size=shape), dtype)
    targets = jnp.asarray(rng.integers(0, VOCAB, (ROWS, LENGTH)))
    weights = rng.random((ROWS, LENGTH)) * (rng.random((ROWS, LENGTH)) > 0.3)
    output = Output(hidden, kernel, rows_first, softcap)
    return output, targets, jnp.asarray(weights, jnp.float32)


def plain(config, output, targets, weights):
    return cross_entropy(logits_of(output), targets, weights, config.z_loss, config.label_smoothing)


@pytest.mark.parametrize("rows_first", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_the_plain_loss_and_its_gradients(rows_first, softcap, smoothing):
    config = LossConfig(z_loss=1e-2, label_smoothing=smoothing)
    output, targets, weights = example(rows_first, softcap)

    def mean(function):
        def loss(hidden, kernel):
            whole = output._replace(hidden=hidden, kernel=kernel)
            total, sums = function(config, whole, targets, weights)
            return 1.7 * total / sums.weight, sums

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))

    arrays = output.hidden, output.kernel
    (expected, sums), gradients = mean(plain)(*arrays)
    (loss, same_sums), same_gradients = mean(chunked_cross_entropy)(*arrays)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(same_sums, sums, rtol=1e-6)
    for ours, theirs in zip(same_gradients, gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
    whole = Output(*arrays, rows_first, softcap)
    again = jax.jit(lambda: chunked_cross_entropy(config, whole, targets, weights))()
    np.testing.assert_allclose(again[0], expected * sums.weight / 1.7, rtol=1e-6)


def test_bfloat16_states_give_a_gradient_near_that_of_float32():
    config = LossConfig()
    output, targets, weights = example(False, None)

    def gradient(dtype):
        def loss(kernel):
            rounded = output._replace(hidden=output.hidden.astype(dtype), kernel=kernel)
            return chunked_cross_entropy(config, rounded, targets, weights)[0]

        return jax.grad(loss)(output.kernel.astype(dtype))

    exact, rounded = gradient(jnp.float32), gradient(jnp.bfloat16)
    assert rounded.dtype == jnp.bfloat16
    np.testing.assert_allclose(rounded, exact, atol=0.02 * np.abs(exact).max())


@pytest.mark.parametrize("differentiated", [False, True])
def test_no_array_has_all_logits(differentiated):
    output, targets, weights = example(False, None)

    def loss(hidden):
        whole = output._replace(hidden=hidden)
        return chunked_cross_entropy(LossConfig(), whole, targets, weights)[0]

    function = jax.grad(loss) if differentiated else loss
    sizes = [
        shape.size
        for shape in _shapes(jax.make_jaxpr(function)(output.hidden).jaxpr)
        if VOCAB in shape.shape
    ]
    assert max(sizes) == 16 * VOCAB  # a chunk of 4 rows and 4 positions


def _shapes(jaxpr):
    """Shapes of all values of a program and of the programs within it."""
    for equation in jaxpr.eqns:
        yield from (variable.aval for variable in equation.outvars)
        for inner in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(inner, "jaxpr", inner)  # closed or not
            if hasattr(inner, "eqns"):
                yield from _shapes(inner)
