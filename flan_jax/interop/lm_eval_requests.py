"""What tasks of lm-evaluation-harness ask for, as what our scoring and generation take."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flan_jax.data.vocabularies import AnyVocabulary
from flan_jax.evaluation.examples import Example
from flan_jax.evaluation.sampling import DecodingConfig

# What tasks ask of generation, and what we call it.
_SETTINGS = {
    "temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "num_beams": "beams",
    "length_penalty": "length_penalty", "seed": "seed",
}  # fmt: skip
_TOGETHER = 16  # continuations of one context that are scored as one example

Request = tuple[tuple[str, str], list[int], list[int]]  # texts; tokens of context, continuation


def examples(
    requests: Sequence[Request], contexts: Iterable[Sequence[int]]
) -> tuple[list[Example], list[list[int]]]:
    """Puts the continuations of a context together.

    Args:
      requests: texts, and tokens of contexts and continuations.
      contexts: the tokens of each request's context that are read.

    Returns:
      Examples whose options are continuations, and the numbers of the requests of each.
    """
    members: dict[tuple[int, ...], list[int]] = {}
    for number, context in enumerate(contexts):
        members.setdefault(tuple(context), []).append(number)
    found, numbers = [], []
    for context, some in members.items():
        # Of like length together: rows are padded to the longest.
        some = sorted(some, key=lambda number: len(requests[number][2]))
        for at in range(0, len(some), _TOGETHER):
            numbers.append(some[at : at + _TOGETHER])
            tokens = tuple(requests[number][2] for number in numbers[-1])
            texts = tuple(requests[number][0][1] for number in numbers[-1])
            first = numbers[-1][0]
            prompt = requests[first][0][0]
            found.append(Example(context, prompt, (), texts, tokens, example=first))
    return found, numbers


def decoding(asked: Mapping[str, Any], given: DecodingConfig) -> tuple[DecodingConfig, list[str]]:
    """How a task wants to be answered.

    Args:
      asked: its `generation_kwargs`, as `normalize_gen_kwargs` of the harness gives them, without
        the most tokens.
      given: settings that no task has a say in.

    Returns:
      The settings of generation, and the task's stop texts.

    Raises:
      ValueError: it asks for something that there is not.
    """
    asked = dict(asked)
    if not asked.pop("do_sample"):
        asked = {name: asked[name] for name in asked if name not in ("top_k", "top_p")}
    until = [text for text in asked.pop("until") if text]
    unknown = sorted(set(asked) - set(_SETTINGS))
    if unknown:
        raise ValueError(
            f"generation_kwargs {unknown} are not known; known are until, do_sample, "
            f"max_gen_toks, {', '.join(_SETTINGS)}: set others in the task, or leave them out"
        )
    settings = {_SETTINGS[name]: asked[name] for name in asked}
    # Beam search ends with EOS alone; what follows a stop text is cut off afterwards.
    stop = () if settings.get("beams", 1) > 1 else until
    return dataclasses.replace(given, **settings, stop=stop), until


def reader(vocabulary: AnyVocabulary, until: Sequence[str]) -> Callable[[Iterable[int]], str]:
    """Returns a function from tokens to text without special tokens, unless they are stops.

    (The harness looks for stops in a text with all of them, where "a" stops at <|im_start|>.)
    """
    special = sorted(vocabulary.special_ids)
    pieces = zip(special, vocabulary.pieces(special), strict=True)
    left_out = {token for token, piece in pieces if piece not in until}

    def read(tokens: Iterable[int]) -> str:
        kept = (t for t in tokens if t not in left_out and t < vocabulary.size)
        return vocabulary.decode(kept)

    return read
