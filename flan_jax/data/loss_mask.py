"""The loss mask: which tokens of an example count in the loss, as training computes it.

Nothing is worked out anew here: texts go through the tokeniser of the cache and the assembly of the
feed, and what comes out is made readable.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from flan_jax.batch import Batch
from flan_jax.data import keyed, objectives
from flan_jax.data.assembly import decoder_only_rows, encoder_decoder_rows
from flan_jax.data.objectives import Examples, Limits
from flan_jax.data.ragged import Ragged
from flan_jax.data.renderer import Rendered
from flan_jax.data.tokenisation import CacheConfig, Tokeniser
from flan_jax.data.variants import Variant
from flan_jax.data.vocabularies import AnyVocabulary

ENCODER, DECODER, JOINED = "encoder", "decoder", "decoder-only"
_BLOCKS = "▁▂▃▄▅▆▇█"
_NOTHING = "·"


class TokenRow(NamedTuple):
    """A row of a batch that holds one example.

    Attributes:
      side: `ENCODER`, `DECODER`, or `JOINED` for the one row of a decoder-only model.
      tokens: token ids, end of sequence included.
      weights: weight of each token in the loss.
    """

    side: str
    tokens: tuple[int, ...]
    weights: tuple[float, ...]


class Reading(NamedTuple):
    """What a model gets of a rendering.

    Attributes:
      rows: its rows, for both kinds of model; none if the rendering is left out.
      left_out: why it is left out of the cache, else empty.
      cut: tokens cut off the inputs.
      unknown: tokens that the vocabulary does not know.
      chunks: how many examples a document is cut into, of which the first is given; 1 for tasks.
    """

    rows: tuple[TokenRow, ...]
    left_out: str = ""
    cut: int = 0
    unknown: int = 0
    chunks: int = 1

    def row(self, side: str) -> TokenRow | None:
        """The row of a side; None where there is none."""
        return next((row for row in self.rows if row.side == side), None)


def read(variant: Variant, rendered: Rendered, config: CacheConfig) -> Reading:
    """Tokenises a rendering as the cache does and lays it into rows as the feed does.

    Args:
      variant: the form that was rendered.
      rendered: the rendering.
      config: lengths of the two sides.
    """
    evaluation = bool(variant.form.evaluation)
    tokeniser = Tokeniser(variant.vocabulary, config, evaluation, locate=str)
    if variant.form.objective:
        return _read_document(variant, rendered, tokeniser)
    made = tokeniser.rows([[rendered]])
    counted = tokeniser.statistics
    if not made:
        return Reading((), left_out=", ".join(counted.dropped_renderings.counts))
    inputs, targets = made[0]["inputs"], made[0]["targets"]
    examples = Examples(
        _ragged(inputs, np.int32), _ragged(targets, np.int32), _ragged([1] * len(targets), float)
    )
    rows = (*_encoder_decoder(examples), _joined(examples))
    return Reading(rows, "", counted.truncated_tokens, counted.unknown_tokens)


def _read_document(variant: Variant, rendered: Rendered, tokeniser: Tokeniser) -> Reading:
    objective, config = variant.form.objective, tokeniser.config
    chunks = [row for rows in tokeniser.documents([[rendered]], objective, True) for row in rows]
    if not chunks:
        return Reading((), left_out=", ".join(tokeniser.statistics.dropped_renderings.counts))
    made = objectives.apply(
        objective,
        _ragged(chunks[0]["targets"], np.int32),
        _ragged(chunks[0]["weights"], np.float32),
        np.array([keyed.derive(config.seed, "example", rendered.example)]),
        Limits(config.inputs_length, config.targets_length),
        variant.vocabulary.size,
        variant.vocabulary.eos_id,
    )
    # Causal language models have no encoder.
    sides = () if objective == "causal_lm" else _encoder_decoder(made)
    unknown = tokeniser.statistics.unknown_tokens
    return Reading((*sides, _joined(made)), "", 0, unknown, len(chunks))


def _ragged(values: Sequence, dtype: type) -> Ragged:
    return Ragged(np.array(values, dtype), np.array([len(values)]))


def _encoder_decoder(examples: Examples) -> tuple[TokenRow, TokenRow]:
    lengths = (int(examples.inputs.lengths[0]), int(examples.targets.lengths[0]))
    batch = encoder_decoder_rows(examples, np.zeros(1, np.int64), 1, *lengths)
    # The loss is over the decoder's positions; the encoder has none.
    encoder = TokenRow(ENCODER, tuple(batch.encoder_tokens[0].tolist()), (0.0,) * lengths[0])
    return encoder, _token_row(DECODER, batch)


def _joined(examples: Examples) -> TokenRow:
    length = int(examples.inputs.lengths[0] + examples.targets.lengths[0])
    return _token_row(JOINED, decoder_only_rows(examples, np.zeros(1, np.int64), 1, length))


def _token_row(side: str, batch: Batch) -> TokenRow:
    weights = tuple(round(weight, 6) for weight in batch.weights[0].tolist())
    return TokenRow(side, tuple(batch.decoder_targets[0].tolist()), weights)


def symbol(weight: float) -> str:
    """One character for a weight: a dot for 0, a full block for 1 or more, a lower one between."""
    if weight <= 0:
        return _NOTHING
    return _BLOCKS[math.ceil(min(weight, 1.0) * len(_BLOCKS)) - 1]


def mask_text(weights: Sequence[float]) -> str:
    """Writes a mask with one character a token: for weights 0, 0, 1, 0.5 the text `··█▄`."""
    return "".join(map(symbol, weights))


def summary(weights: Sequence[float]) -> str:
    """Writes a mask as runs of equal weight: for 0, 0, 1, 0.5 the text `2 ·  1 █  1 ▄ 0.5`."""
    found = []
    for weight, run in groupby(weights):
        number = "" if weight in (0, 1) else f" {weight:g}"
        found.append(f"{len(list(run))} {symbol(weight)}{number}")
    return "  ".join(found)


def runs(row: TokenRow, vocabulary: AnyVocabulary) -> list[tuple[str, float]]:
    """Gives the text of a row in stretches of equal weight, as the model sees it."""
    found = []
    for weight, run in groupby(zip(row.tokens, row.weights, strict=True), key=lambda one: one[1]):
        ids = [token for token, _ in run if token != vocabulary.eos_id]
        found.append((vocabulary.decode(ids), weight))
    return [(text, weight) for text, weight in found if text]
