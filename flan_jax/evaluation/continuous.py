"""Continuous batching: rows whose answer has ended are given to prompts that wait.

The device runs `advance` until enough rows have ended; the host then reads their answers and has
the next prompts read into their places (Yu et al. 2022, Orca, section 3.1, with replacement not at
every token but when an eighth of the rows is free, so that prompts are read several at a time).

Axes: B rows (slots), R rows that are read together, S prompt tokens, M answer tokens.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key

from flan_jax.batch import PAD_ID
from flan_jax.evaluation import batching
from flan_jax.evaluation.sampling import DecodingConfig, Generator, choose, row_keys
from flan_jax.model import decoding as model_decoding
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params
from flan_jax.parallel.rules import constrain

_REFILLS = 8  # rows are replaced when this part of them has ended
# Where nothing waits, the last rows go on as a batch of half the size and then of a quarter: its
# steps are faster, and below that not by enough to pay for compiling them.
_LAST, _LEAST_SHRUNK = 4, 32
_STOP_EVERY = 16  # steps between two looks for stop texts, which the host alone can see

Unit = tuple[int, int]  # number of the prompt, number of the sample


class Slots(NamedTuple):
    """The rows of a batch, each with one answer that is being generated.

    Attributes:
      cache: keys and values.
      token: the last token of each answer, not yet in the cache.
      answers: tokens so far, `PAD_ID` behind them.
      counts: tokens so far.
      ended: whether the answer is complete; True for rows without a prompt.
      sound: whether all logits that chose its tokens were finite.
      keys: of `sampling.row_keys`.
    """

    cache: model_decoding.Cache
    token: Int[Array, " B"]
    answers: Int[Array, "B M"]
    counts: Int[Array, " B"]
    ended: Bool[Array, " B"]
    sound: Bool[Array, " B"]
    keys: Key[Array, " B"]


def run(
    generator: Generator,
    prompts: Sequence[Sequence[int]],
    cut: Callable[[list[int]], list[int] | None] | None = None,
    numbers: Sequence[int] | None = None,
) -> Iterator[list[tuple[Unit, list[int]]]]:
    """Generates answers and yields them as they end, several at a time.

    Args:
      generator: the model, B, and how tokens are chosen.
      prompts: token ids.
      cut: given the tokens of an answer so far, those up to what stops it, or None where nothing
        does. For stop texts.
      numbers: the number of each prompt, for the draws; default its place among `prompts`.

    Yields:
      Lists of (prompt, sample) and token ids, without EOS.

    Raises:
      ValueError: logits are not finite.
    """
    if not len(prompts):
        return
    batch_size, decoding = generator.batch_size, generator.decoding
    size = batching.refill_size(batch_size, _REFILLS)
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]), reverse=True)
    waiting = deque((at, sample) for at in order for sample in range(decoding.samples))
    read = functools.partial(_read_units, generator, prompts, numbers)
    owners: list[Unit | None] = [waiting.popleft() if waiting else None for _ in range(batch_size)]
    slots = read([unit for unit in owners if unit], batch_size)
    split = model_decoding.split_params(generator.params)
    width = batching.prompt_width(len(prompts[order[0]]))
    while active := sum(unit is not None for unit in owners):
        fewer = _fewer_rows(batch_size, len(owners))
        while not waiting and active <= fewer < len(owners):
            rows = sorted(range(len(owners)), key=lambda row: owners[row] is None)[:fewer]
            owners = [owners[row] for row in rows]
            slots = _take(slots, batching.place(np.array(rows, np.int32)))
            fewer = _fewer_rows(batch_size, fewer)
        last = fewer if fewer < active else 0
        replaced = min(size, len(waiting), active) if waiting else active - last
        enough = np.int32(len(owners) - active + replaced)
        steps = np.int32(_STOP_EVERY if cut else generator.max_length)
        slots = _advance(generator.config, decoding, split, slots, enough, steps)
        ready, slots = _collect(slots, owners, decoding.boundaries.end, cut)
        if ready:
            yield ready
        while waiting and (free := [i for i, unit in enumerate(owners) if unit is None]):
            if len(free) < min(size, len(waiting)) and any(owners):
                break
            units = [waiting.popleft() for _ in range(min(size, len(waiting), len(free)))]
            places = np.full(size, batch_size, np.int32)  # beyond the last one: not written
            places[: len(units)] = free[: len(units)]
            for place, unit in zip(free, units, strict=False):
                owners[place] = unit
            lengths = [len(prompts[unit[0]]) for unit in owners if unit]
            # A narrower cache is faster, but another program to compile.
            if 2 * (needed := batching.prompt_width(max(lengths))) <= width:
                slots, width = _narrow(slots, width - needed), needed
            slots = _insert(slots, read(units, size), batching.place(places))


def _fewer_rows(batch_size: int, rows: int) -> int:
    """Rows of the next smaller batch, or as many where there is none."""
    if batch_size < _LEAST_SHRUNK:
        return rows
    return min(rows, max(batching.refill_size(batch_size, _LAST), batching.refill_size(rows, 2)))


def check_sound(sound: Bool[np.ndarray, " n"], prompts: Sequence[int]) -> None:
    """Raises ValueError, with the first of the prompts, unless all rows had finite logits."""
    if not sound.all():
        raise ValueError(
            f"the logits of {(~sound).sum()} of {len(sound)} rows are not finite, of prompt "
            f"{prompts[int(np.argmin(sound))]} (from 0) first; the parameters are damaged or the "
            "training diverged"
        )


def _read_units(
    generator: Generator,
    prompts: Sequence[Sequence[int]],
    of: Sequence[int] | None,
    units: Sequence[Unit],
    count: int,
) -> Slots:
    """Rows of the given prompts with the first token of each answer."""
    placed = batching.place_prompts([prompts[at] for at, _ in units], count)
    numbers = np.zeros((count, 2), np.int32)
    numbers[: len(units)] = [(of[at] if of else at, sample) for at, sample in units]
    how = generator.config, generator.decoding, generator.max_length
    return _begin(*how, generator.params, placed, batching.place(numbers))


def _collect(
    slots: Slots,
    owners: list[Unit | None],
    end: int,
    cut: Callable[[list[int]], list[int] | None] | None,
) -> tuple[list[tuple[Unit, list[int]]], Slots]:
    """Takes the answers that have ended out of `owners`, and ends those that `cut` stops."""
    ended, sound, answers, counts = map(np.asarray, _seen(slots))
    owned = np.array([unit is not None for unit in owners])
    check_sound(sound[owned], [unit[0] for unit in owners if unit])
    ready, stopped = [], np.zeros(len(owners), bool)
    for row in np.flatnonzero(owned):
        tokens = answers[row, : counts[row]].tolist()
        tokens = tokens[:-1] if tokens[-1] == end else tokens
        kept = cut(tokens) if cut else None
        stopped[row] = kept is not None and not ended[row]
        if kept is not None or ended[row]:
            ready.append((owners[row], tokens if kept is None else kept))
            owners[row] = None
    if stopped.any():
        slots = slots._replace(ended=_either(slots.ended, batching.place(stopped)))
    return ready, slots


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _begin(
    config: ModelConfig,
    decoding: DecodingConfig,
    max_length: int,
    params: Params,
    prompts: batching.Prompts,
    units: Int[Array, "R 2"],
) -> Slots:
    tokens, lengths, used = prompts
    how = decoding.cache_dtype, decoding.boundaries.start
    logits, cache = model_decoding.start(config, params, tokens, lengths, max_length, *how)
    rows = tokens.shape[0]
    slots = Slots(
        cache=model_decoding.split_layers(cache),
        token=jnp.zeros(rows, jnp.int32),
        answers=jnp.full((rows, max_length), PAD_ID, jnp.int32),
        counts=jnp.zeros(rows, jnp.int32),
        ended=~used,
        sound=jnp.ones(rows, bool),
        keys=row_keys(decoding, units),
    )
    return _append(decoding, slots, logits)


def _append(decoding: DecodingConfig, slots: Slots, logits: Array) -> Slots:
    """Chooses a token for each row that has not ended."""
    rows = jnp.arange(logits.shape[0])
    token = choose(decoding, logits, slots.keys, slots.counts)
    # Past the last column where a row has ended: not written.
    column = jnp.where(slots.ended, slots.answers.shape[1], slots.counts)
    counts = slots.counts + ~slots.ended
    sound = slots.sound & (slots.ended | jnp.isfinite(jnp.max(logits, axis=-1)))
    full = counts >= slots.answers.shape[1]
    return slots._replace(
        token=jnp.where(slots.ended, PAD_ID, token),
        answers=slots.answers.at[rows, column].set(token, mode="drop"),
        counts=counts,
        ended=slots.ended | (token == decoding.boundaries.end) | full | ~sound,
        sound=sound,
    )


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=3)
def _advance(
    config: ModelConfig,
    decoding: DecodingConfig,
    params: Params,
    slots: Slots,
    enough: Int[Array, ""],
    steps: Int[Array, ""],
) -> Slots:
    """Generates until `enough` rows have ended, or for some steps."""

    def unfinished(state):
        step, slots = state
        return (step < steps) & (jnp.sum(slots.ended) < enough)

    def body(state):
        step, slots = state
        logits, cache = model_decoding.decode_step(
            config, params, slots.cache, slots.token, decoding.cache_dtype
        )
        # A row that has ended stands still, so that it never runs out of its cache.
        lengths = jnp.where(slots.ended, slots.cache.lengths, cache.lengths)
        slots = slots._replace(cache=cache._replace(lengths=lengths))
        return step + 1, _append(decoding, slots, logits)

    return jax.lax.while_loop(unfinished, body, (jnp.int32(0), slots))[1]


@functools.partial(jax.jit, donate_argnums=0)
def _insert(slots: Slots, new: Slots, places: Int[Array, " R"]) -> Slots:
    """Puts rows in the given places; their caches may have fewer positions."""

    def put(old, new):
        room = [(0, most - size) for most, size in zip(old.shape[1:], new.shape[1:], strict=True)]
        return old.at[places].set(jnp.pad(new, [(0, 0), *room]), mode="drop")

    keys = slots.keys.at[places].set(new.keys, mode="drop")
    slots, new = slots._replace(keys=None), new._replace(keys=None)
    return jax.tree.map(put, slots, new)._replace(keys=keys)


@jax.jit
def _take(slots: Slots, rows: Int[Array, " R"]) -> Slots:
    return jax.tree.map(lambda leaf: leaf[rows], slots)


def _narrow(slots: Slots, dropped: int) -> Slots:
    """Drops cache positions that prompts of the present width do not need."""
    if slots.cache.cross_mask is None:
        width = model_decoding.capacity(slots.cache) - dropped
        return _first(slots, ("keys", "values"), width)
    width = slots.cache.cross_mask.shape[2] - dropped
    return _first(slots, ("cross_keys", "cross_values", "cross_mask"), width)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _first(slots: Slots, names: tuple[str, ...], width: int) -> Slots:
    """Keeps the first positions of what has these names in the cache or in its layers."""

    def cut(part):
        kept = {name: getattr(part, name) for name in names if name in part._fields}
        return part._replace(**jax.tree.map(lambda leaf: leaf[:, :, :width], kept))

    cache = cut(slots.cache)
    return slots._replace(cache=cache._replace(layers=tuple(map(cut, cache.layers))))


@jax.jit
def _seen(slots: Slots):
    """What the host reads; every process has all of it."""
    flags = constrain(slots.ended, None), constrain(slots.sound, None)
    return *flags, constrain(slots.answers, None, None), constrain(slots.counts, None)


@jax.jit
def _either(a: Bool[Array, " B"], b: Bool[Array, " B"]) -> Bool[Array, " B"]:
    return a | b
