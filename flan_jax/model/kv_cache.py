"""How keys and values are kept between steps: as they are, in bfloat16, or in int8 with scales.

Axes: H head width.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int8

CacheDtype = Literal["float32", "bfloat16", "int8"]
DTYPES = ("float32", "bfloat16", "int8")


class Quantised(NamedTuple):
    """Vectors of 8-bit integers, each with the scale that its largest entry sets.

    Attributes:
      integers: -127 .. 127.
      scales: float32, what an integer of 1 stands for.
    """

    integers: Int8[Array, "*rows H"]
    scales: Float[Array, "*rows 1"]


def store(tree: Any, dtype: CacheDtype) -> Any:
    """Returns keys and values as the cache keeps them.

    Args:
      tree: arrays of any float dtype, [..., H]; int8 makes a `Quantised` of each.
      dtype: what they are kept in. With "int8" each head of each token has a scale of its own
        (as in Sheng et al. 2023, FlexGen, section 5, with groups of one head), so that an entry
        is off by at most 1/254 of the largest of its head.
    """
    if dtype == "int8":
        return jax.tree.map(_quantise, tree)
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def _quantise(x: Float[Array, "*rows H"]) -> Quantised:
    x = x.astype(jnp.float32)
    scales = jnp.max(jnp.abs(x), axis=-1, keepdims=True) / 127
    integers = jnp.round(x / jnp.where(scales > 0, scales, 1)).astype(jnp.int8)
    return Quantised(integers, scales)


def load(tree: Any, dtype: str) -> Any:
    """Returns a tree of what `store` made as arrays of the given dtype."""

    def one(leaf):
        if isinstance(leaf, Quantised):
            return (leaf.integers * leaf.scales).astype(dtype)
        return leaf.astype(dtype)

    return jax.tree.map(one, tree, is_leaf=lambda node: isinstance(node, Quantised))
