"""Rank classification: the option that the model finds most likely is the answer.

The score of an option is the log-probability of its tokens given the prompt (Wei et al., 2022,
section 2.4; Brown et al., 2020, section 2.4). Whether the end of sequence is one of them is said
in one place: options of caches have it, and `without_end` takes it off. With it "no" and "no one"
are told apart; lm-evaluation-harness scores continuations without it.

A prompt is read once, and its options are dealt to rows of the decoder, several to a row. Each
option sees itself and the prompt's keys and values, and no other option; its positions follow the
prompt's. The first token of every option is scored by the prompt's own last logits.

Axes: P prompts, R rows of options, K options in a row, T option tokens in a row, S prompt tokens,
D model width, V embedding rows.
"""

import dataclasses
import functools
import math
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from flan_jax.batch import Boundaries
from flan_jax.evaluation import batching, option_rows
from flan_jax.evaluation.examples import Example
from flan_jax.model import decoding
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params, output_logits
from flan_jax.parallel.rules import constrain

# Tokens in a row of options. Rows are cheap beside prompts as long as they are no longer.
ROW_LENGTH = 128
_LOGITS_AT_ONCE = 32  # positions of all rows; logits over the vocabulary are the largest array
_OPTIONS_AT_ONCE = 16  # options without a prompt that share an empty one


@dataclasses.dataclass(frozen=True)
class Scorer:
    """A model, and how it is given prompts and options.

    Attributes:
      config: the model.
      params: its parameters.
      batch_size: prompts read, and rows of options decoded, at a time; of no influence on scores.
      row_length: most option tokens in a row, unless one option alone has more; 1 gives each
        option a row of its own. Of no influence on scores.
      boundaries: what sequences begin and end with.
    """

    config: ModelConfig
    params: Params
    batch_size: int = 64
    row_length: int = ROW_LENGTH
    boundaries: Boundaries = Boundaries()


class OptionScores(NamedTuple):
    """What a model says of the options of one example.

    Attributes:
      scores: float32, the summed log-probability of each option, in nats.
      greedy: whether each token of an option is the likeliest one there, so that greedy decoding
        would write the option. A token that is as likely as another one counts.
    """

    scores: Float[np.ndarray, " k"]
    greedy: Bool[np.ndarray, " k"]


def score_options(
    config: ModelConfig,
    params: Params,
    examples: Sequence[Example],
    batch_size: int = 64,
    row_length: int = ROW_LENGTH,
    boundaries: Boundaries = Boundaries(),  # noqa: B008 (immutable)
) -> list[Float[np.ndarray, " k"]]:
    """The summed log-probability of every option of every example, in nats.

    Args:
      config: the model.
      params: its parameters.
      examples: with options.
      batch_size: as `Scorer` has it, like what follows.
      row_length: most option tokens in a row.
      boundaries: what sequences begin and end with.

    There is no longest prompt: positions are relative or rotary, and caches have the room that the
    prompts of a batch need. Prompts that a cache of examples cut are counted there.

    Returns:
      For each example float32 scores in the order of its options.

    Raises:
      ValueError: an example has no prompt, but the model an encoder; it has no options, or one
        without tokens; its scores are not finite.
    """
    return score_all(Scorer(config, params, batch_size, row_length, boundaries), examples)


def score_all(scorer: Scorer, examples: Sequence[Example]) -> list[Float[np.ndarray, " k"]]:
    """As `score_options`, of a `Scorer`."""
    result: list = [None] * len(examples)
    for rows, scores in iterate_scores(scorer, examples):
        check_finite([examples[row] for row in rows], scores)
        for row, values in zip(rows, scores, strict=True):
            result[row] = values
    return result


def iterate_scores(
    scorer: Scorer, examples: Sequence[Example], done: Collection[int] = ()
) -> Iterator[tuple[list[int], list[Float[np.ndarray, " k"]]]]:
    """As `score_options`, batch by batch: yields the positions of examples and their scores.

    Batches whose positions are all in `done` are left out; the others are as without it. Scores
    that are not finite are yielded too; see `check_finite`.
    """
    for positions, found in iterate_option_scores(scorer, examples, done):
        yield positions, [one.scores for one in found]


def iterate_option_scores(
    scorer: Scorer, examples: Sequence[Example], done: Collection[int] = ()
) -> Iterator[tuple[list[int], list[OptionScores]]]:
    """As `iterate_scores`, with whether greedy decoding would write each option."""
    for example in examples:
        _check(scorer.config, example)
    for positions in batches(examples, scorer.batch_size):
        if all(position in done for position in positions):
            continue
        members = [examples[position] for position in positions]
        yield positions.tolist(), _score_batch(scorer, members)


def batches(examples: Sequence[Example], batch_size: int) -> Iterator[Int[np.ndarray, " n"]]:
    """Yields the positions of the examples of each batch, those of like size together."""
    sizes = [
        (batching.prompt_width(len(example.inputs)), sum(map(len, example.option_tokens)))
        for example in examples
    ]
    return batching.longest_first(sizes, batch_size)


def check_finite(examples: Sequence[Example], scores: Sequence[Float[np.ndarray, " k"]]) -> None:
    """Raises ValueError, with the first example whose scores are not finite."""
    for example, values in zip(examples, scores, strict=True):
        if not np.isfinite(values).all():
            raise ValueError(
                f"{_name(example)}: option scores {values.tolist()} are not finite; the "
                "parameters are damaged or the training diverged"
            )


def without_end(
    examples: Sequence[Example],
    boundaries: Boundaries = Boundaries(),  # noqa: B008 (immutable)
) -> list[Example]:
    """The examples with the end of sequence taken off their options, so that it is not scored.

    Raises:
      ValueError: an option has no other token.
    """

    def bare(example, tokens):
        tokens = tokens[:-1] if len(tokens) and tokens[-1] == boundaries.end else tokens
        if not len(tokens):
            raise ValueError(
                f"{_name(example)}: an option is the end of sequence alone, and has no score "
                "without it; score it with its end"
            )
        return tokens

    return [
        dataclasses.replace(e, option_tokens=tuple(bare(e, o) for o in e.option_tokens))
        for e in examples
    ]


def score_without_prompts(
    scorer: Scorer, examples: Sequence[Example]
) -> list[Float[np.ndarray, " k"]]:
    """As `score_options`, but of the options alone: behind an empty prompt.

    An empty prompt is EOS alone where prompts end with EOS, the model has an encoder or there is
    no start token, else nothing but the start token. An option that several examples share is
    scored once.
    """
    end = scorer.boundaries.end
    ends = scorer.config.architecture == "encoder_decoder" or end in examples[0].inputs[-1:]
    ends = ends or scorer.boundaries.start is None
    prompts = [[[end] * ends]] * len(examples)
    return [scores[0] for scores in score_content_free(scorer, examples, prompts)]


def score_content_free(
    scorer: Scorer, examples: Sequence[Example], prompts: Sequence[Sequence[Sequence[int]]]
) -> list[Float[np.ndarray, "c k"]]:
    """As `score_options`, but each example's options behind prompts of its own without content.

    Args:
      scorer: the model.
      examples: with options.
      prompts: for each example c prompts as token ids: its own with words such as "N/A" in place of
        what it says (Zhao et al. 2021, section 5).

    Returns:
      For each example float32 scores, a row for each prompt, for `normalisation.calibrated`. Where
      examples share a prompt and an option, the option is scored once behind it.
    """
    behind: dict[tuple[int, ...], set[tuple[int, ...]]] = {}
    for example, own in zip(examples, prompts, strict=True):
        for prompt in own:
            behind.setdefault(tuple(prompt), set()).update(map(tuple, example.option_tokens))
    alone = []
    for prompt, options in behind.items():
        # Of like length together: the rows of a batch are padded to the longest.
        ordered = sorted(options, key=lambda option: (len(option), option))
        for at in range(0, len(ordered), _OPTIONS_AT_ONCE):
            some = tuple(ordered[at : at + _OPTIONS_AT_ONCE])
            alone.append(Example(prompt, "", (), option_tokens=some))
    found = score_all(scorer, alone)
    of = {
        (tuple(one.inputs), option): score
        for one, scores in zip(alone, found, strict=True)
        for option, score in zip(one.option_tokens, scores, strict=True)
    }

    def scores_of(example, prompt):
        return [of[tuple(prompt), tuple(option)] for option in example.option_tokens]

    pairs = zip(examples, prompts, strict=True)
    return [np.array([scores_of(e, prompt) for prompt in own], np.float32) for e, own in pairs]


def _name(example: Example) -> str:
    return f"example {example.example}, template {example.template}"


def _check(config: ModelConfig, example: Example) -> None:
    """Raises ValueError for an example that has no score."""
    if config.architecture == "encoder_decoder" and not len(example.inputs):
        raise ValueError(
            f"{_name(example)}: the prompt has no tokens, and an encoder needs at least one; end "
            "prompts with EOS"
        )
    sizes = [len(tokens) for tokens in example.option_tokens]
    if not sizes or 0 in sizes:
        raise ValueError(
            f"{_name(example)}: expected options with at least one token each, got options of "
            f"{sizes} tokens; build the cache again"
        )


def _score_batch(scorer: Scorer, examples: Sequence[Example]) -> list[OptionScores]:
    config, params, size = scorer.config, scorer.params, scorer.batch_size
    prompts = batching.place_prompts([example.inputs for example in examples], size)
    read = _read(config, scorer.boundaries.start, params, prompts)
    pending = []
    options = [example.option_tokens for example in examples]
    for rows in option_rows.deal(options, size, scorer.row_length):
        used = len({row for row, _ in rows.options.values()})
        state = read
        if (rows.prompts[:used] != np.arange(used)).any():
            state = _take(read, batching.place(rows.prompts))
        arrays = map(batching.place, rows[1:-1])
        pending.append((rows, _score_rows(config, params, *state, *arrays)))
    sizes = [len(example.option_tokens) for example in examples]
    result = [OptionScores(np.empty(k, np.float32), np.empty(k, bool)) for k in sizes]
    for rows, found in pending:
        first, rest, first_greedy, rest_greedy = map(np.asarray, found)
        for (prompt, option), (row, place) in rows.options.items():
            own = rows.segments[row] == place + 1
            # In float64, and not on padding: a NaN there must not reach the sum.
            tokens = rest[row][own].astype(np.float64)
            result[prompt].scores[option] = first[row, place] + tokens.sum()
            greedy = first_greedy[row, place] and rest_greedy[row][own].all()
            result[prompt].greedy[option] = greedy
    return result


@functools.partial(jax.jit, static_argnums=(0, 1))
def _read(
    config: ModelConfig,
    start: int | None,
    params: Params,
    prompts: batching.Prompts,
) -> tuple[Float[Array, "P V"], decoding.Cache]:
    tokens, lengths, _ = prompts
    logits, cache = decoding.start(config, params, tokens, lengths, room=0, start_token=start)
    return jax.nn.log_softmax(logits), cache


@jax.jit
def _take(
    read: tuple[Float[Array, "P V"], decoding.Cache], prompts: Int[Array, " R"]
) -> tuple[Float[Array, "R V"], decoding.Cache]:
    """What was read, with a row for each row of options."""
    first, cache = read
    return first[prompts], decoding.take_rows(cache, prompts)


@functools.partial(jax.jit, static_argnums=0)
def _score_rows(
    config: ModelConfig,
    params: Params,
    log_first: Float[Array, "R V"],
    cache: decoding.Cache,
    first: Int[Array, "R K"],
    inputs: Int[Array, "R T"],
    targets: Int[Array, "R T"],
    segments: Int[Array, "R T"],
    positions: Int[Array, "R T"],
) -> tuple[Float[Array, "R K"], Float[Array, "R T"], Bool[Array, "R K"], Bool[Array, "R T"]]:
    """Log-probabilities of the first token of each option, and of the others of each row.

    And whether each is the largest at its position, which costs nothing: `logsumexp` has it.
    """
    hidden, _ = decoding.extend(config, params, cache, inputs, segments, positions)

    def score(piece):
        hidden, targets = piece
        logits = output_logits(config, params, hidden)
        chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return chosen - jax.nn.logsumexp(logits, axis=-1), chosen >= jnp.max(logits, axis=-1)

    def split(x):
        return jnp.moveaxis(x.reshape(len(x), -1, size, *x.shape[2:]), 1, 0)

    def joined(x):
        return jnp.moveaxis(x, 0, 1).reshape(inputs.shape)

    size = math.gcd(_LOGITS_AT_ONCE, inputs.shape[1])
    scores, greedy = map(joined, jax.lax.map(score, (split(hidden), split(targets))))
    largest = jnp.max(log_first, axis=-1, keepdims=True)
    first = jnp.take_along_axis(log_first, first, axis=1)
    found = first, scores, first >= largest, greedy
    return tuple(constrain(values, None, None) for values in found)
