"""Counts the matrix products of a traced program, recomputation included.

`train.flops` has the arithmetic that the mathematics needs; the difference to what is traced is
what rematerialisation computes twice, and the masked half of causal attention.
"""

import math
from typing import Any

import jax


def matrix_flops(jaxpr: Any) -> float:
    """Returns the FLOPs of all matrix products of a closed jaxpr, all devices together.

    A product of [m, k] with [k, n] takes 2 m k n. The body of a scan counts as often as it runs;
    of the branches of a condition the largest counts; loops of unknown length count once.

    Args:
      jaxpr: `jax.stages.Traced.jaxpr`.
    """
    return _count(jaxpr.jaxpr)


def _count(jaxpr: Any) -> float:
    return sum(_equation(equation) for equation in jaxpr.eqns)


def _equation(equation: Any) -> float:
    if equation.primitive.name == "dot_general":
        return _product(equation)
    inner = [_count(sub) for sub in jax.core.jaxprs_in_params(equation.params)]
    if not inner:
        return 0.0
    if equation.primitive.name == "cond":
        return max(inner)
    if equation.primitive.name == "scan":
        return equation.params["length"] * sum(inner)
    if equation.primitive.name == "pallas_call":
        return math.prod(equation.params["grid_mapping"].grid) * sum(inner)
    if equation.primitive.name == "shard_map":  # its body is that of one device
        return equation.params["mesh"].size * sum(inner)
    return sum(inner)


def _product(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    width = math.prod(left[axis] for axis in contracted)
    return 2.0 * width * math.prod(equation.outvars[0].aval.shape)


def saved_activations(jaxpr: Any) -> list[tuple[tuple[int, ...], int]]:
    """Returns (shape, bytes) of what scans keep of each iteration, over all devices.

    In a train step these are mostly the activations that the forward pass of a stack of layers
    keeps for its backward pass; the backward pass keeps gradients of the layers, which are left
    out: they have no axis of rows and positions (fewer than four dimensions).
    """
    found = []
    for equation in jaxpr.jaxpr.eqns:
        if equation.primitive.name == "scan":
            kept = equation.outvars[equation.params["num_carry"] :]
            found += [
                (one.aval.shape, one.aval.size * one.aval.dtype.itemsize)
                for one in kept
                if one.aval.ndim >= 4
            ]
        elif equation.primitive.name in ("pjit", "jit", "closed_call", "core_call"):
            for sub in jax.core.jaxprs_in_params(equation.params):
                found += saved_activations(_Closed(sub))
    return found


class _Closed:
    """A jaxpr under the attribute that a closed one has."""

    def __init__(self, jaxpr: Any):
        self.jaxpr = jaxpr
