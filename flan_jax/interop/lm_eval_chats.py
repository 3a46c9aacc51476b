"""Conversations of lm-evaluation-harness in our chat templates, as text and back as segments.

The harness hands prompts around as text. Our models are trained on segments that are tokenised one
by one (`flan_jax.data.chat_templates`), so what the harness hands back is parted at the markers
again, which no turn may hold.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence

from flan_jax.data import chat_templates
from flan_jax.data.chat_templates import PLAIN, TEMPLATES
from flan_jax.data.conversations import ASSISTANT, SYSTEM, USER, Conversation, Turn


def prompt_text(name: str, messages: Sequence[Mapping[str, str]], answers: bool = True) -> str:
    """Writes a conversation as one text.

    Args:
      name: of the chat template, one of `chat_templates.NAMES`.
      messages: `role` and `content` of each turn: a system's or none, then the user's and the
        assistant's by turns.
      answers: whether the assistant is to answer the user's last turn; else the last turn is the
        assistant's, and it is to go on with that.

    Raises:
      ValueError: the turns are others.
      RowError: a turn holds a marker of the template.
    """
    turns = [Turn(message["role"], message["content"]) for message in messages]
    system = turns.pop(0).text if turns and turns[0].role == SYSTEM else ""
    begun = "" if answers or not turns else turns.pop().text
    expected = [(USER, ASSISTANT)[place % 2] for place in range(len(turns))]
    if [turn.role for turn in turns] != expected or len(turns) % 2 == 0:
        raise ValueError(
            "chat: expected a system turn or none, then turns of user and assistant by turns, the "
            f"user's last{'' if answers else ' but one'}; got {[m['role'] for m in messages]}"
        )
    chat = Conversation(tuple(turns), system)
    if name == PLAIN:
        prompt = chat_templates.plain_prompt(chat)
        return f"{prompt} {begun}" if begun else prompt
    return "".join(TEMPLATES[name].prompt(chat)) + begun


def segments(name: str, text: str) -> list[str]:
    """Parts a text into what is tokenised one by one: markers, and the text between them.

    `segments("chatml", "<|im_start|>user\\nHi<|im_end|>")` is
    `["<|im_start|>user\\n", "Hi", "<|im_end|>"]`.
    """
    if name == PLAIN:
        return [text]
    template = TEMPLATES[name]
    headers = [text for text in (template.user, template.assistant, template.system) if text]
    # With what stands between turns first, as the longer of two that match.
    markers = [*(template.between + header for header in headers), *headers, template.end]
    return [part for part in re.split(f"({'|'.join(map(re.escape, markers))})", text) if part]


def description(name: str) -> str:
    """What the harness records of a template beside the results: its name and its markers."""
    if name == PLAIN:
        return json.dumps({"name": name})
    return json.dumps({"name": name, **dataclasses.asdict(TEMPLATES[name])})
