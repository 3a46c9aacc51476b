"""Keyed numbers and the arithmetic of the stream."""

from collections import Counter

import numpy as np
import pytest

from flan_jax.data import keyed, mixing


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 100, 1009])
def test_permute_is_a_permutation(size):
    result = keyed.permute(np.arange(size), size, keyed.derive(0, "x"))
    assert sorted(result.tolist()) == list(range(size))


def test_permute_takes_a_size_and_a_key_for_each_element():
    keys = np.array([keyed.derive(0, name) for name in "abc"], np.uint64)
    together = keyed.permute(np.array([4, 0, 2]), np.array([5, 1, 300]), keys)
    alone = [
        keyed.permute(index, size, key)[0]
        for index, size, key in zip([4, 0, 2], [5, 1, 300], keys, strict=True)
    ]
    assert together.tolist() == alone


def test_permutations_are_equally_likely():
    keys = keyed.mix(np.arange(24_000).astype(np.uint64))
    columns = [keyed.permute(np.full(len(keys), i), 4, keys) for i in range(4)]
    counts = Counter(zip(*(column.tolist() for column in columns), strict=True))
    assert len(counts) == 24
    # 1,000 expected of each; five standard deviations are 158.
    assert max(abs(count - 1000) for count in counts.values()) < 158


def test_numbers_below_a_bound_are_uniform():
    values = keyed.below(keyed.fold(keyed.derive(0), np.arange(70_000)), 7)
    # 10,000 expected of each; five standard deviations are 463.
    assert np.abs(np.bincount(values, minlength=7) - 10_000).max() < 463


def test_keys_are_the_same_everywhere():
    """Streams must not change between versions and machines: these values are part of it."""
    assert int(keyed.derive(0, "member", "rte:zero_shot")) == 10774711900057643595
    assert keyed.permute(np.arange(8), 8, keyed.derive(1)).tolist() == [4, 0, 7, 5, 2, 6, 1, 3]


def test_docstring_example_of_apportion():
    mixer = mixing.mixer(["a", "b", "c"], [2, 1, 1], [10, 10, 10], seed=0)
    assert mixing.apportion(mixer, 8).tolist() == [4, 2, 2]


def test_apportionment_is_exact_in_the_long_run_and_never_goes_back():
    rates = np.random.default_rng(0).pareto(1, 300) + 0.01
    mixer = mixing.mixer([str(i) for i in range(300)], rates.tolist(), [100] * 300, seed=0)
    before = np.zeros(300, int)
    for count in range(0, 60_000, 331):
        counts = mixing.apportion(mixer, count)
        assert counts.sum() == count
        assert (counts >= before).all()
        before = counts
    assert np.abs(before - mixer.shares * count).max() < 10


def test_a_window_is_the_same_however_it_is_cut():
    mixer = mixing.mixer(["a", "b"], [3, 1], [7, 50], seed=4)
    whole = mixing.draw(mixer, 0, 90)
    parts = [mixing.draw(mixer, start, start + 30) for start in (0, 30, 60)]
    for name in ("member", "epoch", "example", "keys"):
        pieces = np.concatenate([getattr(part, name) for part in parts])
        assert Counter(pieces.tolist()) == Counter(getattr(whole, name).tolist())


def test_every_example_comes_once_an_epoch_in_another_order():
    mixer = mixing.mixer(["a"], [1.0], [50], seed=4)
    draws = mixing.draw(mixer, 0, 150)
    epochs = draws.example.reshape(3, 50)
    assert draws.epoch.tolist() == [0] * 50 + [1] * 50 + [2] * 50
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3
    assert len(set(draws.keys.tolist())) == 150


def test_draws_of_a_member_depend_on_its_name_not_its_place():
    one = mixing.draw(mixing.mixer(["a", "b"], [1, 1], [9, 30], seed=0), 0, 40)
    two = mixing.draw(mixing.mixer(["b", "a"], [1, 1], [30, 9], seed=0), 0, 40)
    assert one.example[one.member == 0].tolist() == two.example[two.member == 1].tolist()


def test_seeds_differ():
    draws = [mixing.draw(mixing.mixer(["a"], [1], [99], seed), 0, 40).example for seed in (0, 1)]
    assert draws[0].tolist() != draws[1].tolist()
