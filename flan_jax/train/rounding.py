"""Updates of parameters that are stored in bfloat16.

An update is often smaller than half the distance of two bfloat16 numbers (2**-9 of the
parameter): rounded to the nearest it would be lost, every time. Rounded up with the probability
that is its share of the distance it arrives on average (Gupta et al. 2015, section 2.1; for
transformers Zamirai et al. 2020, "Revisiting BFloat16 Training").
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, BFloat16, Float, PRNGKeyArray

PyTree = Any


def stochastic_round(x: Float[Array, "*shape"], key: PRNGKeyArray) -> BFloat16[Array, "*shape"]:
    """Rounds float32 to one of the two nearest bfloat16 numbers, to `x` on average.

    What bfloat16 can hold, infinities and NaN stay what they are.

    Args:
      x: float32.
      key: the same key rounds the same way, on any mesh.
    """
    # A bfloat16 is the upper half of a float32: a random number below the distance is added to
    # the lower half, which is then cut off. Away from zero, whatever the sign.
    noise = jax.random.bits(key, x.shape, jnp.uint16).astype(jnp.uint32)
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32) + noise
    cut = jax.lax.bitcast_convert_type(bits & jnp.uint32(0xFFFF0000), jnp.float32)
    return jnp.where(jnp.isfinite(x), cut, x).astype(jnp.bfloat16)


def as_float32(tree: PyTree) -> PyTree:
    """Returns the tree with bfloat16 leaves as float32."""
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf, tree
    )


def apply_updates(params: PyTree, updates: PyTree, key: PRNGKeyArray) -> PyTree:
    """Adds updates to parameters, in float32; bfloat16 parameters are rounded stochastically.

    Args:
      params: nested dict of arrays.
      updates: the same tree, float32.
      key: of the step; each parameter has a stream of its own.
    """
    leaves, structure = jax.tree.flatten(params)

    def updated(index, leaf, update):
        total = leaf.astype(jnp.float32) + update
        if leaf.dtype == jnp.bfloat16:
            return stochastic_round(total, jax.random.fold_in(key, index))
        return total.astype(leaf.dtype)

    pairs = zip(leaves, structure.flatten_up_to(updates), strict=True)
    return structure.unflatten(updated(index, *pair) for index, pair in enumerate(pairs))
