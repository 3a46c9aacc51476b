"""SentencePiece vocabularies: text to token ids and back, through SentencePiece alone.

The ids are those of SeqIO's `SentencePieceVocabulary` for the same model and number of sentinels:
the pieces of the model, then the sentinels from the last, `<extra_id_99>`, to the first (Raffel et
al., 2020, section 3.1.4). With T5's model these are 32,000 pieces and 32,100 ids, while T5's
embedding has 32,128 rows: the rows beyond `size` are never read or predicted.

    >>> vocabulary = Vocabulary("t5_spiece.model")                           # doctest: +SKIP
    >>> vocabulary.encode("The house is wonderful.")                         # doctest: +SKIP
    [37, 629, 19, 1627, 5]

Models of other families (Llama 2, Mistral, Gemma) have other special ids, which the model says, and
no sentinels. `flan_jax.data.vocabularies` reads these and `tokenizer.json` alike.
"""

import functools
import hashlib
from collections.abc import Iterable, Sequence

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from flan_jax import storage
from flan_jax.batch import PAD_ID, Boundaries
from flan_jax.data import token_ids

# Number of sentinels of T5 (Raffel et al., 2020).
T5_EXTRA_IDS = 100


class Vocabulary:
    """A SentencePiece model and the sentinels of span corruption.

    Two vocabularies are equal when model and number of sentinels are, wherever the files lie.

    Attributes:
      path: path of the model file, as given.
      extra_ids: number of sentinels.
    """

    def __init__(self, path: str, extra_ids: int = T5_EXTRA_IDS):
        """Reads the model, unless it is remote: then it is read when it is first needed.

        Args:
          path: path of a SentencePiece model file that has an end of sequence.
          extra_ids: number of sentinels to add behind the pieces.

        Raises:
          FileNotFoundError: if there is no such file.
          ValueError: if it is not such a model.
        """
        self.path = str(path)
        self.extra_ids = extra_ids
        if not storage.is_remote(self.path):
            self._processor  # noqa: B018

    @functools.cached_property
    def _model(self) -> bytes:
        file = storage.path(self.path)
        if not file.exists():
            raise FileNotFoundError(
                f"vocabulary: no SentencePiece model at {self.path}; give the path of its .model "
                "file"
            )
        return file.read_bytes()

    @functools.cached_property
    def _processor(self) -> sentencepiece.SentencePieceProcessor:
        return _load(self.path, self._model, self.extra_ids)

    @functools.cached_property
    def digest(self) -> str:
        """Hex digest of the model and the number of sentinels."""
        return hashlib.sha256(self._model + str(self.extra_ids).encode()).hexdigest()

    @functools.cached_property
    def unk_id(self) -> int:
        """Id of what the model does not know."""
        return self._processor.unk_id()

    @functools.cached_property
    def pad_id(self) -> int | None:
        """Id of padding; None if the model has none."""
        return _present(self._processor.pad_id())

    @functools.cached_property
    def eos_id(self) -> int:
        """Id that ends a sequence."""
        return self._processor.eos_id()

    @functools.cached_property
    def bos_id(self) -> int | None:
        """Id that begins a text; None if the model has none."""
        return _present(self._processor.bos_id())

    @functools.cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that are no part of a text: control pieces, unknown and sentinels."""
        processor, pieces = self._processor, self.size - self.extra_ids
        controls = (token for token in range(pieces) if processor.is_control(token))
        return frozenset([self.unk_id, *controls, *range(pieces, self.size)])

    @property
    def boundaries(self) -> Boundaries:
        """The tokens that sequences of decoder-only models begin and end with.

        Models without a token for the beginning begin with padding, as T5's decoder does.
        """
        start = PAD_ID if self.bos_id is None else self.bos_id
        return Boundaries(start, self.eos_id)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        if (self.path, self.extra_ids) == (other.path, other.extra_ids):
            return True  # without reading what may be remote
        return self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Vocabulary({self.path!r}, extra_ids={self.extra_ids})"

    def __reduce__(self) -> tuple:
        return (Vocabulary, (self.path, self.extra_ids))

    @property
    def size(self) -> int:
        """Number of ids: pieces and sentinels."""
        return self._processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """Turns a text into ids, without an end of sequence.

        Args:
          text: any text; `<extra_id_7>` at the start of a word gives a sentinel.

        Returns:
          Token ids.
        """
        return self._processor.encode(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Turns many texts into ids in one call, on one thread; much faster than one by one."""
        return self._processor.encode(list(texts), num_threads=1)

    def encode_whole(self, text: str) -> list[int]:
        """Turns a text into ids, with what the original puts around texts.

        That is the beginning where the model has one (Llama 2, Gemma), else the end (T5).
        """
        if self.bos_id is None:
            return [*self.encode(text), self.eos_id]
        return [self.bos_id, *self.encode(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """Turns ids into text, up to the end of sequence.

        Args:
          ids: token ids; padding is left out, and ids of embedding rows that have no piece read as
            unknown.

        Returns:
          The text. SentencePiece may have changed blanks and characters; see `round_trip`.
        """
        kept = token_ids.of_text(ids, self.eos_id, self.pad_id)
        return self._processor.decode(
            [token if token < self.size else self.unk_id for token in kept]
        )

    def round_trip(self, text: str) -> str:
        """Gives the text as the model sees it: encoded and decoded again.

        T5's model turns line breaks and repeated blanks into one blank.
        """
        return self.decode(self.encode(text))

    def count_unknown(self, ids: Iterable[int]) -> int:
        """Counts the tokens that stand for characters the model does not know."""
        return sum(token == self.unk_id for token in ids)

    def sentinel(self, index: int) -> int:
        """Gives the id of `<extra_id_{index}>`; the first sentinel has the highest id.

        Raises:
          ValueError: if there are not that many sentinels.
        """
        remedy = "use fewer corrupted spans or a vocabulary with more extra_ids"
        return token_ids.sentinel(index, self.size, self.extra_ids, repr(self), remedy)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Gives the piece of each id; `▁` stands for a blank."""
        pieces = self.size - self.extra_ids
        return [
            self._processor.id_to_piece(token)
            if token < pieces
            else f"<extra_id_{self.size - 1 - token}>"
            for token in map(int, ids)
        ]

    def cut_at(self, text: str, kept: int) -> int:
        """Finds how many characters the first `kept` tokens of a text cover."""
        found = self._processor.encode(text, out_type="immutable_proto").pieces
        return found[kept].begin if kept < len(found) else len(text)


def _present(token: int) -> int | None:
    """SentencePiece writes -1 for a special token that a model lacks."""
    return None if token < 0 else token


@functools.lru_cache(maxsize=8)
def _load(path: str, model: bytes, extra_ids: int) -> sentencepiece.SentencePieceProcessor:
    foreign = f"vocabulary: {path} ({len(model):,} bytes) is not a SentencePiece model"
    try:
        pieces = sentencepiece_model_pb2.ModelProto.FromString(model)
    except Exception as error:  # the error's type is protobuf's own and differs by its version
        raise ValueError(f"{foreign} ({error}); get the file anew") from error
    if not pieces.pieces:  # an empty file is an empty message, on which SentencePiece crashes
        raise ValueError(f"{foreign} (it has no pieces); get the file anew")
    for index in reversed(range(extra_ids)):
        pieces.pieces.add(
            # The underscore-like mark is SentencePiece's blank: sentinels begin words.
            piece=f"\u2581<extra_id_{index}>",
            score=0.0,
            type=sentencepiece_model_pb2.ModelProto.SentencePiece.USER_DEFINED,
        )
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=pieces.SerializeToString())
    except RuntimeError as error:
        raise ValueError(f"{foreign} ({error}); get the file anew") from error
    if processor.eos_id() < 0:
        raise ValueError(
            f"vocabulary: {path} has no token that ends a sequence; train the model with "
            "--pad_id=0 --eos_id=1 --unk_id=2 --bos_id=-1, which are T5's ids"
        )
    return processor
