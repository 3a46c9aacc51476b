"""Tiles of the relative position bias on TPUs, and the sums of their gradients.

Axes: N heads, R offsets of tiles with a bias of their own, b queries or keys of a block.
"""

import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from flan_jax.model.flash_attention_tiles import Tiling

# Rows of a tile that are made outside of the kernel: a register has 8 sublanes.
_SUBLANES = 8


def _offsets(tiling: Tiling) -> tuple[int, int]:
    """Returns the lowest and highest offset of tiles of their own: beyond, they are the same."""
    low, high = tiling.near
    highest = 0 if tiling.causal else min(high + 1, tiling.key_blocks - 1)
    return max(low - 1, 1 - tiling.query_blocks), highest


def bias_distances(tiling: Tiling) -> Int[np.ndarray, "R 8 period"]:
    """Returns key minus query position of the entries of the bias that `forward` takes.

    Entry x of row j belongs to query x - j of the tile's queries, modulo 2 b, and key 0: it is
    row j of a tile that is cut at b queries. Row j + k is row j turned by k places.
    """
    period = 2 * tiling.block_q
    low, high = _offsets(tiling)
    ahead = np.arange(period) - np.arange(_SUBLANES)[:, None]
    ahead = (ahead + tiling.block_q) % period - tiling.block_q
    return np.arange(low, high + 1)[:, None, None] * tiling.block_q - ahead


def expand(rows: Float[Array, "8 period"]) -> Float[Array, "b b"]:
    """Returns the tile of the diagonals."""
    period = rows.shape[1]
    while rows.shape[0] < period // 2:
        rows = jnp.concatenate([rows, pltpu.roll(rows, rows.shape[0], 1)])
    return rows[:, : period // 2]


def fold(tile: Float[Array, "b b"]) -> Float[Array, "8 period"]:
    """Returns the sums over the tile of what `expand` reads: its transpose."""
    rows = jnp.concatenate([tile, jnp.zeros_like(tile)], axis=1)
    period = rows.shape[1]
    while (half := rows.shape[0] // 2) >= _SUBLANES:
        rows = rows[:half] + pltpu.roll(rows[half:], period - half, 1)
    return rows


def near_index(tiling: Tiling, query_block, key_block) -> Int[Array, ""]:
    """Returns which of the R tiles has the bias of a tile."""
    low, high = _offsets(tiling)
    return jnp.clip(key_block - query_block, low, high) - low
