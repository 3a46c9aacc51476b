"""The feed: caches become mixed, shuffled, packed batches, a share of them to each host.

    mixture = feed.open_mixture("cache/flan_train-train.json")
    config = feed.FeedConfig(inputs_length=512, targets_length=128, batch_size=256)
    for batch, state in feed.prefetch(feed.batches(mixture, config, seed=0)):
        ...

The stream is cut into windows of some thousand examples. Which examples a window holds, which
template each has, how they are packed and in what order the rows come are pure functions of
(mixture, config, seed, number of the window). So the whole state is the window and the row in it
that come next, and batches are the same on any number of hosts. A mixture is read without
TensorFlow, SeqIO or gin.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt64

from flan_jax.batch import Batch
from flan_jax.data import assembly, keyed, mixing, objectives, packing, packing_exchange
from flan_jax.data.mixture import Mixture, open_mixture
from flan_jax.data.prefetching import prefetch
from flan_jax.data.ragged import Ragged, concatenate

__all__ = ["FeedConfig", "FeedState", "Mixture", "batches", "open_mixture", "prefetch"]

_ARCHITECTURES = ("encoder_decoder", "decoder_only")
_PACKINGS = {"best_fit": packing.pack, "exchange": packing_exchange.pack}


@dataclass(frozen=True)
class FeedConfig:
    """How batches are made.

    Attributes:
      inputs_length: tokens of a row on the encoder side.
      targets_length: tokens of a row on the decoder side. A decoder-only row holds
        `inputs_length + targets_length` tokens, shared freely between inputs and targets.
      batch_size: rows of a global batch, over all hosts.
      window: examples that are mixed, packed and shuffled together.
      pack: whether rows hold several examples each.
      packing: how they are packed: "best_fit", or "exchange", which leaves less room unused.
      architecture: "encoder_decoder" or "decoder_only".
    """

    inputs_length: int
    targets_length: int
    batch_size: int
    window: int = 4096
    pack: bool = True
    packing: str = "best_fit"
    architecture: str = "encoder_decoder"

    def __post_init__(self):
        for name in ("inputs_length", "targets_length", "batch_size", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"FeedConfig.{name} is {getattr(self, name)}; give 1 or more")
        for name, known in (("architecture", _ARCHITECTURES), ("packing", tuple(_PACKINGS))):
            if getattr(self, name) not in known:
                given = getattr(self, name)
                raise ValueError(f"FeedConfig.{name} is {given!r}; give one of {', '.join(known)}")

    @property
    def tokens(self) -> int:
        """Tokens of a row, both sides together."""
        return self.inputs_length + self.targets_length

    @property
    def limits(self) -> objectives.Limits:
        """How long the two sides of an example may become."""
        if self.architecture == "decoder_only":
            return objectives.Limits(None, None)
        return objectives.Limits(self.inputs_length, self.targets_length)


class FeedState(NamedTuple):
    """Where the feed stands: the next batch begins with this row of this window.

    Attributes:
      window: number of the window.
      row: number of the row in it.
    """

    window: int = 0
    row: int = 0


_START = FeedState()


def check_config(mixture: Mixture, config: FeedConfig) -> None:
    """Raises a ValueError if a member's examples do not fit the config's rows.

    Args:
      mixture: the mixture.
      config: the rows.
    """
    for member in mixture.members:
        longest = member.cache.manifest["longest"]
        if not objectives.fits(
            member.objective, longest["inputs"], longest["targets"], config.limits, config.tokens
        ):
            inputs, targets = member.cache.manifest["lengths"]
            raise ValueError(
                f"the cache of {member.task!r} was built for lengths {inputs}/{targets}, rows have "
                f"{config.inputs_length}/{config.targets_length}, and its longest examples do not "
                "fit: build it again for these rows, or use longer rows"
            )
        bare = member.objective is None and not member.cache.manifest["tokens"]["inputs"]
        if config.architecture != "decoder_only" and (bare or member.objective == "causal_lm"):
            raise ValueError(
                f"{member.task!r} has no inputs for an encoder; use an objective that makes some "
                "(prefix_lm, span_corruption), or a decoder-only model"
            )


class Window(NamedTuple):
    """The plan of a window: everything but the tokens.

    Attributes:
      member: int64, number of each example's member; ascending.
      cache_row: int64, its row in the member's cache.
      keys: uint64, its key for this epoch.
      row: int64, the row of the window that it goes to.
      num_rows: number of rows of the window.
    """

    member: Int[np.ndarray, " n"]
    cache_row: Int[np.ndarray, " n"]
    keys: UInt64[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]
    num_rows: int


def plan_window(
    mixture: Mixture, mixer: mixing.Mixer, config: FeedConfig, seed: int, number: int
) -> Window:
    """Decides which examples a window holds and which rows they go to.

    Args:
      mixture: the mixture.
      mixer: its draws, from `make_mixer`.
      config: how batches are made.
      seed: seed of the stream.
      number: number of the window, from 0.
    """
    draws = mixing.draw(mixer, number * config.window, (number + 1) * config.window)
    cache_row, inputs, targets = choose_renderings(mixture, config, draws)
    row, num_rows = _pack(inputs, targets, config)
    # Packing sorts by length; the order in which rows are trained on must not.
    row = keyed.permute(row, num_rows, keyed.derive(seed, "rows", number))
    return Window(draws.member, cache_row, draws.keys, row, num_rows)


def choose_renderings(
    mixture: Mixture, config: FeedConfig, draws: mixing.Draws
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Chooses a rendering of each example, any of them, another one each epoch.

    Args:
      mixture: the mixture.
      config: how batches are made.
      draws: the examples.

    Returns:
      Its row in the member's cache, and the tokens of its inputs and of its targets.
    """
    first, count, inputs, targets = np.empty((4, len(draws.member)), np.int64)
    for member, part in _members(mixture, draws.member):
        first[part], count[part] = member.cache.row_ranges(draws.example[part])
    cache_row = first + keyed.below(keyed.fold(draws.keys, 0), count)
    for member, part in _members(mixture, draws.member):
        targets[part] = member.cache.lengths("targets", cache_row[part])
        if member.objective is None:
            inputs[part] = member.cache.lengths("inputs", cache_row[part])
        else:
            inputs[part], targets[part] = objectives.lengths(
                member.objective, targets[part], draws.keys[part], config.limits
            )
    return cache_row, inputs, targets


def make_mixer(mixture: Mixture, seed: int) -> mixing.Mixer:
    """Prepares the draws of a mixture; see `mixing.mixer`."""
    members = mixture.members
    return mixing.mixer(
        [member.task for member in members],
        [member.rate for member in members],
        [member.cache.num_examples for member in members],
        seed,
    )


def _pack(inputs, targets, config):
    if not config.pack:
        return np.arange(len(inputs)), len(inputs)
    pack = _PACKINGS[config.packing]
    if config.architecture == "decoder_only":
        return pack(inputs + targets, np.zeros_like(inputs), config.tokens, 1)
    return pack(inputs, targets, config.inputs_length, config.targets_length)


def _members(mixture: Mixture, member: Int[np.ndarray, " n"]):
    """Yields the members that occur in an ascending array, and the slice of each."""
    bounds = np.searchsorted(member, np.arange(len(mixture.members) + 1))
    for number in np.flatnonzero(np.diff(bounds)).tolist():
        yield mixture.members[number], slice(bounds[number], bounds[number + 1])


def assemble(
    mixture: Mixture, config: FeedConfig, window: Window, rows: Int[np.ndarray, " r"]
) -> Batch:
    """Reads the tokens of some rows of a window.

    Args:
      mixture: the mixture.
      config: how batches are made.
      window: the plan.
      rows: which rows, ascending.

    Returns:
      A batch of these rows, in order.
    """
    wanted = np.full(window.num_rows, -1)
    wanted[rows] = np.arange(len(rows))
    chosen = np.flatnonzero(wanted[window.row] >= 0)
    examples = _read(mixture, config, window, chosen)
    row = wanted[window.row[chosen]]
    if config.architecture == "decoder_only":
        length = config.inputs_length + config.targets_length
        start = mixture.boundaries.start
        return assembly.decoder_only_rows(examples, row, len(rows), length, start)
    return assembly.encoder_decoder_rows(
        examples, row, len(rows), config.inputs_length, config.targets_length
    )


def _read(mixture, config, window, chosen) -> objectives.Examples:
    parts = []
    for member, part in _members(mixture, window.member[chosen]):
        where, cache = chosen[part], member.cache
        rows = window.cache_row[where]
        targets = _tokens(cache, "targets", rows)
        weights = cache.gather("weights", rows) if "weights" in cache.columns else None
        if member.objective is not None:
            size, end = cache.manifest["vocabulary"]["size"], cache.boundaries.end
            keys, limits = window.keys[where], config.limits
            parts.append(
                objectives.apply(member.objective, targets, weights, keys, limits, size, end)
            )
            continue
        if weights is None:
            weights = Ragged(np.ones(len(targets.flat), np.float32), targets.lengths)
        parts.append(objectives.Examples(_tokens(cache, "inputs", rows), targets, weights))
    if not parts:
        nothing = Ragged(np.zeros(0, np.int32), np.zeros(0, np.int64))
        return objectives.Examples(nothing, nothing, nothing)
    return objectives.Examples(*(concatenate(list(side)) for side in zip(*parts, strict=True)))


def _tokens(cache, column, rows):
    values = cache.gather(column, rows)
    return values._replace(flat=values.flat.astype(np.int32))


def batches(
    mixture: Mixture,
    config: FeedConfig,
    seed: int,
    state: FeedState = _START,
    host: int = 0,
    hosts: int = 1,
) -> Iterator[tuple[Batch, FeedState]]:
    """Yields batches without end, each with the state to save once it has been used.

    Args:
      mixture: the mixture.
      config: how batches are made.
      seed: seed of the stream.
      state: where to begin; one that was yielded before continues there exactly.
      host: number of this host.
      hosts: number of hosts, a divisor of `config.batch_size`.

    Returns:
      An iterator over (batch, state). The batch has this host's rows: `batch_size / hosts`
      consecutive rows of the global batch. Which hosts there are changes nothing else.

    Raises:
      ValueError: the hosts do not divide the batch, or the caches do not fit the config.
    """
    if not 0 <= host < hosts or config.batch_size % hosts:
        raise ValueError(
            f"host {host} of {hosts} cannot share batches of {config.batch_size} rows; "
            "give a batch size that is a multiple of the hosts"
        )
    check_config(mixture, config)
    return _batches(mixture, config, seed, FeedState(*state), host, hosts)


def _batches(mixture, config, seed, state, host, hosts):
    size, share = config.batch_size, config.batch_size // hosts
    mixer = make_mixer(mixture, seed)
    carried = 0  # rows of earlier windows in the batch that is not yet full
    blocks: list[Batch] = []  # this host's rows that were not yet yielded
    for number in itertools.count(state.window):
        skipped = state.row if number == state.window else 0
        window = plan_window(mixture, mixer, config, seed, number)
        rows = np.arange(skipped, window.num_rows)
        slot = (carried + rows - skipped) % size
        mine = rows[(slot >= host * share) & (slot < (host + 1) * share)]
        blocks.append(assemble(mixture, config, window, mine))
        available = _join(blocks)
        full, left = divmod(carried + len(rows), size)
        for nth in range(full):
            after = skipped + (nth + 1) * size - carried
            done = FeedState(number, after) if after < window.num_rows else FeedState(number + 1)
            yield _rows(available, nth * share, (nth + 1) * share), done
        blocks, carried = [_rows(available, full * share, None)], left


def _join(blocks: list[Batch]) -> Batch:
    if len(blocks) == 1:
        return blocks[0]
    return Batch(*(None if a[0] is None else np.concatenate(a) for a in zip(*blocks, strict=True)))


def _rows(batch: Batch, start: int, stop: int | None) -> Batch:
    return Batch(*(None if array is None else array[start:stop] for array in batch))
