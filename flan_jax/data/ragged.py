"""Ragged arrays: many sequences of different lengths in one flat array."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped


class Ragged(NamedTuple):
    """Sequences laid end to end.

    For instance [[5, 6], [], [7]] is `Ragged(flat=[5, 6, 7], lengths=[2, 0, 1])`.

    Attributes:
      flat: values of all sequences, one after the other.
      lengths: int64, length of each sequence.
    """

    flat: Shaped[np.ndarray, " total"]
    lengths: Int[np.ndarray, " n"]

    @property
    def starts(self) -> Int[np.ndarray, " n"]:
        """Where each sequence begins in `flat`."""
        return np.cumsum(self.lengths) - self.lengths


def indices(starts: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " n"]) -> Int[np.ndarray, " t"]:
    """Returns start, start + 1, ... of each sequence, end to end.

    For instance starts (10, 20) and lengths (2, 3) give 10, 11, 20, 21, 22.
    """
    shift = starts - (np.cumsum(lengths) - lengths)
    return np.repeat(shift, lengths) + np.arange(int(lengths.sum()))


def take(ragged: Ragged, order: Int[np.ndarray, " m"]) -> Ragged:
    """Returns the sequences with the numbers in `order`, in that order."""
    lengths = ragged.lengths[order]
    return Ragged(ragged.flat[indices(ragged.starts[order], lengths)], lengths)


def concatenate(parts: list[Ragged]) -> Ragged:
    """Returns the sequences of all parts, in order."""
    return Ragged(
        np.concatenate([part.flat for part in parts]),
        np.concatenate([part.lengths for part in parts]),
    )


def interleave(parts: list[Ragged]) -> Ragged:
    """Returns sequences whose i-th is the i-th of every part, end to end.

    For instance [[1], [2, 3]] and [[8], [9]] give [[1, 8], [2, 3, 9]].
    """
    lengths = np.stack([part.lengths for part in parts])
    starts = np.cumsum(lengths.T.ravel()).reshape(lengths.T.shape).T - lengths
    flat = np.empty(int(lengths.sum()), parts[0].flat.dtype)
    for part, start in zip(parts, starts, strict=True):
        flat[indices(start, part.lengths)] = part.flat
    return Ragged(flat, lengths.sum(axis=0))
