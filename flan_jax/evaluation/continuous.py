"""Continuous batching: rows whose answer has ended are given to prompts that wait.

The device runs `advance` until enough rows have ended; the host then reads their answers and has
the next prompts read into their places (Yu et al. 2022, Orca, section 3.1, with replacement not at
every token but when an eighth of the rows is free, so that prompts are read several at a time).

Axes: B rows (slots), R rows that are read together, S prompt tokens, M answer tokens.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key

from flan_jax.batch import PAD_ID
from flan_jax.evaluation import batching
from flan_jax.evaluation.row_schedule import (
    Change,
    Narrow,
    Past,
    Refill,
    RowSchedule,
    Shrink,
    Unit,
)
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


class Ended(NamedTuple):
    """Answers that have ended.

    Attributes:
      step: how far the call had come: decode steps that were run, or batches of a beam search.
      answers: whose they are, and token ids without EOS.
    """

    step: int
    answers: list[tuple[Unit, list[int]]]


def run(
    generator: Generator,
    prompts: Sequence[Sequence[int]],
    cut: Callable[[list[int]], list[int] | None] | None = None,
    numbers: Sequence[int] | None = None,
    ended: Mapping[Unit, int] | None = None,
) -> Iterator[Ended]:
    """Generates answers and yields them as they end, several at a time.

    Args:
      generator: the model, B, and how tokens are chosen.
      prompts: token ids.
      cut: given the tokens of an answer so far, those up to what stops it, or None where nothing
        does. For stop texts.
      numbers: the number of each prompt, for the draws; default its place among `prompts`.
      ended: the step of each answer that the same call gave before it was killed. It goes on there,
        gives the answers of the last step again, and all others as they would have been: the rows
        that were unfinished are computed again with what was beside them.

    Raises:
      ValueError: logits are not finite.
    """
    if not len(prompts):
        return
    decoding, most = generator.decoding, _STOP_EVERY if cut else generator.max_length
    size = batching.refill_size(generator.batch_size, _REFILLS)
    schedule, past = _taken_up(generator, prompts, ended or {}, most, size)
    split = model_decoding.split_params(generator.params)
    advance = functools.partial(_advance, generator.config, decoding, split)
    read = functools.partial(_read_units, generator, prompts, numbers)
    change = functools.partial(_change, read, size)
    slots = read(schedule.first, generator.batch_size)
    slots = _again(slots, past, schedule.owners, advance, change)
    while schedule.units:
        enough = len(schedule.owners) - len(schedule.units) + schedule.wanted
        slots = advance(slots, np.int32(enough), np.int32(most))
        ready, slots = _collect(slots, schedule, decoding.boundaries.end, cut)
        if ready:
            yield Ended(schedule.step, ready)
        for one in schedule.changes():
            slots = change(slots, one)


def _taken_up(
    generator: Generator,
    prompts: Sequence[Sequence[int]],
    ended: Mapping[Unit, int],
    most: int,
    size: int,
) -> tuple[RowSchedule, list[Past]]:
    """The schedule where it was left, and how it came there."""
    rows, samples = generator.batch_size, generator.decoding.samples
    lengths, smaller = list(map(len, prompts)), _smaller_batches(rows)
    make = functools.partial(RowSchedule, lengths, samples, rows, size, smaller)
    schedule = make()
    try:
        return schedule, schedule.take_up(ended, most)
    except ValueError:  # they ended in batches of another size: all is generated again
        schedule = make()
        return schedule, schedule.take_up({}, most)


def _smaller_batches(rows: int) -> list[int]:
    """Rows of the batches in which the last answers end, the largest first."""
    if rows < _LEAST_SHRUNK:
        return []
    least, sizes = batching.refill_size(rows, _LAST), [rows]
    while (fewer := max(least, batching.refill_size(sizes[-1], 2))) < sizes[-1]:
        sizes.append(fewer)
    return sizes[1:]


def _again(
    slots: Slots,
    past: Sequence[Past],
    owners: Sequence[Unit | None],
    advance: Callable[[Slots, np.int32, np.int32], Slots],
    change: Callable[[Slots, Change], Slots],
) -> Slots:
    """The rows as they are after `past`: computed again from where the oldest of them was read.

    Rows in the same place of a batch of the same shape are computed alike, whatever is in the
    others. So these need not be what they were.
    """
    refills = [(at, one.units) for at, (_, changes) in enumerate(past) for one in changes
               if isinstance(one, Refill)]  # fmt: skip
    entered = {unit: at for at, units in refills for unit in units}
    oldest = min(entered.get(unit, -1) for unit in owners if unit)
    for at, (steps, changes) in enumerate(past):
        if at > oldest and steps:
            slots = advance(slots, np.int32(len(slots.token) + 1), np.int32(steps))
        for one in changes:
            if at >= oldest or not isinstance(one, Refill):
                slots = change(slots, one)
    free = np.array([unit is None for unit in owners])
    return slots._replace(ended=_either(slots.ended, batching.place(free)))


def _change(
    read: Callable[[Sequence[Unit], int], Slots], size: int, slots: Slots, change: Change
) -> Slots:
    if isinstance(change, Shrink):
        return _take(slots, batching.place(np.array(change.rows, np.int32)))
    if isinstance(change, Narrow):
        return _narrow(slots, change.dropped)
    places = np.full(size, len(slots.token), np.int32)  # beyond the last one: not written
    places[: len(change.rows)] = change.rows
    return _insert(slots, read(change.units, size), batching.place(places))


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
    schedule: RowSchedule,
    end: int,
    cut: Callable[[list[int]], list[int] | None] | None,
) -> tuple[list[tuple[Unit, list[int]]], Slots]:
    """Takes the answers that have ended out of the schedule, and ends those that `cut` stops."""
    ended, sound, answers, counts = map(np.asarray, _seen(slots))
    owners = schedule.owners
    owned = np.array([unit is not None for unit in owners])
    check_sound(sound[owned], [unit[0] for unit in schedule.units])
    for row in np.flatnonzero(owned):
        schedule.count(row, int(counts[row]))
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
