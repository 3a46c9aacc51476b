"""Masks, relative positions, rotary embeddings and the attention product."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_models import DECODER_ONLY, ENCODER_DECODER, assert_trees_close

from flan_jax.model import attention
from flan_jax.model.visibility import causal_mask, segment_mask

# Buckets that the code published with T5 gives, for keys at a distance before and after the
# query, with 32 buckets and distance 128.
PUBLISHED = [
    # distance, both directions: key before, key after; one direction: key before
    (0, 0, 0, 0),
    (1, 1, 17, 1),
    (7, 7, 23, 7),
    (8, 8, 24, 8),
    (11, 8, 24, 11),
    (12, 9, 25, 12),
    (15, 9, 25, 15),
    (16, 10, 26, 16),
    (18, 10, 26, 16),
    (19, 10, 26, 17),
    (20, 10, 26, 17),
    (22, 10, 26, 18),
    (23, 11, 27, 18),
    (31, 11, 27, 21),
    (32, 12, 28, 21),
    (45, 12, 28, 23),
    (46, 13, 29, 24),
    (63, 13, 29, 26),
    (64, 14, 30, 26),
    (90, 14, 30, 29),
    (91, 15, 31, 29),
    (113, 15, 31, 31),
    (127, 15, 31, 31),
    (128, 15, 31, 31),
    (5000, 15, 31, 31),
]


@pytest.mark.parametrize(("distance", "before", "after", "one_way"), PUBLISHED)
def test_relative_buckets_are_the_published_ones(distance, before, after, one_way):
    assert attention.relative_bucket(jnp.array(-distance), True, 32, 128) == before
    assert attention.relative_bucket(jnp.array(distance), True, 32, 128) == after
    assert attention.relative_bucket(jnp.array(-distance), False, 32, 128) == one_way
    assert attention.relative_bucket(jnp.array(distance), False, 32, 128) == 0


@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (32, 64), (8, 16)])
def test_relative_buckets_follow_the_formula_at_every_distance(buckets, max_distance):
    distances = np.arange(1, 300)
    exact = buckets // 2
    # The margin keeps the edges, where the ratio is whole, from being rounded down.
    ratio = np.log(distances / exact) / np.log(max_distance / exact) * (buckets - exact) + 1e-9
    expected = np.where(
        distances < exact, distances, np.minimum(exact + ratio.astype(int), buckets - 1)
    )
    actual = attention.relative_bucket(jnp.asarray(-distances), False, buckets, max_distance)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (5, 5), (1, 9), (7, 3), (30, 40)])
def test_relative_bias_is_the_table_at_the_bucket_of_each_pair(queries, keys, bidirectional):
    table = jax.random.normal(jax.random.key(0), (8, 4))
    bias = attention.relative_bias(ENCODER_DECODER, table, queries, keys, bidirectional)
    relative = jnp.arange(keys)[None, :] - jnp.arange(queries)[:, None]
    bucket = attention.relative_bucket(relative, bidirectional, 8, 16)
    np.testing.assert_array_equal(bias[0], table[bucket].transpose(2, 0, 1))


def test_relative_bias_at_picks_from_relative_bias():
    table = jax.random.normal(jax.random.key(0), (8, 4))
    whole = attention.relative_bias(ENCODER_DECODER, table, 12, 12, True)
    queries, keys = jnp.array([[0, 7], [11, 3]]), jnp.array([[5, 0, 1], [11, 3, 4]])
    rows = attention.relative_bias_at(ENCODER_DECODER, table, queries, keys, True)
    for row, query, key in zip(rows, queries, keys, strict=True):
        np.testing.assert_array_equal(row, whole[0][:, query[:, None], key])


def test_masks_of_a_packed_row():
    segments = jnp.array([[1, 1, 2, 2, 0]])
    prefix = jnp.array([[True, True, False, False, False]])
    causal = np.array(
        [
            [1, 0, 0, 0, 0],
            [1, 1, 0, 0, 0],
            [0, 0, 1, 0, 0],
            [0, 0, 1, 1, 0],
            [0, 0, 0, 0, 1],
        ]
    )
    np.testing.assert_array_equal(causal_mask(segments)[0], causal)
    causal[0, 1] = 1  # the first segment's prefix, seen by the segment alone
    np.testing.assert_array_equal(causal_mask(segments, prefix)[0], causal)
    cross = segment_mask(segments, jnp.array([[1, 2, 2]]))[0]
    np.testing.assert_array_equal(cross, [[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 1, 1], [0, 0, 0]])


def test_a_sliding_window_is_the_token_itself_and_those_before_it():
    segments = jnp.array([[1, 1, 1, 1, 2, 2]])
    prefix = jnp.array([[True, True, True, False, False, False]])
    causal = np.array(
        [
            [1, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0],
            [0, 1, 1, 0, 0, 0],
            [0, 0, 1, 1, 0, 0],
            [0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 1, 1],
        ]
    )
    np.testing.assert_array_equal(causal_mask(segments, window=2)[0], causal)
    causal[0, 1] = causal[1, 2] = 1
    np.testing.assert_array_equal(causal_mask(segments, prefix, 2)[0], causal)


def test_scaled_rope_frequencies():
    config = dataclasses.replace(DECODER_ONLY, head_dim=64, rope_factor=8.0, rope_theta_local=100.0)
    plain = attention.rope_frequencies(config)
    np.testing.assert_allclose(plain, 10_000.0 ** (-np.arange(32) / 32), rtol=1e-6)
    linear = dataclasses.replace(config, rope_scaling="linear")
    np.testing.assert_array_equal(attention.rope_frequencies(linear), plain / 8)
    local = attention.rope_frequencies(linear, True)
    np.testing.assert_allclose(local, 100.0 ** (-np.arange(32) / 32), rtol=1e-6)
    # Frequencies that turn more than 4 times in 8192 tokens are kept, fewer than once divided.
    llama3 = attention.rope_frequencies(dataclasses.replace(config, rope_scaling="llama3"))
    turns = 8192 * plain / (2 * np.pi)
    np.testing.assert_array_equal(llama3[turns > 4], plain[turns > 4])
    np.testing.assert_array_equal(llama3[turns < 1], plain[turns < 1] / 8)
    between = (turns > 1) & (turns < 4)
    assert between.any() and (turns < 1).any()
    assert np.all((llama3 < plain)[between] & (llama3 > plain / 8)[between])


def test_rope_products_depend_on_the_difference_of_positions():
    x, y = jax.random.normal(jax.random.key(0), (2, 1, 6, 2, 8))
    positions = jnp.arange(6)[None]

    frequencies = attention.rope_frequencies(DECODER_ONLY)

    def turned(z, shift=0):
        return attention.rope(z, attention.Rotation(positions + shift, frequencies))

    def products(shift):
        return jnp.einsum("bthd,bshd->bhts", turned(x, shift), turned(y, shift))

    np.testing.assert_allclose(products(0), products(100), rtol=0, atol=1e-5)
    np.testing.assert_allclose(turned(x)[:, 0], x[:, 0], rtol=0, atol=1e-7)


@pytest.mark.parametrize("config", [ENCODER_DECODER, DECODER_ONLY], ids=["heads", "grouped"])
def test_attend_is_the_softmax_of_the_logits_times_the_values(config):
    config = dataclasses.replace(config, scaling="t5")
    keys = jax.random.split(jax.random.key(0), 5)
    queries = jax.random.normal(keys[0], (2, 5, 4, 8))
    k, v = jax.random.normal(keys[1], (2, 2, 7, config.kv_heads, 8))
    mask = jax.random.bernoulli(keys[2], 0.5, (2, 5, 7)).at[:, :, 0].set(True)
    bias = jax.random.normal(keys[3], (1, 4, 5, 7))
    params = {"out": jax.random.normal(keys[4], (32, 32))}

    def plain(queries, k, v, bias):
        k, v = (jnp.repeat(x, 4 // config.kv_heads, axis=2) for x in (k, v))
        logits = jnp.einsum("btnh,bsnh->bnts", queries, k) + bias
        weights = jax.nn.softmax(jnp.where(mask[:, None], logits, -jnp.inf), axis=-1)
        mixed = jnp.einsum("bnts,bsnh->btnh", weights, v)
        return mixed.reshape(2, 5, 32) @ params["out"]

    def ours(queries, k, v, bias):
        # Heads come before positions, and a cache before what is new.
        pieces = ((x.swapaxes(1, 2)[:, :, :4], x.swapaxes(1, 2)[:, :, 4:]) for x in (k, v))
        return attention.attend(config, params, queries, *pieces, mask, bias, None)

    def outputs(f):
        def total(*operands):
            y = f(*operands)
            return jnp.sin(y).sum(), y

        with_gradients = jax.grad(total, argnums=(0, 1, 2, 3), has_aux=True)
        return jax.jit(with_gradients)(queries, k, v, bias)

    assert_trees_close(outputs(ours), outputs(plain), 1e-4)


def test_a_query_without_keys_gives_finite_numbers():
    x = jnp.ones((1, 2, 4, 8))
    params = {"out": jnp.ones((32, 32))}
    mask = jnp.zeros((1, 2, 2), bool)

    def total(x):
        pieces = (x.swapaxes(1, 2),)
        y = attention.attend(ENCODER_DECODER, params, x, pieces, pieces, mask, None, None)
        return y.sum()

    value, gradient = jax.value_and_grad(total)(x)
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()
