"""Instructions on form: placeholders, lists, highlights, sections, JSON, how a response ends.

Each function takes a response and the arguments of the instruction, as the release names them, and
says whether the response follows it.
"""

import json
import re

_PLACEHOLDER = re.compile(r"\[.*?\]")
_STAR_POINT = re.compile(r"^\s*\*[^*].*$", re.MULTILINE)
_DASH_POINT = re.compile(r"^\s*-.*$", re.MULTILINE)
_HIGHLIGHT = re.compile(r"\*[^\n*]*\*")
_DOUBLE_HIGHLIGHT = re.compile(r"\*\*[^\n*]*\*\*")
_TITLE = re.compile(r"<<[^\n]+>>")
_POSTSCRIPTS = {
    "P.P.S": re.compile(r"p\.\s?p\.\s?s", re.IGNORECASE),
    "P.S.": re.compile(r"p\.\s?s\.", re.IGNORECASE),
}
_VERDICTS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCES = ("```json", "```Json", "```JSON", "```")
_BETWEEN_RESPONSES = "******"


def has_placeholders(response: str, num_placeholders: int) -> bool:
    """There are at least so many placeholders in square brackets, such as [address]."""
    return len(_PLACEHOLDER.findall(response)) >= num_placeholders


def has_postscript(response: str, postscript_marker: str) -> bool:
    """The marker of a postscript is there, in any case; "P. S." is the same as "P.S."."""
    known = _POSTSCRIPTS.get(postscript_marker)
    if known:
        return bool(known.search(response))
    return postscript_marker.lower() in response.lower()


def has_bullets(response: str, num_bullets: int) -> bool:
    """There are just so many points of a list, which are lines that begin with `*` or `-`."""
    points = _STAR_POINT.findall(response) + _DASH_POINT.findall(response)
    return len(points) == num_bullets


def is_constrained(response: str) -> bool:
    """One of the three permitted answers is there, such as "My answer is yes."."""
    return any(verdict in response for verdict in _VERDICTS)


def has_highlights(response: str, num_highlights: int) -> bool:
    """There are at least so many parts in `*` or `**`, each on one line and not empty."""
    found = _HIGHLIGHT.findall(response) + _DOUBLE_HIGHLIGHT.findall(response)
    return sum(bool(text.strip("*").strip()) for text in found) >= num_highlights


def has_sections(response: str, section_spliter: str, num_sections: int) -> bool:
    """There are at least so many sections, which begin with the splitter and a number."""
    beginning = rf"{re.escape(section_spliter)}\s?\d+"
    return len(re.findall(beginning, response)) >= num_sections


def is_json(response: str) -> bool:
    """The response as a whole is JSON, perhaps in a fence of Markdown."""
    text = response.strip()
    for fence in _FENCES:
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def has_title(response: str) -> bool:
    """There is a title in double angular brackets, such as <<poem of joy>>."""
    return any(text.lstrip("<").rstrip(">").strip() for text in _TITLE.findall(response))


def is_two_responses(response: str) -> bool:
    """There are two responses that differ, with six asterisks between them."""
    parts = [text.strip() for text in response.split(_BETWEEN_RESPONSES)]
    if not all(parts[1:-1]):
        return False
    given = [text for text in parts if text]
    return len(given) == 2 and given[0] != given[1]


def repeats_prompt(response: str, prompt_to_repeat: str) -> bool:
    """The response begins with the prompt, in any case."""
    return response.strip().lower().startswith(prompt_to_repeat.strip().lower())


def ends_with(response: str, end_phrase: str) -> bool:
    """The response ends with the phrase, in any case, quotation marks aside."""
    return response.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def is_quoted(response: str) -> bool:
    """The response as a whole is in double quotation marks."""
    text = response.strip()
    return len(text) > 1 and text.startswith('"') and text.endswith('"')


def has_no_comma(response: str) -> bool:
    """There is no comma."""
    return "," not in response
