"""Row making: checked examples in, the rows of a cache out, in this process or in others."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from flan_jax.data import keyed, vocabularies
from flan_jax.data.renderer import Checked, Renderer
from flan_jax.data.rendering import LateDrops
from flan_jax.data.token_statistics import Statistics
from flan_jax.data.tokenisation import CacheConfig, TextFault, Tokeniser
from flan_jax.data.tokenisation_columns import Columns
from flan_jax.data.vocabularies import AnyVocabulary

# Examples whose rows are made in one call.
_EXAMPLES_AT_ONCE = 128


class Batch(NamedTuple):
    """Examples whose rows are made in one call.

    Attributes:
      examples: the examples, in order.
      dropped: what `Drops.add` takes of each row that was left out before or among them.
    """

    examples: list[Checked]
    dropped: list[tuple[str, Callable[[], str], bool]]


class Made(NamedTuple):
    """The rows of a batch.

    Attributes:
      columns: the rows; there may be none.
      statistics: what was counted; the index of an example stands for its place.
    """

    columns: Columns
    statistics: Statistics


@dataclass(frozen=True)
class RowMaker:
    """Renders and tokenises the examples of one task.

    Attributes:
      vocabulary: text to token ids.
      renderer: puts examples into words.
      config: lengths and what is kept.
    """

    vocabulary: AnyVocabulary
    renderer: Renderer
    config: CacheConfig

    def make(self, examples: Sequence[Checked]) -> Made:
        """Makes the rows of some examples.

        Raises:
          TextFault: a text cannot be tokenised.
        """
        renderer = self.renderer
        tokeniser = Tokeniser(
            self.vocabulary,
            self.config,
            renderer.evaluation,
            locate=str,
            content_free=renderer.content_free,
        )
        groups = [renderer.render(one, self._templates(one.index)) for one in examples]
        return Made(tokeniser.columns(groups), tokeniser.statistics)

    def _templates(self, example: int) -> tuple[int, ...]:
        """Chooses by seed the templates that are kept."""
        kept, templates = self.config.renderings, self.renderer.templates
        if self.renderer.evaluation or kept is None or kept >= len(templates):
            return templates
        key = keyed.derive(self.config.seed, "renderings", example)
        order = keyed.permute(np.arange(len(templates)), len(templates), key)
        return tuple(templates[index] for index in sorted(order[:kept].tolist()))

    def facts(self) -> dict[str, Any]:
        """Gives what makes the same rows elsewhere, as values that JSON holds."""
        return {
            "vocabulary": vocabularies.facts(self.vocabulary),
            "renderer": self.renderer.facts(),
            "config": dataclasses.asdict(self.config),
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "RowMaker":
        """Makes the row maker of which facts were given.

        Raises:
          FileNotFoundError: the vocabulary's file is not there.
        """
        vocabulary = vocabularies.from_facts(facts["vocabulary"])
        renderer = Renderer.from_facts(facts["renderer"], lambda text: len(vocabulary.encode(text)))
        return cls(vocabulary, renderer, CacheConfig(**facts["config"]))

    def map(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Made]]:
        """Makes in this process what `Workers.map` makes in others."""
        for batch in batches:
            yield batch, self.make(batch.examples)


def rows(
    make: Callable[[Iterable[Batch]], Iterable[tuple[Batch, Made]]],
    examples: Iterator[Checked],
    late_drops: LateDrops,
    statistics: Statistics,
    locate: Callable[[int], str],
) -> Iterator[Columns]:
    """Makes the rows of a split.

    Args:
      make: `RowMaker.map` or `Workers.map`.
      examples: the examples, in order.
      late_drops: counts the rows that are left out of `examples`.
      statistics: counts what is made of them.
      locate: says where the row of an index is.

    Yields:
      The rows of some examples, in order.

    Raises:
      ValueError: a text cannot be tokenised; the message says of which row.
    """
    try:
        for batch, made in make(_batches(examples, late_drops)):
            for drop in batch.dropped:
                statistics.dropped.add(*drop)
            statistics.add_part(made.statistics, lambda place: locate(int(place)))
            if len(made.columns.counts):
                yield made.columns
    except TextFault as fault:
        raise ValueError(
            f"{locate(fault.example)}, template {fault.template}: a text cannot be tokenised "
            f"({fault}); mend the row, or leave it out in the row function"
        ) from fault


def _batches(examples: Iterator[Checked], late_drops: LateDrops) -> Iterator[Batch]:
    while True:
        some = list(islice(examples, _EXAMPLES_AT_ONCE))
        dropped = late_drops.take()
        if not some and not dropped:
            return
        yield Batch(some, dropped)
