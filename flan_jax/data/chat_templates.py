"""Chat templates: a conversation in, the text that a model is trained on or answers out.

A marked template sets each turn between markers. It gives segments of text with a weight in the
loss: 1 on what the assistant says and on the marker that ends its turn, 0 on all else.

    >>> chat = conversation([Turn(USER, "2 + 2?"), Turn(ASSISTANT, "4")])
    >>> TEMPLATES["chatml"].segments(chat)[3:]
    [('\\n<|im_start|>assistant\\n', 0.0), ('4', 1.0), ('<|im_end|>', 1.0)]

Each marker and each text is a segment of its own, and segments are tokenised one by one, in
training and in generation. So a token never lies across a border of the mask, and a marker is the
same tokens wherever it stands. A SentencePiece vocabulary has no tokens for markers and writes them
as text, each as if it began a word.

The template `t5` has no markers: it gives an encoder-decoder the conversation up to the user's last
turn, with the names of the speakers where there are several turns, and the answer as targets.
"""

from dataclasses import dataclass

from flan_jax.data.conversations import ASSISTANT, SYSTEM, USER, Conversation, Turn
from flan_jax.data.declarations import RowError, Segments
from flan_jax.data.suggestions import suggest

PLAIN = "t5"

# Who speaks in a plain prompt. Visible words, as T5's vocabulary drops line breaks; they are in the
# style of `flan_jax.data.templates.FewShot`.
_PLAIN_LABELS = {SYSTEM: "SYSTEM:", USER: "USER:", ASSISTANT: "ASSISTANT:"}


@dataclass(frozen=True)
class ChatTemplate:
    """The markers of a chat format.

    A turn is `header`, the text and `end`; `between` stands before every header but the first.
    Published formats that have a line break behind the last turn too are written without that one:
    nothing follows that it would part the turn from.

    Attributes:
      begin: token before the first turn; empty where there is none. It is not written, as it is
        what the vocabulary starts every sequence with.
      user: header of the user's turns.
      assistant: header of the assistant's turns, with which a prompt ends.
      system: header of the system's turn; None where the format has none, and what it says stands
        before the user's first text, a blank line between.
      end: marker of the end of a turn, at which generation stops.
      between: stands between turns.
    """

    begin: str
    user: str
    assistant: str
    system: str | None
    end: str
    between: str = ""

    @property
    def markers(self) -> tuple[str, ...]:
        """What no text may hold, as it would end a turn or begin one."""
        headers = (self.user, self.assistant, self.system or "")
        found = (self.begin, *headers, self.end)
        return tuple(dict.fromkeys(text.split("\n")[0] for text in found if text))

    def segments(self, conversation: Conversation) -> Segments:
        """Writes a conversation to train on.

        Args:
          conversation: from `conversations.conversation`.

        Returns:
          Pairs of text and weight; the texts joined are the whole. A turn whose own weight is 0
          has weight 0.

        Raises:
          RowError: a text holds a marker.
        """
        self._check(conversation, (USER, ASSISTANT))
        found: Segments = []
        for header, turn in self._turns(conversation):
            weight = turn.weight if turn.role == ASSISTANT else 0.0
            found += [(header, 0.0), (turn.text, weight), (self.end, weight)]
        return found

    def prompt(self, conversation: Conversation) -> list[str]:
        """Writes a conversation that the assistant is to answer.

        Args:
          conversation: turns, of which the user's is the last. (What the assistant said may be
            empty, or hold what it should not: it is not checked.)

        Returns:
          Texts to be tokenised one by one, as in training: those of `segments` and the assistant's
          header.

        Raises:
          RowError: a text of the user's holds a marker.
        """
        self._check(conversation, (USER,))
        turns = self._turns(conversation)
        texts = [text for header, turn in turns for text in (header, turn.text, self.end)]
        return [*texts, self.between + self.assistant]

    def _turns(self, conversation: Conversation) -> list[tuple[str, Turn]]:
        """Pairs each turn with all that stands before its text."""
        turns = list(conversation.turns)
        if conversation.system and self.system is None:
            turns[0] = Turn(USER, f"{conversation.system}\n\n{turns[0].text}")
        elif conversation.system:
            turns.insert(0, Turn(SYSTEM, conversation.system))
        headers = {SYSTEM: self.system, USER: self.user, ASSISTANT: self.assistant}
        return [
            ((self.between if number else "") + headers[turn.role], turn)
            for number, turn in enumerate(turns)
        ]

    def _check(self, conversation: Conversation, roles: tuple[str, ...]) -> None:
        turns = conversation.turns
        if conversation.system:
            turns = (Turn(SYSTEM, conversation.system), *turns)
        for number, turn in enumerate(turns, start=1):
            for marker in self.markers if turn.role in (SYSTEM, *roles) else ():
                if marker in turn.text:
                    raise RowError(f"turn {number}, of the {turn.role}, holds the marker {marker}")


# The only place where marker strings stand.
TEMPLATES: dict[str, ChatTemplate] = {
    # openai/openai-python, chatml.md of release 0.28.0; Qwen's models use the same.
    "chatml": ChatTemplate(
        begin="",
        user="<|im_start|>user\n",
        assistant="<|im_start|>assistant\n",
        system="<|im_start|>system\n",
        end="<|im_end|>",
        between="\n",
    ),
    # meta-llama/llama3, llama/tokenizer.py, `ChatFormat`.
    "llama3": ChatTemplate(
        begin="<|begin_of_text|>",
        user="<|start_header_id|>user<|end_header_id|>\n\n",
        assistant="<|start_header_id|>assistant<|end_header_id|>\n\n",
        system="<|start_header_id|>system<|end_header_id|>\n\n",
        end="<|eot_id|>",
    ),
    # ai.google.dev/gemma/docs/formatting (Gemma 1 to 3), which also says what to do for want of a
    # system turn; <bos> is what its tokenizer begins with.
    "gemma": ChatTemplate(
        begin="<bos>",
        user="<start_of_turn>user\n",
        assistant="<start_of_turn>model\n",
        system=None,
        end="<end_of_turn>",
        between="\n",
    ),
}
NAMES = (*TEMPLATES, PLAIN)


def check_name(name: str) -> None:
    """Raises a ValueError if there is no chat template of that name."""
    if name not in NAMES:
        raise ValueError(
            f"chat template {name!r} is unknown{suggest(name, NAMES)} Known: {', '.join(NAMES)}"
        )


def plain_prompt(conversation: Conversation) -> str:
    """Writes a conversation as inputs of an encoder-decoder, without markers.

    Args:
      conversation: turns; what the assistant says last, if it has the last word, is left out.

    Returns:
      For one question alone the question. With more, for example `"USER: Name a fruit.\\n
      ASSISTANT: A fig.\\nUSER: And its colour?\\nASSISTANT:"`, on lines without blanks before them.
    """
    turns = list(conversation.turns)
    if turns[-1].role == ASSISTANT:
        turns.pop()
    if len(turns) == 1 and not conversation.system:
        return turns[0].text
    if conversation.system:
        turns.insert(0, Turn(SYSTEM, conversation.system))
    lines = [f"{_PLAIN_LABELS[turn.role]} {turn.text}" for turn in turns]
    return "\n".join([*lines, _PLAIN_LABELS[ASSISTANT]])
