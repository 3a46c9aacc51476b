"""Joint best-fit packing: several examples share a row, on encoder and decoder side at once.

Packing decides only who shares a row with whom, from lengths alone; `assembly` then writes the
tokens. The examples are placed longest first, each into the row where it leaves the least room
(best-fit decreasing; Johnson et al., "Worst-case performance bounds for simple one-dimensional
packing algorithms", 1974), with two lengths to an example in place of one.
"""

import numpy as np
from jaxtyping import Int


def pack(
    lengths_a: Int[np.ndarray, " n"],
    lengths_b: Int[np.ndarray, " n"],
    capacity_a: int,
    capacity_b: int,
) -> tuple[Int[np.ndarray, " n"], int]:
    """Packs examples with two lengths each into rows with two capacities.

    Examples go in order of the sum of their two lengths as shares of the capacities; among the rows
    with room for both lengths, the one with the least room left on the fuller side is taken
    (the side with more tokens for its capacity, over all examples). Of ties the earliest wins, so
    the result is a function of the arguments alone.

    For instance `pack([3, 2, 2, 1], [1, 1, 1, 1], 4, 2)` puts the first with the last, and the
    other two together: `([0, 1, 1, 0], 2)`.

    For one length only (decoder-only rows) pass zeros as `lengths_b`.

    Args:
      lengths_a: tokens of each example on the first side.
      lengths_b: tokens of each example on the second side.
      capacity_a: tokens of a row on the first side, at least 1.
      capacity_b: tokens of a row on the second side, at least 1.

    Returns:
      The row of each example, and the number of rows.

    Raises:
      ValueError: an example is longer than a row.
    """
    lengths_a, lengths_b = np.asarray(lengths_a, np.int64), np.asarray(lengths_b, np.int64)
    _check_fit(lengths_a, capacity_a, "first")
    _check_fit(lengths_b, capacity_b, "second")
    if lengths_b.sum() * capacity_a > lengths_a.sum() * capacity_b:
        lengths_a, lengths_b = lengths_b, lengths_a
        capacity_a, capacity_b = capacity_b, capacity_a
    size = lengths_a / capacity_a + lengths_b / capacity_b
    order = np.argsort(-size, kind="stable").tolist()
    all_a, all_b = lengths_a.tolist(), lengths_b.tolist()

    rows = np.zeros(len(order), np.int64)
    room_a = np.empty(len(order), np.int32)
    room_b = np.empty(len(order), np.int32)
    fits_a, fits_b = np.empty(len(order), bool), np.empty(len(order), bool)
    full = capacity_a + 1  # more room than any row has
    count = 0
    for example in order:
        a, b = all_a[example], all_b[example]
        # Buffers are reused: this loop is most of the feed's time, and numpy's cost per call
        # most of the loop's.
        fits = np.greater_equal(room_a[:count], a, out=fits_a[:count])
        np.logical_and(fits, np.greater_equal(room_b[:count], b, out=fits_b[:count]), out=fits)
        room = np.where(fits, room_a[:count], full)
        row = int(room.argmin()) if count else 0
        if not count or room[row] == full:
            row, count = count, count + 1
            room_a[row], room_b[row] = capacity_a, capacity_b
        room_a[row] -= a
        room_b[row] -= b
        rows[example] = row
    return rows, count


def _check_fit(lengths, capacity, side):
    if len(lengths) and lengths.max() > capacity:
        at = int(lengths.argmax())
        raise ValueError(
            f"example {at} has {lengths[at]} tokens on the {side} side, a row holds {capacity}; "
            "build the cache with shorter lengths or use longer rows"
        )
