"""Vocabularies of Hugging Face's `tokenizer.json`, through the `tokenizers` library alone.

Whatever the file says is done as the library does it: byte-level BPE (Llama 3, Qwen),
SentencePiece's BPE with byte fallback (Llama 2, Mistral, Gemma) and Unigram (T5). Which token ends
a sequence stands in the files beside it, or at the end of the file's own template.

    >>> vocabulary = TokenizerVocabulary("llama-3/tokenizer.json")           # doctest: +SKIP
    >>> vocabulary.encode("Hello world")                                     # doctest: +SKIP
    [9906, 1917]
    >>> vocabulary.encode_whole("Hello world")                               # doctest: +SKIP
    [128000, 9906, 1917]
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import tokenizers

from flan_jax import storage
from flan_jax.batch import Boundaries
from flan_jax.data import token_ids

FILE = "tokenizer.json"
# Files beside it that name special tokens, those that name them by text first.
_BY_TEXT = ("tokenizer_config.json", "special_tokens_map.json")
_BY_ID = ("generation_config.json", "config.json")


class SpecialTokens(NamedTuple):
    """What `tokenizer.json` leaves to the files beside it.

    Attributes:
      eos: id that ends a sequence.
      bos: id that begins a text, or None.
      pad: id of padding, or None.
      begins: ids that the original puts before every text; none or one.
      ends: ids that the original puts behind every text.
    """

    eos: int
    bos: int | None = None
    pad: int | None = None
    begins: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()


class TokenizerVocabulary:
    """A `tokenizer.json` and its special tokens.

    Two vocabularies are equal when file and special tokens are, wherever the files lie. Special
    tokens in a text become their ids, as in the library.

    Attributes:
      path: path of the file, as given.
    """

    def __init__(self, path: str, special: SpecialTokens | None = None):
        """Reads the file, unless it is remote: then it is read when it is first needed.

        Args:
          path: path of a `tokenizer.json`, under any name.
          special: its special tokens; None to find them in the files beside it.

        Raises:
          FileNotFoundError: if there is no such file.
          ValueError: if it is no such file, or no end of sequence is known.
        """
        self.path = str(path)
        self._given = special
        if not storage.is_remote(self.path):
            self.special  # noqa: B018

    @functools.cached_property
    def _content(self) -> bytes:
        file = storage.path(self.path)
        if not file.exists():
            raise FileNotFoundError(
                f"vocabulary: no {FILE} at {self.path}; give the path of one, or of its folder"
            )
        return file.read_bytes()

    @functools.cached_property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        content = self._content
        try:
            tokenizer = tokenizers.Tokenizer.from_str(content.decode())
        except Exception as error:  # the library raises Exception itself
            raise ValueError(f"vocabulary: {self.path} is no {FILE} ({error})") from error
        # Some files keep what they were last used with; lengths are the cache's affair.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @functools.cached_property
    def special(self) -> SpecialTokens:
        """The special tokens."""
        if self._given is not None:
            self._tokenizer  # noqa: B018
            return self._given
        return _find_special(self._tokenizer, self.path)

    @functools.cached_property
    def digest(self) -> str:
        """Hex digest of the file and the special tokens."""
        return hashlib.sha256(self._content + json.dumps(self.special).encode()).hexdigest()

    @property
    def pad_id(self) -> int | None:
        """Id of padding; None if the vocabulary has none."""
        return self.special.pad

    @property
    def eos_id(self) -> int:
        """Id that ends a sequence."""
        return self.special.eos

    @property
    def bos_id(self) -> int | None:
        """Id that begins a text; None if the vocabulary has none."""
        return self.special.bos

    @functools.cached_property
    def unk_id(self) -> int | None:
        """Id of what the model does not know; None if every byte has a token."""
        model = json.loads(self._content)["model"]
        if model.get("unk_id") is not None:
            return model["unk_id"]
        unknown = model.get("unk_token")
        return None if unknown is None else self._tokenizer.token_to_id(unknown)

    @functools.cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that are no part of a text: the special tokens, and what the file marks so."""
        added = self._tokenizer.get_added_tokens_decoder()
        marked = {token for token, about in added.items() if about.special}
        named = {self.eos_id, self.bos_id, self.pad_id}
        return frozenset((marked | named) - {None})

    @property
    def boundaries(self) -> Boundaries:
        """The tokens that sequences of decoder-only models begin and end with.

        They begin with what the original puts before a text, which may be nothing.
        """
        begins = self.special.begins
        return Boundaries(begins[0] if begins else None, self.special.eos)

    @functools.cached_property
    def size(self) -> int:
        """Number of ids, those without a token included."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @functools.cached_property
    def extra_ids(self) -> int:
        """Number of sentinels `<extra_id_0>`, ... at the end of the ids, the first one last."""
        count = 0
        while self._tokenizer.token_to_id(f"<extra_id_{count}>") == self.size - 1 - count:
            count += 1
        return count

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TokenizerVocabulary):
            return NotImplemented
        if (self.path, self._given) == (other.path, other._given):
            return True  # without reading what may be remote
        return self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"TokenizerVocabulary({self.path!r})"

    def __reduce__(self) -> tuple:
        return (TokenizerVocabulary, (self.path, self._given))

    def encode(self, text: str) -> list[int]:
        """Turns a text into ids, without what the original puts around texts."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Turns many texts into ids in one call.

        The library uses all cores, unless the environment has TOKENIZERS_PARALLELISM=false.
        """
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def encode_whole(self, text: str) -> list[int]:
        """Turns a text into ids, with what the original puts around texts."""
        return [*self.special.begins, *self.encode(text), *self.special.ends]

    def decode(self, ids: Iterable[int]) -> str:
        """Turns ids into text, up to the end of sequence.

        Args:
          ids: token ids; padding is left out, and so are ids that have no token. Bytes that are no
            UTF-8 together read as U+FFFD.

        Returns:
          The text, special tokens other than padding included.
        """
        kept = token_ids.of_text(ids, self.eos_id, self.pad_id)
        return self._tokenizer.decode(kept, skip_special_tokens=False)

    def round_trip(self, text: str) -> str:
        """Gives the text as the model sees it: encoded and decoded again."""
        return self.decode(self.encode(text))

    def count_unknown(self, ids: Iterable[int]) -> int:
        """Counts the tokens that stand for what the model does not know."""
        return sum(token == self.unk_id for token in ids)

    def sentinel(self, index: int) -> int:
        """Gives the id of `<extra_id_{index}>`.

        Raises:
          ValueError: if there are not that many sentinels.
        """
        remedy = "use an objective without sentinels, or T5's vocabulary"
        return token_ids.sentinel(index, self.size, self.extra_ids, repr(self), remedy)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Gives the piece of each id; `▁` or `Ġ` stands for a blank, as the file has it."""
        return [self._tokenizer.id_to_token(token) or f"<{token}>" for token in map(int, ids)]

    def cut_at(self, text: str, kept: int) -> int:
        """Finds how many characters the first `kept` tokens of a text cover."""
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets[kept][0] if kept < len(offsets) else len(text)


def _find_special(tokenizer: tokenizers.Tokenizer, path: str) -> SpecialTokens:
    """Finds the special tokens in the files beside a `tokenizer.json`, and in its template."""
    named = _by_text(tokenizer, path)
    for kind, token in _by_id(path).items():
        named.setdefault(kind, token)
    begins, ends = _template(tokenizer)
    eos = named.get("eos", ends[-1] if ends else None)
    if eos is None:
        raise ValueError(
            f"vocabulary: nothing says which token of {path} ends a sequence; put eos_token into "
            f"a {_BY_TEXT[0]} beside it, or eos_token_id into a {_BY_ID[1]}"
        )
    bos = named.get("bos", begins[0] if begins else None)
    settings = _read(path, _BY_TEXT[0])
    if "add_bos_token" in settings or "add_eos_token" in settings:
        # transformers replaces the template if either is there.
        begins = (bos,) if settings.get("add_bos_token") and bos is not None else ()
        ends = (eos,) if settings.get("add_eos_token") else ()
    if len(begins) > 1:
        raise ValueError(
            f"vocabulary: {path} puts {len(begins)} tokens before every text ({begins}); expected "
            "one at most, the start token of a sequence"
        )
    return SpecialTokens(eos, bos, named.get("pad"), begins, ends)


def _by_text(tokenizer: tokenizers.Tokenizer, path: str) -> dict[str, int]:
    """Ids of the special tokens that are named by text; of several files the first counts."""
    found: dict[str, int] = {}
    for name in _BY_TEXT:
        values = _read(path, name)
        for kind in ("eos", "bos", "pad"):
            token = values.get(f"{kind}_token")
            text = token.get("content") if isinstance(token, dict) else token
            if kind in found or not text:
                continue
            token_id = tokenizer.token_to_id(text)
            if token_id is None:
                raise ValueError(
                    f"vocabulary: {name} beside {path} has {kind}_token {text!r}, which is no "
                    f"token there; save the tokenizer again with transformers' save_pretrained"
                )
            found[kind] = token_id
    return found


def _by_id(path: str) -> dict[str, int]:
    """Ids of the special tokens that are named by id; of several that end sequences the first."""
    found: dict[str, int] = {}
    for name in _BY_ID:
        values = _read(path, name)
        for kind in ("eos", "pad"):
            token = values.get(f"{kind}_token_id")
            token = token[0] if isinstance(token, list) and token else token
            if kind not in found and isinstance(token, int) and token >= 0:
                found[kind] = token
    return found


def _read(path: str, name: str) -> dict[str, Any]:
    file = storage.path(path).parent / name
    if not file.exists():
        return {}
    try:
        values = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"vocabulary: {file} is no JSON ({error})") from error
    return values if isinstance(values, dict) else {}


def _template(tokenizer: tokenizers.Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids that the file's own template puts before and behind a text."""
    whole = tokenizer.encode("a")
    text = [place for place, added in enumerate(whole.special_tokens_mask) if not added]
    if not text:  # the model has no "a"
        return (), ()
    return tuple(whole.ids[: text[0]]), tuple(whole.ids[text[-1] + 1 :])
