"""Greedy generation with a cache of keys and values.

Axes: B rows, S prompt tokens, M generated tokens.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from flan_jax.batch import EOS_ID, PAD_ID
from flan_jax.evaluation import batching
from flan_jax.model import decoding
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params
from flan_jax.parallel.mesh import MeshConfig
from flan_jax.parallel.rules import constrain

_LEAST_PROMPT = 32  # padding up to it costs less than a compilation


@dataclasses.dataclass(frozen=True)
class GenerateRun:
    """Answers to instructions, the root of the configuration of a generation.

    Attributes:
      checkpoint: a training run's folder, or one checkpoint in it.
      step: which checkpoint of the run; None for the latest.
      mesh: devices along each mesh axis.
      input_file: text file with an instruction a line; None to type them at a prompt.
      output_file: where the answers go, a line each; None for the terminal.
      inputs_length: most tokens of a prompt; longer ones are cut at the end, and counted.
      max_decode_length: most tokens of an answer.
      batch_size: prompts at a time.
    """

    checkpoint: str
    step: int | None = None
    mesh: MeshConfig = MeshConfig()
    input_file: str | None = None
    output_file: str | None = None
    inputs_length: int = 512
    max_decode_length: int = 64
    batch_size: int = 16


def generate(
    config: ModelConfig,
    params: Params,
    prompts: Sequence[Sequence[int]],
    max_length: int,
    batch_size: int = 64,
) -> list[list[int]]:
    """The most likely continuation of each prompt, one token after the other.

    Args:
      config: the model.
      params: its parameters.
      prompts: token ids, as the model was trained to read them (usually with EOS).
      max_length: most tokens to generate.
      batch_size: prompts at a time; of no influence on what is generated.

    Returns:
      Token ids of each answer without EOS, in the order of prompts.
    """
    result: list = [None] * len(prompts)
    for rows, answers in iterate_answers(config, params, prompts, max_length, batch_size):
        for row, answer in zip(rows, answers, strict=True):
            result[row] = answer
    return result


def iterate_answers(
    config: ModelConfig,
    params: Params,
    prompts: Sequence[Sequence[int]],
    max_length: int,
    batch_size: int = 64,
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """As `generate`, batch by batch: yields the positions of prompts and their answers.

    Raises:
      ValueError: `max_length` is below 1, or logits are not finite.
    """
    if max_length < 1:
        raise ValueError(f"max_decode_length: expected at least 1 token, got {max_length}")
    for positions in batching.longest_first([(len(prompt),) for prompt in prompts], batch_size):
        members = [prompts[position] for position in positions]
        width = batching.bucket(max(map(len, members)), _LEAST_PROMPT)
        lengths = np.zeros(batch_size, np.int32)
        lengths[: len(members)] = [len(prompt) for prompt in members]
        tokens = batching.padded(members, batch_size, width)
        arrays = map(batching.place, (tokens, lengths))
        answers, sound = map(np.asarray, _greedy(config, max_length, params, *arrays))
        if not (sound := sound[: len(members)]).all():
            raise ValueError(
                f"the logits of {(~sound).sum()} of {len(members)} rows are not finite; the "
                "parameters are damaged or the training diverged"
            )
        yield positions.tolist(), [_until_eos(row) for row in answers[: len(members)]]


def answer_texts(
    config: ModelConfig,
    params: Params,
    texts: Sequence[str],
    encode: Callable[[str], list[int]],
    decode: Callable[[Sequence[int]], str],
    run: GenerateRun,
) -> tuple[list[str], int]:
    """The answers to instructions, as text.

    Args:
      config: the model.
      params: its parameters.
      texts: the instructions.
      encode: text to token ids without EOS (`Vocabulary.encode`).
      decode: token ids to text (`Vocabulary.decode`).
      run: lengths and batch size.

    Returns:
      An answer for each instruction, and the number of instructions that were cut.
    """
    encoded = [encode(text) for text in texts]
    room = run.inputs_length - 1
    prompts = [[*tokens[:room], EOS_ID] for tokens in encoded]
    answers = generate(config, params, prompts, run.max_decode_length, run.batch_size)
    return [decode(answer) for answer in answers], sum(len(tokens) > room for tokens in encoded)


def _until_eos(row: Int[np.ndarray, " M"]) -> list[int]:
    ends = np.flatnonzero(row == EOS_ID)
    return row[: ends[0]].tolist() if len(ends) else row.tolist()


@functools.partial(jax.jit, static_argnums=(0, 1))
def _greedy(
    config: ModelConfig,
    max_length: int,
    params: Params,
    tokens: Int[Array, "B S"],
    lengths: Int[Array, " B"],
) -> tuple[Int[Array, "B M"], Bool[Array, " B"]]:
    """Generates until every row has ended.

    Returns:
      The answers, `PAD_ID` after EOS, and whether all logits that chose a row's tokens were finite.
    """
    rows = tokens.shape[0]
    logits, cache = _prefill(config, max_length, params, tokens, lengths)

    def choose(logits, ended, sound):
        token = jnp.where(ended, PAD_ID, jnp.argmax(logits, axis=-1).astype(jnp.int32))
        sound &= ended | jnp.isfinite(jnp.max(logits, axis=-1))
        return token, ended | (token == EOS_ID), sound

    def unfinished(state):
        step, _, _, ended, _, _ = state
        return (step < max_length) & ~jnp.all(ended)

    def body(state):
        step, cache, token, ended, sound, answers = state
        logits, cache = decoding.decode_step(config, params, cache, token)
        token, ended, sound = choose(logits, ended, sound)
        return step + 1, cache, token, ended, sound, answers.at[:, step].set(token)

    # The rows that fill up a batch have ended before they began.
    token, ended, sound = choose(logits, lengths == 0, jnp.ones(rows, bool))
    answers = jnp.full((rows, max_length), PAD_ID, jnp.int32).at[:, 0].set(token)
    state = (jnp.int32(1), cache, token, ended, sound, answers)
    *_, sound, answers = jax.lax.while_loop(unfinished, body, state)
    return constrain(answers, None, None), constrain(sound, None)


def _prefill(
    config: ModelConfig,
    max_length: int,
    params: Params,
    tokens: Int[Array, "B S"],
    lengths: Int[Array, " B"],
):
    """Logits of the first token of each answer, and the cache with room for the others."""
    rows, width = tokens.shape
    start = jnp.full((rows, 1), PAD_ID, jnp.int32)
    if config.architecture == "decoder_only":
        prompt = jnp.concatenate([start, tokens], axis=1)
        return decoding.prefill(config, params, prompt, lengths + 1, width + max_length)
    segments = (jnp.arange(width) < lengths[:, None]).astype(jnp.int32)
    encoded = decoding.encode(config, params, tokens, segments)
    ones = jnp.ones(rows, jnp.int32)
    return decoding.prefill(config, params, start, ones, max_length, encoded, segments)
