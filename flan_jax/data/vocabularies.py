"""Vocabularies of any kind: what the rest of the code asks of one, and how one is found.

    vocabulary = vocabularies.load("t5_spiece.model")
    vocabulary = vocabularies.load("Llama-3.1-8B")            # a folder of Hugging Face

A cache's manifest and a run's `run.json` hold what `facts` gives; with the file, `from_facts` makes
the same vocabulary of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from flan_jax import storage
from flan_jax.batch import Boundaries
from flan_jax.data import tokenizer_json, vocabulary
from flan_jax.data.tokenizer_json import SpecialTokens, TokenizerVocabulary
from flan_jax.data.vocabulary import Vocabulary

# What a folder may hold, the first that it does being taken. T5's own model comes first, since
# others make tokenizer.json from it; in later families that file has the tokens of conversations.
FILES = ("spiece.model", tokenizer_json.FILE, "tokenizer.model")


class AnyVocabulary(Protocol):
    """Text to token ids and back: a SentencePiece model or a `tokenizer.json`.

    Attributes:
      path: path of the file, as given.
      extra_ids: number of sentinels, which are the last ids.
    """

    path: str
    extra_ids: int

    @property
    def digest(self) -> str:
        """Hex digest of all that ids depend on."""

    @property
    def size(self) -> int:
        """Number of ids."""

    @property
    def pad_id(self) -> int | None:
        """Id of padding, or None. Batches are padded with 0 whatever it is."""

    @property
    def eos_id(self) -> int:
        """Id that ends a sequence."""

    @property
    def bos_id(self) -> int | None:
        """Id that begins a text, or None."""

    @property
    def unk_id(self) -> int | None:
        """Id of what is unknown, or None."""

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that are no part of a text: its bounds, padding, unknown, sentinels, markers."""

    @property
    def boundaries(self) -> Boundaries:
        """The tokens that sequences of decoder-only models begin and end with."""

    def encode(self, text: str) -> list[int]:
        """Turns a text into ids, without what the original puts around texts."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Turns many texts into ids, as `encode`."""

    def encode_whole(self, text: str) -> list[int]:
        """Turns a text into ids, with what the original puts around texts."""

    def decode(self, ids: Iterable[int]) -> str:
        """Turns ids into text, up to the end of sequence, without padding."""

    def round_trip(self, text: str) -> str:
        """Gives the text as the model sees it."""

    def count_unknown(self, ids: Iterable[int]) -> int:
        """Counts the tokens that stand for what is unknown."""

    def sentinel(self, index: int) -> int:
        """Gives the id of `<extra_id_{index}>`, or raises ValueError."""

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Gives the piece of each id, to be looked at."""

    def cut_at(self, text: str, kept: int) -> int:
        """Finds how many characters the first tokens of a text cover."""


def load(path: str, extra_ids: int | None = None) -> AnyVocabulary:
    """Reads a vocabulary of either kind.

    Args:
      path: a SentencePiece `.model`, a `tokenizer.json` (any name that ends in `.json`), or a
        folder that holds one; local or remote.
      extra_ids: sentinels to add behind a SentencePiece model's pieces; None for T5's 100 where
        the model has T5's special ids and no sentinels, and for none elsewhere. A
        `tokenizer.json` has its own.

    Raises:
      FileNotFoundError: there is no such file, or nothing of the kind in the folder.
      ValueError: the file is of neither kind, or damaged, or no end of sequence is known.
    """
    file = str(path)
    if not file.endswith((".json", ".model")) and storage.path(file).is_dir():
        file = _in_folder(file)
    if file.endswith(".json"):
        return TokenizerVocabulary(file)
    if not file.endswith(".model"):
        raise ValueError(
            f"vocabulary: cannot tell what {file} is; expected a SentencePiece model (.model), a "
            f"{tokenizer_json.FILE} (.json), or a folder with one of {', '.join(FILES)}"
        )
    if extra_ids is None:
        extra_ids = vocabulary.T5_EXTRA_IDS if _lacks_sentinels(Vocabulary(file, 0)) else 0
    return Vocabulary(file, extra_ids)


def _in_folder(folder: str) -> str:
    for name in FILES:
        if (storage.path(folder) / name).exists():
            return f"{folder.rstrip('/')}/{name}"
    there = sorted(file.name for file in storage.path(folder).iterdir())
    remedy = ""
    if "vocab.json" in there:  # the form before tokenizer.json
        remedy = "; make the second with AutoTokenizer.from_pretrained(...).save_pretrained(...)"
    raise FileNotFoundError(
        f"vocabulary: the folder {folder} holds none of {', '.join(FILES)}{remedy}. It holds: "
        f"{', '.join(there[:20]) or 'nothing'}"
    )


def _lacks_sentinels(bare: Vocabulary) -> bool:
    """Whether a model has T5's special ids, while its sentinels are to be added (not mT5's)."""
    if (bare.pad_id, bare.eos_id, bare.unk_id, bare.bos_id) != (0, 1, 2, None):
        return False
    return not any("<extra_id_0>" in piece for piece in bare.pieces(range(bare.size)))


def facts(vocabulary: AnyVocabulary) -> dict[str, Any]:
    """What manifests and run folders record of a vocabulary.

    For T5's this is {"path": ..., "digest": ..., "size": 32100, "sentinels": 100, "start": 0,
    "end": 1, "special": None}.

    Args:
      vocabulary: the vocabulary.

    Returns:
      Values that JSON holds; `start` and `end` are `Boundaries`, `special` the special tokens of a
      `tokenizer.json` by name, None for a SentencePiece model.
    """
    is_json = isinstance(vocabulary, TokenizerVocabulary)
    return {
        "path": vocabulary.path,
        "digest": vocabulary.digest,
        "size": vocabulary.size,
        "sentinels": vocabulary.extra_ids,
        **vocabulary.boundaries._asdict(),
        "special": vocabulary.special._asdict() if is_json else None,
    }


def from_facts(facts: Mapping[str, Any], path: str | None = None) -> AnyVocabulary:
    """Makes the vocabulary that facts were recorded of.

    Args:
      facts: what `facts` gave; older ones are of SentencePiece models and lack `special`.
      path: where its file is now; None for where it was.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not of the kind.
    """
    path = str(path or facts["path"])
    special = facts.get("special")
    if special is None:
        return Vocabulary(path, facts["sentinels"])
    lists = {name: tuple(special[name]) for name in ("begins", "ends")}
    return TokenizerVocabulary(path, SpecialTokens(**{**special, **lists}))
