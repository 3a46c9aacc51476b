"""Joint best-fit packing: several examples share a row, on encoder and decoder side at once.

Packing decides only who shares a row with whom, from lengths alone; `assembly` then writes the
tokens. The examples are placed longest first, each into the row where it leaves the least room
(best-fit decreasing; Johnson et al., "Worst-case performance bounds for simple one-dimensional
packing algorithms", 1974), with two lengths to an example in place of one.
"""

import bisect

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
    if second_is_fuller(lengths_a, lengths_b, capacity_a, capacity_b):
        lengths_a, lengths_b = lengths_b, lengths_a
        capacity_a, capacity_b = capacity_b, capacity_a
    size = lengths_a / capacity_a + lengths_b / capacity_b
    order = np.argsort(-size, kind="stable")
    rows = np.zeros(len(order), np.int64)
    # Rows are found by their room on the first side: a list of rows for each room, and a bit of
    # `rooms` where the list is not empty. In plain Python, as numpy's cost per call would be most
    # of the time of this loop, which is much of the feed's.
    rows_with: list[list[int]] = [[] for _ in range(capacity_a + 1)]
    rooms = 0
    room_b: list[int] = []
    shortest = int(lengths_b.min(initial=capacity_b))
    for example, a, b in np.stack([order, lengths_a[order], lengths_b[order]], axis=1).tolist():
        room, row = _best_row(rows_with, rooms, room_b, a, b)
        if row < 0:
            room, row = capacity_a, len(room_b)
            room_b.append(capacity_b)
        else:
            rows_with[room].remove(row)
            rooms ^= 0 if rows_with[room] else 1 << room
        rows[example] = row
        room_b[row] -= b
        if room_b[row] >= shortest:  # else nothing fits any more
            bisect.insort(rows_with[room - a], row)
            rooms |= 1 << room - a
    return rows, len(room_b)


def second_is_fuller(lengths_a, lengths_b, capacity_a: int, capacity_b: int) -> bool:
    """Whether the second side has more tokens for its capacity, over all examples."""
    return bool(lengths_b.sum() * capacity_a > lengths_a.sum() * capacity_b)


def _best_row(rows_with, rooms: int, room_b: list[int], a: int, b: int) -> tuple[int, int]:
    """Returns the least room that is enough, and the first row that has it; -1 if none."""
    room, wider = a, rooms >> a
    while wider:
        skipped = (wider & -wider).bit_length()  # up to and with the lowest bit that is set
        room += skipped
        for row in rows_with[room - 1]:
            if room_b[row] >= b:
                return room - 1, row
        wider >>= skipped
    return 0, -1


def _check_fit(lengths, capacity, side):
    if len(lengths) and lengths.max() > capacity:
        at = int(lengths.argmax())
        raise ValueError(
            f"example {at} has {lengths[at]} tokens on the {side} side, a row holds {capacity}; "
            "build the cache with shorter lengths or use longer rows"
        )
