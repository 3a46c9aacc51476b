"""Beam search: with beams enough it finds the best of all answers."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
import small_models
from quick_compilation import compile_quickly  # noqa: F401

from flan_jax.evaluation import generation, scoring
from flan_jax.evaluation.examples import Example
from flan_jax.evaluation.sampling import DecodingConfig
from flan_jax.model import transformer

VOCAB, MOST = 6, 3
PROMPTS = [[2, 3, 4, 1], [5, 1], [3, 3, 1]]
# Every answer: tokens but EOS (1), up to the length, and EOS behind the shorter ones.
ANSWERS = [
    (*tokens, *[1] * (len(tokens) < MOST))
    for count in range(MOST + 1)
    for tokens in itertools.product((0, 2, 3, 4, 5), repeat=count)
]


@pytest.fixture(scope="module", params=["encoder_decoder", "decoder_only"])
def model(request):
    config = small_models.CONFIGS[request.param]
    config = dataclasses.replace(config, vocab_size=VOCAB, tie_embeddings=False)
    return config, small_models.quick_jit(transformer.init)(config, jax.random.key(3))


def test_finds_the_best_of_all_answers(model):
    examples = [Example(prompt, "", (), (), tuple(ANSWERS)) for prompt in PROMPTS]
    scores = scoring.score_options(*model, examples, batch_size=8)
    lengths = np.array(list(map(len, ANSWERS)))
    every = set()
    for penalty in (0.0, 2.0):
        how = DecodingConfig(beams=len(ANSWERS), length_penalty=penalty)
        found = generation.generate(*model, PROMPTS, MOST, batch_size=4, decoding=how)
        best = [ANSWERS[np.argmax(values / lengths**penalty)] for values in scores]
        assert found == [[token for token in answer if token != 1] for answer in best]
        every |= set(best)
    assert len(set(map(len, every))) > 1  # the penalty matters


def test_does_not_depend_on_the_batch_and_one_beam_is_greedy(model):
    prompts = [[2 + i % 4, 2 + i // 4, 1] for i in range(5)]
    how = DecodingConfig(beams=3)
    found = generation.generate(*model, prompts, 8, batch_size=5, decoding=how)
    assert generation.generate(*model, prompts, 8, batch_size=2, decoding=how) == found
    greedy = generation.generate(*model, prompts, 8, batch_size=5)
    assert greedy != found


def test_stops_when_nothing_can_overtake(model):
    """With a room of 64 tokens answers are those with a room of 8 where they end before it."""
    how = DecodingConfig(beams=2, length_penalty=0.5)
    short = generation.generate(*model, PROMPTS, 8, batch_size=3, decoding=how)
    long = generation.generate(*model, PROMPTS, 20, batch_size=3, decoding=how)
    ended = [at for at, answer in enumerate(short) if len(answer) < 8]
    assert ended
    assert [short[at] for at in ended] == [long[at] for at in ended]


def test_damaged_parameters_are_an_error(model):
    config, params = model
    broken = jax.tree.map(lambda leaf: leaf * np.nan, params)
    for how in (DecodingConfig(), DecodingConfig(beams=3)):
        with pytest.raises(ValueError, match="logits of 3 of 3 rows are not finite, of prompt"):
            generation.generate(config, broken, PROMPTS, 8, batch_size=3, decoding=how)


def test_beams_have_no_stop_tokens(model):
    with pytest.raises(ValueError, match="beams: expected 1 with a stop"):
        generation.generate(*model, PROMPTS, 8, stop=[3], decoding=DecodingConfig(beams=2))
