"""Instructions on words: keywords, letters, language, case, and lengths.

Each function takes a response and the arguments of the instruction, as the release names them, and
says whether the response follows it.
"""

import operator
import re
from collections.abc import Callable, Sequence

from flan_jax.evaluation.ifeval import texts

_RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "less than": operator.lt,
    "at least": operator.ge,
}
_DIVIDER = re.compile(r"\s?\*\*\*\s?")
_WORD_END = re.compile(r"[.,?!'\"]")


def _holds(found: int, relation: str, wanted: int) -> bool:
    if relation not in _RELATIONS:
        raise ValueError(f"relation {relation!r} is unknown; expected {' or '.join(_RELATIONS)}")
    return _RELATIONS[relation](found, wanted)


def _find(words: str, response: str) -> list[str]:
    return re.findall(re.escape(words), response, re.IGNORECASE)


def has_keywords(response: str, keywords: Sequence[str]) -> bool:
    """Each keyword is there, in any case, be it a part of a word."""
    return all(_find(keyword, response) for keyword in keywords)


def repeats_keyword(response: str, relation: str, keyword: str, frequency: int) -> bool:
    """The keyword is there so often, in any case, parts of words included."""
    return _holds(len(_find(keyword, response)), relation, frequency)


def avoids_words(response: str, forbidden_words: Sequence[str]) -> bool:
    """None of the words is there as a whole word, in any case."""
    return not any(
        re.search(rf"\b{re.escape(word)}\b", response, re.IGNORECASE) for word in forbidden_words
    )


def repeats_letter(response: str, let_relation: str, letter: str, let_frequency: int) -> bool:
    """The letter (or another character) is there so often, in any case."""
    return _holds(response.lower().count(letter.lower()), let_relation, let_frequency)


def is_in_language(response: str, language: str) -> bool:
    """The response as a whole is in the language of an ISO 639-1 code, or in none that shows."""
    return texts.language(response) in (language, None)


def has_sentences(response: str, relation: str, num_sentences: int) -> bool:
    """There are so many sentences."""
    return _holds(len(texts.sentences(response)), relation, num_sentences)


def has_words(response: str, relation: str, num_words: int) -> bool:
    """There are so many words."""
    return _holds(len(texts.words(response)), relation, num_words)


def has_paragraphs(response: str, num_paragraphs: int) -> bool:
    """There are just so many paragraphs with `***` between them, and none of them is empty."""
    paragraphs = _DIVIDER.split(response)
    # A divider at either end divides nothing.
    inner = [text for text in paragraphs[1:-1]]
    ends = [text for text in (paragraphs[0], *paragraphs[1:][-1:]) if text.strip()]
    return all(text.strip() for text in inner) and len(inner) + len(ends) == num_paragraphs


def begins_paragraph(
    response: str, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    """There are just so many paragraphs, and the n-th, counted from 1, begins with the word.

    Paragraphs have an empty line between them. Empty ones are not counted among the paragraphs, but
    are when the n-th is looked for, as in the authors' program.
    """
    paragraphs = response.split("\n\n")
    count = sum(bool(text.strip()) for text in paragraphs)
    if count != num_paragraphs or nth_paragraph > count:
        return False
    begun = paragraphs[nth_paragraph - 1].split()
    if not begun:
        return False
    word = _WORD_END.split(begun[0].lstrip("'").lstrip('"'), maxsplit=1)[0]
    return word.lower() == first_word.lower()


def has_capital_words(response: str, capital_relation: str, capital_frequency: int) -> bool:
    """There are so many words all in capitals; "I" is one, and so is the "U.S." of a sentence."""
    found = sum(word.isupper() for word in texts.tokens(response))
    return _holds(found, capital_relation, capital_frequency)


def is_english_capitals(response: str) -> bool:
    """The response is in English, and in capitals throughout."""
    return response.isupper() and is_in_language(response, "en")


def is_english_lowercase(response: str) -> bool:
    """The response is in English, and has no capital."""
    return response.islower() and is_in_language(response, "en")
