"""What token ids mean in every vocabulary, whatever its file is."""

from collections.abc import Iterable


def of_text(ids: Iterable[int], end: int, pad: int | None) -> list[int]:
    """Keeps the ids of a text: those before the end of sequence, less padding.

    `of_text([5, 0, 6, 1, 7], end=1, pad=0)` is `[5, 6]`.

    Args:
      ids: token ids, of any type of integer.
      end: id that ends a sequence.
      pad: id of padding; None if there is none.
    """
    kept = []
    for token in map(int, ids):
        if token == end:
            break
        if token != pad:
            kept.append(token)
    return kept


def sentinel(index: int, size: int, extra_ids: int, name: str, remedy: str) -> int:
    """Gives the id of `<extra_id_{index}>`: sentinels are the last ids, the first one last.

    Args:
      index: which sentinel.
      size: number of ids of the vocabulary.
      extra_ids: number of sentinels among them.
      name: of the vocabulary, for the error.
      remedy: what to do where there are too few.

    Raises:
      ValueError: if there are not that many sentinels.
    """
    if not 0 <= index < extra_ids:
        raise ValueError(f"sentinel {index} does not exist: {name} has {extra_ids}; {remedy}")
    return size - 1 - index
