"""Closer packing: best fit decreasing, then exchanges of examples that close the last gaps.

After best fit decreasing many rows lack a few tokens, and no example is that short. So the emptiest
rows are taken apart, and each of their examples takes the place of a shorter one in a row that it
fills better; that one takes the place of a shorter one yet, and so on. What is left over is short,
and is packed into fewer rows. (Chains of this kind are Glover's "ejection chains", 1996.)
"""

import numpy as np
from jaxtyping import Int

from flan_jax.data import packing

# The share of the rows that is taken apart. With log-normal lengths (benchmarks/feed.py) 98.0 to
# 98.4% of the fuller side are then real tokens, of 98.3 to 98.6% that any packing could reach;
# twice the share adds 0.03%.
_TAKEN_APART = 1 / 20
# Exchanges for each example of the window: a limit that only uncommon lengths reach.
_EXCHANGES = 1 / 4
_ENDLESS = np.int32(2**31 - 1)  # longer than any example


def pack(
    lengths_a: Int[np.ndarray, " n"],
    lengths_b: Int[np.ndarray, " n"],
    capacity_a: int,
    capacity_b: int,
) -> tuple[Int[np.ndarray, " n"], int]:
    """Packs as `packing.pack` does, then closes gaps by exchanges.

    Args:
      lengths_a: tokens of each example on the first side.
      lengths_b: tokens of each example on the second side.
      capacity_a: tokens of a row on the first side, at least 1.
      capacity_b: tokens of a row on the second side, at least 1.

    Returns:
      The row of each example, and the number of rows: never more than those of `packing.pack`.

    Raises:
      ValueError: an example is longer than a row.
    """
    rows, count = packing.pack(lengths_a, lengths_b, capacity_a, capacity_b)
    a, b = np.asarray(lengths_a, np.int32), np.asarray(lengths_b, np.int32)
    if packing.second_is_fuller(a.astype(np.int64), b.astype(np.int64), capacity_a, capacity_b):
        a, b, capacity_a, capacity_b = b, a, capacity_b, capacity_a
    exchange = _Exchange(a, b, rows, count, capacity_a, capacity_b)
    taken = exchange.take_apart(int(np.ceil(count * _TAKEN_APART)))
    left = exchange.run(taken, int(len(a) * _EXCHANGES))
    repacked, more = packing.pack(a[left], b[left], capacity_a, capacity_b)
    exchange.row[left] = count + repacked
    numbers, closer = np.unique(exchange.row, return_inverse=True)
    return (closer, len(numbers)) if len(numbers) < count else (rows, count)


class _Exchange:
    """Rows while examples are exchanged.

    Attributes:
      row: the row of each example; -1 for those that have none.
    """

    row: Int[np.ndarray, " n"]

    def __init__(self, a, b, rows, count, capacity_a, capacity_b):
        self._a, self._b, self.row = a, b, rows.copy()
        self._room_a = capacity_a - np.bincount(rows, weights=a, minlength=count).astype(np.int32)
        self._room_b = capacity_b - np.bincount(rows, weights=b, minlength=count).astype(np.int32)
        # Tokens that the row of an example has room for once the example is out of it.
        self._free_a = self._room_a[rows] + a
        self._free_b = self._room_b[rows] + b
        # Length by which the shortest is chosen. Examples that would fill the second side of a row
        # before the first are never taken out: they are the hardest to place again.
        heavy = b.astype(np.int64) * capacity_a > a.astype(np.int64) * capacity_b
        self._length = np.where(heavy, _ENDLESS, a)

    def take_apart(self, number: int) -> Int[np.ndarray, " m"]:
        """Takes the emptiest rows apart and returns their examples, the longest first."""
        # A row whose second side is full cannot be filled, by whatever examples.
        room = np.where(self._room_b > 0, self._room_a, 0)
        emptiest = np.zeros(len(room), bool)
        emptiest[np.argsort(-room, kind="stable")[:number]] = True
        examples = np.flatnonzero(emptiest[self.row])
        self.row[examples] = self._free_a[examples] = -1
        return examples[np.argsort(-self._a[examples], kind="stable")]

    def run(self, examples: Int[np.ndarray, " m"], budget: int) -> Int[np.ndarray, " m"]:
        """Places examples by at most `budget` exchanges; returns those that have no row then."""
        left = []
        for example in examples.tolist():
            shorter = self._shortest_that_makes_room(example)
            while shorter >= 0 and budget:
                self._exchange(example, shorter)
                example, budget = shorter, budget - 1
                shorter = self._shortest_that_makes_room(example)
            left.append(example)
        return np.array(left, np.int64)

    def _shortest_that_makes_room(self, example: int) -> int:
        """Returns the shortest example in whose place this one fits; -1 if none is shorter."""
        fits = self._free_a >= self._a[example]
        fits &= self._free_b >= self._b[example]
        length = np.where(fits, self._length, _ENDLESS)
        found = int(length.argmin())
        return found if length[found] < self._a[example] else -1

    def _exchange(self, example: int, shorter: int) -> None:
        row = self.row[shorter]
        self.row[example], self.row[shorter] = row, -1
        self._free_a[shorter] = -1
        self._room_a[row] += self._a[shorter] - self._a[example]
        self._room_b[row] += self._b[shorter] - self._b[example]
        inside = np.flatnonzero(self.row == row)
        self._free_a[inside] = self._room_a[row] + self._a[inside]
        self._free_b[inside] = self._room_b[row] + self._b[inside]
