"""Tokenisation: rendered texts become the rows of a cache, and what was lost is counted.

Too long: inputs are cut, targets never; a rendering whose targets or options are too long is left
out. Documents are cut into chunks. Nothing happens silently: cut, dropped and unknown tokens are
counted by reason, with the first few places.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from flan_jax.data import keyed, objectives
from flan_jax.data.ragged import Ragged
from flan_jax.data.rendering import Drops, LateDrops, Rendered
from flan_jax.data.store import schema
from flan_jax.data.tokenisation_columns import (
    Columns,
    Texts,
    counted,
    list_array,
    nested_list_array,
    texts_of,
)
from flan_jax.data.tokenisation_workers import TextFault, in_process
from flan_jax.data.vocabularies import AnyVocabulary

# Examples whose texts are tokenised in one call.
_EXAMPLES_AT_ONCE = 128
_SHOWN_PLACES = 5
# Upper bounds of the bins of the length histogram: powers of two, and halfway between them.
_BOUNDS = sorted({*(2**i for i in range(3, 16)), *(3 * 2**i for i in range(2, 14))})

_SIDES = ("inputs", "targets")
_COUNTS = ("dropped", "dropped_renderings", "truncated", "unknown")

Row = dict[str, Any]


@dataclass(frozen=True)
class CacheConfig:
    """How examples are tokenised.

    Attributes:
      inputs_length: most tokens of the inputs, end of sequence included; longer ones are cut.
      targets_length: most tokens of the targets, end of sequence included; renderings with longer
        ones are left out.
      renderings: how many templates of each training example are kept, chosen by seed; None keeps
        all. Fewer make large data sets smaller on disk.
      join_documents: whether documents are laid end to end, an end of sequence between them,
        before they are cut into chunks; otherwise chunks begin with each document.
      seed: seed of option order, exemplars and kept templates.
    """

    inputs_length: int
    targets_length: int
    renderings: int | None = None
    join_documents: bool = False
    seed: int = 0

    def __post_init__(self):
        if min(self.inputs_length, self.targets_length) < 2:
            raise ValueError(
                f"lengths {self.inputs_length}/{self.targets_length} leave no room for a token and "
                "the end of sequence; give 2 or more"
            )
        if self.renderings is not None and self.renderings < 1:
            raise ValueError(f"renderings is {self.renderings}; give 1 or more, or None for all")


@dataclass
class Statistics:
    """What a cache's manifest says of its tokens; statistics of parts can be added up.

    Attributes:
      tokens: tokens of inputs and of targets.
      lengths: number of rows by length, for inputs and for targets.
      max_token_id: highest token id.
      truncated_tokens: tokens that were cut off.
      unknown_tokens: tokens for what the vocabulary does not know.
      dropped: examples of which nothing was left, and rows of the source that gave none.
      dropped_renderings: renderings and chunks that were left out.
      truncated: rows whose inputs were cut.
      unknown: rows with unknown tokens.
    """

    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SIDES, 0))
    lengths: dict[str, Counter] = field(
        default_factory=lambda: {side: Counter() for side in _SIDES}
    )
    max_token_id: int = 0
    truncated_tokens: int = 0
    unknown_tokens: int = 0
    dropped: Drops = field(default_factory=Drops)
    dropped_renderings: Drops = field(default_factory=Drops)
    truncated: Drops = field(default_factory=Drops)
    unknown: Drops = field(default_factory=Drops)

    def add(self, row: Row) -> None:
        """Counts the tokens of a row."""
        for side in _SIDES:
            self.tokens[side] += len(row[side])
            self.lengths[side][len(row[side])] += 1
            self.max_token_id = max(self.max_token_id, max(row[side], default=0))

    def add_all(self, inputs: Ragged, targets: Ragged) -> None:
        """Counts the tokens of many rows."""
        for side, rows in zip(_SIDES, (inputs, targets), strict=True):
            self.tokens[side] += len(rows.flat)
            lengths, counts = np.unique(rows.lengths, return_counts=True)
            self.lengths[side].update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))
            self.max_token_id = max(self.max_token_id, int(rows.flat.max(initial=0)))

    def as_dict(self) -> dict[str, Any]:
        """Gives the manifest's entries."""
        counts = {name: getattr(self, name).as_dict() for name in _COUNTS}
        return counts | {
            "tokens": self.tokens,
            "truncated_tokens": self.truncated_tokens,
            "unknown_tokens": self.unknown_tokens,
            "max_token_id": self.max_token_id,
            "longest": {side: max(counts, default=0) for side, counts in self.lengths.items()},
            "histogram": {side: _histogram(counts) for side, counts in self.lengths.items()},
        }


def merged(parts: Iterable[Statistics]) -> Statistics:
    """Adds up the statistics of parts of a cache."""
    total = Statistics()
    for part in parts:
        for side in _SIDES:
            total.tokens[side] += part.tokens[side]
            total.lengths[side] += part.lengths[side]
        total.max_token_id = max(total.max_token_id, part.max_token_id)
        total.truncated_tokens += part.truncated_tokens
        total.unknown_tokens += part.unknown_tokens
        for name in _COUNTS:
            _add_counts(getattr(total, name), getattr(part, name))
    return total


def _add_counts(total: Drops, part: Drops) -> None:
    total.wanted |= part.wanted
    for reason, count in part.counts.items():
        total.counts[reason] = total.counts.get(reason, 0) + count
        places = total.locations.get(reason, []) + part.locations[reason]
        total.locations[reason] = places[:_SHOWN_PLACES]


def _histogram(lengths: Counter) -> dict[str, int]:
    """Counts rows by length, as {"<=8": n, "<=12": n, ...}, without empty bins."""
    bins: dict[str, int] = {}
    for length, count in sorted(lengths.items()):
        bound = next((f"<={bound}" for bound in _BOUNDS if length <= bound), f">{_BOUNDS[-1]}")
        bins[bound] = bins.get(bound, 0) + count
    return bins


@dataclass
class Tokeniser:
    """Makes rows of a cache from rendered examples.

    Attributes:
      vocabulary: text to token ids.
      config: lengths and what is kept.
      evaluation: whether rows hold what scoring needs.
      locate: says where the example of an index is.
      statistics: what was counted.
    """

    vocabulary: AnyVocabulary
    config: CacheConfig
    evaluation: bool
    locate: Callable[[int], str]
    statistics: Statistics = field(default_factory=Statistics)
    _last_noted: dict[tuple[int, str], int] = field(default_factory=dict)

    def examples(
        self,
        groups: Iterable[list[Rendered]],
        tokenise: Callable | None = None,
        late_drops: LateDrops | None = None,
    ) -> Iterator[Columns]:
        """Tokenises the renderings of tasks.

        Args:
          groups: the renderings of one example each.
          tokenise: gives the token ids of the texts of each item, as `Workers.map`; None for this
            process.
          late_drops: what counts the rows that are left out of `groups`.

        Yields:
          The rows of some examples, in order.

        Raises:
          ValueError: a text cannot be tokenised; the message says of which row.
        """
        tokenise = tokenise or functools.partial(in_process, self.vocabulary)
        try:
            for (some, dropped), tokens in tokenise(self._batches(groups, late_drops)):
                for drop in dropped:
                    self.statistics.dropped.add(*drop)
                columns = self._columns(some, tokens)
                if len(columns.counts):
                    yield columns
        except TextFault as fault:
            raise ValueError(self._explained(fault)) from fault

    def rows(self, groups: Iterable[list[Rendered]]) -> Iterator[Row]:
        """Yields one by one the rows that `examples` gives in batches."""
        for columns in self.examples(groups):
            yield from columns.rows.to_pylist()

    def _batches(self, groups, late_drops):
        """Yields items ((renderings of some examples, drops before them), their texts)."""
        groups = iter(groups)
        while True:
            some = [self._kept(group) for group in islice(groups, _EXAMPLES_AT_ONCE)]
            dropped = late_drops.take() if late_drops else []
            if not some and not dropped:
                return
            rendered = [one for group in some for one in group]
            yield (some, dropped), texts_of(rendered, self.evaluation)

    def _explained(self, fault: TextFault) -> str:
        rendered = [one for group in fault.item[0] for one in group]
        owners = [one for one in rendered for _ in texts_of([one], self.evaluation)]
        one = owners[fault.text]
        return (
            f"{self.locate(one.example)}, template {one.template}: a text cannot be tokenised "
            f"({fault}); mend the row, or leave it out in the row function"
        )

    def _kept(self, group: list[Rendered]) -> list[Rendered]:
        kept = self.config.renderings
        if self.evaluation or kept is None or kept >= len(group):
            return group
        key = keyed.derive(self.config.seed, "renderings", group[0].example)
        order = keyed.permute(np.arange(len(group)), len(group), key)
        return [group[index] for index in sorted(order[:kept].tolist())]

    def _columns(self, groups: list[list[Rendered]], tokens: Ragged) -> Columns:
        """Makes the rows of some examples, and counts what is cut, left out or unknown."""
        rendered = [one for group in groups for one in group]
        texts = Texts.of(rendered, self.evaluation, tokens)
        sound = self._sound(rendered, texts)
        kept = [rendered[number] for number in sound.tolist()]
        limit, end = self.config.inputs_length - 1, self.vocabulary.eos_id
        inputs = texts.ended(texts.inputs[sound], limit, end)
        targets = texts.ended(texts.inputs[sound] + 1, None, end)
        example = np.array([one.example for one in kept], np.int64)
        cut = texts.tokens.lengths[texts.inputs[sound]] - inputs.lengths + 1
        for number in np.flatnonzero(cut).tolist():
            self._note_cut(int(cut[number]), kept[number].example)
        self._count(inputs, targets, example)
        columns = schema(self.vocabulary.size, evaluation=self.evaluation)
        kind = columns.field("inputs").type.value_type
        arrays = [
            list_array(inputs, kind),
            list_array(targets, kind),
            pa.array(example),
            pa.array(np.array([one.template for one in kept], np.int16)),
        ]
        if self.evaluation:
            options = texts.ended(texts.options_of(sound), None, end)
            arrays += [
                pa.array([one.inputs for one in kept], pa.string()),
                nested_list_array(options, texts.num_options[sound], kind),
                pa.array([one.options for one in kept], pa.list_(pa.string())),
                pa.array([one.answer for one in kept], pa.int32()),
                pa.array([one.references for one in kept], pa.list_(pa.string())),
            ]
        counts = np.unique(example, return_counts=True)[1]
        return Columns(pa.record_batch(arrays, columns), counts)

    def _sound(self, rendered, texts: Texts) -> Int[np.ndarray, " m"]:
        """Finds the renderings that are kept, and notes why others are not."""
        limit = self.config.targets_length
        _, targets, options = texts.lengths()
        sound = (targets > 0) & (targets < limit) & (options < limit)
        reasons = {}
        for number in np.flatnonzero(~sound).tolist():
            reason = f"option longer than {limit} tokens"
            if not targets[number]:
                reason = "targets without tokens"
            elif targets[number] >= limit:
                reason = f"targets longer than {limit} tokens"
            example = rendered[number].example
            self._note(self.statistics.dropped_renderings, reason, example)
            reasons.setdefault(example, reason)
        if reasons:
            left = {rendered[number].example for number in np.flatnonzero(sound).tolist()}
            for example, reason in reasons.items():
                if example not in left:
                    self.drop(reason, example)
        return np.flatnonzero(sound)

    def _note(self, counts: Drops, reason: str, example: int) -> None:
        counts.counts[reason] = counts.counts.get(reason, 0) + 1
        places = counts.locations.setdefault(reason, [])
        # An example under ten templates is one place to look at.
        kind = (id(counts), reason)
        if len(places) < _SHOWN_PLACES and self._last_noted.get(kind) != example:
            places.append(self.locate(example))
            self._last_noted[kind] = example

    def drop(self, reason: str, example: int) -> None:
        """Counts an example that is left out: it does not fit, and is not broken."""
        self._note(self.statistics.dropped, reason, example)
        self.statistics.dropped.wanted.add(reason)

    def truncate(self, inputs: list[int], example: int) -> list[int]:
        """Cuts inputs so that an end of sequence still fits, and counts it."""
        limit = self.config.inputs_length - 1
        if len(inputs) > limit:
            self._note_cut(len(inputs) - limit, example)
        return inputs[:limit]

    def _note_cut(self, tokens: int, example: int) -> None:
        self.statistics.truncated_tokens += tokens
        reason = f"inputs longer than {self.config.inputs_length} tokens"
        self._note(self.statistics.truncated, reason, example)

    def _count(self, inputs: Ragged, targets: Ragged, example: Int[np.ndarray, " n"]) -> None:
        """Counts as `count` does, for many rows."""
        self.statistics.add_all(inputs, targets)
        unknown = np.zeros(len(example), np.int64)
        for side in (inputs, targets):
            unknown += counted(side, side.flat == self.vocabulary.unk_id)
        self.statistics.unknown_tokens += int(unknown.sum())
        for number in np.flatnonzero(unknown).tolist():
            self._note(self.statistics.unknown, "unknown tokens", int(example[number]))

    def count(self, row: Row) -> None:
        """Counts the tokens of a row, unknown ones apart."""
        self.statistics.add(row)
        unknown = row["inputs"].count(self.vocabulary.unk_id)
        unknown += row["targets"].count(self.vocabulary.unk_id)
        if unknown:
            self.statistics.unknown_tokens += unknown
            self._note(self.statistics.unknown, "unknown tokens", row["example"])

    def documents(
        self, groups: Iterable[list[Rendered]], objective: str, weighted: bool
    ) -> Iterator[list[Row]]:
        """Tokenises documents and cuts them into chunks for an objective.

        Args:
          groups: one rendering a document; its targets are a text or (text, weight) segments.
          objective: which objective the chunks are for.
          weighted: whether rows hold weights.

        Yields:
          One row a chunk: an example of its own.
        """
        size = objectives.chunk_length(
            objective, self.config.inputs_length, self.config.targets_length
        )
        self._check_sentinels(objective, size)
        documents = ((r.example, *self._encode(r.targets)) for (r,) in groups)
        if self.config.join_documents:
            documents = _joined(documents, size, self.vocabulary.eos_id)
        for example, tokens, weights in documents:
            for start in range(0, len(tokens), size):
                chunk = tokens[start : start + size]
                if len(chunk) < 2:  # cannot be cut into inputs and targets
                    self._note(self.statistics.dropped_renderings, "chunk of one token", example)
                    continue
                row = {"inputs": [], "targets": chunk, "example": example, "template": 0}
                if weighted:
                    row["weights"] = weights[start : start + size]
                self.count(row)
                yield [row]

    def _encode(self, targets: str | Sequence[tuple[str, float]]) -> tuple[list[int], list[float]]:
        segments = [(targets, 1.0)] if isinstance(targets, str) else targets
        encoded = self.vocabulary.encode_batch([text for text, _ in segments])
        tokens = [token for ids in encoded for token in ids]
        pairs = zip(encoded, segments, strict=True)
        return tokens, [weight for ids, (_, weight) in pairs for _ in ids]

    def _check_sentinels(self, objective: str, size: int) -> None:
        needed = objectives.sentinels_needed(size) if objective == "span_corruption" else 0
        if needed > self.vocabulary.extra_ids:
            raise ValueError(
                f"span corruption of chunks of {size} tokens needs {needed} sentinels, the "
                f"vocabulary {self.vocabulary.path} has {self.vocabulary.extra_ids}; use shorter "
                "lengths or a vocabulary with more extra_ids"
            )


def _joined(
    documents: Iterable[tuple[int, list[int], list[float]]], size: int, end: int
) -> Iterator[tuple[int, list[int], list[float]]]:
    """Lays documents end to end, in pieces of `size` tokens; the last may be shorter."""
    tokens: list[int] = []
    weights: list[float] = []
    example = 0
    for number, (example, more, more_weights) in enumerate(documents):
        between = [end] if number else []
        tokens += between + more
        weights += [1.0] * len(between) + more_weights
        while len(tokens) >= size:
            yield example, tokens[:size], weights[:size]
            tokens, weights = tokens[size:], weights[size:]
    if tokens:
        yield example, tokens, weights
