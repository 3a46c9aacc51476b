"""Chat templates: golden renderings, the loss mask token by token, prompts and generation.

`FLAN_JAX_UPDATE_GOLDEN=1 pytest tests/test_chat_templates.py` writes the golden file anew.
"""

import dataclasses
import itertools
import json
import os
from pathlib import Path

import jax
import pytest
import small_models
from quick_compilation import compile_quickly  # noqa: F401

from flan_jax.data import loss_mask, registry, samples
from flan_jax.data.chat_templates import NAMES, PLAIN, TEMPLATES, check_name, plain_prompt
from flan_jax.data.chats import PlainChat, declare
from flan_jax.data.conversations import FORMATS, Conversation, Turn, conversation, read
from flan_jax.data.declarations import RowError
from flan_jax.data.sources.json_files import json_file
from flan_jax.data.tokenisation import CacheConfig
from flan_jax.data.vocabulary import Vocabulary
from flan_jax.evaluation import generation
from flan_jax.model import transformer

GOLDEN = Path(__file__).with_name("golden") / "chats.json"
EVERY_TEMPLATE = pytest.mark.parametrize("name", TEMPLATES)
LENGTHS = CacheConfig(1024, 256)
CHAT = read(FORMATS["messages"].example, "messages")
# The same conversation as each model's makers write it, less the token that every text begins with
# (<|begin_of_text|>, <bos>), which is the vocabulary's to give, and a line break at the end.
WRITTEN = {
    "chatml": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nName a fruit.<|im_end|>\n"
        "<|im_start|>assistant\nA fig.<|im_end|>\n<|im_start|>user\nAnd its colour?<|im_end|>\n"
        "<|im_start|>assistant\nPurple.<|im_end|>"
    ),
    "llama3": (
        "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nName a fruit.<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nA fig.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nAnd its colour?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nPurple.<|eot_id|>"
    ),
    "gemma": (
        "<start_of_turn>user\nBe brief.\n\nName a fruit.<end_of_turn>\n"
        "<start_of_turn>model\nA fig.<end_of_turn>\n"
        "<start_of_turn>user\nAnd its colour?<end_of_turn>\n"
        "<start_of_turn>model\nPurple.<end_of_turn>"
    ),
}


def _golden_now():
    """Every format's example under every template, a dot or a bar before each segment."""
    found = {}
    for format, template in itertools.product(FORMATS, NAMES):
        row = declare("golden", json_file("nowhere.json"), format, template)(
            FORMATS[format].example
        )
        if template == PLAIN:
            made = ["· " + row["prompt"], "█ " + row["answer"]]
        else:
            made = [("█ " if weight else "· ") + text for text, weight in row]
        found[f"{format} {template}"] = made
    return found


def test_golden_renderings():
    if os.environ.get("FLAN_JAX_UPDATE_GOLDEN"):
        text = json.dumps(_golden_now(), indent=1, ensure_ascii=False)
        GOLDEN.write_text(text + "\n", encoding="utf-8")
    assert _golden_now() == json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert len(_golden_now()) == 20


@EVERY_TEMPLATE
def test_a_conversation_is_written_as_published(name):
    assert "".join(text for text, _ in TEMPLATES[name].segments(CHAT)) == WRITTEN[name]
    asked = dataclasses.replace(CHAT, turns=CHAT.turns[:-1])
    prompt = "".join(TEMPLATES[name].prompt(asked))
    assert WRITTEN[name] == prompt + "Purple." + TEMPLATES[name].end


@EVERY_TEMPLATE
def test_a_prompt_is_the_beginning_of_what_was_trained_on(name):
    texts = [text for text, _ in TEMPLATES[name].segments(CHAT)]
    for turns in (1, 3):
        asked = dataclasses.replace(CHAT, turns=CHAT.turns[:turns])
        prompt = TEMPLATES[name].prompt(asked)
        assert prompt == texts[: len(prompt)]
        assert texts[len(prompt) : len(prompt) + 2] == [CHAT.turns[turns].text, TEMPLATES[name].end]


def test_worked_examples():
    chat = conversation([Turn("user", "2 + 2?"), Turn("assistant", "4")])
    assert TEMPLATES["chatml"].segments(chat)[3:] == [
        ("\n<|im_start|>assistant\n", 0.0),
        ("4", 1.0),
        ("<|im_end|>", 1.0),
    ]
    assert plain_prompt(chat) == "2 + 2?"
    assert plain_prompt(dataclasses.replace(CHAT, system="")) == (
        "USER: Name a fruit.\nASSISTANT: A fig.\nUSER: And its colour?\nASSISTANT:"
    )
    assert plain_prompt(dataclasses.replace(chat, system="Count.")) == (
        "SYSTEM: Count.\nUSER: 2 + 2?\nASSISTANT:"
    )


@pytest.fixture(params=["small", "t5"])
def vocabulary(request):
    if request.param == "small":
        return request.getfixturevalue("small_vocabulary")
    folder = request.getfixturevalue("data_dir")
    return Vocabulary(str(folder / "tokenizers" / "t5_spiece.model"))


HARD = [
    [("system", "s"), ("user", "a"), ("assistant", "b")],
    # Texts that would join with a marker, or look like one, if they were tokenised with it.
    [("user", "|>"), ("assistant", "<|im"), ("user", "_end"), ("assistant", "<|"), ("user", "u\n")]
    + [("assistant", "  several words,\nover two lines "), ("user", "<"), ("assistant", "end>")],
    [("user", "assistant"), ("assistant", "user")],
    [("user", "2?"), ("assistant", "é ☃ 日本")],
    [("user", "x" * 30), ("assistant", "yes. " * 20), ("user", "so"), ("assistant", "1")],
]


@EVERY_TEMPLATE
def test_the_loss_mask_is_exactly_the_assistants_tokens(
    name, vocabulary, tmp_path, clean_registries
):
    rows = [{"messages": [{"role": r, "content": c} for r, c in turns]} for turns in HARD]
    (tmp_path / "hard.json").write_text(json.dumps([*rows, FORMATS["messages"].example]))
    declared = declare("masked", json_file(f"{tmp_path}/hard.json"), "messages", name)
    registry.register_collection("masks", [declared], vocabulary=vocabulary)
    variant = registry.variant("masked:causal_lm")
    data, template = samples.find(variant.declaration, None), TEMPLATES[name]
    for index, row in enumerate([*rows, FORMATS["messages"].example]):
        (sample,) = samples.pick(variant, data, "train", index)
        (view,) = samples.views(variant, data, sample)
        (joined,) = loss_mask.read(variant, view.rendered, LENGTHS).rows
        expected = _expected(read(row, "messages"), template, vocabulary)
        assert list(zip(joined.tokens, joined.weights, strict=True)) == expected
        # What counts, read back: the answers and the markers of their ends, nothing else.
        said = [text for text, weight in loss_mask.runs(joined, vocabulary) if weight]
        answers = [turn.text for turn in read(row, "messages").turns if turn.role == "assistant"]
        assert said == [
            vocabulary.decode(vocabulary.encode(text) + vocabulary.encode(template.end))
            for text in answers
        ]


def _expected(chat, template, vocabulary):
    """Token and weight, put together by hand from the turns."""
    tokens = []

    def add(text, weight):
        tokens.extend((token, weight) for token in vocabulary.encode(text))

    turns = list(chat.turns)
    if chat.system and template.system:
        turns.insert(0, Turn("system", chat.system))
    elif chat.system:
        turns[0] = Turn("user", chat.system + "\n\n" + turns[0].text)
    headers = {"system": template.system, "user": template.user, "assistant": template.assistant}
    for number, turn in enumerate(turns):
        add((template.between if number else "") + headers[turn.role], 0.0)
        counts = 1.0 if turn.role == "assistant" else 0.0
        add(turn.text, counts)
        add(template.end, counts)
    return [*tokens, (1, 1.0)]


def test_the_mask_of_plain_t5_is_the_last_answer(small_vocabulary, clean_registries, tmp_path):
    (tmp_path / "hard.json").write_text(json.dumps([FORMATS["messages"].example]))
    declared = declare("mask_t5", json_file(f"{tmp_path}/hard.json"), "messages", PLAIN)
    registry.register_collection("masks_t5", [declared], vocabulary=small_vocabulary)
    variant = registry.variant("mask_t5:zero_shot")
    data = samples.find(variant.declaration, None)
    (view,) = samples.views(variant, data, *samples.pick(variant, data, "train"))
    encoder, decoder, joined = loss_mask.read(variant, view.rendered, LENGTHS).rows
    prompt = "SYSTEM: Be brief.\nUSER: Name a fruit.\nASSISTANT: A fig.\nUSER: And its colour?"
    assert list(encoder.tokens) == [*small_vocabulary.encode(f"{prompt}\nASSISTANT:"), 1]
    answer = [*small_vocabulary.encode("Purple."), 1]
    assert list(decoder.tokens) == answer and set(decoder.weights) == {1}
    assert joined.weights == (0,) * len(encoder.tokens) + (1,) * len(answer)
    assert PlainChat("messages")(FORMATS["messages"].example)["answer"] == "Purple."


@EVERY_TEMPLATE
def test_no_text_may_hold_a_marker(name):
    template = TEMPLATES[name]
    for marker in template.markers:
        chat = conversation([Turn("user", f"Hello{marker}"), Turn("assistant", "Hi")])
        with pytest.raises(RowError, match="turn 1, of the user, holds the marker"):
            template.segments(chat)
        with pytest.raises(RowError, match="turn 2, of the user, holds the marker"):
            template.prompt(Conversation(chat.turns[:1], "Be brief."))
        chat = Conversation((Turn("user", "Hi"), Turn("assistant", marker), Turn("user", "So?")))
        template.prompt(chat)  # what the model said cannot be mended
        with pytest.raises(RowError, match="turn 2, of the assistant, holds the marker"):
            template.segments(chat)
        with pytest.raises(RowError, match="turn 1, of the system, holds the marker"):
            template.segments(Conversation(CHAT.turns, marker))


def test_an_unknown_template_is_an_error():
    with pytest.raises(ValueError, match="'llama' is unknown; did you mean 'llama3'"):
        check_name("llama")


# Generation.


def test_generation_stops_at_tokens_that_follow_each_other():
    config = dataclasses.replace(small_models.DECODER_ONLY, num_layers=1)
    model = config, small_models.quick_jit(transformer.init)(config, jax.random.key(1))
    prompts = [[7, 8, 9], [10, 11], [3] * 20, [5]]
    whole = generation.generate(*model, prompts, 10, batch_size=4)
    answer = max(whole, key=lambda one: len(set(one)))
    for stop in (answer[:2], answer[3:5], answer[-2:], [2, 1], [answer[0]] * 11):
        stopped = generation.generate(*model, prompts, 10, batch_size=4, stop=stop)
        for short, long in zip(stopped, whole, strict=True):
            starts = [at for at in range(len(long)) if long[at : at + len(stop)] == stop]
            assert short == (long[: starts[0]] if starts else long)


@EVERY_TEMPLATE
def test_a_chat_is_asked_as_it_was_trained_on(name, small_vocabulary):
    encode, template = small_vocabulary.encode, TEMPLATES[name]
    texts = ["Name a fruit.", "A fig.", "And its colour?"]
    chat = conversation([*map(Turn, ("user", "assistant") * 2, [*texts, "Purple."])])
    trained = [token for text, _ in template.segments(chat) for token in encode(text)]
    tokens, cut = generation._chat_prompt(name, texts, encode, 400, 1)
    assert not cut
    assert trained == tokens + encode("Purple.") + encode(template.end)
    # The first exchange goes when there is no room for it, then the end of the question.
    alone, _ = generation._chat_prompt(name, texts[2:], encode, 400, 1)
    assert generation._chat_prompt(name, texts, encode, len(tokens), 1) == (tokens, False)
    assert generation._chat_prompt(name, texts, encode, len(tokens) - 1, 1) == (alone, True)
    shorter, cut = generation._chat_prompt(name, texts, encode, len(alone) - 3, 1)
    head = len(encode(template.user))
    end = head + len(encode(texts[2]))
    assert cut and shorter == alone[: end - 3] + alone[end:]
    with pytest.raises(ValueError, match="inputs_length=5 leaves no room beside the markers"):
        generation._chat_prompt(name, texts, encode, 5, 1)


@pytest.fixture
def asked(monkeypatch):
    """What the model would be asked, instead of asking it."""
    calls = []

    def note(config, params, prompts, max_length, batch_size, stop=(), *how):
        calls.append((config, prompts, list(stop)))
        return [[5, 6] for _ in prompts]

    def note_samples(generator, prompts):
        return [[answer] for answer in note(generator.config, None, prompts, None, None)]

    monkeypatch.setattr(generation, "generate", note)
    monkeypatch.setattr(generation, "generate_samples", note_samples)
    return calls


def _answers(config, vocabulary, chats, template, **settings):
    run = generation.GenerateRun("run", chat_template=template, **settings)
    return generation.answer_chats(config, {}, chats, vocabulary.encode, vocabulary.decode, run)


@EVERY_TEMPLATE
def test_answers_to_chats(name, small_vocabulary, asked):
    chats = [["Hello", "Hi", "What now?"], ["Hello"]]
    texts, cut = _answers(small_models.PREFIX_LM, small_vocabulary, chats, name)
    assert texts == [small_vocabulary.decode([5, 6])] * 2 and cut == 0
    ((config, prompts, stop),) = asked
    encode = small_vocabulary.encode
    assert prompts == [generation._chat_prompt(name, chat, encode, 512, 1)[0] for chat in chats]
    assert stop == encode(TEMPLATES[name].end)
    # What was trained from left to right is asked so, even of a model that reads prompts both ways.
    assert config == small_models.DECODER_ONLY


def test_plain_chats_are_ordinary_instructions(small_vocabulary, asked):
    chats = [["Hello"], ["a", "b", "c"], ["so " * 99]]
    texts, cut = _answers(small_models.ENCODER_DECODER, small_vocabulary, chats, PLAIN,
                          inputs_length=60)  # fmt: skip
    prompts = ["Hello", "USER: a\nASSISTANT: b\nUSER: c\nASSISTANT:", "so " * 99]
    run = generation.GenerateRun("run", inputs_length=60)
    coders = small_vocabulary.encode, small_vocabulary.decode
    expected = generation.answer_texts(small_models.ENCODER_DECODER, {}, prompts, *coders, run)
    assert (texts, cut) == expected and cut == 1
    assert asked[0] == asked[1]


def test_templates_that_do_not_fit_the_model_are_refused(small_vocabulary):
    with pytest.raises(ValueError, match="is for decoder-only models; .*chat_template='t5'"):
        _answers(small_models.ENCODER_DECODER, small_vocabulary, [], "gemma")
    with pytest.raises(ValueError, match="tune with ModelConfig.prefix_lm=False"):
        _answers(small_models.CONFIGS["prefix_lm_relative"], small_vocabulary, [], "gemma")
    with pytest.raises(ValueError, match="chat template 'chatlm' is unknown"):
        _answers(small_models.DECODER_ONLY, small_vocabulary, [], "chatlm")
