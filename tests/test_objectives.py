"""Pretraining objectives against plain references."""

from collections import Counter

import numpy as np
import pytest

from flan_jax.data import keyed, objectives
from flan_jax.data.objectives import Limits
from flan_jax.data.ragged import Ragged

SIZE = 32_100
ENCODER_DECODER, DECODER_ONLY = Limits(64, 48), Limits(None, None)


def chunks_of(lengths, seed=0):
    rng = np.random.default_rng(seed)
    lengths = np.asarray(lengths)
    return Ragged(rng.integers(3, 30_000, lengths.sum()).astype(np.int32), lengths)


def split(ragged):
    return [part.tolist() for part in np.split(ragged.flat, np.cumsum(ragged.lengths)[:-1])]


def keys_of(count, seed=0):
    return keyed.fold(keyed.derive(seed), np.arange(count))


def apply(objective, chunks, limits, weights=None, seed=0):
    keys = keys_of(len(chunks.lengths), seed)
    examples = objectives.apply(objective, chunks, weights, keys, limits, SIZE)
    inputs, targets = objectives.lengths(objective, chunks.lengths, keys, limits)
    assert examples.inputs.lengths.tolist() == inputs.tolist()
    assert examples.targets.lengths.tolist() == targets.tolist()
    assert examples.weights.lengths.tolist() == targets.tolist()
    return examples


@pytest.mark.parametrize("limits", [ENCODER_DECODER, DECODER_ONLY])
def test_prefix_lm_cuts_in_two(limits):
    chunks = chunks_of(np.random.default_rng(1).integers(2, 64, 400))
    examples = apply("prefix_lm", chunks, limits)
    for chunk, inputs, targets in zip(
        split(chunks), split(examples.inputs), split(examples.targets), strict=True
    ):
        assert inputs[-1] == targets[-1] == 1
        assert len(inputs) > 1 and len(targets) > 1
        assert inputs[:-1] + targets[:-1] == chunk
        if limits.inputs:
            assert len(inputs) <= limits.inputs and len(targets) <= limits.targets


def test_prefix_lm_cuts_anywhere_equally_often():
    cuts = apply("prefix_lm", chunks_of([6] * 10_000), DECODER_ONLY).inputs.lengths - 1
    # 2,000 expected of each of 1 ... 5; five standard deviations are 200.
    assert np.abs(np.bincount(cuts, minlength=6)[1:] - 2_000).max() < 200


def test_span_corruption_gives_the_chunk_back():
    """Putting each span in the place of its sentinel restores the chunk; counts are T5's."""
    chunks = chunks_of(np.random.default_rng(2).integers(2, 300, 300))
    examples = apply("span_corruption", chunks, DECODER_ONLY)
    for chunk, inputs, targets in zip(
        split(chunks), split(examples.inputs), split(examples.targets), strict=True
    ):
        # T5 computes in float32.
        masked = round(float(np.float32(len(chunk)) * np.float32(0.15)))
        masked = min(max(masked, 1), len(chunk) - 1)
        count = max(round(masked / 3), 1)
        spans = {}
        for token in targets[:-1]:
            if token >= SIZE - 100:
                spans[token] = []
            else:
                spans[next(reversed(spans))].append(token)
        assert list(spans) == [SIZE - 1 - i for i in range(count)]
        assert sum(map(len, spans.values())) == masked
        assert all(spans.values())
        restored = [t for token in inputs[:-1] for t in spans.get(token, [token])]
        assert restored == chunk
        assert inputs[0] < SIZE - 100 and inputs[-2] == SIZE - count
        assert inputs[-1] == targets[-1] == 1


def test_spans_are_divided_every_way_equally_often():
    """20 tokens: 3 masked in 1 span; 40: 6 masked in 2 spans, 5 ways; kept 34 in 2, 33 ways."""
    examples = apply("span_corruption", chunks_of([40] * 10_000), DECODER_ONLY)
    firsts = Counter(targets.index(SIZE - 2) - 1 for targets in split(examples.targets))
    # 2,000 expected of each; five standard deviations are 200.
    assert set(firsts) == {1, 2, 3, 4, 5}
    assert max(abs(count - 2_000) for count in firsts.values()) < 200
    kept = Counter(inputs.index(SIZE - 1) for inputs in split(examples.inputs))
    assert set(kept) == set(range(1, 34))


def test_causal_lm_has_no_inputs():
    chunks = chunks_of([3, 5])
    examples = apply("causal_lm", chunks, DECODER_ONLY)
    assert examples.inputs.lengths.tolist() == [0, 0]
    assert split(examples.targets) == [chunk + [1] for chunk in split(chunks)]


@pytest.mark.parametrize("objective", objectives.NAMES)
def test_weights_follow_their_tokens(objective):
    chunks = chunks_of(np.random.default_rng(3).integers(2, 60, 100))
    weights = Ragged((chunks.flat / 30_000).astype(np.float32), chunks.lengths)
    examples = apply(objective, chunks, DECODER_ONLY, weights)
    targets = examples.targets.flat
    ordinary = (targets >= 3) & (targets < SIZE - 100)
    np.testing.assert_array_equal(
        examples.weights.flat[ordinary], (targets[ordinary] / 30_000).astype(np.float32)
    )
    end, sentinel = np.flatnonzero(targets == 1), np.flatnonzero(targets >= SIZE - 100)
    np.testing.assert_array_equal(examples.weights.flat[end], examples.weights.flat[end - 1])
    np.testing.assert_array_equal(
        examples.weights.flat[sentinel], examples.weights.flat[sentinel + 1]
    )


@pytest.mark.parametrize("objective", objectives.NAMES)
def test_an_example_depends_on_its_key_alone(objective):
    chunks = chunks_of([30, 40, 50])
    whole = apply(objective, chunks, DECODER_ONLY)
    last = Ragged(chunks.flat[-50:], chunks.lengths[-1:])
    alone = objectives.apply(objective, last, None, keys_of(3)[-1:], DECODER_ONLY, SIZE)
    assert split(alone.inputs) == split(whole.inputs)[-1:]
    assert split(alone.targets) == split(whole.targets)[-1:]


def test_chunk_lengths():
    assert objectives.chunk_length("span_corruption", 512, 114) == 568  # T5's own
    assert objectives.chunk_length("prefix_lm", 512, 128) == 511
    assert objectives.chunk_length("causal_lm", 512, 128) == 639
    for inputs, targets in ((64, 32), (512, 128), (30, 90)):
        chunk = objectives.chunk_length("span_corruption", inputs, targets)
        every = np.arange(2, chunk + 1)
        a, b = objectives.lengths("span_corruption", every, keys_of(len(every)), DECODER_ONLY)
        assert a.max() <= inputs and b.max() <= targets


def test_unknown_objective_and_short_lengths_are_errors():
    with pytest.raises(ValueError, match="unknown objective 'bert'; known: prefix_lm"):
        objectives.chunk_length("bert", 64, 64)
    with pytest.raises(ValueError, match="lengths 2/2 are too short"):
        objectives.chunk_length("prefix_lm", 2, 2)
