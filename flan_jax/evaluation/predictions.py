"""What a model answers to the examples of a task, in batches that can be left and taken up again.

Examples are dealt into batches (with options) or rounds (with free answers) before any is scored,
whatever has been scored already: the last bits of a score depend on what shares its batch. A batch
that was left in the middle is computed again as a whole, and of a round the rows that were
unfinished, where they were (`row_schedule`).
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
from jaxtyping import Float

from flan_jax.evaluation import generation, scoring
from flan_jax.evaluation.examples import Example, ExampleSet
from flan_jax.evaluation.normalisation import NORMALISATIONS, choose
from flan_jax.evaluation.sampling import Decode, DecodingConfig, Generator
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params

# Of a free answer: how far its round had come when it ended, in decode steps; see `row_schedule`.
STEP = "step"

Predictions = Iterator[tuple[list[int], list[dict]]]

# Batches of prompts that are answered together. Rows are given to waiting prompts as answers end,
# but not across rounds. Simulated for batches of 64 and four distributions of lengths, 32 batches
# take 2% to 10% more steps than one long round (16: 6% to 19%; 64: 1% to 2%), and batches without
# replacement 1.7 to 3.9 times the steps. An interruption costs a round where it goes on with
# another batch size, and else the unfinished rows and what ended with the last known answers.
_BATCHES_OF_A_ROUND = 32
# Batches of ranked examples before which their content-free prompts are scored. Without exemplars
# these are few: 30 for ten templates, whose options do not depend on the example.
_BATCHES_OF_A_GROUP = 8


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How examples are scored.

    Attributes:
      batch_size: prompts (and options) at a time on all devices; of no influence on scores.
      max_decode_length: most tokens of a generated answer.
      score: how options are compared: by the "sum" of their tokens' log-probabilities, the "mean"
        of a token, the "mean_per_byte" of text, "pmi", the sum less that without a prompt, or
        "calibrated", the share of an option over that behind content-free prompts, of which there
        are caches (`CacheConfig.content_free`).
      decoding: how answers are generated; one sample.
      max_examples: source examples of each task, evenly spread over it; None for all.
    """

    batch_size: int = 64
    max_decode_length: int = 64
    score: Literal["sum", "mean", "mean_per_byte", "pmi", "calibrated"] = "sum"
    decoding: DecodingConfig = DecodingConfig()
    max_examples: int | None = None

    @property
    def needs_content_free(self) -> bool:
        """Whether ranked examples are scored behind content-free prompts too."""
        return self.score == "calibrated"

    def __post_init__(self):
        if self.score not in (names := NORMALISATIONS):
            expected = f"expected {', '.join(names)}, got {self.score!r}"
            raise ValueError(f"EvaluationConfig.score: {expected}")
        for name in ("batch_size", "max_decode_length", "max_examples"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"EvaluationConfig.{name}: expected at least 1, got {value}")


def iterate_predictions(
    config: ModelConfig,
    params: Params,
    examples: ExampleSet,
    settings: EvaluationConfig,
    decode: Decode | None = None,
    done: Mapping[int, dict] = MappingProxyType({}),
) -> Predictions:
    """Yields positions of examples and what the model answers to each, as a journal records it.

    Args:
      config: the model.
      params: its parameters.
      examples: at least one.
      settings: how examples are scored.
      decode: token ids to text; needed if answers are generated.
      done: what was answered before, by position. Of these examples some are answered again,
        which share a batch with an unknown one; without an unknown one no model is run.

    Raises:
      ValueError: the examples do not fit the model, `decode` is missing, or a score is not finite.
    """
    _check_tokens(config, examples)
    if len(done) == len(examples.examples):
        return iter(())
    if examples.ranked:
        return _named(examples.name, _ranked(config, params, examples, settings, done))
    if decode is None:
        raise ValueError(
            f"task {examples.name!r} needs generated answers; give evaluate() the vocabulary's "
            "decode function"
        )
    every = config, params, examples, settings, decode, done
    return _named(examples.name, _generated(*every))


def influences(examples: ExampleSet, settings: EvaluationConfig) -> dict[str, object]:
    """The settings on which the answers to these examples depend, as JSON has them."""
    if examples.ranked:
        return {"score": settings.score, "boundaries": examples.boundaries._asdict()}
    decoding = dataclasses.asdict(_decoding(examples, settings))
    decoding["boundaries"] = examples.boundaries._asdict()
    return {"max_decode_length": settings.max_decode_length, "decoding": decoding}


def _ranked(
    config: ModelConfig,
    params: Params,
    examples: ExampleSet,
    settings: EvaluationConfig,
    done: Mapping[int, dict],
) -> Predictions:
    scorer = scoring.Scorer(config, params, settings.batch_size, boundaries=examples.boundaries)
    for group in _groups(examples.examples, settings):
        known = {place for place, position in enumerate(group) if position in done}
        if len(known) == len(group):
            continue
        members = [examples.examples[position] for position in group]
        beside = _scores_beside(scorer, members, settings.score)
        for places, scores in scoring.iterate_scores(scorer, members, known):
            some = [members[place] for place in places]
            scoring.check_finite(some, scores)
            triples = zip(some, scores, [beside[place] for place in places], strict=True)
            answers = [_choice(*triple, settings.score) for triple in triples]
            yield [group[place] for place in places], answers


def _groups(examples: Sequence[Example], settings: EvaluationConfig) -> Iterator[Sequence[int]]:
    """Yields the positions of the examples of whole batches.

    Content-free prompts that the examples of a group share are scored once, and what an
    interruption costs is a group's at most.
    """
    if not settings.needs_content_free:
        yield range(len(examples))
        return
    for positions in scoring.batches(examples, settings.batch_size * _BATCHES_OF_A_GROUP):
        yield positions.tolist()


def _scores_beside(
    scorer: scoring.Scorer, examples: Sequence[Example], normalisation: str
) -> Sequence[Float[np.ndarray, "*c k"] | None]:
    """Of each example what its scores are compared with; None where that is nothing."""
    if normalisation == "pmi":
        return scoring.score_without_prompts(scorer, examples)
    if normalisation == "calibrated":
        prompts = [example.content_free for example in examples]
        return scoring.score_content_free(scorer, examples, prompts)
    return [None] * len(examples)


def _choice(
    example: Example,
    scores: Float[np.ndarray, " k"],
    beside: Float[np.ndarray, "*c k"] | None,
    normalisation: str,
) -> dict:
    compared = NORMALISATIONS[normalisation](scores, example, beside)
    choice = choose(compared)
    content_free = {}
    if normalisation == "calibrated":
        content_free = {"content_free_scores": [_rounded(row) for row in beside]}
    return {
        "prediction": example.options[choice],
        "options": list(example.options),
        "option_scores": _rounded(scores),
        **content_free,
        "compared_scores": _rounded(compared),
        "choice": choice,
        "answer": example.answer,
    }


def _rounded(scores: Float[np.ndarray, " k"]) -> list[float]:
    return [round(float(score), 5) for score in scores]


def _generated(
    config: ModelConfig,
    params: Params,
    examples: ExampleSet,
    settings: EvaluationConfig,
    decode: Decode,
    done: Mapping[int, dict],
) -> Predictions:
    how, sizes = _decoding(examples, settings), (settings.max_decode_length, settings.batch_size)
    generator = Generator(config, params, *sizes, decoding=how, decode=decode)
    lengths = [len(example.inputs) for example in examples.examples]
    for members in rounds(lengths, settings.batch_size * _BATCHES_OF_A_ROUND):
        if all(position in done for position in members):
            continue
        prompts = [examples.examples[position].inputs for position in members]
        ended = {row: done[at][STEP] for row, at in enumerate(members) if STEP in done.get(at, ())}
        every = generator, prompts, members, ended
        for rows, answers, step in generation.iterate_answers(*every):
            texts = [generation.until_stop(decode(tokens), how.stop) for tokens in answers]
            found = [{"prediction": text, STEP: step} for text in texts]
            yield [members[row] for row in rows], found


def _named(task: str, predictions: Predictions) -> Predictions:
    """Says of which task the examples are where one cannot be answered."""
    try:
        yield from predictions
    except ValueError as error:
        raise ValueError(f"task {task!r}: {error}") from error


def rounds(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Deals prompts into rounds, each with prompts of all lengths, so that shapes are shared.

    `rounds([5, 1, 4, 2, 3], 2)` is `[[0, 3], [2, 1], [4]]`.

    Args:
      lengths: of the prompts.
      size: most prompts of a round.
    """
    order = sorted(range(len(lengths)), key=lambda at: lengths[at], reverse=True)
    count = -(-len(order) // size)
    return [order[first::count] for first in range(count)]


def _decoding(examples: ExampleSet, settings: EvaluationConfig) -> DecodingConfig:
    return dataclasses.replace(settings.decoding, boundaries=examples.boundaries)


def _token_rows(example: Example) -> Sequence[Sequence[int]]:
    return (example.inputs, *example.option_tokens, *example.content_free)


def _check_tokens(config: ModelConfig, examples: ExampleSet) -> None:
    """A token beyond the embedding would silently read as another one."""
    highest = max(
        max(max(row, default=0) for row in _token_rows(example)) for example in examples.examples
    )
    if highest >= config.vocab_size:
        raise ValueError(
            f"cache {examples.cache or examples.name} holds token id {highest}, but the model has "
            f"{config.vocab_size} embedding rows; evaluate on caches of the model's vocabulary"
        )
