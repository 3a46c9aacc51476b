"""Rank classification: the option that the model finds most likely is the answer.

The score of an option is the log-probability of its tokens, end of sequence included, given the
prompt (Wei et al., 2022, section 2.4; Brown et al., 2020, section 2.4).

Axes: P prompts, O options (rows of the decoder), S prompt tokens, T option tokens, D model width.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flan_jax.batch import PAD_ID, Batch
from flan_jax.evaluation import batching
from flan_jax.evaluation.examples import Example
from flan_jax.model import transformer
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params, output_logits
from flan_jax.parallel.rules import constrain

# Scores that differ by less than this (nats) are a tie: shapes and devices change the order of
# sums, and by it the last bits.
TIE = 1e-5
_LEAST_PROMPT, _LEAST_OPTION = 32, 4  # sizes below which padding costs less than a compilation


class _Rows(NamedTuple):
    """Some options of a batch of prompts, dealt to the rows of one call of the decoder."""

    prompts: Int[np.ndarray, " n"]  # prompt of each option, as an index into the batch
    options: Int[np.ndarray, " n"]  # which of its options


def score_options(
    config: ModelConfig, params: Params, examples: Sequence[Example], batch_size: int = 64
) -> list[Float[np.ndarray, " k"]]:
    """The summed log-probability of every option of every example, in nats.

    Args:
      config: the model.
      params: its parameters.
      examples: with options.
      batch_size: prompts encoded, and options decoded, at a time; of no influence on scores.

    Returns:
      For each example float32 scores in the order of its options.
    """
    result: list = [None] * len(examples)
    for rows, scores in iterate_scores(config, params, examples, batch_size):
        for row, values in zip(rows, scores, strict=True):
            result[row] = values
    return result


def iterate_scores(
    config: ModelConfig, params: Params, examples: Sequence[Example], batch_size: int = 64
) -> Iterator[tuple[list[int], list[Float[np.ndarray, " k"]]]]:
    """As `score_options`, batch by batch: yields the positions of examples and their scores."""
    score = _score_decoder_only if config.architecture == "decoder_only" else _score_with_encoder
    sizes = [
        (
            batching.bucket(len(example.inputs), _LEAST_PROMPT),
            max(map(len, example.option_tokens)),
        )
        for example in examples
    ]
    for positions in batching.longest_first(sizes, batch_size):
        members = [examples[position] for position in positions]
        yield positions.tolist(), score(config, params, members, batch_size)


def choose(
    scores: Float[np.ndarray, " k"], option_lengths: Sequence[int], normalisation: str = "sum"
) -> int:
    """The option with the highest score, the first of several within `TIE` of it.

    Args:
      scores: summed log-probabilities.
      option_lengths: tokens of each option.
      normalisation: "sum", or "mean" for the mean over the option's tokens.
    """
    if normalisation == "mean":
        scores = scores / np.asarray(option_lengths)
    return int(np.argmax(scores >= np.max(scores) - TIE))


def _score_with_encoder(
    config: ModelConfig, params: Params, examples: Sequence[Example], batch_size: int
) -> list[Float[np.ndarray, " k"]]:
    """Encodes each prompt once and decodes all its options against it."""
    width = batching.bucket(max(len(example.inputs) for example in examples), _LEAST_PROMPT)
    tokens = batching.padded([example.inputs for example in examples], batch_size, width)
    lengths = _lengths([example.inputs for example in examples], batch_size)
    encoded, segments = _encode(config, params, *map(batching.place, (tokens, lengths)))
    pending = []
    for rows in _deal(examples, batch_size):
        options = _options(examples, rows)
        prompts = np.zeros(batch_size, np.int32)
        prompts[: len(options)] = rows.prompts
        arrays = map(batching.place, (prompts, *_option_arrays(options, batch_size)))
        pending.append((rows, _score_encoded(config, params, encoded, segments, *arrays)))
    return _collect(examples, pending)


def _score_decoder_only(
    config: ModelConfig, params: Params, examples: Sequence[Example], batch_size: int
) -> list[Float[np.ndarray, " k"]]:
    """Runs every option behind its prompt through the decoder."""
    pending = []
    for rows in _deal(examples, batch_size):
        options = _options(examples, rows)
        inputs = [examples[prompt].inputs for prompt in rows.prompts]
        sequences = [[*a, *b] for a, b in zip(inputs, options, strict=True)]
        width = batching.bucket(max(map(len, sequences)), _LEAST_PROMPT)
        arrays = (
            batching.padded(sequences, batch_size, width),
            _lengths(inputs, batch_size),
            *_option_arrays(options, batch_size),
        )
        scores = _score_sequences(config, params, *map(batching.place, arrays))
        pending.append((rows, scores))
    return _collect(examples, pending)


def _deal(examples: Sequence[Example], batch_size: int) -> Iterator[_Rows]:
    """Deals the options of all prompts to calls of `batch_size` rows."""
    counts = [len(example.options) for example in examples]
    prompts = np.repeat(np.arange(len(examples)), counts)
    options = np.concatenate([np.arange(count) for count in counts])
    for start in range(0, len(prompts), batch_size):
        stop = start + batch_size
        yield _Rows(prompts[start:stop], options[start:stop])


def _options(examples: Sequence[Example], rows: _Rows) -> list[Sequence[int]]:
    return [examples[p].option_tokens[o] for p, o in zip(rows.prompts, rows.options, strict=True)]


def _option_arrays(
    options: Sequence[Sequence[int]], count: int
) -> tuple[Int[np.ndarray, "O T"], Int[np.ndarray, " O"]]:
    width = batching.bucket(max(map(len, options)), _LEAST_OPTION)
    return batching.padded(options, count, width), _lengths(options, count)


def _lengths(rows: Sequence[Sequence[int]], count: int) -> Int[np.ndarray, " B"]:
    """Lengths of the rows, followed by zeros for the empty rows of a batch."""
    lengths = np.zeros(count, np.int32)
    lengths[: len(rows)] = [len(row) for row in rows]
    return lengths


def _collect(examples: Sequence[Example], pending) -> list[Float[np.ndarray, " k"]]:
    """Fetches the scores of all calls and puts them in the order of examples and options."""
    result = [np.empty(len(example.options), np.float32) for example in examples]
    for rows, scores in pending:
        fetched = np.asarray(scores)
        for prompt, option, score in zip(*rows, fetched[: len(rows.prompts)], strict=True):
            result[prompt][option] = score
    return result


@functools.partial(jax.jit, static_argnums=0)
def _encode(
    config: ModelConfig, params: Params, tokens: Int[Array, "P S"], lengths: Int[Array, " P"]
) -> tuple[Float[Array, "P S D"], Int[Array, "P S"]]:
    segments = _present(tokens.shape[1], lengths)
    return transformer.encode(config, params, tokens, segments), segments


@functools.partial(jax.jit, static_argnums=0)
def _score_encoded(
    config: ModelConfig,
    params: Params,
    encoded: Float[Array, "P S D"],
    segments: Int[Array, "P S"],
    prompts: Int[Array, " O"],
    options: Int[Array, "O T"],
    lengths: Int[Array, " O"],
) -> Float[Array, " O"]:
    batch = _decoder_batch(options, lengths)._replace(encoder_segments=segments[prompts])
    hidden, _ = transformer.decoder_hidden(config, params, batch, encoded[prompts], None)
    return _log_probability(config, params, hidden, options, lengths)


@functools.partial(jax.jit, static_argnums=0)
def _score_sequences(
    config: ModelConfig,
    params: Params,
    sequences: Int[Array, "O W"],
    prompt_lengths: Int[Array, " O"],
    options: Int[Array, "O T"],
    lengths: Int[Array, " O"],
) -> Float[Array, " O"]:
    """Scores the options at the end of sequences of prompt and option."""
    batch = _decoder_batch(sequences, prompt_lengths + lengths)
    # The start token stands before the prompt, so the prompt fills positions 0 to its length.
    prefix = batch.decoder_positions <= prompt_lengths[:, None]
    batch = batch._replace(decoder_prefix=prefix & (batch.decoder_segments > 0))
    hidden, _ = transformer.decoder_hidden(config, params, batch, None, None)
    # Logits over the vocabulary are by far the largest array: only the option's are computed.
    where = prompt_lengths[:, None] + jnp.arange(options.shape[1])
    where = jnp.minimum(where, sequences.shape[1] - 1)
    hidden = jnp.take_along_axis(hidden, where[..., None], axis=1)
    return _log_probability(config, params, hidden, options, lengths)


def _present(width: int, lengths: Int[Array, " B"]) -> Int[Array, "B width"]:
    return (jnp.arange(width) < lengths[:, None]).astype(jnp.int32)


def _decoder_batch(targets: Int[Array, "B T"], lengths: Int[Array, " B"]) -> Batch:
    rows, width = targets.shape
    segments = _present(width, lengths)
    return Batch(
        decoder_inputs=jnp.pad(targets[:, :-1], ((0, 0), (1, 0)), constant_values=PAD_ID),
        decoder_targets=targets,
        decoder_segments=segments,
        decoder_positions=jnp.broadcast_to(jnp.arange(width), (rows, width)),
        weights=segments.astype(jnp.float32),
    )


def _log_probability(
    config: ModelConfig,
    params: Params,
    hidden: Float[Array, "O T D"],
    options: Int[Array, "O T"],
    lengths: Int[Array, " O"],
) -> Float[Array, " O"]:
    logits = output_logits(config, params, hidden)
    chosen = jnp.take_along_axis(logits, options[..., None], axis=-1)[..., 0]
    scores = chosen - jax.nn.logsumexp(logits, axis=-1)
    # `where` and not a product: a NaN on padding must not reach the sum.
    scores = jnp.where(_present(options.shape[1], lengths) > 0, scores, 0.0).sum(axis=1)
    return constrain(scores, None)
