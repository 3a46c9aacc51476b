"""Parameters and functions of the layers other than attention.

Axes: B rows, T positions, D model width, F feed-forward width, V embedding rows, L layers.

The `nnx.Module` classes declare parameters: names, shapes, initial values and logical axes. They
are built once and split into plain nested dicts; the functions beside them take those dicts.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flan_jax.model.config import ModelConfig
from flan_jax.parallel.platform import compiled_for
from flan_jax.parallel.rules import constrain

Params = dict  # nested dict of arrays


def parameter(
    config: ModelConfig,
    rngs: nnx.Rngs,
    shape: tuple[int, ...],
    axes: tuple[str, ...],
    std: float | None,
    layers: int | None = None,
) -> nnx.Param:
    """Declares one parameter, or one for each layer of a stack.

    Args:
      config: names the dtype.
      rngs: stream of keys.
      shape: shape in one layer.
      axes: a logical axis name for each dimension (`parallel.rules.RULES`).
      std: standard deviation of the normal initial values; None for the scale of a norm, which
        starts out changing nothing.
      layers: L; puts a leading axis "layers" before `shape`.
    """
    if layers is not None:
        shape, axes = (layers, *shape), ("layers", *axes)
    if std is None:
        value = jnp.full(shape, 0 if config.zero_centered_norm else 1, config.param_dtype)
    else:
        # Drawn in float32: bfloat16 normals have too few bits for the tails.
        value = (std * jax.random.normal(rngs.params(), shape)).astype(config.param_dtype)
    return nnx.Param(value, axes=axes)


class FeedForward(nnx.Module):
    """Parameters of the pre-normalised feed-forward layers of a stack."""

    def __init__(self, config: ModelConfig, layers: int, rngs: nnx.Rngs):
        d, f = config.d_model, config.d_ff
        self.norm = parameter(config, rngs, (d,), ("norm",), None, layers)
        if config.mlp != "relu":
            self.gate = parameter(config, rngs, (d, f), ("embed", "mlp"), d**-0.5, layers)
        self.up = parameter(config, rngs, (d, f), ("embed", "mlp"), d**-0.5, layers)
        self.down = parameter(config, rngs, (f, d), ("mlp", "embed"), f**-0.5, layers)
        if config.post_norms:
            self.post_norm = parameter(config, rngs, (d,), ("norm",), None, layers)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("kernel", "a", "b"),
    meta_fields=("scale", "dropout_rate"),
)
@dataclasses.dataclass(frozen=True)
class LowRank:
    """A kernel and the low-rank adapter beside it: `kernel + scale * a @ b` (Hu et al. 2021).

    It stands where a kernel does in the parameters, alone or stacked over layers.

    Attributes:
      kernel: I inputs, O outputs; it is not trained.
      a: rank R.
      b: rank R.
      scale: factor of the product.
      dropout_rate: of what goes into `a`.
    """

    kernel: Float[Array, "*L I O"]
    a: Float[Array, "*L I R"]
    b: Float[Array, "*L R O"]
    scale: float
    dropout_rate: float


# What rematerialisation policies call a product with a parameter, and what attention keeps of its
# forward pass: where that is saved, the backward pass does not compute it again.
PRODUCT = "product"
MIXED = "attention"


@jax.custom_vjp
def matmul(x: Float[Array, "B T in"], kernel: Float[Array, "in out"]) -> Float[Array, "B T out"]:
    """Multiplies the last dimension by a kernel.

    The gradient is the usual one, written out: derived automatically, the kernel's would be
    computed transposed and turned round by copies, at half the speed on a CPU.
    """
    return jnp.einsum("bti,io->bto", x, kernel)


def _matmul_forward(x, kernel):
    # Not `matmul` itself, which would hide the product from rematerialisation policies.
    return checkpoint_name(jnp.einsum("bti,io->bto", x, kernel), PRODUCT), (x, kernel)


def _matmul_backward(residuals, gradient):
    x, kernel = residuals
    return jnp.einsum("bto,io->bti", gradient, kernel), over_tokens(x, gradient)


matmul.defvjp(_matmul_forward, _matmul_backward)


def over_tokens(x: Float[Array, "B T I"], y: Float[Array, "B T O"]) -> Float[Array, "I O"]:
    """Sums the outer products over all tokens: the gradient of a kernel, in the dtype of both.

    A CPU multiplies as they lie only matrices, and fast only into one that is wider than high;
    anything else it first turns round by copies, at the cost of the product itself.
    """
    if compiled_for() != "cpu":
        return jnp.einsum("bti,bto->io", x, y)
    x, y = (array.reshape(-1, array.shape[-1]) for array in (x, y))
    if x.shape[1] <= y.shape[1]:
        return jnp.einsum("ti,to->io", x, y)
    # The barrier keeps the compiler from computing the transpose after all.
    return jax.lax.optimization_barrier(jnp.einsum("to,ti->oi", y, x)).T


def linear(
    config: ModelConfig,
    x: Float[Array, "B T I"],
    kernel: Float[Array, "I O"] | LowRank,
    key: PRNGKeyArray | None = None,
    site: int = 0,
) -> Float[Array, "B T O"]:
    """Multiplies by a kernel in the model's dtype, with its low-rank adapter if it has one.

    Args:
      config: names the dtype.
      x: inputs.
      kernel: parameters of one layer.
      key: dropout key of the layer, or None.
      site: number of the place within the layer, for the dropout of the adapter's input.
    """
    if not isinstance(kernel, LowRank):
        return matmul(x, kernel.astype(config.dtype))
    y = matmul(x, kernel.kernel.astype(config.dtype))
    narrow = dropout(x, kernel.dropout_rate, key, site)
    narrow = matmul(narrow, kernel.a.astype(config.dtype))
    return y + kernel.scale * matmul(narrow, kernel.b.astype(config.dtype))


# What lies between matrix products is cheaper to compute again from what they need anyway than to
# keep: the backward pass of a layer then reads half as much. Layers are scanned, so that the
# compiler cannot merge the two computations, and needs no barrier that keeps it from that.
recomputed = functools.partial(jax.checkpoint, prevent_cse=False, static_argnums=(0,))


@recomputed
def rms_norm(
    config: ModelConfig, x: Float[Array, "*rows D"], scale: Float[Array, " D"]
) -> Float[Array, "*rows D"]:
    """Divides by the root mean square, in float32 (Zhang and Sennrich 2019)."""
    y = x.astype(jnp.float32)
    y = y * jax.lax.rsqrt(jnp.mean(jnp.square(y), axis=-1, keepdims=True) + config.norm_epsilon)
    if config.zero_centered_norm:
        scale = 1 + scale.astype(jnp.float32)
    return (y * scale).astype(x.dtype)


def softcap(x: Array, cap: float | None) -> Array:
    """Keeps values within -cap .. cap smoothly (Bello et al. 2017); the identity without a cap."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def dropout(x: Array, rate: float, key: PRNGKeyArray | None, site: int) -> Array:
    """Zeroes entries at random and rescales the others; the identity without a key.

    Args:
      x: array of any shape.
      rate: probability of a zero.
      key: key of the layer, or None to leave `x` alone.
      site: number of the place within the layer, so that places draw independently.
    """
    if key is None or rate == 0:
        return x
    keep = jax.random.bernoulli(jax.random.fold_in(key, site), 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype)


def feed_forward(
    config: ModelConfig, params: Params, x: Float[Array, "B T D"], key: PRNGKeyArray | None
) -> Float[Array, "B T D"]:
    """Returns the output of one feed-forward layer, before it is added to the residual.

    Args:
      config: names the activation.
      params: `FeedForward` parameters of one layer.
      x: residual stream.
      key: dropout key of the layer, or None.
    """
    x = rms_norm(config, x, params["norm"])
    gate, up = None, linear(config, x, params["up"], key, site=2)
    if config.mlp != "relu":
        gate = linear(config, x, params["gate"], key, site=3)
    y = _activate_and_project(config, gate, up, params["down"], key)
    return rms_norm(config, y, params["post_norm"]) if config.post_norms else y


@recomputed
def _activate_and_project(
    config: ModelConfig,
    gate: Float[Array, "B T F"] | None,
    up: Float[Array, "B T F"],
    down: Float[Array, "F D"] | LowRank,
    key: PRNGKeyArray | None,
) -> Float[Array, "B T D"]:
    """Returns the second half of a feed-forward layer; the product itself is never recomputed."""
    if gate is None:
        hidden = jax.nn.relu(up)
    else:
        # T5 1.1 was trained with the tanh approximation of GELU.
        activation = jax.nn.silu if config.mlp == "swiglu" else jax.nn.gelu
        hidden = activation(gate) * up
    hidden = constrain(hidden, "batch", "length", "mlp")
    hidden = dropout(hidden, config.dropout_rate, key, site=0)
    return linear(config, hidden, down, key, site=4)


def embed(
    config: ModelConfig, table: Float[Array, "V D"], tokens: Int[Array, "B T"]
) -> Float[Array, "B T D"]:
    """Looks tokens up in the embedding table."""
    # The partitioner can look up in a table split over its rows, but replicates everything
    # ("involuntary full rematerialization") where the width is split too: gather the width first.
    table = constrain(table.astype(config.dtype), "vocab", "embed_act")
    x = table[tokens]
    if config.scaling == "original":
        x = x * config.d_model**0.5
    return constrain(x, "batch", "length", "embed_act")


class Output(NamedTuple):
    """What logits are made of.

    Attributes:
      hidden: normalised last hidden states, in the model's dtype.
      kernel: embedding table or output layer, in the model's dtype.
      rows_first: the kernel is [V, D], not [D, V].
      softcap: bound of the logits, or None.
    """

    hidden: Float[Array, "B T D"]
    kernel: Float[Array, "V D"] | Float[Array, "D V"]
    rows_first: bool
    softcap: float | None


def output(config: ModelConfig, params: Params, x: Float[Array, "B T D"]) -> Output:
    """Returns what the logits over the embedding rows are made of.

    Args:
      config: says whether and how the embeddings are tied.
      params: parameters of the whole transformer, or those of `decoding.split_params`.
      x: normalised last hidden states.
    """
    if config.tie_embeddings and config.scaling == "t5":
        # T5 with unit-variance embeddings: keeps the initial logits at unit variance too.
        x = x * config.d_model**-0.5
    rows_first = config.tie_embeddings or "head_by_rows" in params
    name = "embedding" if config.tie_embeddings else "head_by_rows" if rows_first else "head"
    return Output(x, params[name].astype(config.dtype), rows_first, config.logit_softcap)


def logits_of(output: Output) -> Float[Array, "B T V"]:
    """Returns float32 logits over the embedding rows."""
    axes = "btd,vd->btv" if output.rows_first else "btd,dv->btv"
    logits = jnp.einsum(axes, output.hidden, output.kernel, preferred_element_type=jnp.float32)
    return constrain(softcap(logits, output.softcap), "batch", "length", "vocab")


def output_logits(
    config: ModelConfig, params: Params, x: Float[Array, "B T D"]
) -> Float[Array, "B T V"]:
    """Returns float32 logits over the embedding rows, of normalised last hidden states."""
    return logits_of(output(config, params, x))
