"""The loss against float64 numpy, finite differences and its documented minimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flan_jax.train.losses import LossConfig, cross_entropy


def example(seed=0, rows=3, length=5, vocab=11):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3.0, size=(rows, length, vocab))
    targets = rng.integers(0, vocab, size=(rows, length))
    weights = rng.random((rows, length)) * (rng.random((rows, length)) > 0.3)
    return logits, targets, weights


def reference(logits, targets, weights, z_loss, smoothing):
    """The definition, in float64: soft targets, their entropy subtracted, z-loss added."""
    vocab = logits.shape[-1]
    log_z = np.log(np.exp(logits).sum(-1))
    log_p = logits - log_z[..., None]
    soft = np.full(logits.shape, smoothing / (vocab - 1))
    np.put_along_axis(soft, targets[..., None], 1 - smoothing, -1)
    entropy = -np.sum(soft * np.log(np.where(soft > 0, soft, 1.0)), -1)
    loss = -np.sum(soft * log_p, -1) - entropy + z_loss * log_z**2
    return np.sum(weights * loss)


@pytest.mark.parametrize("z_loss,smoothing", [(0, 0), (1e-2, 0), (0, 0.1), (1e-2, 0.2)])
def test_equals_the_float64_definition(z_loss, smoothing):
    logits, targets, weights = example()
    loss, sums = cross_entropy(
        jnp.asarray(logits, jnp.float32), targets, jnp.asarray(weights), z_loss, smoothing
    )
    expected = reference(logits, targets, weights, z_loss, smoothing)
    np.testing.assert_allclose(loss, expected, rtol=2e-6)
    log_z = np.log(np.exp(logits).sum(-1))
    np.testing.assert_allclose(sums.z_loss, np.sum(weights * z_loss * log_z**2), rtol=2e-6)
    np.testing.assert_allclose(sums.weight, weights.sum(), rtol=1e-6)
    assert sums.tokens == (weights > 0).sum()
    assert sums.correct == ((logits.argmax(-1) == targets) & (weights > 0)).sum()


@pytest.mark.parametrize("z_loss,smoothing", [(0, 0), (1e-2, 0.1)])
def test_gradient_equals_finite_differences(z_loss, smoothing):
    logits, targets, weights = example(rows=1, length=3, vocab=7)

    def loss(x):
        return cross_entropy(x, targets, jnp.asarray(weights), z_loss, smoothing)[0]

    gradient = np.asarray(jax.grad(loss)(jnp.asarray(logits, jnp.float32)))
    step = 1e-6
    for index in np.ndindex(logits.shape):
        shifted = np.zeros_like(logits)
        shifted[index] = step
        difference = reference(logits + shifted, targets, weights, z_loss, smoothing) - reference(
            logits - shifted, targets, weights, z_loss, smoothing
        )
        np.testing.assert_allclose(gradient[index], difference / (2 * step), atol=2e-6)


def test_smoothed_minimum_is_zero():
    smoothing, vocab = 0.1, 8
    soft = np.full((1, 1, vocab), smoothing / (vocab - 1), np.float32)
    soft[0, 0, 3] = 1 - smoothing
    loss, _ = cross_entropy(jnp.log(soft), np.array([[3]]), jnp.ones((1, 1)), 0.0, smoothing)
    np.testing.assert_allclose(loss, 0.0, atol=1e-6)


def test_zero_weights_give_zero_loss_and_gradient():
    logits, targets, weights = example()

    def loss(x):
        return cross_entropy(x, targets, jnp.zeros(weights.shape), 1e-4, 0.1)[0]

    value, gradient = jax.value_and_grad(loss)(jnp.asarray(logits, jnp.float32))
    assert value == 0
    assert not np.any(gradient)


def test_bfloat16_logits_are_summed_in_float32():
    logits, targets, weights = example(rows=64, length=64)
    rounded = jnp.asarray(logits, jnp.bfloat16)
    loss, _ = cross_entropy(rounded, targets, jnp.asarray(weights))
    expected = reference(np.asarray(rounded, np.float64), targets, weights, 0, 0)
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "field,value", [("z_loss", -1.0), ("label_smoothing", 1.0), ("z_loss", float("nan"))]
)
def test_bad_configuration_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        LossConfig(**{field: value})
