"""Tokenised texts become the columns of a cache: whole batches at a time, without Python lists.

A batch of rendered examples has a text for each of its inputs, targets and, where it is scored,
options. Their token ids come as one flat array; what fits is found, cut, counted and laid out as
Arrow columns by array operations.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from flan_jax.data.ragged import Ragged, indices
from flan_jax.data.renderer import Rendered
from flan_jax.data.vocabularies import AnyVocabulary

_EXAMPLES_AT_ONCE = 128


class Columns(NamedTuple):
    """Rows of some examples.

    Attributes:
      rows: the rows, with the columns of `store.schema`.
      counts: int64, number of rows of each example, at least 1.
    """

    rows: pa.RecordBatch
    counts: Int[np.ndarray, " n"]


def from_rows(examples: Iterable[list[dict]], columns: pa.Schema) -> Iterator[Columns]:
    """Makes columns of rows.

    Args:
      examples: the rows of one example each.
      columns: names and types.
    """
    examples = iter(examples)
    while some := list(islice(examples, _EXAMPLES_AT_ONCE)):
        rows = [row for example in some for row in example]
        counts = np.array([len(example) for example in some])
        yield Columns(pa.RecordBatch.from_pylist(rows, schema=columns), counts)


def texts_of(rendered: Sequence[Rendered], evaluation: bool) -> list[str]:
    """Lists the inputs and the targets of each rendering and, in evaluation, its options.

    Its content-free prompts, where it has some, come last.
    """
    if not evaluation:
        return [text for one in rendered for text in (one.inputs, one.targets)]
    return [
        text
        for one in rendered
        for text in (one.inputs, one.targets, *one.options, *one.content_free)
    ]


def encode(vocabulary: AnyVocabulary, texts: Sequence[str]) -> Ragged:
    """Tokenises texts: int32 ids, without ends of sequence."""
    ids = vocabulary.encode_batch(texts)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    flat = np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum()))
    return Ragged(flat, lengths)


class Texts(NamedTuple):
    """The tokens of the texts of `texts_of`, and which texts are whose.

    Attributes:
      inputs: int64, number of the text that is each rendering's inputs; the next is its targets.
      num_options: int64, how many options each has; they follow its targets.
      num_content_free: int64, how many content-free prompts; they follow its options.
      tokens: the ids of all texts, without ends of sequence.
    """

    inputs: Int[np.ndarray, " n"]
    num_options: Int[np.ndarray, " n"]
    num_content_free: Int[np.ndarray, " n"]
    tokens: Ragged

    @classmethod
    def of(cls, rendered: Sequence[Rendered], evaluation: bool, tokens: Ragged) -> "Texts":
        """Finds the texts of renderings."""
        pairs = [(len(one.options), len(one.content_free)) for one in rendered]
        options, free = np.array(pairs, np.int64).reshape(-1, 2).T * evaluation
        sizes = 2 + options + free
        return cls(np.cumsum(sizes) - sizes, options, free, tokens)

    def lengths(self) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Returns the tokens of inputs, of targets, and of the longest option (0 without)."""
        lengths = self.tokens.lengths
        everyone = np.arange(len(self.inputs))
        longest = np.zeros(len(self.inputs), np.int64)
        np.maximum.at(
            longest, np.repeat(everyone, self.num_options), lengths[self.options_of(everyone)]
        )
        return lengths[self.inputs], lengths[self.inputs + 1], longest

    def options_of(self, chosen: Int[np.ndarray, " m"]) -> Int[np.ndarray, " k"]:
        """Returns the numbers of the texts that are options of chosen renderings."""
        return indices(self.inputs[chosen] + 2, self.num_options[chosen])

    def content_free_of(self, chosen: Int[np.ndarray, " m"]) -> Int[np.ndarray, " k"]:
        """Returns the numbers of the texts that are content-free prompts of chosen renderings."""
        first = self.inputs[chosen] + 2 + self.num_options[chosen]
        return indices(first, self.num_content_free[chosen])

    def ended(self, texts: Int[np.ndarray, " m"], limit: int | None, end: int) -> Ragged:
        """Returns the tokens of texts, at most `limit` of each, with an end of sequence."""
        lengths = self.tokens.lengths[texts]
        kept = lengths if limit is None else np.minimum(lengths, limit)
        flat = np.full(int(kept.sum()) + len(kept), end, np.int32)
        inside = np.ones(len(flat), bool)
        inside[np.cumsum(kept + 1) - 1] = False
        flat[inside] = self.tokens.flat[indices(self.tokens.starts[texts], kept)]
        return Ragged(flat, kept + 1)


def counted(ragged: Ragged, values: Bool[np.ndarray, " total"]) -> Int[np.ndarray, " n"]:
    """Counts the values of each sequence that are true."""
    total = np.concatenate([[0], np.cumsum(values)])
    return total[ragged.starts + ragged.lengths] - total[ragged.starts]


def list_array(ragged: Ragged, kind: pa.DataType) -> pa.Array:
    """Makes a list column of sequences."""
    return _lists(ragged.lengths, pa.array(ragged.flat).cast(kind))


def nested_list_array(ragged: Ragged, counts: Int[np.ndarray, " n"], kind: pa.DataType) -> pa.Array:
    """Makes a column of lists of sequences, `counts` of them in each."""
    return _lists(counts, list_array(ragged, kind))


def _lists(lengths, values: pa.Array) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
