"""How answers are generated: what there is to set, and how one token is chosen.

Axes: B rows, V embedding rows.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from flan_jax.batch import Boundaries
from flan_jax.model.config import ModelConfig
from flan_jax.model.kv_cache import DTYPES, CacheDtype
from flan_jax.model.layers import Params

Decode = Callable[[Sequence[int]], str]


@dataclasses.dataclass(frozen=True)
class DecodingConfig:
    """How answers are generated; by default greedily.

    Attributes:
      temperature: logits are divided by it before a token is drawn; 0 takes the likeliest token.
      top_k: tokens to draw from, the likeliest ones (Fan et al. 2018); None for all.
      top_p: draw from the fewest tokens that have this probability together (Holtzman et al.
        2020); 1 for all.
      samples: answers to each prompt, where tokens are drawn.
      beams: continuations kept at each step; more than 1 is beam search, without drawing.
      length_penalty: beam search compares log-probability / length ** length_penalty.
      stop: texts that end an answer, and are not part of it.
      seed: of the draws. An answer depends on the seed, the number of its prompt and the number of
        the sample, and not on the batch that it is in.
      cache_dtype: what keys and values are kept in; None for the dtype of activations. Against
        "float32", "bfloat16" takes half of the memory and moved logits of small models by less
        than 2% of the largest, "int8" about a quarter and 5% (tests/test_kv_cache.py).
      boundaries: what sequences begin and end with. The vocabulary says so: what a configuration
        has here is replaced by it.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    samples: int = 1
    beams: int = 1
    length_penalty: float = 1.0
    stop: Sequence[str] = ()
    seed: int = 0
    cache_dtype: CacheDtype | None = None
    boundaries: Boundaries = Boundaries()

    def __post_init__(self):
        object.__setattr__(self, "stop", tuple(self.stop))  # gin gives lists; hashable for jit
        if self.temperature < 0:
            self._refuse("temperature", "at least 0", self.temperature)
        if not 0 < self.top_p <= 1:
            self._refuse("top_p", "0 < p <= 1", self.top_p)
        for name in ("top_k", "samples", "beams"):
            if (value := getattr(self, name)) is not None and value < 1:
                self._refuse(name, "at least 1", value)
        if self.cache_dtype not in (None, *DTYPES):
            self._refuse("cache_dtype", f"one of {', '.join(DTYPES)}", self.cache_dtype)
        if self.samples > 1 and self.temperature == 0:
            self._refuse("samples", "1 with temperature 0, where all are alike", self.samples)
        if self.beams > 1 and (self.temperature > 0 or self.stop):
            self._refuse("beams", "1 with a temperature or stop texts", self.beams)
        if "" in self.stop:
            self._refuse("stop", "texts that are not empty", self.stop)

    def _refuse(self, field: str, expected: str, value: object) -> None:
        raise ValueError(f"DecodingConfig.{field}: expected {expected}, got {value!r}")


@dataclasses.dataclass(frozen=True)
class Generator:
    """A model, and how it answers prompts.

    Attributes:
      config: the model.
      params: its parameters.
      max_length: most tokens of an answer.
      batch_size: prompts at a time; of no influence on what is generated.
      stop: tokens that end an answer where they follow each other, as EOS does.
      decoding: how tokens are chosen.
      decode: token ids to text; needed for stop texts.
    """

    config: ModelConfig
    params: Params
    max_length: int
    batch_size: int = 64
    stop: Sequence[int] = ()
    decoding: DecodingConfig = DecodingConfig()
    decode: Decode | None = None


def row_keys(decoding: DecodingConfig, units: Int[Array, "B 2"]) -> Key[Array, " B"]:
    """Returns a key for each row, of the number of its prompt and of its sample."""

    def one(unit):
        key = jax.random.fold_in(jax.random.key(decoding.seed), unit[0])
        return jax.random.fold_in(key, unit[1])

    return jax.vmap(one)(units)


def choose(
    decoding: DecodingConfig,
    logits: Float[Array, "B V"],
    keys: Key[Array, " B"],
    counts: Int[Array, " B"],
) -> Int[Array, " B"]:
    """Chooses the next token of each row.

    Args:
      decoding: how.
      logits: float32.
      keys: of `row_keys`.
      counts: tokens that each row has already; each has draws of its own.
    """
    if decoding.temperature == 0:
        return _first_largest(logits)
    logits = truncate(decoding, logits / decoding.temperature)
    # The largest of logits with Gumbel noise is a draw from their softmax (Gumbel 1954).
    noise = jax.vmap(
        lambda key, count: jax.random.gumbel(jax.random.fold_in(key, count), logits.shape[1:])
    )(keys, counts)
    return _first_largest(logits + noise)


def _first_largest(x: Float[Array, "B V"]) -> Int[Array, " B"]:
    """`argmax` in two reductions that a CPU vectorises; of a row of NaN the last token."""
    largest = jnp.max(x, axis=-1, keepdims=True)
    found = jnp.where(x == largest, jnp.arange(x.shape[-1]), x.shape[-1] - 1)
    return jnp.min(found, axis=-1).astype(jnp.int32)


def truncate(decoding: DecodingConfig, logits: Float[Array, "B V"]) -> Float[Array, "B V"]:
    """Returns logits with -inf for tokens outside of `top_k`, and of those outside of `top_p`.

    Tokens that are as likely as the last one that is kept are kept too.
    """
    if decoding.top_k is None and decoding.top_p == 1:
        return logits
    falling = -jnp.sort(-logits, axis=-1)
    if decoding.top_k is not None:
        inside = jnp.arange(logits.shape[-1]) < decoding.top_k
        falling = jnp.where(inside, falling, -jnp.inf)
    probabilities = jax.nn.softmax(falling, axis=-1)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    kept = (before < decoding.top_p) & (falling > -jnp.inf)
    least = jnp.min(jnp.where(kept, falling, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits >= least, logits, -jnp.inf)
