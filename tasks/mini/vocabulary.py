"""The vocabulary of the embedded collection: a SentencePiece model with one piece a word.

It is built, not trained: every word that documents and tasks can render is a piece, and letters
with low scores spell whatever else a user types. Text is lower-cased, and line breaks become
spaces, as with T5's vocabulary. `python -m tasks.mini.vocabulary` writes the model file anew.
"""

import io
import random
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from flan_jax.data.declarations import TaskDeclaration
from flan_jax.data.templates import render
from flan_jax.data.vocabulary import Vocabulary
from tasks.mini import documents
from tasks.mini.clusters_held_out import DEVELOPMENT_TASKS, TEST_TASKS
from tasks.mini.clusters_trained import TRAINED_TASKS
from tasks.mini.grammar import words

PATH = Path(__file__).with_name("vocabulary.model")
# Sentinels for span corruption; rows of 64 tokens never need more.
EXTRA_IDS = 16
_PUNCTUATION = ".,:;?!-_'\""
# Enough draws that every word of the world has come up many times; a test says so.
_DOCUMENTS = 8000
_EXAMPLES = 60
_WORD_SCORE, _LETTER_SCORE = -1.0, -20.0


def load() -> Vocabulary:
    """Opens the committed model file."""
    return Vocabulary(str(PATH), extra_ids=EXTRA_IDS)


def texts() -> Iterator[str]:
    """Renders documents and tasks until every word has come up."""
    rng = random.Random("vocabulary")
    for _ in range(_DOCUMENTS):
        yield " ".join(run for run, _ in documents.document(rng))
    for declaration in (*TRAINED_TASKS, *DEVELOPMENT_TASKS, *TEST_TASKS):
        yield from _examples(declaration)


def build() -> bytes:
    """Makes the SentencePiece model, byte for byte the same each time.

    Returns:
      The serialised model: ids 0, 1 and 2 for padding, end and unknown, then words in alphabetical
      order, punctuation and letters.
    """
    found = {word for text in texts() for word in words(text)}
    model = _empty_model()
    for piece, kind in (("<pad>", "CONTROL"), ("</s>", "CONTROL"), ("<unk>", "UNKNOWN")):
        _add(model, piece, 0.0, kind)
    for word in sorted(word for word in found if word.isalpha() and len(word) > 1):
        _add(model, f"▁{word}", _WORD_SCORE)
    for mark in _PUNCTUATION:
        _add(model, mark, _WORD_SCORE)
        _add(model, f"▁{mark}", _WORD_SCORE)
    _add(model, "'s", _WORD_SCORE)
    for word in ("a", "i"):
        _add(model, f"▁{word}", _WORD_SCORE)
    for letter in string.ascii_lowercase + string.digits:
        _add(model, letter, _LETTER_SCORE)
    _add(model, "▁", _LETTER_SCORE)
    model.trainer_spec.vocab_size = len(model.pieces)
    return model.SerializeToString(deterministic=True)


def _examples(declaration: TaskDeclaration) -> Iterator[str]:
    rows = declaration.source.rows("train", None)
    for index, row in zip(range(_EXAMPLES), rows, strict=False):
        templates = declaration.templates if index == 0 else declaration.templates[:1]
        for template in templates:
            fields = declaration(row)
            yield render(template, fields, with_options=True).inputs


def _add(model, piece: str, score: float, kind: str = "NORMAL") -> None:
    types = sentencepiece_model_pb2.ModelProto.SentencePiece.Type
    model.pieces.add(piece=piece, score=score, type=types.Value(kind))


def _empty_model() -> sentencepiece_model_pb2.ModelProto:
    """A unigram model that lower-cases, with settings but no pieces.

    Only SentencePiece's trainer writes the binary form of the normaliser's table, so a throw-away
    model is trained for it.
    """
    rules = [f"{ord(letter):X}\t{ord(letter.lower()):X}" for letter in string.ascii_uppercase]
    rules += [f"{ord(blank):X}\t20" for blank in "\n\t"]
    trained = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "rules.tsv")
        table.write_text("\n".join(rules) + "\n")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([string.ascii_lowercase] * 10),
            model_writer=trained,
            vocab_size=30,
            hard_vocab_limit=False,
            normalization_rule_tsv=str(table),
            minloglevel=2,
        )
    learned = sentencepiece_model_pb2.ModelProto.FromString(trained.getvalue())
    model = sentencepiece_model_pb2.ModelProto()
    model.normalizer_spec.name = "lower"
    model.normalizer_spec.precompiled_charsmap = learned.normalizer_spec.precompiled_charsmap
    spec = model.trainer_spec
    spec.model_type = sentencepiece_model_pb2.TrainerSpec.UNIGRAM
    spec.pad_id, spec.eos_id, spec.unk_id, spec.bos_id = 0, 1, 2, -1
    spec.pad_piece = "<pad>"
    return model


if __name__ == "__main__":
    PATH.write_bytes(build())
