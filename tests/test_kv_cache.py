"""Caches in bfloat16 and int8: their size, and how far logits move."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_models
from quick_compilation import compile_quickly  # noqa: F401

from flan_jax.evaluation import generation
from flan_jax.evaluation.sampling import DecodingConfig
from flan_jax.model import decoding, kv_cache

# Largest difference of a logit from that with a float32 cache, as a part of the largest logit.
# Measured: 0.008 and 0.028 with T5's attention, which is not divided by sqrt(head_dim), and here
# with queries larger than T5's; 0.004 and 0.016 with Llama's.
BOUNDS = {"bfloat16": 0.02, "int8": 0.05}
STEPS = 6


@pytest.fixture(scope="module", params=["encoder_decoder", "decoder_only"])
def model(request):
    config = dataclasses.replace(small_models.CONFIGS[request.param], head_dim=64)
    return config, small_models.params_of(config)


@pytest.mark.parametrize("dtype, most", [("bfloat16", 2**-8), ("int8", 1 / 254)])
def test_entries_are_off_by_a_part_of_the_largest_of_their_head(dtype, most):
    sizes = jnp.array([1e-3, 1, 1e3, 0, 1])[:, None]
    x = jax.random.normal(jax.random.key(0), (3, 2, 5, 8)) * sizes
    loaded = kv_cache.load(kv_cache.store(x, dtype), "float32")
    largest = jnp.max(jnp.abs(x), axis=-1, keepdims=True)
    assert np.all(np.abs(loaded - x) <= most * largest * (1 + 1e-5))
    assert np.all(loaded[:, :, 3] == 0)  # no division by a largest entry of zero
    assert np.any(loaded != x)


def decode(model, dtype):
    """Logits of a prompt and of each step after it, and the cache."""
    config, params = model
    rng = np.random.default_rng(0)
    tokens = rng.integers(2, small_models.VOCAB, (3, 9)).astype(np.int32)
    start = small_models.quick_jit(decoding.start, static_argnums=(0, 4, 5))
    step = small_models.quick_jit(decoding.decode_step, static_argnums=(0, 4))
    logits, cache = start(config, params, tokens, np.array([9, 2, 5]), STEPS, dtype)
    cache = decoding.split_layers(cache)
    found = [logits]
    for token in rng.integers(2, small_models.VOCAB, (STEPS, 3)).astype(np.int32):
        logits, cache = step(config, params, cache, token, dtype)
        found.append(logits)
    return np.stack(found), cache


def size(cache):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(cache.layers))


def test_logits_stay_within_the_stated_bounds_and_caches_take_a_half_and_a_quarter(model):
    exact, cache = decode(model, None)
    whole, width = size(cache), model[0].head_dim
    for dtype, bound in BOUNDS.items():
        logits, small = decode(model, dtype)
        error = np.abs(logits - exact).max() / np.abs(exact).max()
        assert 0 < error < bound
        # int8 has a float32 scale for each head of each token.
        per_head = {"bfloat16": 2 * width, "int8": width + 4}[dtype]
        assert size(small) * 4 * width == whole * per_head
        kinds = {leaf.dtype.name for leaf in jax.tree.leaves(small.layers)}
        assert kinds == {"bfloat16": {"bfloat16"}, "int8": {"int8", "float32"}}[dtype]


@pytest.mark.parametrize("dtype", kv_cache.DTYPES)
def test_answers_do_not_depend_on_the_batch_whatever_the_cache(dtype):
    config = small_models.CONFIGS["encoder_decoder"]
    every = config, small_models.params_of(config), [[5, 6, 1], [7, 1], [8, 9, 3, 1], [4, 1]], 5
    how = DecodingConfig(cache_dtype=dtype)
    assert generation.generate(*every, 3, decoding=how) == generation.generate(
        *every, 4, decoding=how
    )


def test_an_unknown_cache_is_refused():
    with pytest.raises(ValueError, match="cache_dtype: expected one of float32, bfloat16, int8"):
        DecodingConfig(cache_dtype="int4")
