"""Strict and loose verdicts on a response (Zhou et al., 2023, section 2)."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flan_jax.evaluation.ifeval import form, wording

# Names are those of the release's `instruction_id_list`, arguments those of its `kwargs`.
INSTRUCTIONS: dict[str, Callable[..., bool]] = {
    "keywords:existence": wording.has_keywords,
    "keywords:frequency": wording.repeats_keyword,
    "keywords:forbidden_words": wording.avoids_words,
    "keywords:letter_frequency": wording.repeats_letter,
    "language:response_language": wording.is_in_language,
    "length_constraints:number_sentences": wording.has_sentences,
    "length_constraints:number_paragraphs": wording.has_paragraphs,
    "length_constraints:number_words": wording.has_words,
    "length_constraints:nth_paragraph_first_word": wording.begins_paragraph,
    "detectable_content:number_placeholders": form.has_placeholders,
    "detectable_content:postscript": form.has_postscript,
    "detectable_format:number_bullet_lists": form.has_bullets,
    "detectable_format:constrained_response": form.is_constrained,
    "detectable_format:number_highlighted_sections": form.has_highlights,
    "detectable_format:multiple_sections": form.has_sections,
    "detectable_format:json_format": form.is_json,
    "detectable_format:title": form.has_title,
    "combination:two_responses": form.is_two_responses,
    "combination:repeat_prompt": form.repeats_prompt,
    "startend:end_checker": form.ends_with,
    "startend:quotation": form.is_quoted,
    "change_case:capital_word_frequency": wording.has_capital_words,
    "change_case:english_capital": wording.is_english_capitals,
    "change_case:english_lowercase": wording.is_english_lowercase,
    "punctuation:no_comma": form.has_no_comma,
}

Asked = Iterable[tuple[str, Mapping[str, Any]]]


def strict(response: str, asked: Asked) -> tuple[bool, ...]:
    """Whether each instruction is followed to the letter; an empty response follows none.

    Args:
      response: a generated text.
      asked: instructions by name (a key of `INSTRUCTIONS`) with their arguments.

    Raises:
      ValueError: an instruction is unknown, or its arguments are not what it takes.
    """
    return _verdicts([response], asked)


def loose(response: str, asked: Asked) -> tuple[bool, ...]:
    """Whether each instruction is followed by the response, or by it less its trimmings.

    These are its first line ("Sure, here it is:"), its last, both, and, with and without these, the
    asterisks of Markdown. Arguments and errors are those of `strict`.
    """
    lines = response.split("\n")
    cut = [lines[1:], lines[:-1], lines[1:-1]]
    texts = [response, *("\n".join(kept).strip() for kept in cut)]
    return _verdicts([*texts, *(text.replace("*", "") for text in texts)], asked)


def _verdicts(texts: Sequence[str], asked: Asked) -> tuple[bool, ...]:
    texts = [text for text in dict.fromkeys(texts) if text.strip()]
    return tuple(
        # The check comes first, so that an empty response hides no error.
        _checked(name, arguments) and any(INSTRUCTIONS[name](text, **arguments) for text in texts)
        for name, arguments in asked
    )


def _checked(name: str, arguments: Mapping[str, Any]) -> bool:
    if name not in INSTRUCTIONS:
        raise ValueError(
            f"instruction {name!r} is unknown; IFEval's 25 are {', '.join(INSTRUCTIONS)}"
        )
    wanted = list(inspect.signature(INSTRUCTIONS[name]).parameters)[1:]
    if sorted(arguments) != sorted(wanted):
        raise ValueError(
            f"instruction {name!r} takes arguments {wanted}, got {sorted(arguments)}; compare the "
            "row's kwargs with the release"
        )
    return True
