"""Greedy generation: the argmax of the full forward at each step, whatever the batch."""

import dataclasses

import jax
import numpy as np
import pytest
import small_models
from quick_compilation import compile_quickly  # noqa: F401
from test_scoring import MODELS

from flan_jax.evaluation import continuous, generation
from flan_jax.model import transformer

MAX_LENGTH = 6
VOCAB = 12  # so few tokens that some answers end before the others


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    # Untied, for a tied random model repeats the end of the prompt; with this seed some answers
    # end early and others not at all.
    config = small_models.CONFIGS[request.param]
    config = dataclasses.replace(config, vocab_size=VOCAB, tie_embeddings=False)
    return config, small_models.quick_jit(transformer.init)(config, jax.random.key(1))


def make_prompts(count: int) -> list[list[int]]:
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 15, count)
    return [[*generator.integers(2, VOCAB, length).tolist(), 1] for length in lengths]


forward = small_models.quick_jit(transformer.apply)


def greedy_by_full_forward(config, params, prompts):
    """Answers from one forward pass over all rows for each token."""
    answers = [[] for _ in prompts]
    for step in range(MAX_LENGTH):
        rows = [
            [(np.array(prompt), np.array([*answer, 0]))]
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        batch = small_models.rows_batch(config, rows, 16, MAX_LENGTH + 1)
        logits = np.asarray(forward(config, params, batch))
        for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            skipped = len(prompt) if config.architecture == "decoder_only" else 0
            answer.append(int(logits[row, skipped + step].argmax()))
    return [answer[: answer.index(1)] if 1 in answer else answer for answer in answers]


def test_equals_the_argmax_of_the_full_forward_for_any_batch_size(model):
    prompts = make_prompts(24)
    expected = greedy_by_full_forward(*model, prompts)
    # Of 64 rows some stay empty, and the last ones go on as smaller batches; of 7 and 1 all are
    # replaced.
    for batch_size in (64, 7, 1):
        assert generation.generate(*model, prompts, MAX_LENGTH, batch_size) == expected
    assert len({tuple(answer) for answer in expected}) > 1


def test_rows_without_a_prompt_are_given_up(model, monkeypatch):
    sizes, advance = [], continuous._advance

    def noted(*arguments):
        sizes.append(arguments[3].token.shape[0])
        return advance(*arguments)

    monkeypatch.setattr(continuous, "_advance", noted)
    generation.generate(*model, make_prompts(24), MAX_LENGTH, 64)
    assert sizes[0] == 32 and sizes == sorted(sizes, reverse=True) and set(sizes) <= {32, 16}
    sizes.clear()
    generation.generate(*model, make_prompts(24), MAX_LENGTH, 7)
    assert set(sizes) == {7}  # too few rows to be worth another program


def test_texts_are_encoded_cut_and_decoded():
    config = small_models.CONFIGS["decoder_only"]
    model = config, small_models.params_of(config)
    run = generation.GenerateRun("run", inputs_length=4, max_decode_length=3, batch_size=2)

    def encode(text):
        return [ord(letter) - 90 for letter in text]

    def decode(tokens):
        return " ".join(map(str, tokens))

    texts, cut = generation.answer_texts(*model, ["abc", "abcdef"], encode, decode, run)
    (tokens,) = generation.generate(*model, [[7, 8, 9, 1]], 3, batch_size=2)
    assert texts == [decode(tokens)] * 2
    assert cut == 1


def test_an_answer_needs_room():
    with pytest.raises(ValueError, match="max_decode_length: expected at least 1"):
        generation.generate(small_models.DECODER_ONLY, {}, [[1]], 0)
