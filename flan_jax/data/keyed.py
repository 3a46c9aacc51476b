"""Pseudo-random numbers and permutations that are pure functions of a key.

Everything that the feed draws at random (order of examples, choice of template, split points, row
order) is computed from a 64-bit key instead of a generator's state, for whole arrays at once. Any
element can be computed alone, on any host, and numpy's generators, whose streams may change between
releases, are not involved, so a run can be resumed bit for bit later.
"""

import hashlib

import numpy as np
from jaxtyping import Int, UInt64

# The golden-ratio increment and the multipliers of SplitMix64's finaliser
# (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
# A Feistel network of four rounds on each half is a strong pseudo-random permutation given random
# round functions (Luby and Rackoff, "How to construct pseudorandom permutations", 1988).
_ROUNDS = 4


def derive(seed: int, *names: str | int) -> np.uint64:
    """Returns the 64-bit key of a seed and a path of names, the same on every machine.

    Args:
      seed: any integer.
      names: what the key is for, e.g. `("member", "rte:zero_shot")`.
    """
    path = "\x00".join([str(int(seed)), *(f"{type(name).__name__}:{name}" for name in names)])
    return np.uint64(
        int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), "little")
    )


def mix(values: UInt64[np.ndarray, "*n"]) -> UInt64[np.ndarray, "*n"]:
    """Scrambles 64-bit integers: SplitMix64's finaliser, a bijection that looks random."""
    values = np.asarray(values, np.uint64)
    values = (values ^ (values >> np.uint64(30))) * _MULTIPLIER_1
    values = (values ^ (values >> np.uint64(27))) * _MULTIPLIER_2
    return values ^ (values >> np.uint64(31))


def fold(keys: UInt64[np.ndarray, "*n"], data: Int[np.ndarray, "*n"]) -> UInt64[np.ndarray, "*n"]:
    """Returns one new key for each pair of a key and an integer.

    Args:
      keys: keys, broadcast against `data`.
      data: integers >= 0, e.g. epochs or example numbers.
    """
    data = np.atleast_1d(np.asarray(data)).astype(np.uint64)
    return mix(mix(data + _INCREMENT) + np.atleast_1d(keys) * _INCREMENT)


def below(keys: UInt64[np.ndarray, "*n"], bounds: Int[np.ndarray, "*n"]) -> Int[np.ndarray, "*n"]:
    """Returns an integer in [0, bound) for each key, uniform up to 2**-32.

    Args:
      keys: keys, as `fold` returns them.
      bounds: 1 <= bound < 2**32, broadcast against `keys`.
    """
    bounds = np.asarray(bounds).astype(np.uint64)
    return (((keys >> np.uint64(32)) * bounds) >> np.uint64(32)).astype(np.int64)


def permute(
    index: Int[np.ndarray, " n"], size: Int[np.ndarray, "*n"], keys: UInt64[np.ndarray, "*n"]
) -> Int[np.ndarray, " n"]:
    """Returns where each index goes under a pseudo-random permutation of [0, size).

    The index is split into two digits of about sqrt(size) values each, which take turns in
    shifting one another by a keyed amount (a Feistel network); results outside [0, size) are
    permuted again (cycle walking), which happens to fewer than one in sqrt(size). Costs are
    proportional to `n`, never to `size`, and every element may have a size and a key of its own.

    Args:
      index: positions, 0 <= index < size.
      size: size of the permuted range, below 2**52, one or one an element.
      keys: key of the permutation, one or one an element.
    """
    index, size, keys = np.broadcast_arrays(np.atleast_1d(index), size, keys)
    high = np.ceil(np.sqrt(size)).astype(np.int64)
    low = -(-size // high)
    result = _feistel(index, high, low, keys)
    outside = np.flatnonzero(result >= size)
    while len(outside):
        again = _feistel(result[outside], high[outside], low[outside], keys[outside])
        result[outside] = again
        outside = outside[again >= size[outside]]
    return result


def _feistel(index, high, low, keys):
    left, right = np.divmod(index, low)
    for turn in range(_ROUNDS):
        left = left + below(fold(keys + np.uint64(2 * turn), right), high)
        left = np.where(left >= high, left - high, left)
        right = right + below(fold(keys + np.uint64(2 * turn + 1), left), low)
        right = np.where(right >= low, right - low, right)
    return left * low + right
