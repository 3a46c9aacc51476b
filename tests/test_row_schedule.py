"""Continuous batching that was killed goes on bit for bit, and generates little of it again."""

import dataclasses
import functools
import hashlib

import jax
import numpy as np
import pytest
import small_models
from quick_compilation import compile_quickly  # noqa: F401

from flan_jax.evaluation import beam, continuous, generation
from flan_jax.evaluation.row_schedule import RowSchedule
from flan_jax.evaluation.sampling import DecodingConfig, Generator
from flan_jax.model import transformer

VOCAB = 12  # so few tokens that answers end early
MAX_LENGTH = 24
COUNT = 70  # prompts


@functools.cache
def make_model(name):
    config = dataclasses.replace(
        small_models.CONFIGS[name], vocab_size=VOCAB, tie_embeddings=False, num_layers=1
    )
    return config, small_models.quick_jit(transformer.init)(config, jax.random.key(1))


def make_prompts(count):
    """Few are long, so that the cache becomes narrower on the way."""
    generator = np.random.default_rng(0)
    lengths = np.where(np.arange(count) % 6 == 0, 60, 9) - generator.integers(0, 9, count)
    return [[*generator.integers(2, VOCAB, length).tolist(), 1] for length in lengths]


def letters(tokens):
    return "".join(chr(ord("a") + token) for token in tokens)


class Watched:
    """What the device did: steps, kinds of changes, and a digest of each row that was in use."""

    def __init__(self, monkeypatch):
        self.steps, self.kinds, self.rows = 0, set(), set()
        self._originals = continuous._collect, continuous._advance, continuous._change
        for name in ("collect", "advance", "change"):
            monkeypatch.setattr(continuous, f"_{name}", getattr(self, name))

    def collect(self, slots, schedule, *rest):
        state = jax.device_get(slots._replace(keys=jax.random.key_data(slots.keys)))
        owners = list(schedule.owners)
        found = self._originals[0](slots, schedule, *rest)
        for row, unit in enumerate(owners):
            digest = hashlib.sha256()
            for leaf in jax.tree.leaves(state):
                digest.update(np.ascontiguousarray(leaf[row]).tobytes())
            if unit:
                self.rows.add((schedule.step, unit, digest.hexdigest()))
        return found

    def advance(self, config, decoding, params, slots, *how):
        before = np.asarray(slots.counts)
        slots = self._originals[1](config, decoding, params, slots, *how)
        self.steps += int((np.asarray(slots.counts) - before).max())
        return slots

    def change(self, read, size, slots, change):
        self.kinds.add(type(change).__name__)
        return self._originals[2](read, size, slots, change)


def run(generator, prompts, ended=None):
    answers = generation._answers(generator, prompts, ended=ended)
    return [(one.step, *answer) for one in answers for answer in one.answers]


CASES = {
    "refilled, narrowed and shrunk": ("encoder_decoder", 32, DecodingConfig(temperature=0.5)),
    "stopped by texts": ("decoder_only", 5, DecodingConfig(temperature=1.0, stop=("cd", "e"))),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_killed_goes_on_bit_for_bit(case, monkeypatch):
    name, batch_size, how = CASES[case]
    model, prompts = make_model(name), make_prompts(COUNT)
    generator = Generator(*model, MAX_LENGTH, batch_size, decoding=how, decode=letters)
    watched = Watched(monkeypatch)
    whole = run(generator, prompts)
    steps, rows = watched.steps, set(watched.rows)
    assert len(whole) == len(prompts) and whole[-1][0] == steps
    assert watched.kinds == {"Refill", "Narrow"} | ({"Shrink"} if batch_size == 32 else set())
    for count in (1, 37, 50, 69):
        watched.steps = 0
        again = run(generator, prompts, {unit: step for step, unit, _ in whole[:count]})
        given = len(whole) - len(again)
        # Of the answers that were known those of the last step alone are given again.
        last = whole[count - 1][0]
        assert given == sum(step < last for step, _, _ in whole)
        assert again == whole[given:]
        assert watched.steps <= steps - last + 1.5 * MAX_LENGTH
    assert watched.rows == rows


@pytest.mark.parametrize("seed", [0, 1])
def test_steps_of_another_schedule_lose_no_answer(seed):
    """As of another batch size: what is not known is generated, if need be from the start."""
    name, batch_size, how = CASES["stopped by texts"]
    generator = Generator(*make_model(name), MAX_LENGTH, batch_size, (), how, letters)
    prompts = make_prompts(COUNT)
    expected = {unit: tokens for _, unit, tokens in run(generator, prompts)}
    drawn = np.random.default_rng(seed)
    known = {(int(at), 0): int(drawn.integers(40)) for at in drawn.permutation(COUNT)[:20]}
    found = {unit: tokens for _, unit, tokens in run(generator, prompts, known)}
    assert known.keys() | found.keys() == expected.keys()
    assert found == {unit: expected[unit] for unit in found}


def test_steps_that_cannot_be_are_refused():
    """Of three prompts in two rows the second and third cannot end before the first."""
    schedule = RowSchedule([5, 4, 3], 1, batch_size=2, refill=1)
    with pytest.raises(ValueError, match="ended at step 0 in another order of prompts"):
        schedule.take_up({(0, 0): 5, (1, 0): 5, (2, 0): 0, (3, 0): 6}, most=9)


def test_whole_batches_of_a_beam_search_are_not_searched_again(monkeypatch):
    model, prompts = make_model("encoder_decoder"), make_prompts(9)
    generator = Generator(*model, 3, 3, decoding=DecodingConfig(beams=2))
    whole, searched = run(generator, prompts), []
    search = beam._search
    monkeypatch.setattr(beam, "_search", lambda *given: (searched.append(1), search(*given))[1])
    known = {unit: step for step, unit, _ in whole[:5]}
    assert run(generator, prompts, known) == whole[3:]
    assert len(searched) == 2
