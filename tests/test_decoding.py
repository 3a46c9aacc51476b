"""Decoding with a cache equals the full forward pass at every step."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_models import CONFIGS, DECODER_ONLY, VOCAB, params_of, quick_jit

from flan_jax.batch import Batch
from flan_jax.model import decoding, transformer

STEPS = 5
PROMPTS = np.array([3, 1, 6])  # prompt tokens of each row, the start token included
SOURCES = np.array([4, 9, 1])  # encoder tokens of each row


def _left_aligned(rng, lengths, width):
    tokens = rng.integers(2, VOCAB, (len(lengths), width)).astype(np.int32)
    valid = np.arange(width) < lengths[:, None]
    return tokens * valid, valid.astype(np.int32)


def _case(config):
    """Returns the full forward pass's batch; its prompts are its first `PROMPTS` tokens."""
    rng = np.random.default_rng(0)
    tokens, segments = _left_aligned(rng, PROMPTS + STEPS, PROMPTS.max() + STEPS)
    tokens[:, 0] = 0
    positions = np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int32), tokens.shape)
    batch = Batch(tokens, tokens, segments, positions, segments.astype(np.float32))
    if config.architecture == "decoder_only":
        return batch._replace(decoder_prefix=positions < PROMPTS[:, None])
    sources, source_segments = _left_aligned(rng, SOURCES, SOURCES.max())
    return batch._replace(encoder_tokens=sources, encoder_segments=source_segments)


CASES = {
    "encoder_decoder": CONFIGS["encoder_decoder"],
    "unrolled": dataclasses.replace(CONFIGS["tied_original"], scan_layers=False),
    "decoder_only": CONFIGS["decoder_only"],
    "prefix_lm": CONFIGS["prefix_lm"],
    "prefix_lm_relative": CONFIGS["prefix_lm_relative"],
    "bias_per_layer": CONFIGS["bias_per_layer"],
    "sliding": CONFIGS["sliding"],
    "gemma": CONFIGS["gemma"],
    "gemma_unrolled": dataclasses.replace(CONFIGS["gemma"], scan_layers=False),
}
prefill = quick_jit(decoding.prefill, static_argnums=(0, 4))
step = quick_jit(decoding.decode_step)


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
def test_every_step_equals_the_full_forward_pass(config):
    batch, params = _case(config), params_of(config)
    rows = np.arange(len(PROMPTS))
    full = np.asarray(quick_jit(transformer.apply)(config, params, batch))
    encoded = segments = None
    if config.architecture == "encoder_decoder":
        segments = batch.encoder_segments
        encoded = quick_jit(decoding.encode)(config, params, batch.encoder_tokens, segments)

    prompt = np.where(
        np.arange(PROMPTS.max()) < PROMPTS[:, None],
        batch.decoder_inputs[:, : PROMPTS.max()],
        7,  # what follows a prompt is not read
    )
    logits, cache = prefill(
        config, params, prompt, PROMPTS, PROMPTS.max() + STEPS, encoded, segments
    )
    np.testing.assert_allclose(logits, full[rows, PROMPTS - 1], rtol=0, atol=1e-5)
    for count in range(STEPS):
        tokens = batch.decoder_inputs[rows, PROMPTS + count]
        logits, cache = step(config, params, cache, tokens)
        np.testing.assert_allclose(logits, full[rows, PROMPTS + count], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(cache.lengths, PROMPTS + STEPS)


def test_an_empty_cache_equals_a_prompt_of_one_token():
    params = params_of(DECODER_ONLY)
    start = jnp.zeros(2, jnp.int32)
    stepped, _ = step(DECODER_ONLY, params, decoding.init_cache(DECODER_ONLY, 2, 4), start)
    prefilled, _ = prefill(DECODER_ONLY, params, start[:, None], start + 1, 4)
    np.testing.assert_allclose(stepped, prefilled, rtol=0, atol=1e-5)


def test_decoding_runs_inside_a_while_loop():
    params = params_of(DECODER_ONLY)
    prompt = jnp.array([[0, 5, 6], [0, 9, 0]])

    @functools.partial(quick_jit, static_argnums=())
    def generate(params, prompt, lengths):
        logits, cache = decoding.prefill(DECODER_ONLY, params, prompt, lengths, 8)

        def body(state):
            index, logits, cache, out = state
            tokens = logits.argmax(-1)
            logits, cache = decoding.decode_step(DECODER_ONLY, params, cache, tokens)
            return index + 1, logits, cache, out.at[:, index].set(tokens)

        state = (0, logits, cache, jnp.zeros((len(prompt), 5), jnp.int32))
        return jax.lax.while_loop(lambda state: state[0] < 5, body, state)[-1]

    lengths = jnp.array([3, 2])
    together = generate(params, prompt, lengths)
    swapped = generate(params, prompt[::-1], lengths[::-1])
    np.testing.assert_array_equal(together, swapped[::-1])
    # The first token is the full forward pass's.
    rows, zeros = np.arange(2), np.zeros_like(prompt)
    segments = (np.arange(3) < lengths[:, None]).astype(np.int32)
    batch = Batch(prompt, prompt, segments, zeros + np.arange(3, dtype=np.int32), segments * 1.0)
    full = quick_jit(transformer.apply)(DECODER_ONLY, params, batch)
    np.testing.assert_array_equal(together[:, 0], full[rows, lengths - 1].argmax(-1))


def test_a_full_row_is_left_alone():
    params = params_of(DECODER_ONLY)
    tokens = jnp.array([3, 4])
    _, cache = prefill(DECODER_ONLY, params, jnp.zeros((2, 2), jnp.int32), jnp.array([2, 1]), 2)
    _, after = step(DECODER_ONLY, params, cache, tokens)
    np.testing.assert_array_equal(after.lengths, [2, 2])
    np.testing.assert_array_equal(after.layers.keys[:, 0], cache.layers.keys[:, 0])


def test_a_prompt_longer_than_the_cache_is_refused():
    with pytest.raises(ValueError, match="prompt of 5 positions does not fit a cache of 4"):
        decoding.prefill(
            DECODER_ONLY,
            params_of(DECODER_ONLY),
            jnp.zeros((1, 5), jnp.int32),
            jnp.array([5]),
            4,
        )
