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

Tested interpreted, and compiled by Triton and ptxas for sm_90; not yet run on a GPU, and so not
tuned on one: `benchmarks/attention.py` measures it.

Axes: B rows, T queries, S keys, N query heads, K key and value heads, H head width, b queries or
keys of a block, R the distance from which the bias is one number, O offsets of near tiles.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from flan_jax.model.flash_attention_gpu_bias import near_gradient
from flan_jax.model.flash_attention_gpu_tiles import (
    block_at,
    call,
    is_near,
    of_head,
    of_head_numbers,
    of_head_values,
    of_row_marks,
    tile_gradients,
    tile_logits,
    whole,
)
from flan_jax.model.flash_attention_tiles import (
    NOTHING,
    Inputs,
    Summary,
    Tiling,
    accumulation_dtype,
    multiply,
    sum_over_queries,
    summarise,
)

# The order of [B, T, N, H] in which the kernels want their inputs.
LAYOUT = (0, 1, 2, 3)


def choose_block(length: int, dtype: np.dtype) -> int:
    """Returns how many of `length` queries or keys a block has."""
    del length
    # The largest whose sums ptxas keeps in the registers of sm_90, for heads of 64 entries.
    return 64 if dtype.itemsize < 4 else 32


def bias_distances(tiling: Tiling) -> Int[np.ndarray, " 2R+1"]:
    """Returns key minus query position of the entries of the bias that `forward` takes."""
    return np.arange(-tiling.max_distance, tiling.max_distance + 1)


def _forward_kernel(tiling: Tiling, summary, q_ref, k_ref, v_ref, marks, values, *out):
    out_ref, lse_ref = out
    query_block, row = pl.program_id(0), pl.program_id(2)
    q = q_ref[...]
    dtype = lse_ref.dtype

    def body(key_block, state):
        mixed, before, total = state
        k, v = (ref[block_at(tiling.block_k, key_block)] for ref in (k_ref, v_ref))
        logits, _ = tile_logits(tiling, q, k, values, marks, query_block, key_block)
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
        here = block_at(tiling.block_q, query_block)
        q, gradient, lse, delta = (ref[here] for ref in (q_ref, gradient_ref, lse_ref, delta_ref))
        weights, _, dproducts = tile_gradients(
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
        k, v = (ref[block_at(tiling.block_k, key_block)] for ref in (k_ref, v_ref))
        _, dlogits, dproducts = tile_gradients(
            tiling, q, k, v, gradient, lse, delta, values, marks, (query_block, key_block)
        )
        if values:
            far = jnp.logical_not(is_near(tiling, query_block, key_block))
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


def forward(
    tiling: Tiling, inputs: Inputs
) -> tuple[Float[Array, "B T N H"], Float[Array, "B N T"]]:
    """Returns the mixed values, and the logarithm of the sum of exponentials of each query.

    Raises:
      ValueError: if the head's width is no power of two, which Triton's blocks have to be.
    """
    q, k, v, rows, marks = inputs
    width = q.shape[3]
    if width & (width - 1) or width < 16:
        raise ValueError(f"head width {width}: Triton's blocks have powers of two, 16 and above.")
    batch, length, heads, _ = q.shape
    block = tiling.block_q
    summary = summarise(tiling, marks)
    lse = jax.ShapeDtypeStruct((batch, heads, length), accumulation_dtype(q))
    return call(
        tiling,
        "flash_attention_forward",
        lambda *refs: _forward_kernel(tiling, *refs),
        (tiling.query_blocks, heads, batch),
        _of_queries(tiling, summary, inputs),
        (of_head(q, block), of_head_numbers(lse, block)),
        (jax.ShapeDtypeStruct(q.shape, q.dtype), lse),
    )(summary, q, k, v, marks, rows)


def backward(
    tiling: Tiling,
    inputs: Inputs,
    mixed: Float[Array, "B T N H"],
    lse: Float[Array, "B N T"],
    gradient: Float[Array, "B T N H"],
) -> tuple[Array, Array, Array, tuple[Array, ...]]:
    """Returns the gradients by queries, keys, values and rows.

    Args:
      tiling: as in `forward`.
      inputs: as in `forward`.
      mixed: the output of `forward`.
      lse: likewise.
      gradient: by the mixed values.
    """
    delta = jnp.sum(mixed.astype(lse.dtype) * gradient.astype(lse.dtype), axis=3).swapaxes(1, 2)
    given = gradient, lse, delta
    dk, dv = _key_gradients(tiling, inputs, given)
    dq, *sums = _query_gradients(tiling, inputs, given)
    if not inputs.rows:
        return dq, dk, dv, ()
    drows = near_gradient(tiling, inputs, given)
    before, after = (x.sum(axis=(0, 2)) for x in sums)
    drows = drows.at[:, 0].add(before).at[:, -1].add(after)
    return dq, dk, dv, (drows,)


def _of_queries(tiling: Tiling, summary: Summary, inputs: Inputs) -> list:
    """Returns the parts of the inputs for a program that has a block of queries."""
    q, k, v, rows, marks = inputs
    groups = q.shape[2] // k.shape[2]
    return [
        Summary(*map(whole, summary)),
        of_head(q, tiling.block_q),
        of_head(k, groups=groups),
        of_head(v, groups=groups),
        of_row_marks(marks),
        of_head_values(rows),
    ]


def _key_gradients(tiling: Tiling, inputs: Inputs, given) -> tuple[Array, Array]:
    q, k, v, rows, marks = inputs
    batch, _, heads, width = q.shape
    block, groups = tiling.block_k, heads // k.shape[2]
    summary = summarise(tiling, marks)
    gradient, lse, delta = given
    # Heads that share keys are summed outside: each writes its own share of their gradient.
    dtype = k.dtype if groups == 1 else lse.dtype
    share = jax.ShapeDtypeStruct((batch, k.shape[1], heads, width), dtype)
    dk, dv = call(
        tiling,
        "flash_attention_keys",
        lambda *refs: _keys_kernel(tiling, *refs),
        (tiling.key_blocks, heads, batch),
        [
            Summary(*map(whole, summary)),
            of_head(q),
            of_head(k, block, groups),
            of_head(v, block, groups),
            of_row_marks(marks),
            of_head_values(rows),
            (of_head(gradient), of_head_numbers(lse), of_head_numbers(delta)),
        ],
        (of_head(share, block), of_head(share, block)),
        (share, share),
    )(summary, q, k, v, marks, rows, given)
    if groups > 1:
        dk, dv = (sum_over_queries(share, k, axis=2) for share in (dk, dv))
    return dk, dv


def _query_gradients(tiling: Tiling, inputs: Inputs, given) -> tuple[Array, ...]:
    """Returns the gradient by queries and, with a bias, the sums of far tiles [B, N, T]."""
    q, k, v, rows, marks = inputs
    block = tiling.block_q
    summary = summarise(tiling, marks)
    gradient, lse, delta = given
    sums = (of_head_numbers(lse, block),) * 2 if rows else ()
    shapes = (jax.ShapeDtypeStruct(lse.shape, lse.dtype),) * len(sums)
    return call(
        tiling,
        "flash_attention_queries",
        lambda *refs: _queries_kernel(tiling, *refs),
        (tiling.query_blocks, q.shape[2], q.shape[0]),
        [
            *_of_queries(tiling, summary, inputs),
            (of_head(gradient, block), of_head_numbers(lse, block), of_head_numbers(delta, block)),
        ],
        (of_head(q, block), *sums),
        (jax.ShapeDtypeStruct(q.shape, q.dtype), *shapes),
    )(summary, q, k, v, marks, rows, given)
