"""Flash attention on TPUs, forward and backward, with a relative position bias (Pallas, Mosaic).

Online softmax over tiles (Dao et al. 2022, "FlashAttention", algorithms 1 and 4). Tiles are kept
with keys down (sublanes) and queries across (lanes), so that all that belongs to a query, such as
its largest logit, is a row and needs no transposition; inputs and outputs lie the same way.

The bias of a pair is a function of key minus query position alone, and the same for all rows of
the batch: so a tile's bias depends on its head and its offset, and from `max_distance` on it is
one number. Of each head at most a handful of tiles differ (`Tiling.near`). They are expanded from
their diagonals once a head, stay in VMEM while all rows and tiles of the head pass, and so does
the sum of their gradients, which is folded back to diagonals at the end. Hence heads are the
outermost axis of the grids.

Axes: B rows, T queries, S keys, N query heads, K key and value heads, H head width, R offsets of
tiles with a bias of their own, b queries or keys of a block.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float

from flan_jax.model.flash_attention_tiles import (
    HIDDEN,
    NOTHING,
    Inputs,
    Marks,
    Summary,
    Tiling,
    accumulation_dtype,
    capped_logits,
    multiply,
    sum_over_queries,
    summarise,
)
from flan_jax.model.flash_attention_tpu_bias import bias_distances as bias_distances
from flan_jax.model.flash_attention_tpu_bias import expand, fold, near_index

# The order of [B, T, N, H] in which the kernels want their inputs: T5's 64 entries of a head would
# fill half of a register's lanes, positions fill all.
LAYOUT = (0, 2, 3, 1)
# Lanes of a register.
_LANES = 128
# Every tile is a step of the grid, whose fixed cost large tiles spread over more products. What
# is kept of a head at this size, two times five tiles of float32 and the gradient of 8,192
# queries, takes 14 MiB.
_LARGEST_BLOCK = 512
# Blocks are halved until they fill a row up by at most this part of its length.
_LARGEST_WASTE = 8
# What a kernel may take of a core's VMEM, of which v5p has 64 MiB, v5e and v6e 128
# (jax/_src/pallas/mosaic/tpu_info.py).
_VMEM_LIMIT = 60 * 2**20


def choose_block(length: int, dtype: np.dtype) -> int:
    """Returns how many of `length` queries or keys a block has."""
    del dtype
    block = _LARGEST_BLOCK // 2 if _little_memory() else _LARGEST_BLOCK
    while block > _LANES and -length % block > length / _LARGEST_WASTE:
        block //= 2
    return block


def _little_memory() -> bool:
    """Returns whether the cores have less VMEM than large blocks take (v4 and older)."""
    try:
        return pltpu.get_tpu_info().vmem_capacity_bytes < _VMEM_LIMIT
    except ValueError:  # no TPU here, nor one in the mesh: interpreted, or compiled ahead of time
        return False


def _hidden(tiling: Tiling, query_block, queries_ref, keys_ref) -> Array:
    """Returns which pairs of the tile may not see each other, [b keys, b queries]."""
    square = _LANES, tiling.block_k
    keys = [jnp.broadcast_to(keys_ref[0, i : i + 1], square).T[:, :1] for i in (0, 1)]
    index = jax.lax.broadcasted_iota(jnp.int32, (1, tiling.block_q), 1)
    index = index + query_block * tiling.block_q
    return (keys[0] != queries_ref[0]) | (keys[1] > index)


def _logits(tiling: Tiling, q, k, bias_ref, blocks) -> tuple[Array, Array | float]:
    """Returns a tile's logits and their derivative by the products of queries and keys."""
    logits, derivative = capped_logits(tiling, multiply(k, q, (0, 0)))
    if bias_ref:
        logits = logits + bias_ref[0][near_index(tiling, *blocks)]
    return logits, derivative


def _for_tiles(inside, summary: Summary, row_query, row_key, first_query, compute) -> None:
    """Runs `compute(masked)` unless the tile is empty, without the mask where all pairs see."""
    one_segment = summary.query_segment[row_query] == summary.key_segment[row_key]
    whole = one_segment & (summary.last_first[row_key] <= first_query)
    pl.when(inside & whole)(lambda: compute(False))
    pl.when(inside & jnp.logical_not(whole))(lambda: compute(True))


def _forward_kernel(tiling: Tiling, summary, q_ref, k_ref, v_ref, marks, rows_ref, *written):
    out_ref, lse_ref, bias_ref, mixed_ref, largest_ref, total_ref = written
    row, query_block, key_block = (pl.program_id(axis) for axis in (1, 2, 3))
    row_query = row * tiling.query_blocks + query_block
    row_key = row * tiling.key_blocks + key_block

    if rows_ref:

        @pl.when((row == 0) & (query_block == 0) & (key_block == 0))
        def _():
            for offset in range(rows_ref[0].shape[1]):
                bias_ref[0][offset] = expand(rows_ref[0][0, offset])

    @pl.when(key_block == 0)
    def _():
        mixed_ref[...] = jnp.zeros_like(mixed_ref)
        largest_ref[...] = jnp.full_like(largest_ref, NOTHING)
        total_ref[...] = jnp.zeros_like(total_ref)

    def compute(masked):
        v = v_ref[0, 0]
        blocks = query_block, key_block
        logits, _ = _logits(tiling, q_ref[0, 0], k_ref[0, 0], bias_ref, blocks)
        if masked:
            logits = jnp.where(_hidden(tiling, query_block, *marks), HIDDEN, logits)
        before = largest_ref[...]
        largest = jnp.maximum(before, jnp.max(logits, axis=0, keepdims=True))
        weights = jnp.exp(logits - largest)
        rescale = jnp.exp(before - largest)
        largest_ref[...] = largest
        total_ref[...] = total_ref[...] * rescale + jnp.sum(weights, axis=0, keepdims=True)
        mixed = multiply(v, weights.astype(v.dtype), (1, 0))
        mixed_ref[...] = mixed_ref[...] * rescale + mixed

    inside = summary.key_start[row_query] <= key_block
    inside &= key_block <= summary.key_end[row_query]
    first_query = query_block * tiling.block_q
    _for_tiles(inside, summary, row_query, row_key, first_query, compute)

    @pl.when(key_block == tiling.key_blocks - 1)
    def _():
        total = total_ref[...]
        # Queries without keys have mixed nothing.
        total = jnp.where(total == 0, 1, total)
        out_ref[0, 0] = (mixed_ref[...] / total).astype(out_ref.dtype)
        lse_ref[0, 0] = largest_ref[...] + jnp.log(total)


def _backward_kernel(
    tiling: Tiling, summary, q_ref, k_ref, v_ref, marks, rows_ref, given, *written
):
    out_gradient_ref, lse_ref, delta_ref = given
    dq_ref, dk_ref, dv_ref, drows_ref, *scratch = written
    bias_ref, dbias_ref, dq_sum, dk_sum, dv_sum = scratch
    row, key_block, query_block = (pl.program_id(axis) for axis in (1, 2, 3))
    row_query = row * tiling.query_blocks + query_block
    row_key = row * tiling.key_blocks + key_block
    last_query = query_block == tiling.query_blocks - 1
    last_tile = last_query & (key_block == tiling.key_blocks - 1)

    if rows_ref:

        @pl.when((row == 0) & (query_block == 0) & (key_block == 0))
        def _():
            dbias_ref[0][...] = jnp.zeros_like(dbias_ref[0])
            for offset in range(rows_ref[0].shape[1]):
                bias_ref[0][offset] = expand(rows_ref[0][0, offset])

    @pl.when((query_block == 0) & (key_block == 0))
    def _():
        dq_sum[...] = jnp.zeros_like(dq_sum)

    @pl.when(query_block == 0)
    def _():
        dk_sum[...] = jnp.zeros_like(dk_sum)
        dv_sum[...] = jnp.zeros_like(dv_sum)

    def compute(masked):
        q, k, v, gradient = (ref[0, 0] for ref in (q_ref, k_ref, v_ref, out_gradient_ref))
        blocks = query_block, key_block
        logits, derivative = _logits(tiling, q, k, bias_ref, blocks)
        if masked:
            logits = jnp.where(_hidden(tiling, query_block, *marks), HIDDEN, logits)
        weights = jnp.exp(logits - lse_ref[0, 0])
        dv_sum[...] += multiply(weights.astype(v.dtype), gradient, (1, 1))
        dlogits = weights * (multiply(v, gradient, (0, 0)) - delta_ref[0, 0])
        if rows_ref:
            dbias_ref[0][near_index(tiling, *blocks)] += dlogits
        dproducts = (dlogits * derivative).astype(k.dtype)
        dk_sum[...] += multiply(dproducts, q, (1, 1))
        dq_sum[query_block] += multiply(k, dproducts, (1, 0))

    inside = summary.query_start[row_key] <= query_block
    inside &= query_block <= summary.query_end[row_key]
    first_query = query_block * tiling.block_q
    _for_tiles(inside, summary, row_query, row_key, first_query, compute)

    @pl.when(last_query)
    def _():
        dk_ref[0, 0] = dk_sum[...].T.astype(dk_ref.dtype)
        dv_ref[0, 0] = dv_sum[...].T.astype(dv_ref.dtype)

    @pl.when(last_tile)
    def _():
        for index in range(tiling.query_blocks):
            here = pl.ds(index * tiling.block_q, tiling.block_q)
            dq_ref[0, 0, :, here] = dq_sum[index].astype(dq_ref.dtype)

    if rows_ref:

        @pl.when(last_tile & (row == pl.num_programs(1) - 1))
        def _():
            for offset in range(rows_ref[0].shape[1]):
                drows_ref[0][0, offset] = fold(dbias_ref[0][offset])


def _specs(tiling: Tiling, q: Array, k: Array, rows: tuple, order):
    """Returns the blocks of the inputs of both kernels, and that of a number a query.

    Args:
      tiling: block sizes.
      q: queries.
      k: keys.
      rows: the bias, or an empty tuple.
      order: function from the grid's last two indices, the row and the summary to the block of
        queries and the block of keys that are to be in VMEM.
    """
    width, groups = q.shape[2], q.shape[1] // k.shape[1]

    def blocks(n, b, x, y, *summary):
        return order(x, y, b, Summary(*summary))

    def of_query(*shape):
        return pl.BlockSpec(
            (1, 1, *shape, tiling.block_q), lambda n, b, *xy: (b, n, 0, blocks(n, b, *xy)[0])
        )

    keys = pl.BlockSpec(
        (1, 1, width, tiling.block_k),
        lambda n, b, *xy: (b, jax.lax.div(n, jnp.int32(groups)), 0, blocks(n, b, *xy)[1]),
    )
    marks = Marks(
        pl.BlockSpec((1, 1, tiling.block_q), lambda n, b, *xy: (b, 0, blocks(n, b, *xy)[0])),
        pl.BlockSpec((1, 2, tiling.block_k), lambda n, b, *xy: (b, 0, blocks(n, b, *xy)[1])),
    )
    return (of_query(width), keys, keys, marks, _head_specs(rows)), of_query(1)


def _head_specs(rows: tuple) -> tuple:
    """Returns the blocks of what there is once a head."""
    return tuple(
        pl.BlockSpec((1, *one.shape[1:]), lambda n, b, x, y, *summary: (n, 0, 0, 0)) for one in rows
    )


def _bias_tiles(tiling: Tiling, rows: tuple) -> tuple:
    """Returns memory for the tiles of the bias of a head."""
    return tuple(
        pltpu.VMEM((one.shape[1], tiling.block_k, tiling.block_q), one.dtype) for one in rows
    )


def _call(tiling: Tiling, name, kernel, grid, in_specs, out_specs, out_shape, scratch, biased):
    # Rows of the batch follow each other on one core where they add to the same bias.
    row_semantics = "arbitrary" if biased else "parallel"
    facts = len(Summary._fields)

    def run(*refs):
        kernel(tiling, Summary(*refs[:facts]), *refs[facts:])

    return pl.pallas_call(
        run,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=facts,
            grid=grid,
            in_specs=in_specs,
            out_specs=out_specs,
            scratch_shapes=scratch,
        ),
        out_shape=out_shape,
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", row_semantics, "arbitrary", "arbitrary"),
            vmem_limit_bytes=_VMEM_LIMIT,
        ),
        interpret=tiling.interpret,
        name=name,
    )


def forward(
    tiling: Tiling, inputs: Inputs
) -> tuple[Float[Array, "B N H T"], Float[Array, "B N 1 T"]]:
    """Returns the mixed values, and the logarithm of the sum of exponentials of each query."""
    q, k, v, rows, marks = inputs
    batch, heads, width, length = q.shape
    dtype = accumulation_dtype(q)

    def order(query_block, key_block, row, summary):
        # A tile that is left out keeps the block that is there: nothing is fetched for it.
        at = row * tiling.query_blocks + query_block
        start, end = summary.key_start[at], summary.key_end[at]
        return query_block, jnp.clip(key_block, start, jnp.maximum(start, end))

    in_specs, numbers = _specs(tiling, q, k, rows, order)
    return _call(
        tiling,
        "flash_attention_forward",
        _forward_kernel,
        (heads, batch, tiling.query_blocks, tiling.key_blocks),
        list(in_specs),
        (in_specs[0], numbers),
        (
            jax.ShapeDtypeStruct(q.shape, q.dtype),
            jax.ShapeDtypeStruct((batch, heads, 1, length), dtype),
        ),
        (
            _bias_tiles(tiling, rows),
            pltpu.VMEM((width, tiling.block_q), dtype),
            pltpu.VMEM((1, tiling.block_q), dtype),
            pltpu.VMEM((1, tiling.block_q), dtype),
        ),
        bool(rows),
    )(*summarise(tiling, marks), q, k, v, marks, rows)


def backward(
    tiling: Tiling,
    inputs: Inputs,
    mixed: Float[Array, "B N H T"],
    lse: Float[Array, "B N 1 T"],
    gradient: Float[Array, "B N H T"],
) -> tuple[Array, Array, Array, tuple[Array, ...]]:
    """Returns the gradients by queries, keys, values and rows, each in one pass over the tiles.

    Args:
      tiling: as in `forward`.
      inputs: as in `forward`.
      mixed: the output of `forward`.
      lse: likewise.
      gradient: by the mixed values.
    """
    q, k, v, rows, marks = inputs
    batch, heads, width, length = q.shape
    dtype = accumulation_dtype(q)
    delta = jnp.sum(mixed.astype(dtype) * gradient.astype(dtype), axis=2, keepdims=True)

    def order(key_block, query_block, row, summary):
        at = row * tiling.key_blocks + key_block
        start, end = summary.query_start[at], summary.query_end[at]
        return jnp.clip(query_block, start, jnp.maximum(start, end)), key_block

    in_specs, numbers = _specs(tiling, q, k, rows, order)
    # Heads that share keys are summed outside: each writes its own share of their gradient.
    own_keys = pl.BlockSpec(
        (1, 1, width, tiling.block_k), lambda n, b, x, y, *summary: (b, n, 0, x)
    )
    whole = pl.BlockSpec((1, 1, width, length), lambda n, b, x, y, *summary: (b, n, 0, 0))
    shared = heads != k.shape[1]
    keys_shape = jax.ShapeDtypeStruct((batch, heads, *k.shape[2:]), dtype if shared else k.dtype)
    dq, dk, dv, drows = _call(
        tiling,
        "flash_attention_backward",
        _backward_kernel,
        (heads, batch, tiling.key_blocks, tiling.query_blocks),
        [*in_specs, (in_specs[0], numbers, numbers)],
        (whole, own_keys, own_keys, _head_specs(rows)),
        (
            jax.ShapeDtypeStruct(q.shape, q.dtype),
            keys_shape,
            keys_shape,
            tuple(jax.ShapeDtypeStruct(one.shape, one.dtype) for one in rows),
        ),
        (
            _bias_tiles(tiling, rows),
            _bias_tiles(tiling, rows),
            pltpu.VMEM((tiling.query_blocks, width, tiling.block_q), dtype),
            pltpu.VMEM((tiling.block_k, width), dtype),
            pltpu.VMEM((tiling.block_k, width), dtype),
        ),
        bool(rows),
    )(*summarise(tiling, marks), q, k, v, marks, rows, (gradient, lse, delta))
    if shared:
        dk, dv = (sum_over_queries(share, k, axis=1) for share in (dk, dv))
    return dq, dk, dv, drows
