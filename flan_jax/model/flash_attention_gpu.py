"""Flash attention on GPUs, forward and backward, with a relative position bias (Pallas, Triton).

Online softmax over tiles (Dao et al. 2022, "FlashAttention", algorithms 1 and 4; Dao 2023,
"FlashAttention-2", on which loop is the program's). Every sum has a fixed order: no atomics, so
that a resumed run is the same to the bit.

The bias of a pair is read by its distance from a row of 2 `max_distance` + 1 numbers a head, which
stay in L1; tiles that are all `max_distance` or more from the diagonal take one number. The row's
gradient is made in two parts. Of far tiles the backward pass over queries adds up the logits'
gradients, as two numbers a query. Near tiles (`Tiling.near`) are passed once more, by offset: a
program sums the gradients of all tiles of its head and offset entry by entry, over rows of the
batch and along the diagonal, and what is left, a few tiles a head, is folded outside.

Axes: B rows, T queries, S keys, N query heads, K key and value heads, H head width, b queries or
keys of a block, R the distance from which the bias is one number, O offsets of near tiles.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
from jaxtyping import Array, Float, Int

from flan_jax.model.flash_attention_tiles import (
    HIDDEN,
    NOTHING,
    Marks,
    Summary,
    Tiling,
    accumulation_dtype,
    capped_logits,
    multiply,
    summarise,
)

# The order of [B, T, N, H] in which the kernels want their inputs.
LAYOUT = (0, 1, 2, 3)
# Programs among which the rows of the batch are dealt when the bias's gradient is summed.
_SPLITS = 8


def choose_block(length: int) -> int:
    """Returns how many queries and keys a block has."""
    del length  # tl.dot wants 16 at least; 64 keeps the backward pass's tiles in registers
    return 64


def bias_distances(tiling: Tiling) -> Int[np.ndarray, " 2R+1"]:
    """Returns key minus query position of the entries of the bias that `forward` takes."""
    return np.arange(-tiling.max_distance, tiling.max_distance + 1)


def _positions(tiling: Tiling, block_index) -> Array:
    return block_index * tiling.block + jnp.arange(tiling.block, dtype=jnp.int32)


def _at(tiling: Tiling, block_index):
    """Returns the slice of a block."""
    return pl.ds(block_index * tiling.block, tiling.block)


def _bias(tiling: Tiling, values_ref, query_block, key_block) -> Array:
    """Returns the bias of a tile, [b, b]."""
    reach = tiling.max_distance

    def near():
        distance = _positions(tiling, key_block)[None] - _positions(tiling, query_block)[:, None]
        return plgpu.load(values_ref.at[jnp.clip(distance, -reach, reach) + reach])

    def far():
        value = values_ref[jnp.where(key_block > query_block, 2 * reach, 0)]
        return jnp.full((tiling.block, tiling.block), value)

    return jax.lax.cond(_is_near(tiling, query_block, key_block), near, far)


def _is_near(tiling: Tiling, query_block, key_block):
    """Returns whether a tile has pairs less than `max_distance` apart."""
    low, high = tiling.near
    return (key_block - query_block >= low) & (key_block - query_block <= high)


def _hidden(tiling: Tiling, marks: Marks, query_block, key_block, row: tuple) -> Array:
    """Returns which pairs of the tile may not see each other, [b, b]."""
    queries = marks.queries[*row, 0, _at(tiling, query_block)]
    keys, first = (marks.keys[*row, i, _at(tiling, key_block)] for i in (0, 1))
    index = _positions(tiling, query_block)
    return (queries[:, None] != keys[None]) | (first[None] > index[:, None])


def _logits(tiling: Tiling, q, k, values, marks, query_block, key_block, row=()):
    """Returns a tile's logits, and their derivative by the products of queries and keys."""
    logits, derivative = capped_logits(tiling, multiply(q, k, (1, 1)))
    if values:
        logits = logits + _bias(tiling, values[0], query_block, key_block)
    hidden = _hidden(tiling, marks, query_block, key_block, row)
    return jnp.where(hidden, HIDDEN, logits), derivative


def _logit_gradients(tiling, q, k, v, gradient, lse, delta, values, marks, blocks, row=()):
    """Returns a tile's probabilities, the gradient by its logits, and that by its products."""
    logits, derivative = _logits(tiling, q, k, values, marks, *blocks, row)
    weights = jnp.exp(logits - lse[:, None])
    dlogits = weights * (multiply(gradient, v, (1, 1)) - delta[:, None])
    return weights, dlogits, (dlogits * derivative).astype(k.dtype)


def _forward_kernel(tiling: Tiling, summary, q_ref, k_ref, v_ref, marks, values, *out):
    out_ref, lse_ref = out
    query_block, row = pl.program_id(0), pl.program_id(2)
    q = q_ref[...]
    dtype = lse_ref.dtype

    def body(key_block, state):
        mixed, before, total = state
        k, v = (ref[_at(tiling, key_block)] for ref in (k_ref, v_ref))
        logits, _ = _logits(tiling, q, k, values, marks, query_block, key_block)
        largest = jnp.maximum(before, jnp.max(logits, axis=1))
        weights = jnp.exp(logits - largest[:, None])
        rescale = jnp.exp(before - largest)
        total = total * rescale + jnp.sum(weights, axis=1)
        mixed = mixed * rescale[:, None] + multiply(weights.astype(v.dtype), v, (1, 0))
        return mixed, largest, total

    state = (
        jnp.zeros(q.shape, dtype),
        jnp.full(q.shape[:1], NOTHING, dtype),
        jnp.zeros(q.shape[:1], dtype),
    )
    at = row * tiling.query_blocks + query_block
    start, end = summary.key_start[at], summary.key_end[at]
    mixed, largest, total = jax.lax.fori_loop(start, end + 1, body, state)
    # Queries without keys have mixed nothing.
    total = jnp.where(total == 0, 1, total)
    out_ref[...] = (mixed / total[:, None]).astype(out_ref.dtype)
    lse_ref[...] = largest + jnp.log(total)


def _keys_kernel(tiling: Tiling, summary, q_ref, k_ref, v_ref, marks, values, given, *out):
    """The gradients by keys and values: a program has a block of keys and passes queries."""
    gradient_ref, lse_ref, delta_ref = given
    dk_ref, dv_ref = out
    key_block, row = pl.program_id(0), pl.program_id(2)
    k, v = k_ref[...], v_ref[...]

    def body(query_block, state):
        dk, dv = state
        here = _at(tiling, query_block)
        q, gradient, lse, delta = (
            ref[here] for ref in (q_ref, gradient_ref, lse_ref, delta_ref)
        )
        weights, _, dproducts = _logit_gradients(
            tiling, q, k, v, gradient, lse, delta, values, marks, (query_block, key_block)
        )
        dv = dv + multiply(weights.astype(v.dtype), gradient, (0, 0))
        return dk + multiply(dproducts, q, (0, 0)), dv

    zeros = jnp.zeros(k.shape, lse_ref.dtype)
    at = row * tiling.key_blocks + key_block
    start, end = summary.query_start[at], summary.query_end[at]
    dk, dv = jax.lax.fori_loop(start, end + 1, body, (zeros, zeros))
    dk_ref[...] = dk.astype(dk_ref.dtype)
    dv_ref[...] = dv.astype(dv_ref.dtype)


def _queries_kernel(tiling: Tiling, summary, q_ref, k_ref, v_ref, marks, values, given, *out):
    """The gradient by queries, and the sums of the logits' gradients of far tiles."""
    gradient_ref, lse_ref, delta_ref = given
    query_block, row = pl.program_id(0), pl.program_id(2)
    q, gradient, lse, delta = (ref[...] for ref in (q_ref, gradient_ref, lse_ref, delta_ref))

    def body(key_block, state):
        dq, before, after = state
        k, v = (ref[_at(tiling, key_block)] for ref in (k_ref, v_ref))
        _, dlogits, dproducts = _logit_gradients(
            tiling, q, k, v, gradient, lse, delta, values, marks, (query_block, key_block)
        )
        if values:
            far = jnp.logical_not(_is_near(tiling, query_block, key_block))
            sums = jnp.sum(dlogits, axis=1)
            before = before + jnp.where(far & (key_block < query_block), sums, 0)
            after = after + jnp.where(far & (key_block > query_block), sums, 0)
        return dq + multiply(dproducts, k, (1, 0)), before, after

    nothing = jnp.zeros(lse.shape, lse.dtype)
    at = row * tiling.query_blocks + query_block
    start, end = summary.key_start[at], summary.key_end[at]
    state = jnp.zeros(q.shape, lse.dtype), nothing, nothing
    dq, *sums = jax.lax.fori_loop(start, end + 1, body, state)
    out[0][...] = dq.astype(out[0].dtype)
    for ref, sum_ in zip(out[1:], sums, strict=False):
        ref[...] = sum_


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
            here, there = (_at(tiling, block) for block in blocks)
            _, dlogits, _ = _logit_gradients(
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

    zeros = jnp.zeros((tiling.block, tiling.block), lse_ref.dtype)
    out_ref[...] = jax.lax.fori_loop(0, rows, row_body, zeros)


# The grids are (block or offset, head, row or split): the functions below give the part of an
# array that a program sees.


def _whole(x: Array) -> pl.BlockSpec:
    return pl.BlockSpec(x.shape, lambda i, n, b: (0,) * x.ndim)


def _of_head(x: Array, block: int | None = None, groups: int = 1) -> pl.BlockSpec:
    """Returns the part of [B, positions, heads, H]: one block, or all positions."""

    def index(i, n, b):
        head = n if groups == 1 else jax.lax.div(n, jnp.int32(groups))
        return b, 0 if block is None else i, head, 0

    return pl.BlockSpec((None, block or x.shape[1], None, x.shape[3]), index)


def _numbers(x: Array, block: int | None = None) -> pl.BlockSpec:
    """Returns the part of [B, N, positions]."""
    return pl.BlockSpec(
        (None, None, block or x.shape[2]), lambda i, n, b: (b, n, 0 if block is None else i)
    )


def _values(rows: tuple) -> tuple:
    return tuple(pl.BlockSpec((None, one.shape[1]), lambda i, n, b: (n, 0)) for one in rows)


def _marks(marks: Marks) -> Marks:
    return Marks(*(pl.BlockSpec((None, *x.shape[1:]), lambda i, n, b: (b, 0, 0)) for x in marks))


def _call(tiling: Tiling, name, kernel, grid, in_specs, out_specs, out_shape):
    return pl.pallas_call(
        kernel,
        grid=grid,
        in_specs=in_specs,
        out_specs=out_specs,
        out_shape=out_shape,
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        interpret=tiling.interpret,
        name=name,
    )


def forward(
    tiling: Tiling,
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    rows: tuple[Float[Array, "N 2R+1"], ...],
    marks: Marks,
) -> tuple[Float[Array, "B T N H"], Float[Array, "B N T"]]:
    """Returns the mixed values, and the logarithm of the sum of exponentials of each query.

    Args:
      tiling: block sizes and the like.
      q: queries.
      k: keys.
      v: values.
      rows: the table at the buckets of `bias_distances`, or nothing.
      marks: who may see whom.

    Raises:
      ValueError: if the head's width is no power of two, which Triton's blocks have to be.
    """
    width = q.shape[3]
    if width & (width - 1) or width < 16:
        raise ValueError(f"head width {width}: Triton's blocks have powers of two, 16 and above.")
    batch, length, heads, _ = q.shape
    block, groups = tiling.block, heads // k.shape[2]
    summary = summarise(tiling, marks)
    lse = jax.ShapeDtypeStruct((batch, heads, length), accumulation_dtype(q))
    return _call(
        tiling,
        "flash_attention_forward",
        lambda *refs: _forward_kernel(tiling, *refs),
        (tiling.query_blocks, heads, batch),
        [
            Summary(*map(_whole, summary)),
            _of_head(q, block),
            _of_head(k, groups=groups),
            _of_head(v, groups=groups),
            _marks(marks),
            _values(rows),
        ],
        (_of_head(q, block), _numbers(lse, block)),
        (jax.ShapeDtypeStruct(q.shape, q.dtype), lse),
    )(summary, q, k, v, marks, rows)


def backward(
    tiling: Tiling,
    q: Float[Array, "B T N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    rows: tuple[Float[Array, "N 2R+1"], ...],
    marks: Marks,
    mixed: Float[Array, "B T N H"],
    lse: Float[Array, "B N T"],
    gradient: Float[Array, "B T N H"],
) -> tuple[Array, Array, Array, tuple[Array, ...]]:
    """Returns the gradients by queries, keys, values and rows.

    Args:
      tiling: block sizes and the like.
      q: queries.
      k: keys.
      v: values.
      rows: as in `forward`.
      marks: as in `forward`.
      mixed: the output of `forward`.
      lse: likewise.
      gradient: by the mixed values.
    """
    delta = jnp.sum(mixed.astype(lse.dtype) * gradient.astype(lse.dtype), axis=3).swapaxes(1, 2)
    given = gradient, lse, delta
    dk, dv = _key_gradients(tiling, q, k, v, rows, marks, given)
    dq, *sums = _query_gradients(tiling, q, k, v, rows, marks, given)
    if not rows:
        return dq, dk, dv, ()
    drows = _near_gradient(tiling, q, k, v, rows, marks, given)
    before, after = (x.sum(axis=(0, 2)) for x in sums)
    drows = drows.at[:, 0].add(before).at[:, -1].add(after)
    return dq, dk, dv, (drows,)


def _key_gradients(tiling: Tiling, q, k, v, rows, marks, given) -> tuple[Array, Array]:
    batch, _, heads, width = q.shape
    block, groups = tiling.block, heads // k.shape[2]
    summary = summarise(tiling, marks)
    gradient, lse, delta = given
    # Heads that share keys are summed outside: each writes its own share of their gradient.
    dtype = k.dtype if groups == 1 else lse.dtype
    share = jax.ShapeDtypeStruct((batch, k.shape[1], heads, width), dtype)
    dk, dv = _call(
        tiling,
        "flash_attention_keys",
        lambda *refs: _keys_kernel(tiling, *refs),
        (tiling.key_blocks, heads, batch),
        [
            Summary(*map(_whole, summary)),
            _of_head(q),
            _of_head(k, block, groups),
            _of_head(v, block, groups),
            _marks(marks),
            _values(rows),
            (_of_head(gradient), _numbers(lse), _numbers(delta)),
        ],
        (_of_head(share, block), _of_head(share, block)),
        (share, share),
    )(summary, q, k, v, marks, rows, given)
    if groups > 1:
        dk, dv = (
            x.reshape(*k.shape[:3], groups, width).sum(3).astype(k.dtype) for x in (dk, dv)
        )
    return dk, dv


def _query_gradients(tiling: Tiling, q, k, v, rows, marks, given) -> tuple[Array, ...]:
    """Returns the gradient by queries and, with a bias, the sums of far tiles [B, N, T]."""
    block, groups = tiling.block, q.shape[2] // k.shape[2]
    summary = summarise(tiling, marks)
    gradient, lse, delta = given
    sums = (_numbers(lse, block),) * 2 if rows else ()
    shapes = (jax.ShapeDtypeStruct(lse.shape, lse.dtype),) * len(sums)
    return _call(
        tiling,
        "flash_attention_queries",
        lambda *refs: _queries_kernel(tiling, *refs),
        (tiling.query_blocks, q.shape[2], q.shape[0]),
        [
            Summary(*map(_whole, summary)),
            _of_head(q, block),
            _of_head(k, groups=groups),
            _of_head(v, groups=groups),
            _marks(marks),
            _values(rows),
            (_of_head(gradient, block), _numbers(lse, block), _numbers(delta, block)),
        ],
        (_of_head(q, block), *sums),
        (jax.ShapeDtypeStruct(q.shape, q.dtype), *shapes),
    )(summary, q, k, v, marks, rows, given)


def _near_gradient(tiling: Tiling, q, k, v, rows, marks, given) -> Float[Array, "N 2R+1"]:
    """Returns the gradient by `rows` of near tiles."""
    batch, _, heads, _ = q.shape
    block, groups = tiling.block, heads // k.shape[2]
    low, high = tiling.near
    splits = math.gcd(batch, _SPLITS)

    def all_rows(x, groups=1):
        def index(i, n, b):
            return 0, 0, n if groups == 1 else jax.lax.div(n, jnp.int32(groups)), 0

        return pl.BlockSpec((*x.shape[:2], None, x.shape[3]), index)

    numbers = pl.BlockSpec((batch, None, q.shape[1]), lambda i, n, b: (0, n, 0))
    tiles = _call(
        tiling,
        "flash_attention_bias",
        lambda *refs: _bias_kernel(tiling, splits, *refs),
        (high - low + 1, heads, splits),
        [
            all_rows(q),
            all_rows(k, groups),
            all_rows(v, groups),
            Marks(*map(_whole, marks)),
            _values(rows),
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
