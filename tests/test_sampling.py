"""Drawing tokens, several samples, stop texts, and rows that are replaced."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_models
from quick_compilation import compile_quickly  # noqa: F401
from test_generation import VOCAB, make_prompts

from flan_jax.evaluation import generation
from flan_jax.evaluation.sampling import DecodingConfig, Generator, choose, row_keys, truncate
from flan_jax.model import transformer

LOGITS = np.log(np.array([0.4, 0.3, 0.2, 0.1], np.float32))


@pytest.fixture(scope="module", params=["encoder_decoder", "decoder_only"])
def model(request):
    config = small_models.CONFIGS[request.param]
    config = dataclasses.replace(config, vocab_size=VOCAB, tie_embeddings=False)
    return config, small_models.quick_jit(transformer.init)(config, jax.random.key(1))


def shares(decoding, rows=4000):
    """How often each token of LOGITS is drawn."""
    units = np.stack([np.arange(rows) % 100, np.arange(rows) // 100], axis=1)
    keys = row_keys(decoding, jnp.asarray(units, jnp.int32))
    tokens = choose(decoding, jnp.tile(LOGITS, (rows, 1)), keys, jnp.zeros(rows, jnp.int32))
    return np.bincount(tokens, minlength=4) / rows


@pytest.mark.parametrize(
    "settings, expected",
    [
        (dict(temperature=1.0), [0.4, 0.3, 0.2, 0.1]),
        (dict(temperature=0.5), np.array([16, 9, 4, 1]) / 30),
        (dict(temperature=1.0, top_k=2), [4 / 7, 3 / 7, 0, 0]),
        (dict(temperature=1.0, top_p=0.75), [4 / 9, 3 / 9, 2 / 9, 0]),
        # Both: of the two likeliest, as many as have half of their probability.
        (dict(temperature=1.0, top_k=2, top_p=0.5), [1, 0, 0, 0]),
        (dict(temperature=0.0), [1, 0, 0, 0]),
    ],
)
def test_tokens_are_drawn_as_often_as_they_are_likely(settings, expected):
    found = shares(DecodingConfig(**settings))
    deviation = np.sqrt(np.array(expected) * (1 - np.array(expected)) / 4000)
    assert np.all(np.abs(found - expected) <= 4 * deviation)


def test_tokens_as_likely_as_the_last_one_are_kept():
    logits = jnp.array([[1.0, 3.0, 3.0, 2.0]])
    kept = truncate(DecodingConfig(temperature=1.0, top_k=1), logits)
    np.testing.assert_array_equal(jnp.isfinite(kept), [[False, True, True, False]])


def test_samples_depend_on_seed_prompt_and_number_but_not_on_the_batch(model):
    prompts = make_prompts(5)
    prompts[3] = prompts[1]
    how = DecodingConfig(temperature=1.5, samples=3)
    by_four = Generator(*model, 6, 4, decoding=how)
    found = generation.generate_samples(by_four, prompts)
    larger = dataclasses.replace(by_four, batch_size=16)
    assert generation.generate_samples(larger, prompts) == found
    other = dataclasses.replace(by_four, decoding=dataclasses.replace(how, seed=1))
    assert generation.generate_samples(other, prompts) != found
    assert [len(samples) for samples in found] == [3] * 5
    assert len({tuple(answer) for answer in found[1] + found[3]}) == 6
    with pytest.raises(ValueError, match="samples: expected 1 answer to a prompt, got 3"):
        generation.generate(*model, prompts, 6, decoding=how)


def letters(tokens):
    return "".join(chr(ord("a") + token) for token in tokens)


def test_stop_texts_end_answers_and_free_their_rows(model):
    prompts = make_prompts(6)
    whole = list(map(letters, generation.generate(*model, prompts, 40, batch_size=6)))
    longest = max(whole, key=len)
    assert len(longest) > 20
    stop = (longest[2:4], longest[5:8])  # the first text of several that appears counts
    how = DecodingConfig(stop=stop)
    for batch_size in (2, 6):
        answers = generation.generate(*model, prompts, 40, batch_size, decoding=how, decode=letters)
        texts = list(map(letters, answers))
        expected = [min((text.split(one)[0] for one in stop), key=len) for text in whole]
        assert [generation.until_stop(text, stop) for text in texts] == expected
        assert texts[whole.index(longest)] == longest[: len(expected[whole.index(longest)]) + 2]
    with pytest.raises(ValueError, match="stop texts need a function `decode`"):
        generation.generate(*model, prompts, 4, decoding=how)


def test_until_stop():
    assert generation.until_stop("4. Q: 5", ["Q:"]) == "4. "
    assert generation.until_stop("a b c", ["c", "b"]) == "a "
    assert generation.until_stop("a b c", []) == "a b c"


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(temperature=-1.0), "temperature: expected at least 0, got -1.0"),
        (dict(top_p=0.0), "top_p: expected 0 < p <= 1, got 0.0"),
        (dict(top_k=0), "top_k: expected at least 1, got 0"),
        (dict(samples=2), "samples: expected 1 with temperature 0"),
        (dict(beams=2, temperature=1.0), "beams: expected 1 with a temperature"),
        (dict(stop=["a", ""]), "stop: expected texts that are not empty"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"DecodingConfig.{message}"):
        DecodingConfig(**settings)
