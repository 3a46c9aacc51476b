"""The gradient of the relative position bias on GPUs: of the tiles near the diagonal.

Axes as in `flash_attention_gpu`.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from flan_jax.model.flash_attention_gpu_tiles import (
    block_at,
    call,
    of_head_values,
    tile_gradients,
    whole,
)
from flan_jax.model.flash_attention_tiles import Inputs, Marks, Tiling

# Programs among which the rows of the batch are dealt, for each head and offset.
_SPLITS = 8


def _bias_kernel(tiling: Tiling, splits: int, q_ref, k_ref, v_ref, marks, values, given, out_ref):
    """The sums of the logits' gradients of all near tiles of a head and offset, over its rows."""
    gradient_ref, lse_ref, delta_ref = given
    offset = pl.program_id(0) + tiling.near[0]
    first = jnp.maximum(0, -offset)
    end = jnp.minimum(tiling.query_blocks, tiling.key_blocks - offset)
    rows = q_ref.shape[0] // splits
    first_row = pl.program_id(2) * rows

    def row_body(step, total):
        row = first_row + step

        def body(query_block, total):
            blocks = query_block, query_block + offset
            here, there = (block_at(tiling.block_q, block) for block in blocks)
            _, dlogits, _ = tile_gradients(
                tiling,
                q_ref[row, here],
                k_ref[row, there],
                v_ref[row, there],
                gradient_ref[row, here],
                lse_ref[row, here],
                delta_ref[row, here],
                values,
                marks,
                blocks,
                (row,),
            )
            return total + dlogits

        return jax.lax.fori_loop(first, end, body, total)

    zeros = jnp.zeros((tiling.block_q, tiling.block_q), lse_ref.dtype)
    out_ref[...] = jax.lax.fori_loop(0, rows, row_body, zeros)


def near_gradient(tiling: Tiling, inputs: Inputs, given) -> Float[Array, "N 2R+1"]:
    """Returns the gradient by the bias of near tiles."""
    q, k, v, rows, marks = inputs
    batch, _, heads, _ = q.shape
    block, groups = tiling.block_q, heads // k.shape[2]
    low, high = tiling.near
    splits = math.gcd(batch, _SPLITS)

    def all_rows(x, groups=1):
        def index(i, n, b):
            return 0, 0, n if groups == 1 else jax.lax.div(n, jnp.int32(groups)), 0

        return pl.BlockSpec((*x.shape[:2], None, x.shape[3]), index)

    numbers = pl.BlockSpec((batch, None, q.shape[1]), lambda i, n, b: (0, n, 0))
    tiles = call(
        tiling,
        "flash_attention_bias",
        lambda *refs: _bias_kernel(tiling, splits, *refs),
        (high - low + 1, heads, splits),
        [
            all_rows(q),
            all_rows(k, groups),
            all_rows(v, groups),
            Marks(*map(whole, marks)),
            of_head_values(rows),
            (all_rows(given[0]), numbers, numbers),
        ],
        pl.BlockSpec((None, None, None, block, block), lambda i, n, b: (b, n, i, 0, 0)),
        jax.ShapeDtypeStruct((splits, heads, high - low + 1, block, block), given[1].dtype),
    )(q, k, v, marks, rows, given)
    # Diagonals become columns: with the queries upside down and lines that are cut one entry
    # shorter than they are laid out, every line is shifted by one against the line above.
    tiles = jnp.flip(tiles.sum(0), axis=2)
    lines = jnp.pad(tiles, ((0, 0), (0, 0), (0, 0), (0, block))).reshape(heads, -1, 2 * block**2)
    lines = lines[:, :, : block * (2 * block - 1)].reshape(heads, -1, block, 2 * block - 1)
    distance = np.arange(low, high + 1)[:, None] * block + np.arange(1 - block, block)
    reach = tiling.max_distance
    index = jnp.asarray(np.clip(distance, -reach, reach) + reach)
    chosen = jax.nn.one_hot(index, 2 * reach + 1, dtype=lines.dtype)
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("nod,odr->nr", lines.sum(2), chosen, precision=highest)
