"""A digest of the content of parameters, computed where they lie."""

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt32

from flan_jax.parallel import rules


def params_digest(params: Any) -> str:
    """Digest of the content of parameters, computed where they lie, the same on every mesh.

    Of each array two sums are taken over its entries' bits mixed with their places; sums of
    integers do not depend on their order. SHA-256 of these, of names, shapes and dtypes is the
    digest. It tells other or damaged weights, but is no proof against a forger.

    Args:
      params: nested dict of float32 or bfloat16 arrays.

    Returns:
      64 hex digits.
    """
    sums = _sums(params)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    facts = [
        [jax.tree_util.keystr(path), list(leaf.shape), str(leaf.dtype), np.asarray(two).tolist()]
        for (path, leaf), two in zip(leaves, jax.tree.leaves(sums), strict=True)
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@jax.jit
def _sums(params: Any) -> Any:
    return jax.tree.map(_bit_sums, params)


def _bit_sums(x: Array) -> UInt32[Array, " 2"]:
    """Two sums modulo 2^32 over the entries, mixed by the finaliser of MurmurHash3 (Appleby)."""
    bits = jax.lax.bitcast_convert_type(x, {2: jnp.uint16, 4: jnp.uint32}[x.dtype.itemsize])
    place, stride = jnp.uint32(0), 1
    for axis in reversed(range(x.ndim)):
        # Places beyond 2^32 repeat, which only a swap of just these entries could hide behind.
        step = jnp.uint32(stride % 2**32)
        place = place + step * jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis)
        stride *= x.shape[axis]
    sums = []
    for seed in (0x9E3779B9, 0x7F4A7C15):  # the golden ratio's bits: any two odd numbers would do
        h = bits.astype(jnp.uint32) ^ (place * jnp.uint32(seed) + jnp.uint32(seed))
        h = (h ^ (h >> 16)) * jnp.uint32(0x85EBCA6B)
        h = (h ^ (h >> 13)) * jnp.uint32(0xC2B2AE35)
        sums.append(jnp.sum(h ^ (h >> 16), dtype=jnp.uint32))
    return rules.constrain(jnp.stack(sums), None)  # so that every process has them
