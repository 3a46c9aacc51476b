"""Conversations: what somebody says to an assistant and what it answers, from any published format.

alpaca         instruction, output, and perhaps input (Taori et al., 2023, stanford_alpaca README)
self_instruct  instruction and instances, a list of input and output (Wang et al., 2022)
dolly          instruction, context, response, and perhaps category (databricks-dolly-15k)
sharegpt       conversations, a list of from and value (FastChat, fastchat/train/train.py)
messages       messages, a list of role and content (OpenAI's chat format for fine-tuning)

    >>> chat = read({"instruction": "Add.", "input": "1, 2", "output": "3"}, "alpaca")
    >>> [(turn.role, turn.text) for turn in chat.turns]
    [('user', 'Add.\\n\\n1, 2'), ('assistant', '3')]
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from flan_jax.data.declarations import Row, RowError
from flan_jax.data.sources.protocol import BadRow
from flan_jax.data.suggestions import suggest

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
# Rows of a file that are looked at to find out its format.
LOOKED_AT = 100
_SHOWN_FIELDS = 12

# Who speaks, by the names that published files have for them. `human` and `gpt` are ShareGPT's;
# `developer` is OpenAI's newer name for `system`.
_ROLES = {
    "system": SYSTEM,
    "developer": SYSTEM,
    "user": USER,
    "human": USER,
    "assistant": ASSISTANT,
    "gpt": ASSISTANT,
    "chatgpt": ASSISTANT,
}


class Turn(NamedTuple):
    """What one side says.

    Attributes:
      role: `USER` or `ASSISTANT`.
      text: what is said, without blanks at its ends.
      weight: of an assistant's turn in the loss.
    """

    role: str
    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Conversation:
    """Turns of a user and an assistant, the user's first.

    Attributes:
      turns: the turns; `conversation` makes and checks them.
      system: what the assistant is told beforehand; empty means nothing.
    """

    turns: tuple[Turn, ...]
    system: str = ""


class FormatError(ValueError):
    """A file whose format is unknown or ambiguous; the message names the fields found."""


class Format(NamedTuple):
    """A published format.

    Attributes:
      fields: the fields that a row must have.
      turn_fields: those of each element of the row's last field, where that is a list.
      turns: function from a row to its turns, the system's among them.
      example: a row of our own making.
    """

    fields: tuple[str, ...]
    turn_fields: tuple[str, ...]
    turns: Callable[[Row], list[Turn]]
    example: dict[str, Any]

    def __str__(self) -> str:
        of = f" (a list of {', '.join(self.turn_fields)})" if self.turn_fields else ""
        return ", ".join(self.fields) + of

    def fits(self, row: Row) -> bool:
        """Whether a row has the fields, whatever they hold."""
        if not all(field in row for field in self.fields):
            return False
        if not self.turn_fields:
            return True
        parts = row[self.fields[-1]]
        return bool(
            isinstance(parts, list)
            and parts
            and isinstance(parts[0], Mapping)
            and all(field in parts[0] for field in self.turn_fields)
        )


class Detection(NamedTuple):
    """The format of a file, and why it is that one.

    Attributes:
      format: a key of `FORMATS`.
      fitting: rows that have its fields.
      looked_at: rows that were looked at.
    """

    format: str
    fitting: int
    looked_at: int

    def __str__(self) -> str:
        return (
            f"{self.format}: of {self.looked_at} rows looked at, {self.fitting} have the fields "
            f"{FORMATS[self.format]}, and none those of another format"
        )


def read(row: Row, name: str) -> Conversation:
    """Reads a row of a format.

    Args:
      row: the row.
      name: a key of `FORMATS`.

    Returns:
      The conversation; it ends with a turn of the assistant's.

    Raises:
      RowError: the row lacks a field, a text is empty, or the order of turns is wrong; the reason
        names the turn, counted from 1 as they stand in the row.
    """
    return conversation(FORMATS[name].turns(row))


def conversation(turns: Sequence[Turn]) -> Conversation:
    """Checks turns and makes a conversation of them.

    Args:
      turns: a system turn or none; then the user's and the assistant's by turns.

    Returns:
      For a system turn "Be brief." and two others, a conversation of two turns whose `system` is
      "Be brief.".

    Raises:
      RowError: as for `read`.
    """
    system, rest = "", list(turns)
    if rest and rest[0].role == SYSTEM:
        system = rest.pop(0).text
    first = len(turns) - len(rest) + 1
    if not rest:
        raise RowError("conversation without turns")
    for number, turn in enumerate(rest, start=first):
        expected = (USER, ASSISTANT)[(number - first) % 2]
        if turn.role != expected:
            raise RowError(
                f"turn {number} is of the {turn.role}, where one of the {expected} should be"
            )
        if not turn.text:
            raise RowError(f"turn {number}, of the {turn.role}, is empty")
    if rest[-1].role != ASSISTANT:
        raise RowError("the last turn is not of the assistant")
    return Conversation(tuple(rest), system)


def detect(rows: Iterable[Row | BadRow], where: str) -> Detection:
    """Finds the one format that rows have.

    Args:
      rows: the first rows of a file.
      where: name of the file, for errors.

    Returns:
      The format: that which more than half of the rows fit, while none fits another.

    Raises:
      FormatError: no format fits, or several do; the message names the fields found and the
        formats known.
    """
    rows = list(rows)
    readable = [row for row in rows if not isinstance(row, BadRow)]
    if not readable:
        fault = f"{rows[0].location}: {rows[0].reason}" if rows else f"{where} has no rows"
        raise FormatError(
            f"{fault}. Expected a JSON array of objects, or JSON lines with an object each"
        )
    fitting = Counter(name for row in readable for name, one in FORMATS.items() if one.fits(row))
    if len(fitting) == 1:
        ((name, count),) = fitting.items()
        if 2 * count > len(rows):
            return Detection(name, count, len(rows))
    counts = " and ".join(f"{name} ({count} rows)" for name, count in fitting.most_common())
    found = f"rows fit {counts}" if fitting else "no row fits a format"
    known = "; ".join(f"{name}: {one}" for name, one in FORMATS.items())
    raise FormatError(
        f"{where}: the format is {'ambiguous' if len(fitting) > 1 else 'unknown'}: of {len(rows)} "
        f"rows looked at, {found}. Fields found: {_fields_found(readable)}. Formats known: "
        f"{known}. Name one with format=..., or give the rows the fields of one"
    )


def check_format(name: str) -> None:
    """Raises a ValueError if there is no format of that name."""
    if name not in FORMATS:
        raise ValueError(
            f"chat format {name!r} is unknown{suggest(name, FORMATS)} Known: {', '.join(FORMATS)}"
        )


def _fields_found(rows: Sequence[Row]) -> str:
    """Names the fields of rows, those of lists of objects too: `messages (a list of who, said)`."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        for field, value in row.items():
            parts = found.setdefault(field, {})
            if isinstance(value, list) and value and isinstance(value[0], Mapping):
                parts.update(dict.fromkeys(value[0]))
    texts = [
        f"{field} (a list of {', '.join(list(parts)[:_SHOWN_FIELDS])})" if parts else field
        for field, parts in list(found.items())[:_SHOWN_FIELDS]
    ]
    return ", ".join(texts) or "none"


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise RowError(f"{what} is not text")
    return value.strip()


def _pair(row: Row, asked: str, context: str, answer: str) -> list[Turn]:
    """One question and its answer. What it is about comes behind it, as in Dolly's own prompts."""
    question = _text(row[asked], asked)
    about = _text(row.get(context) or "", context)
    if not question:
        raise RowError(f"empty {asked}")
    if about:
        question += f"\n\n{about}"
    return [Turn(USER, question), Turn(ASSISTANT, _text(row[answer], answer))]


def _alpaca(row: Row) -> list[Turn]:
    return _pair(row, "instruction", "input", "output")


def _dolly(row: Row) -> list[Turn]:
    return _pair(row, "instruction", "context", "response")


def _self_instruct(row: Row) -> list[Turn]:
    instances = row["instances"]
    if not isinstance(instances, list) or len(instances) != 1:
        # `flan_jax.data.chats.from_file` makes a row of each.
        raise RowError("a row should have one instance")
    return _alpaca({"instruction": row["instruction"], **instances[0]})


def _listed(row: Row, field: str, role: str, text: str) -> list[Turn]:
    parts = row[field]
    if not isinstance(parts, list):
        raise RowError(f"{field} is not a list")
    return [_turn(part, number, role, text) for number, part in enumerate(parts, start=1)]


def _turn(part: Any, number: int, role: str, text: str) -> Turn:
    if not isinstance(part, Mapping) or role not in part or text not in part:
        raise RowError(f"turn {number} lacks {role!r} or {text!r}")
    if part[role] not in _ROLES:
        raise RowError(f"turn {number} is of an unknown role ({part[role]!r:.40})")
    content = part[text]
    if isinstance(content, list):  # OpenAI's content parts
        if not all(isinstance(one, Mapping) and one.get("type") == "text" for one in content):
            raise RowError(f"turn {number} holds more than text")
        content = "\n".join(_text(one.get("text"), f"turn {number}") for one in content)
    # OpenAI's files say 0 of an assistant's turn that is not to be learnt.
    weight = part.get("weight", 1)
    if weight not in (0, 1):
        raise RowError(f"turn {number} has a weight other than 0 and 1")
    return Turn(_ROLES[part[role]], _text(content, f"turn {number}"), float(weight))


def _sharegpt(row: Row) -> list[Turn]:
    return _listed(row, "conversations", "from", "value")


def _messages(row: Row) -> list[Turn]:
    return _listed(row, "messages", "role", "content")


FORMATS: dict[str, Format] = {
    "alpaca": Format(
        ("instruction", "output"),
        (),
        _alpaca,
        {"instruction": "Sort these words.", "input": "pear, fig", "output": "fig, pear"},
    ),
    "self_instruct": Format(
        ("instruction", "instances"),
        ("output",),
        _self_instruct,
        {
            "instruction": "Sort these words.",
            "instances": [{"input": "pear, fig", "output": "fig, pear"}],
        },
    ),
    "dolly": Format(
        ("instruction", "context", "response"),
        (),
        _dolly,
        {
            "instruction": "Where was the fair?",
            "context": "The fair came to Leeds in May.",
            "response": "In Leeds.",
            "category": "closed_qa",
        },
    ),
    "sharegpt": Format(
        ("conversations",),
        ("from", "value"),
        _sharegpt,
        {
            "id": "made up",
            "conversations": [
                {"from": "human", "value": "Name a fruit."},
                {"from": "gpt", "value": "A fig."},
                {"from": "human", "value": "And its colour?"},
                {"from": "gpt", "value": "Purple."},
            ],
        },
    ),
    "messages": Format(
        ("messages",),
        ("role", "content"),
        _messages,
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Name a fruit."},
                {"role": "assistant", "content": "A fig."},
                {"role": "user", "content": "And its colour?"},
                {"role": "assistant", "content": "Purple."},
            ],
        },
    ),
}
