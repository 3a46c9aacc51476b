"""Fixed-shape batches out of prompts of many lengths, and their place on the mesh.

A compiled program fits one shape, so lengths are rounded up to few sizes, rows are sorted by
length before they are dealt into batches, and the last batch is filled up with empty rows.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Bool, Int, Shaped

from flan_jax.batch import PAD_ID
from flan_jax.parallel import rules

_FINE_ABOVE = 64  # below it, finer steps would save less than compiling them costs
_LEAST_PROMPT = 32  # padding up to it costs less than a compilation


class Prompts(NamedTuple):
    """Prompts that are read together, on the device.

    Attributes:
      tokens: `PAD_ID` behind each prompt.
      lengths: in tokens.
      used: False for rows that fill up the batch.
    """

    tokens: Int[Array, "B S"]
    lengths: Int[Array, " B"]
    used: Bool[Array, " B"]


def bucket(length: int, minimum: int = 1) -> int:
    """The padded size of a length: a power of two, or 5, 6 or 7 eighths of one above 64.

    `[bucket(n) for n in (3, 16, 33, 65, 97, 200)]` is `[4, 16, 64, 80, 112, 224]`.

    Args:
      length: in tokens.
      minimum: least size, a power of two.
    """
    size = minimum
    while size < length:
        size *= 2
    step = size // 8 if size > _FINE_ABOVE else size
    return max(minimum, -(-length // step) * step)


def prompt_width(length: int) -> int:
    """The padded size of prompts of which the longest has `length` tokens."""
    return bucket(length, _LEAST_PROMPT)


def longest_first(
    sizes: Sequence[tuple[int, ...]], batch_size: int
) -> Iterator[Int[np.ndarray, " n"]]:
    """Yields the row numbers of each batch, rows of like size together and the largest first.

    Largest first: memory that does not suffice shows at once, and the time that is left is
    overestimated rather than underestimated.

    Args:
      sizes: what each row is sorted by, e.g. (prompt bucket, option length).
      batch_size: rows of a batch; the last may have fewer.
    """
    order = np.array(sorted(range(len(sizes)), key=lambda row: sizes[row], reverse=True))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def padded(rows: Sequence[Sequence[int]], count: int, width: int) -> Int[np.ndarray, "B T"]:
    """Token rows as an int32 array [count, width], `PAD_ID` behind and below them."""
    result = np.full((count, width), PAD_ID, np.int32)
    for line, row in zip(result, rows, strict=False):
        line[: len(row)] = row
    return result


def lengths(rows: Sequence[Sequence[int]], count: int) -> Int[np.ndarray, " B"]:
    """Lengths of the rows as int32, followed by zeros for the empty rows of a batch."""
    result = np.zeros(count, np.int32)
    result[: len(rows)] = [len(row) for row in rows]
    return result


def place_prompts(prompts: Sequence[Sequence[int]], count: int) -> Prompts:
    """Prompts as the first of `count` rows, as `place` puts them; at least one."""
    width = prompt_width(max(map(len, prompts)))
    used = np.arange(count) < len(prompts)
    return Prompts(*map(place, (padded(prompts, count, width), lengths(prompts, count), used)))


def refill_size(batch_size: int, parts: int) -> int:
    """Rows of a part of a batch, such that they divide over the mesh as the batch does."""
    mesh = jax.sharding.get_mesh()
    ways = 1 if mesh.empty else mesh.shape["data"] * mesh.shape["fsdp"]
    return min(batch_size, -(-batch_size // (parts * ways)) * ways)


def place(array: Shaped[np.ndarray, "B ..."]) -> Shaped[Array, "B ..."]:
    """The array on the device, or split by rows over the mesh of `jax.set_mesh`.

    Every process must have the whole array.

    Raises:
      ValueError: the rows do not divide over the mesh.
    """
    mesh = jax.sharding.get_mesh()
    if mesh.empty:
        return jax.numpy.asarray(array)
    ways = mesh.shape["data"] * mesh.shape["fsdp"]
    if len(array) % ways:
        raise ValueError(
            f"an evaluation batch of {len(array)} rows does not divide over data x fsdp = {ways} "
            f"devices; set EvaluationConfig.batch_size to a multiple of {ways}"
        )
    sharding: NamedSharding = rules.batch_sharding(mesh)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
