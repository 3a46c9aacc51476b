"""Adapters: our declarations and vocabularies behind SeqIO's interfaces.

The rest of the SeqIO world reads our tasks through these; our own cache takes the renderings
directly, which is faster and gives the same tokens.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from flan_jax.data import keyed, objectives
from flan_jax.data.forms import GENERATE
from flan_jax.data.ragged import Ragged
from flan_jax.data.renderer import Rendered
from flan_jax.data.rendering import Drops
from flan_jax.data.tokenizer_json import TokenizerVocabulary
from flan_jax.data.variants import Variant
from flan_jax.data.vocabularies import AnyVocabulary
from flan_jax.data.vocabulary import Vocabulary

_TEXTS = tf.TensorSpec([None], tf.string)
_TEXT = tf.TensorSpec([], tf.string)
_INTEGERS = tf.TensorSpec([None], tf.int32)
_INTEGER = tf.TensorSpec([], tf.int32)
_INDEX = tf.TensorSpec([], tf.int64)
_TRAINING = {"inputs": _TEXTS, "targets": _TEXTS, "template": _INTEGERS, "example": _INDEX}
_EVALUATION = {
    "inputs": _TEXT,
    "targets": _TEXT,
    "template": _INTEGER,
    "example": _INDEX,
    "options": _TEXTS,
    "answer": _INTEGER,
    "references": _TEXTS,
}
_DOCUMENTS = {"targets": _INTEGERS, "example": _INDEX}


class DeclaredSource(seqio.DataSource):
    """The renderings of a variant as a SeqIO data source."""

    def __init__(self, variant: Variant):
        """Wraps a variant; nothing is read before a data set or a count is asked for."""
        super().__init__(splits=variant.splits)
        self.variant = variant

    @property
    def supports_arbitrary_sharding(self) -> bool:
        return False

    def list_shards(self, split: str) -> Sequence[str]:
        return [split]

    def num_input_examples(self, split: str) -> int:
        return self.variant.num_examples(split)

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        *,
        sequence_length: Any = None,
        use_cached: bool = False,
        num_epochs: int | None = 1,
    ) -> tf.data.Dataset:
        """Gives the renderings in the order of the source; SeqIO's task shuffles them.

        A training example comes once, with its renderings under all templates; the preprocessors
        choose one of them.
        """
        if shard_info and shard_info.num_shards > 1:
            raise ValueError(
                f"{self.variant.name} has one shard, {shard_info.num_shards} asked for; shard the "
                "examples with tf.data.Dataset.shard"
            )
        if self.variant.form.objective:
            elements, signature = _document_elements, _DOCUMENTS
        elif self.variant.form.evaluation:
            elements, signature = _evaluation_elements, _EVALUATION
        else:
            elements, signature = _training_elements, _TRAINING
        seed = 0 if seed is None else int(seed)
        generate = functools.partial(elements, self.variant, split, seed)
        return tf.data.Dataset.from_generator(generate, output_signature=signature)


class SeqioTokenizer(seqio.Vocabulary):
    """A `tokenizer.json` as a SeqIO vocabulary; its sentinels are among the ids of the file.

    SeqIO pads with 0 whatever the vocabulary, and takes 0 for padding where it converts features.
    """

    def __init__(self, vocabulary: TokenizerVocabulary):
        """Wraps a vocabulary."""
        super().__init__(extra_ids=0)
        self.vocabulary = vocabulary

    @property
    def bos_id(self) -> int | None:
        return self.vocabulary.bos_id

    @property
    def eos_id(self) -> int:
        return self.vocabulary.eos_id

    @property
    def unk_id(self) -> int | None:
        return self.vocabulary.unk_id

    @property
    def _base_vocab_size(self) -> int:
        return self.vocabulary.size

    def _encode(self, s: str) -> list[int]:
        return self.vocabulary.encode(s)

    def _decode(self, ids: Sequence[int]) -> str:
        return self.vocabulary.decode(ids)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        def encode(text: bytes | np.ndarray) -> np.ndarray:
            # Bytes in a graph, an array of them outside.
            text = np.asarray(text, dtype=object).item().decode()
            return np.array(self.vocabulary.encode(text), np.int32)

        ids = tf.numpy_function(encode, [tf.convert_to_tensor(s, tf.string)], tf.int32)
        return tf.ensure_shape(ids, [None])

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        def decode(rows: np.ndarray) -> np.ndarray:
            texts = [self.vocabulary.decode(row).encode() for row in rows.reshape(-1, width)]
            return np.array(texts, dtype=object).reshape(rows.shape[:-1])

        width = ids.shape[-1]
        return tf.ensure_shape(tf.numpy_function(decode, [ids], tf.string), ids.shape[:-1])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SeqioTokenizer):
            return NotImplemented
        return self.vocabulary == other.vocabulary

    def __hash__(self) -> int:
        return hash(self.vocabulary)

    def __str__(self) -> str:
        return f"SeqioTokenizer({self.vocabulary.path})"


def seqio_vocabulary(vocabulary: AnyVocabulary) -> seqio.Vocabulary:
    """Gives SeqIO's vocabulary with the same ids."""
    if isinstance(vocabulary, TokenizerVocabulary):
        return SeqioTokenizer(vocabulary)
    return seqio.SentencePieceVocabulary(vocabulary.path, extra_ids=vocabulary.extra_ids)


def vocabulary_of(vocabulary: seqio.Vocabulary) -> AnyVocabulary:
    """Gives our vocabulary with the same ids as one of SeqIO's.

    Raises:
      ValueError: if it is neither a SentencePiece vocabulary with sentinels in T5's order nor one
        that `seqio_vocabulary` made.
    """
    if isinstance(vocabulary, SeqioTokenizer):
        return vocabulary.vocabulary
    if not isinstance(vocabulary, seqio.SentencePieceVocabulary):
        raise ValueError(
            f"expected a seqio.SentencePieceVocabulary or a SeqioTokenizer, got "
            f"{type(vocabulary).__name__}; the cache stores any SeqIO task's tokens, but text can "
            "be made only of the ids of these"
        )
    return Vocabulary(vocabulary.sentencepiece_model_file, vocabulary.extra_ids)


def add_task(variant: Variant) -> seqio.Task:
    """Registers a variant as a SeqIO task; reads no data."""
    vocabulary = seqio_vocabulary(variant.vocabulary)
    feature = seqio.Feature(vocabulary=vocabulary, add_eos=True)
    generates = variant.form.evaluation == GENERATE
    metrics = variant.declaration.metrics if generates else ()
    return seqio.TaskRegistry.add(
        variant.name,
        source=DeclaredSource(variant),
        output_features={"inputs": feature, "targets": feature},
        preprocessors=_preprocessors(variant),
        postprocess_fn=_answer_or_references if generates else None,
        metric_fns=[_metric_fn(name) for name in metrics],
    )


def _preprocessors(variant: Variant) -> list[Callable[..., tf.data.Dataset]]:
    if variant.form.objective:
        size, end = variant.vocabulary.size, variant.vocabulary.eos_id
        objective = variant.form.objective
        return [
            functools.partial(_cut_documents, objective=objective),
            functools.partial(_apply_objective, objective=objective, size=size, end=end),
        ]
    tokenise = [seqio.preprocessors.tokenize, seqio.preprocessors.append_eos_after_trim]
    return tokenise if variant.form.evaluation else [_choose_template, *tokenise]


@seqio.map_over_dataset(num_seeds=1)
def _choose_template(element: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    # SeqIO repeats the source before it preprocesses, so that each epoch brings a new seed.
    count = tf.size(element["template"])
    chosen = tf.random.stateless_uniform([], seed, 0, count, tf.int32)
    per_template = ("inputs", "targets", "template")
    return element | {name: element[name][chosen] for name in per_template}


def _cut_documents(
    dataset: tf.data.Dataset, sequence_length: dict[str, int] | None, objective: str
) -> tf.data.Dataset:
    if not sequence_length:
        return dataset
    # SeqIO keeps the two sides apart, where our feed joins them for decoder-only models.
    inputs_length = 0 if objective == "causal_lm" else sequence_length["inputs"]
    size = objectives.chunk_length(objective, inputs_length, sequence_length["targets"])

    def chunks(document: dict[str, tf.Tensor]) -> tf.data.Dataset:
        pieces = tf.data.Dataset.from_tensor_slices(document["targets"]).batch(size)
        # One token alone cannot be cut into inputs and targets.
        pieces = pieces.filter(lambda piece: tf.size(piece) > 1)
        return pieces.map(lambda piece: document | {"targets": piece})

    return dataset.flat_map(chunks)


def _apply_objective(
    dataset: tf.data.Dataset,
    sequence_length: dict[str, int] | None,
    objective: str,
    size: int,
    end: int,
) -> tf.data.Dataset:
    limits = objectives.Limits(None, None)
    if sequence_length and objective == "prefix_lm":
        limits = objectives.Limits(sequence_length["inputs"], sequence_length["targets"])

    def apply(tokens: np.ndarray, seed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chunk = Ragged(tokens, np.array([len(tokens)]))
        keys = np.array([keyed.derive(int(seed[0]), int(seed[1]))])
        made = objectives.apply(objective, chunk, None, keys, limits, size, end)
        return made.inputs.flat, made.targets.flat

    @seqio.map_over_dataset(num_seeds=1)
    def on_chunk(element: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        sides = tf.numpy_function(apply, [element["targets"], seed], (tf.int32, tf.int32))
        inputs, targets = (tf.ensure_shape(side, [None]) for side in sides)
        return element | {"inputs": inputs, "targets": targets}

    return on_chunk(dataset)


def _training_elements(variant: Variant, split: str, seed: int) -> Iterator[dict[str, Any]]:
    for group in variant.grouped(split, seed, Drops()):
        yield {
            "inputs": _texts([rendered.inputs for rendered in group]),
            "targets": _texts([rendered.targets for rendered in group]),
            "template": [rendered.template for rendered in group],
            "example": group[0].example,
        }


def _evaluation_elements(variant: Variant, split: str, seed: int) -> Iterator[dict[str, Any]]:
    for group in variant.grouped(split, seed, Drops()):
        yield from map(_evaluation_element, group)


def _evaluation_element(rendered: Rendered) -> dict[str, Any]:
    return {
        "inputs": rendered.inputs,
        "targets": rendered.targets,
        "template": rendered.template,
        "example": rendered.example,
        "options": _texts(rendered.options),
        "answer": rendered.answer,
        "references": _texts(rendered.references),
    }


def _document_elements(variant: Variant, split: str, seed: int) -> Iterator[dict[str, Any]]:
    for (rendered,) in variant.grouped(split, seed, Drops()):
        segments = rendered.targets
        texts = [segments] if isinstance(segments, str) else [text for text, _ in segments]
        tokens = [token for ids in variant.vocabulary.encode_batch(texts) for token in ids]
        if len(tokens) > 1:
            yield {"targets": np.array(tokens, np.int32), "example": rendered.example}


def _texts(texts: Sequence[str]) -> np.ndarray:
    # An empty list would otherwise become an array of numbers.
    return np.array(texts, dtype=object)


def _answer_or_references(output: str, example: dict[str, Any], is_target: bool = False) -> Any:
    if not is_target:
        return output
    return [reference.decode() for reference in example["references"]]


def _metric_fn(name: str) -> Callable[[Sequence[Sequence[str]], Sequence[str]], dict[str, float]]:
    def metric(targets: Sequence[Sequence[str]], predictions: Sequence[str]) -> dict[str, float]:
        from flan_jax.evaluation import metrics

        return {name: metrics.corpus_score(name, predictions, targets)}

    return metric
