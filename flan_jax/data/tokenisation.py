"""Tokenisation: rendered texts become the rows of a cache, and what was lost is counted.

Too long: inputs are cut, targets never; a rendering whose targets or options are too long is left
out. Documents are cut into chunks. Nothing happens silently: cut, dropped and unknown tokens are
counted by reason, with the first few places.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from flan_jax.data import objectives
from flan_jax.data.ragged import Ragged
from flan_jax.data.renderer import Rendered
from flan_jax.data.rendering import Drops
from flan_jax.data.store import schema
from flan_jax.data.token_statistics import SHOWN_PLACES, Statistics
from flan_jax.data.tokenisation_columns import (
    Columns,
    Texts,
    counted,
    encode,
    list_array,
    nested_list_array,
    texts_of,
)
from flan_jax.data.vocabularies import AnyVocabulary

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
      content_free: whether caches of ranked tasks hold the content-free prompts beside each prompt
        that `EvaluationConfig.score = "calibrated"` needs; see `flan_jax.data.content_free`.
    """

    inputs_length: int
    targets_length: int
    renderings: int | None = None
    join_documents: bool = False
    seed: int = 0
    content_free: bool = False

    def __post_init__(self):
        if min(self.inputs_length, self.targets_length) < 2:
            raise ValueError(
                f"lengths {self.inputs_length}/{self.targets_length} leave no room for a token and "
                "the end of sequence; give 2 or more"
            )
        if self.renderings is not None and self.renderings < 1:
            raise ValueError(f"renderings is {self.renderings}; give 1 or more, or None for all")


class TextFault(ValueError):
    """A text that cannot be tokenised.

    Attributes:
      example: index of its row.
      template: index of its template.
    """

    def __init__(self, example: int, template: int, reason: str):
        super().__init__(reason)
        self.example = example
        self.template = template


@dataclass
class Tokeniser:
    """Makes rows of a cache from rendered examples.

    Attributes:
      vocabulary: text to token ids.
      config: lengths and what is kept.
      evaluation: whether rows hold what scoring needs.
      locate: says where the example of an index is.
      statistics: what was counted.
      content_free: whether rows hold content-free prompts.
    """

    vocabulary: AnyVocabulary
    config: CacheConfig
    evaluation: bool
    locate: Callable[[int], str]
    statistics: Statistics = field(default_factory=Statistics)
    content_free: bool = False
    _last_noted: dict[tuple[int, str], int] = field(default_factory=dict)

    def rows(self, groups: Sequence[list[Rendered]]) -> list[Row]:
        """Makes the rows of the renderings of some examples, as `columns` does."""
        return self.columns(groups).rows.to_pylist()

    def columns(self, groups: Sequence[list[Rendered]]) -> Columns:
        """Makes the rows of some examples, and counts what is cut, left out or unknown.

        Args:
          groups: the renderings of one example each.

        Raises:
          TextFault: a text cannot be tokenised.
        """
        rendered = [one for group in groups for one in group]
        texts = Texts.of(rendered, self.evaluation, self._tokens(rendered))
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
        columns = schema(
            self.vocabulary.size, evaluation=self.evaluation, content_free=self.content_free
        )
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
        if self.content_free:
            numbers = texts.content_free_of(sound)
            self._note_cut_content_free(numbers, kept, texts)
            free = texts.ended(numbers, limit, end)
            arrays += [
                nested_list_array(free, texts.num_content_free[sound], kind),
                pa.array([one.content_free for one in kept], pa.list_(pa.string())),
            ]
        counts = np.unique(example, return_counts=True)[1]
        return Columns(pa.record_batch(arrays, columns), counts)

    def _tokens(self, rendered: list[Rendered]) -> Ragged:
        texts = texts_of(rendered, self.evaluation)
        try:
            return encode(self.vocabulary, texts)
        except Exception as error:
            for one in rendered:
                _check_texts(self.vocabulary, one, self.evaluation)
            raise error  # each alone can be tokenised

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
        if len(places) < SHOWN_PLACES and self._last_noted.get(kind) != example:
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

    def _note_cut_content_free(self, numbers, kept: list[Rendered], texts: Texts) -> None:
        limit = self.config.inputs_length
        owners = [one.example for one in kept for _ in one.content_free]
        for number in np.flatnonzero(texts.tokens.lengths[numbers] >= limit).tolist():
            reason = f"content-free inputs longer than {limit} tokens"
            self._note(self.statistics.truncated, reason, owners[number])

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


def _check_texts(vocabulary: AnyVocabulary, rendered: Rendered, evaluation: bool) -> None:
    """Raises a fault if a text of a rendering cannot be tokenised."""
    for text in texts_of([rendered], evaluation):
        try:
            vocabulary.encode(text)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if re.search("[\ud800-\udfff]", text):
                reason = "it has half of a surrogate pair, which is no character"
            raise TextFault(rendered.example, rendered.template, reason) from error


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
