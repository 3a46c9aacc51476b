"""Beam search.

At each step the likeliest continuations of all beams of a prompt are kept; those that end with EOS
leave the beam and are compared by log-probability / length ** length_penalty (Wu et al. 2016,
section 7, with the plain power of the length that transformers has). A prompt is finished when no
beam can overtake the worst of its finished answers at its present length, which is transformers'
`early_stopping=False`.

Axes: B prompts, K beams, M answer tokens, V embedding rows; rows of the model are [B * K].
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from flan_jax.batch import PAD_ID
from flan_jax.evaluation import batching
from flan_jax.evaluation.continuous import Ended, check_sound
from flan_jax.evaluation.row_schedule import Unit
from flan_jax.evaluation.sampling import DecodingConfig, Generator
from flan_jax.model import decoding as model_decoding
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params
from flan_jax.parallel.rules import constrain

_NEVER = -1e9  # score of what must not be chosen; finite, so that sums of it stay numbers


class Beams(NamedTuple):
    """The state of a search.

    Attributes:
      step: tokens that every beam has.
      cache: keys and values of all beams.
      logits: of the next token of each beam.
      scores: summed log-probability of each beam, the best first.
      tokens: of each beam.
      done_scores: of finished answers, divided by the power of the length, the best first.
      done_tokens: of finished answers.
      done: which of these there are.
      open: whether the search goes on.
      sound: whether all logits were finite.
    """

    step: Int[Array, ""]
    cache: model_decoding.Cache
    logits: Float[Array, "B K V"]
    scores: Float[Array, "B K"]
    tokens: Int[Array, "B K M"]
    done_scores: Float[Array, "B K"]
    done_tokens: Int[Array, "B K M"]
    done: Bool[Array, "B K"]
    open: Bool[Array, " B"]
    sound: Bool[Array, " B"]


def run(
    generator: Generator,
    prompts: Sequence[Sequence[int]],
    ended: Mapping[Unit, int] | None = None,
) -> Iterator[Ended]:
    """As `continuous.run`, the best answer of each prompt; `batch_size` prompts at a time."""
    decoding, size = generator.decoding, generator.batch_size
    search = functools.partial(_search, generator.config, decoding, generator.max_length)
    batches = batching.longest_first([(len(prompt),) for prompt in prompts], size)
    for number, positions in enumerate(batches):
        if ended and all((position, 0) in ended for position in positions.tolist()):
            continue
        members = [prompts[position] for position in positions]
        placed = batching.place_prompts(members, size)
        answers, sound = map(np.asarray, search(generator.params, placed))
        check_sound(sound[: len(members)], positions.tolist())
        rows, end = answers[: len(members)].tolist(), decoding.boundaries.end
        found = [
            ((int(position), 0), row[: row.index(end)] if end in row else row)
            for position, row in zip(positions, rows, strict=True)
        ]
        yield Ended(number, found)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _search(
    config: ModelConfig,
    decoding: DecodingConfig,
    max_length: int,
    params: Params,
    prompts: batching.Prompts,
) -> tuple[Int[Array, "B M"], Bool[Array, " B"]]:
    """Returns the best answers, which have EOS unless they are full, and whether they are sound."""
    (tokens, lengths, used), beams = prompts, decoding.beams
    rows, how = tokens.shape[0], (decoding.cache_dtype, decoding.boundaries.start)
    logits, cache = model_decoding.start(config, params, tokens, lengths, max_length, *how)
    cache, split = model_decoding.split_layers(cache), model_decoding.split_params(params)
    cache = model_decoding.take_rows(cache, jnp.repeat(jnp.arange(rows), beams))
    blank = jnp.full((rows, beams, max_length), PAD_ID, jnp.int32)
    state = Beams(
        step=jnp.int32(0),
        cache=cache,
        logits=jnp.broadcast_to(logits[:, None], (rows, beams, logits.shape[-1])),
        # All beams are alike at first: only the first one counts.
        scores=jnp.full((rows, beams), _NEVER).at[:, 0].set(0.0),
        tokens=blank,
        done_scores=jnp.full((rows, beams), _NEVER),
        done_tokens=blank,
        done=jnp.zeros((rows, beams), bool),
        open=used,
        sound=jnp.ones(rows, bool),
    )

    def body(state):
        state, parents = _grow(decoding, state)
        cache = _reorder(state.cache, parents)
        token = state.tokens[:, :, state.step - 1].reshape(-1)
        logits, cache = model_decoding.decode_step(
            config, split, cache, token, decoding.cache_dtype
        )
        return state._replace(cache=cache, logits=logits.reshape(rows, beams, -1))

    # The last token needs no logits after it.
    state = jax.lax.while_loop(
        lambda state: (state.step < max_length - 1) & jnp.any(state.open), body, state
    )
    state = jax.lax.cond(
        jnp.any(state.open), lambda state: _grow(decoding, state)[0], lambda state: state, state
    )
    return constrain(state.done_tokens[:, 0], None, None), constrain(state.sound, None)


def _grow(decoding: DecodingConfig, state: Beams) -> tuple[Beams, Int[Array, "B K"]]:
    """Lengthens every beam by a token; returns also which beam each new one comes from."""
    rows, beams, vocab = state.logits.shape
    scores = state.scores[..., None] + jax.nn.log_softmax(state.logits)
    # At most one continuation of each beam ends, so that twice as many leave enough that do not.
    scores, chosen = jax.lax.top_k(scores.reshape(rows, -1), 2 * beams)
    parents, token = chosen // vocab, (chosen % vocab).astype(jnp.int32)
    tokens = jnp.take_along_axis(state.tokens, parents[..., None], axis=1)
    tokens = tokens.at[:, :, state.step].set(token)
    length = (state.step + 1).astype(jnp.float32)
    ends = (token == decoding.boundaries.end) | (state.step + 1 == state.tokens.shape[2])

    finished = ends & (jnp.arange(2 * beams) < beams) & state.open[:, None]
    normalised = jnp.where(finished, scores / length**decoding.length_penalty, _NEVER)
    done_scores, best = jax.lax.top_k(
        jnp.concatenate([state.done_scores, normalised], axis=1), beams
    )
    done_tokens = jnp.concatenate([state.done_tokens, tokens], axis=1)
    done_tokens = jnp.take_along_axis(done_tokens, best[..., None], axis=1)
    done = jnp.concatenate([state.done, finished], axis=1)
    done = jnp.take_along_axis(done, best, axis=1)

    scores, kept = jax.lax.top_k(jnp.where(ends, scores + _NEVER, scores), beams)
    reachable = scores[:, 0] / length**decoding.length_penalty
    worst = jnp.where(jnp.all(done, axis=1), done_scores[:, -1], _NEVER)
    finite = jnp.all(jnp.isfinite(jnp.max(state.logits, axis=-1)), axis=1)
    grown = state._replace(
        step=state.step + 1,
        scores=scores,
        tokens=jnp.take_along_axis(tokens, kept[..., None], axis=1),
        done_scores=done_scores,
        done_tokens=done_tokens,
        done=done,
        open=state.open & (reachable > worst) & ~jnp.all(ends, axis=1) & finite,
        sound=state.sound & (finite | ~state.open),
    )
    return grown, jnp.take_along_axis(parents, kept, axis=1)


def _reorder(cache: model_decoding.Cache, parents: Int[Array, "B K"]) -> model_decoding.Cache:
    """Gives each beam its parent's keys and values; the beams of a prompt share the encoder's."""
    rows, beams = parents.shape
    flat = (jnp.arange(rows)[:, None] * beams + parents).reshape(-1)

    def own(layer):
        keys, values = jax.tree.map(lambda leaf: leaf[flat], (layer.keys, layer.values))
        return layer._replace(keys=keys, values=values)

    return cache._replace(layers=tuple(map(own, cache.layers)))
