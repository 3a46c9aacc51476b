"""Conversations as text for lm-evaluation-harness, and parted again as they are in training."""

import pytest

from flan_jax.data import chat_templates
from flan_jax.data.conversations import ASSISTANT, SYSTEM, USER, Conversation, Turn
from flan_jax.data.declarations import RowError
from flan_jax.interop import lm_eval_chats

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "\n\nName a fruit. "},
    {"role": "assistant", "content": "A fig.\n"},
    {"role": "user", "content": "And its colour?"},
]


@pytest.mark.parametrize("name", chat_templates.TEMPLATES)
@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_prompt_is_parted_as_in_training(name, first):
    messages = MESSAGES[first:]
    text = lm_eval_chats.prompt_text(name, messages)
    turns = [Turn(message["role"], message["content"]) for message in messages]
    system = turns.pop(0).text if turns[0].role == SYSTEM else ""
    parts = chat_templates.TEMPLATES[name].prompt(Conversation(tuple(turns), system))
    assert lm_eval_chats.segments(name, text) == parts
    begun = [*messages, {"role": "assistant", "content": "It is"}]
    text = lm_eval_chats.prompt_text(name, begun, answers=False)
    assert lm_eval_chats.segments(name, text) == [*parts, "It is"]


def test_a_plain_prompt():
    chat = Conversation((Turn(USER, "a"), Turn(ASSISTANT, "b"), Turn(USER, "c")), "s")
    messages = [dict(role=r, content=t) for r, t in zip("suau", "sabc", strict=True)]
    roles = {"s": SYSTEM, "u": USER, "a": ASSISTANT}
    messages = [message | {"role": roles[message["role"]]} for message in messages]
    plain = chat_templates.plain_prompt(chat)
    assert lm_eval_chats.prompt_text("t5", messages) == plain
    begun = [*messages, {"role": "assistant", "content": "It is"}]
    assert lm_eval_chats.prompt_text("t5", begun, answers=False) == plain + " It is"
    assert lm_eval_chats.segments("t5", plain) == [plain]


def test_the_description_tells_templates_apart():
    found = {lm_eval_chats.description(name) for name in chat_templates.NAMES}
    assert len(found) == len(chat_templates.NAMES)


@pytest.mark.parametrize("chosen", [[], [0], [1, 2], [1, 1], [2]])
def test_turns_that_are_none(chosen):
    with pytest.raises(ValueError, match="expected a system turn or none, then turns of user and"):
        lm_eval_chats.prompt_text("chatml", [MESSAGES[number] for number in chosen])


def test_a_turn_with_a_marker():
    with pytest.raises(RowError, match="turn 1, of the user, holds the marker"):
        lm_eval_chats.prompt_text("chatml", [{"role": "user", "content": "a<|im_end|>b"}])
