"""Assembly against a plain reference, token by token."""

import numpy as np
import pytest

from flan_jax.batch import Batch
from flan_jax.data import assembly
from flan_jax.data.objectives import Examples
from flan_jax.data.ragged import Ragged, concatenate, interleave, take


def ragged(sequences, dtype=np.int32):
    flat = np.array([value for sequence in sequences for value in sequence], dtype)
    return Ragged(flat, np.array([len(sequence) for sequence in sequences], np.int64))


def make(inputs, targets, weights=None):
    weights = weights or [[1.0] * len(target) for target in targets]
    return Examples(ragged(inputs), ragged(targets), ragged(weights, np.float32))


def reference_encoder_decoder(examples, row, num_rows, length_s, length_t):
    batch = Batch(
        *(np.zeros((num_rows, length_t), np.int32) for _ in range(4)),
        weights=np.zeros((num_rows, length_t), np.float32),
        encoder_tokens=np.zeros((num_rows, length_s), np.int32),
        encoder_segments=np.zeros((num_rows, length_s), np.int32),
        encoder_positions=np.zeros((num_rows, length_s), np.int32),
    )
    used_s, used_t, segments = ([0] * num_rows for _ in range(3))
    for (inputs, targets, weights), r in zip(examples, row, strict=True):
        segments[r] += 1
        for position, token in enumerate(inputs):
            at = (r, used_s[r] + position)
            batch.encoder_tokens[at] = token
            batch.encoder_segments[at] = segments[r]
            batch.encoder_positions[at] = position
        for position, token in enumerate(targets):
            at = (r, used_t[r] + position)
            batch.decoder_targets[at] = token
            batch.decoder_inputs[at] = targets[position - 1] if position else 0
            batch.decoder_segments[at] = segments[r]
            batch.decoder_positions[at] = position
            batch.weights[at] = weights[position]
        used_s[r] += len(inputs)
        used_t[r] += len(targets)
    return batch


def reference_decoder_only(examples, row, num_rows, length):
    joined = [
        ([], inputs + targets, [0.0] * len(inputs) + weights)
        for inputs, targets, weights in examples
    ]
    batch = reference_encoder_decoder(joined, row, num_rows, 1, length)
    prefix = np.zeros((num_rows, length), bool)
    used = [0] * num_rows
    for (inputs, targets, _), r in zip(examples, row, strict=True):
        prefix[r, used[r] : used[r] + len(inputs) + 1] = True
        used[r] += len(inputs) + len(targets)
    return batch._replace(
        encoder_tokens=None, encoder_segments=None, encoder_positions=None, decoder_prefix=prefix
    )


def random_examples(seed, count):
    rng = np.random.default_rng(seed)
    inputs = [rng.integers(3, 99, rng.integers(0, 9)).tolist() for _ in range(count)]
    targets = [rng.integers(3, 99, rng.integers(1, 6)).tolist() for _ in range(count)]
    weights = [np.round(rng.random(len(t)), 3).tolist() for t in targets]
    return list(zip(inputs, targets, weights, strict=True)), rng.integers(0, 7, count)


def assert_equal(actual, expected):
    for name, one, other in zip(Batch._fields, actual, expected, strict=True):
        if other is None:
            assert one is None, name
            continue
        assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_docstring_example_encoder_decoder():
    examples = make([[5, 1], [6, 1]], [[7, 1], [8, 9, 1]])
    batch = assembly.encoder_decoder_rows(examples, np.array([0, 0]), 1, 6, 6)
    assert batch.encoder_tokens.tolist() == [[5, 1, 6, 1, 0, 0]]
    assert batch.encoder_segments.tolist() == [[1, 1, 2, 2, 0, 0]]
    assert batch.encoder_positions.tolist() == [[0, 1, 0, 1, 0, 0]]
    assert batch.decoder_targets.tolist() == [[7, 1, 8, 9, 1, 0]]
    assert batch.decoder_segments.tolist() == [[1, 1, 2, 2, 2, 0]]
    assert batch.decoder_positions.tolist() == [[0, 1, 0, 1, 2, 0]]
    assert batch.decoder_inputs.tolist() == [[0, 7, 0, 8, 9, 0]]


def test_docstring_example_decoder_only():
    examples = make([[5, 1], [6, 1]], [[7, 1], [8, 9, 1]])
    batch = assembly.decoder_only_rows(examples, np.array([0, 0]), 1, 10)
    assert batch.decoder_targets.tolist() == [[5, 1, 7, 1, 6, 1, 8, 9, 1, 0]]
    assert batch.decoder_inputs.tolist() == [[0, 5, 1, 7, 0, 6, 1, 8, 9, 0]]
    assert batch.decoder_prefix.astype(int).tolist() == [[1, 1, 1, 0, 1, 1, 1, 0, 0, 0]]
    assert batch.weights.tolist() == [[0, 0, 1, 1, 0, 0, 1, 1, 1, 0]]


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_reference(seed):
    examples, row = random_examples(seed, 30)
    arrays = make(*(list(side) for side in zip(*examples, strict=True)))
    assert_equal(
        assembly.encoder_decoder_rows(arrays, row, 8, 90, 60),
        reference_encoder_decoder(examples, row, 8, 90, 60),
    )
    assert_equal(
        assembly.decoder_only_rows(arrays, row, 8, 150),
        reference_decoder_only(examples, row, 8, 150),
    )


def test_no_examples():
    nothing = np.zeros(0, np.int64)
    batch = assembly.encoder_decoder_rows(make([], []), nothing, 0, 6, 6)
    assert batch.decoder_targets.shape == batch.encoder_tokens.shape == (0, 6)


def test_ragged_arrays():
    values = ragged([[5, 6], [], [7]])
    assert values.starts.tolist() == [0, 2, 2]
    assert take(values, np.array([2, 0])).flat.tolist() == [7, 5, 6]
    assert concatenate([values, values]).lengths.tolist() == [2, 0, 1, 2, 0, 1]
    both = interleave([ragged([[1], [2, 3]]), ragged([[8], [9]])])
    assert (both.flat.tolist(), both.lengths.tolist()) == ([1, 8, 2, 3, 9], [2, 3])
