"""Responses to IFEval's prompts, put together at random so that each verdict goes both ways."""

import random

_WORDS = (
    "river stone Mr. lamp walks over the hill at 5 p.m. and SINGS a song of NASA; it rains on Dr. "
    "Ash's roof, I think. Why? Nobody in the U.S. knows! summer light, I'm told, is long..."
).split()
_FOREIGN = {
    "de": "Der Fluss ist heute sehr breit und das Wasser ist kalt.",
    "es": "El río es muy ancho hoy y el agua está fría.",
    "hi": "आज नदी बहुत चौड़ी है और पानी ठंडा है।",
    "mr": "आज नदी खूप रुंद आहे आणि पाणी थंड आहे.",
    "ko": "오늘은 강이 매우 넓고 물이 차갑습니다.",
    "vi": "Hôm nay dòng sông rất rộng và nước thì lạnh.",
    "ru": "Сегодня река очень широкая, а вода холодная.",
    "sw": "Leo mto ni mpana sana na maji ni baridi.",
}
_PIECES = (
    "* one point",
    "- another point",
    "*",
    "** bold **",
    "*lit* and **lit twice**",
    "<<A title>>",
    "<< >>",
    "[name] wrote to [address]",
    "***",
    "******",
    "P.S. Bring bread.",
    "P.P.S. And salt.",
    "p. s. small",
    "SECTION 1",
    "Section 2",
    "PARAGRAPH 3",
    "Day 1",
    "Audience 1",
    "My answer is yes.",
    "My answer is maybe",
    "",
    "'Tis said",
    '"So,',
    "Sure, here it is:",
    "Hope this helps!",
)
_WHOLE = (
    '{"a": [1, 2]}',
    '```json\n{"a": 1}\n```',
    "```\n[]\n```",
    "{a: 1}",
    "",
    "   ",
    "*",
    "NaN",
)


def respond(row: dict, generator: random.Random) -> str:
    """A response to a row of the release, in which its own keywords and phrases are likely."""
    if generator.random() < 0.05:
        return generator.choice(_WHOLE)
    if generator.random() < 0.25:
        return _aimed(generator.choice(row["kwargs"]), generator)
    hints = [hint for kwargs in row["kwargs"] for hint in _hints(kwargs, generator)]
    lines = []
    for _ in range(generator.choice((1, 2, 3, 4, 6, 12))):
        line = " ".join(generator.choices(_WORDS, k=generator.choice((1, 4, 9, 30))))
        lines.append(line if generator.random() < 0.6 else generator.choice(_PIECES))
    for hint in hints:
        if generator.random() < 0.7:
            lines.insert(generator.randrange(len(lines) + 1), hint)
    text = generator.choice(("\n", "\n\n", "\n\n", " *** ", "\n***\n")).join(lines)
    for kwargs in row["kwargs"]:
        if "prompt_to_repeat" in kwargs and generator.random() < 0.6:
            text = f"{kwargs['prompt_to_repeat']}\n{text}"
        if "end_phrase" in kwargs and generator.random() < 0.6:
            text += f"\n{kwargs['end_phrase']}"
    return generator.choice(_MANNERS)(text)


def _aimed(kwargs: dict, generator: random.Random) -> str:
    """A response to one instruction alone, one too few or too many of what is asked for."""
    near = generator.choice((-1, 0, 0, 1))
    sentence = " ".join(generator.choices(_WORDS, k=6)).replace("*", "")
    if "language" in kwargs:
        return _FOREIGN.get(kwargs["language"], _FOREIGN["de"])
    if "num_bullets" in kwargs:
        return "\n".join([f"{generator.choice('*-')} point"] * (kwargs["num_bullets"] + near))
    if "num_placeholders" in kwargs:
        return sentence + " [name]" * (kwargs["num_placeholders"] + near)
    if "num_highlights" in kwargs:
        return sentence + " *lit*" * (kwargs["num_highlights"] + near)
    if "first_word" in kwargs:
        paragraphs = [sentence] * (kwargs["num_paragraphs"] + near)
        place = kwargs["nth_paragraph"] - 1
        paragraphs[place : place + 1] = [f"{kwargs['first_word']}, {sentence}"]
        return "\n\n".join(paragraphs)
    if "num_paragraphs" in kwargs:
        return "\n***\n".join([sentence] * (kwargs["num_paragraphs"] + near))
    if kwargs:
        return sentence
    return generator.choice((f"{sentence} ****** a {sentence}", *_PIECES))


def _hints(kwargs: dict, generator: random.Random) -> list[str]:
    texts = [*kwargs.get("keywords", ()), *kwargs.get("forbidden_words", ())[:1]]
    if "keyword" in kwargs:
        texts += [kwargs["keyword"]] * generator.randrange(kwargs["frequency"] + 2)
    if "letter" in kwargs:
        texts.append(kwargs["letter"] * generator.randrange(kwargs["let_frequency"] + 3))
    texts += [kwargs.get("first_word", ""), kwargs.get("postscript_marker", "")]
    if "section_spliter" in kwargs:
        texts += [f"{kwargs['section_spliter']} {n}" for n in range(kwargs["num_sections"])]
    return [text for text in texts if text]


def _keep(text: str) -> str:
    return text


def _quote(text: str) -> str:
    return f'"{text}"'


def _trim(text: str) -> str:
    return f"Sure, here it is:\n{text}\nHope this helps!"


def _without_commas(text: str) -> str:
    return text.replace(",", "")


_MANNERS = (_keep, _keep, _keep, _quote, _trim, _without_commas, str.lower, str.upper)
