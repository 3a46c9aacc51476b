"""Rows of options: those of a batch of prompts, dealt to calls of the decoder.

Axes: R rows of options, K options in a row, T option tokens in a row.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from flan_jax.batch import PAD_ID
from flan_jax.evaluation import batching

# Sizes below which padding costs less than a compilation.
_LEAST_ROW, _LEAST_PLACES = 4, 4


class Rows(NamedTuple):
    """Some options of a batch of prompts, dealt to the rows of one call of the decoder.

    Attributes:
      prompts: prompt of each row, as an index into the batch; 0 for rows that fill up.
      first: first token of each option.
      inputs: option tokens but the last of each, one option behind the other.
      targets: the token after each input.
      segments: which option of its row each input belongs to, from 1; 0 on padding.
      positions: index of each input in its option.
      options: row and place of each option, by (prompt, option).
    """

    prompts: Int[np.ndarray, " R"]
    first: Int[np.ndarray, "R K"]
    inputs: Int[np.ndarray, "R T"]
    targets: Int[np.ndarray, "R T"]
    segments: Int[np.ndarray, "R T"]
    positions: Int[np.ndarray, "R T"]
    options: dict[tuple[int, int], tuple[int, int]]


def deal(
    options: Sequence[Sequence[Sequence[int]]], batch_size: int, row_length: int
) -> Iterator[Rows]:
    """Deals the options of all prompts to calls of `batch_size` rows.

    Where the options of every prompt fit in one row, rows are prompts and nothing is gathered.
    """
    rows: list[tuple[int, list[int]]] = []  # prompt and options
    for prompt, tokens in enumerate(options):
        free = 0
        for option, one in enumerate(tokens):
            if option == 0 or len(one) > free:
                rows.append((prompt, []))
                free = row_length
            rows[-1][1].append(option)
            free -= len(one)
    for start in range(0, len(rows), batch_size):
        yield _pack(options, rows[start : start + batch_size], batch_size)


def _pack(
    options: Sequence[Sequence[Sequence[int]]], rows: Sequence[tuple[int, list[int]]], count: int
) -> Rows:
    places = batching.bucket(max(len(members) for _, members in rows), _LEAST_PLACES)
    longest = max(sum(len(options[p][o]) - 1 for o in members) for p, members in rows)
    width = batching.bucket(longest, _LEAST_ROW)
    prompts, first = np.zeros(count, np.int32), np.full((count, places), PAD_ID, np.int32)
    tokens = np.zeros((4, count, width), np.int32)
    where = {}
    for row, (prompt, members) in enumerate(rows):
        prompts[row], at = prompt, 0
        for place, option in enumerate(members):
            one = options[prompt][option]
            where[prompt, option] = row, place
            first[row, place] = one[0]
            span = slice(at, at := at + len(one) - 1)
            index = np.arange(len(one) - 1)
            tokens[:, row, span] = one[:-1], one[1:], index * 0 + place + 1, index
    return Rows(prompts, first, *tokens, where)
