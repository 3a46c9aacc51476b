"""What the GPU kernels of flash attention share: the parts of a tile, and of arrays.

Axes as in `flash_attention_gpu`.
"""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
from jaxtyping import Array

from flan_jax.model.flash_attention_tiles import HIDDEN, Marks, Tiling, capped_logits, multiply


def block_at(size: int, index):
    """Returns the slice of a block of `size` entries."""
    return pl.ds(index * size, size)


def _positions(size: int, index) -> Array:
    return index * size + jnp.arange(size, dtype=jnp.int32)


def _bias(tiling: Tiling, values_ref, query_block, key_block) -> Array:
    """Returns the bias of a tile, [b, b]."""
    reach = tiling.max_distance

    def near():
        queries = _positions(tiling.block_q, query_block)
        distance = _positions(tiling.block_k, key_block)[None] - queries[:, None]
        return plgpu.load(values_ref.at[jnp.clip(distance, -reach, reach) + reach])

    def far():
        value = values_ref[jnp.where(key_block > query_block, 2 * reach, 0)]
        return jnp.full((tiling.block_q, tiling.block_k), value)

    return jax.lax.cond(is_near(tiling, query_block, key_block), near, far)


def is_near(tiling: Tiling, query_block, key_block):
    """Returns whether a tile has pairs less than `max_distance` apart."""
    low, high = tiling.near
    return (key_block - query_block >= low) & (key_block - query_block <= high)


def _hidden(tiling: Tiling, marks: Marks, query_block, key_block, row: tuple) -> Array:
    """Returns which pairs of the tile may not see each other, [b, b]."""
    queries = marks.queries[*row, 0, block_at(tiling.block_q, query_block)]
    keys, first = (marks.keys[*row, i, block_at(tiling.block_k, key_block)] for i in (0, 1))
    index = _positions(tiling.block_q, query_block)
    return (queries[:, None] != keys[None]) | (first[None] > index[:, None])


def tile_logits(tiling: Tiling, q, k, values, marks, query_block, key_block, row=()):
    """Returns a tile's logits, and their derivative by the products of queries and keys."""
    logits, derivative = capped_logits(tiling, multiply(q, k, (1, 1)))
    if values:
        logits = logits + _bias(tiling, values[0], query_block, key_block)
    hidden = _hidden(tiling, marks, query_block, key_block, row)
    return jnp.where(hidden, HIDDEN, logits), derivative


def tile_gradients(tiling, q, k, v, gradient, lse, delta, values, marks, blocks, row=()):
    """Returns a tile's probabilities, the gradient by its logits, and that by its products."""
    logits, derivative = tile_logits(tiling, q, k, values, marks, *blocks, row)
    weights = jnp.exp(logits - lse[:, None])
    dlogits = weights * (multiply(gradient, v, (1, 1)) - delta[:, None])
    return weights, dlogits, (dlogits * derivative).astype(k.dtype)


# The grids are (block or offset, head, row or split): the functions below give the part of an
# array that a program sees.


def whole(x: Array) -> pl.BlockSpec:
    """Returns all of an array."""
    return pl.BlockSpec(x.shape, lambda i, n, b: (0,) * x.ndim)


def of_head(x: Array, block: int | None = None, groups: int = 1) -> pl.BlockSpec:
    """Returns the part of [B, positions, heads, H]: one block, or all positions."""

    def index(i, n, b):
        head = n if groups == 1 else jax.lax.div(n, jnp.int32(groups))
        return b, 0 if block is None else i, head, 0

    return pl.BlockSpec((None, block or x.shape[1], None, x.shape[3]), index)


def of_head_numbers(x: Array, block: int | None = None) -> pl.BlockSpec:
    """Returns the part of [B, N, positions]."""
    return pl.BlockSpec(
        (None, None, block or x.shape[2]), lambda i, n, b: (b, n, 0 if block is None else i)
    )


def of_head_values(rows: tuple) -> tuple:
    """Returns the part of [N, distances], if there is a bias."""
    return tuple(pl.BlockSpec((None, one.shape[1]), lambda i, n, b: (n, 0)) for one in rows)


def of_row_marks(marks: Marks) -> Marks:
    """Returns the marks of a row."""
    return Marks(*(pl.BlockSpec((None, *x.shape[1:]), lambda i, n, b: (b, 0, 0)) for x in marks))


def call(tiling: Tiling, name, kernel, grid, in_specs, out_specs, out_shape):
    """Returns the function that runs a kernel over a grid."""
    return pl.pallas_call(
        kernel,
        grid=grid,
        in_specs=in_specs,
        out_specs=out_specs,
        out_shape=out_shape,
        # A tile's matrix products are for one warp group of sm_90: four warps.
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        interpret=tiling.interpret,
        name=name,
    )
