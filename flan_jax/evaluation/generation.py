"""Greedy generation with a cache of keys and values.

Axes: B rows, S prompt tokens, M generated tokens, E tokens that end an answer.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

from flan_jax.data import chat_templates
from flan_jax.data.conversations import ASSISTANT, USER, Conversation, Turn
from flan_jax.evaluation import beam, continuous
from flan_jax.evaluation.row_schedule import Unit
from flan_jax.evaluation.sampling import Decode, DecodingConfig, Generator
from flan_jax.model.config import ModelConfig
from flan_jax.model.layers import Params
from flan_jax.parallel.mesh import MeshConfig


@dataclasses.dataclass(frozen=True)
class GenerateRun:
    """Answers to instructions, the root of the configuration of a generation.

    Attributes:
      checkpoint: a training run's folder, or one checkpoint in it.
      step: which checkpoint of the run; None for the latest.
      mesh: devices along each mesh axis.
      input_file: text file with an instruction a line, local or remote; None to type them at a
        prompt.
      output_file: where the answers go, a line each; local or remote. None for the terminal.
      inputs_length: most tokens of a prompt; longer ones are cut at the end, and counted.
      max_decode_length: most tokens of an answer.
      batch_size: prompts at a time.
      chat_template: one of `flan_jax.data.chat_templates.NAMES`, into which instructions are put;
        at the prompt the conversation so far is kept. None leaves them as they are.
      decoding: how tokens are chosen. Several samples of an answer follow each other.
    """

    checkpoint: str
    step: int | None = None
    mesh: MeshConfig = MeshConfig()
    input_file: str | None = None
    output_file: str | None = None
    inputs_length: int = 512
    max_decode_length: int = 64
    batch_size: int = 16
    chat_template: str | None = None
    decoding: DecodingConfig = DecodingConfig()


def generate(
    config: ModelConfig,
    params: Params,
    prompts: Sequence[Sequence[int]],
    max_length: int,
    batch_size: int = 64,
    stop: Sequence[int] = (),
    decoding: DecodingConfig = DecodingConfig(),  # noqa: B008 (frozen)
    decode: Decode | None = None,
) -> list[list[int]]:
    """An answer to each prompt, by default of the likeliest token each time.

    Args:
      config: the model.
      params: its parameters.
      prompts: token ids, as the model was trained to read them (usually with EOS).
      max_length: most tokens to generate.
      batch_size: prompts at a time; of no influence on what is generated.
      stop: tokens that end an answer where they follow each other, as EOS does.
      decoding: how tokens are chosen; one sample.
      decode: token ids to text; needed for stop texts.

    Returns:
      Token ids of each answer without what ends it, in the order of prompts. An answer that a stop
      text ends has the tokens of that text, which `until_stop` takes out.
    """
    result: list = [None] * len(prompts)
    generator = Generator(config, params, max_length, batch_size, stop, decoding, decode)
    for rows, answers, _ in iterate_answers(generator, prompts):
        for row, answer in zip(rows, answers, strict=True):
            result[row] = answer
    return result


def generate_samples(
    generator: Generator, prompts: Sequence[Sequence[int]]
) -> list[list[list[int]]]:
    """As `generate`, `decoding.samples` answers to each prompt."""
    result: list = [[None] * generator.decoding.samples for _ in prompts]
    for ready in _answers(generator, prompts):
        for (prompt, sample), tokens in ready.answers:
            result[prompt][sample] = tokens
    return result


def iterate_answers(
    generator: Generator,
    prompts: Sequence[Sequence[int]],
    numbers: Sequence[int] | None = None,
    ended: Mapping[int, int] | None = None,
) -> Iterator[tuple[list[int], list[list[int]], int]]:
    """As `generate`, as they end: positions of some prompts, their answers, and the step.

    Args:
      generator: the model and how answers are generated.
      prompts: token ids.
      numbers: tell draws apart where the prompts are some of many; default their positions.
      ended: the steps of the answers that the same call gave before it was killed. Those of them
        that are not needed to go on are not given again.

    Raises:
      ValueError: `max_length` is below 1, there are several samples, or logits are not finite.
    """
    if (samples := generator.decoding.samples) > 1:
        raise ValueError(
            f"DecodingConfig.samples: expected 1 answer to a prompt, got {samples}; "
            "`generate_samples` gives several"
        )
    units = {(prompt, 0): step for prompt, step in (ended or {}).items()}
    for step, ready in _answers(generator, prompts, numbers, units):
        yield [prompt for (prompt, _), _ in ready], [tokens for _, tokens in ready], step


def _answers(
    generator: Generator,
    prompts: Sequence[Sequence[int]],
    numbers: Sequence[int] | None = None,
    ended: Mapping[Unit, int] | None = None,
) -> Iterator[continuous.Ended]:
    stop, decoding, decode = generator.stop, generator.decoding, generator.decode
    if (most := generator.max_length) < 1:
        raise ValueError(f"max_decode_length: expected at least 1 token, got {most}")
    if decoding.stop and decode is None:
        raise ValueError("DecodingConfig.stop: stop texts need a function `decode`")
    if decoding.beams > 1:
        if stop:
            raise ValueError("DecodingConfig.beams: expected 1 with a stop, as of chat templates")
        yield from beam.run(generator, prompts, ended)
        return
    cut = None
    if stop or decoding.stop:
        cut = functools.partial(_cut, stop=list(stop), texts=decoding.stop, decode=decode)
    yield from continuous.run(generator, prompts, cut, numbers, ended)


def _cut(
    tokens: list[int], stop: list[int], texts: Sequence[str], decode: Decode | None
) -> list[int] | None:
    """The tokens before `stop`, or up to the first that completes a stop text; None for all."""
    ends = range(len(tokens) - len(stop) + 1) if stop else ()
    first = next((at for at in ends if tokens[at : at + len(stop)] == stop), None)
    kept = tokens if first is None else tokens[:first]
    if texts and any(text in decode(kept) for text in texts):
        shorter = (kept[:count] for count in range(len(kept) + 1))
        return next(some for some in shorter if any(text in decode(some) for text in texts))
    return None if first is None else kept


def until_stop(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop text: `until_stop("4. Q: 5", ["Q:"])` is `"4. "`."""
    return min((text.split(one, 1)[0] for one in stop), key=len, default=text)


def answer_texts(
    config: ModelConfig,
    params: Params,
    texts: Sequence[str],
    encode: Callable[[str], list[int]],
    decode: Callable[[Sequence[int]], str],
    run: GenerateRun,
) -> tuple[list[str], int]:
    """The answers to instructions, as text.

    Args:
      config: the model.
      params: its parameters.
      texts: the instructions.
      encode: text to token ids without EOS (`Vocabulary.encode`).
      decode: token ids to text (`Vocabulary.decode`).
      run: lengths and batch size.

    Returns:
      The answers to each instruction, and the number of instructions that were cut.
    """
    encoded = [encode(text) for text in texts]
    room = run.inputs_length - 1
    prompts = [[*tokens[:room], run.decoding.boundaries.end] for tokens in encoded]
    sizes = run.max_decode_length, run.batch_size
    generator = Generator(config, params, *sizes, decoding=run.decoding, decode=decode)
    answers = generate_samples(generator, prompts)
    texts = [until_stop(decode(one), run.decoding.stop) for several in answers for one in several]
    return texts, sum(len(tokens) > room for tokens in encoded)


def answer_chats(
    config: ModelConfig,
    params: Params,
    chats: Sequence[Sequence[str]],
    encode: Callable[[str], list[int]],
    decode: Callable[[Sequence[int]], str],
    run: GenerateRun,
) -> tuple[list[str], int]:
    """The assistant's next turn in conversations, as text.

    Args:
      config: the model.
      params: its parameters.
      chats: texts of the user and the assistant by turns, the user's first and last.
      encode: text to token ids without EOS.
      decode: token ids to text.
      run: the chat template, lengths and batch size.

    Returns:
      A text for each conversation, and the number of conversations that were cut: their first
      exchanges, and of the last turn the end.

    Raises:
      ValueError: the template is unknown, does not fit the model, or a text holds its markers.
    """
    config = chat_model(config, run.chat_template)
    every = encode, run.inputs_length, run.decoding.boundaries.end
    made = [_chat_prompt(run.chat_template, chat, *every) for chat in chats]
    template = chat_templates.TEMPLATES.get(run.chat_template)
    stop = encode(template.end) if template else ()
    prompts = [tokens for tokens, _ in made]
    sizes = run.max_decode_length, run.batch_size
    answers = generate(config, params, prompts, *sizes, stop, run.decoding, decode)
    texts = [until_stop(decode(answer), run.decoding.stop) for answer in answers]
    return texts, sum(cut for _, cut in made)


def chat_model(config: ModelConfig, name: str) -> ModelConfig:
    """The model as it reads conversations: what has markers is trained on from left to right.

    Raises:
      ValueError: the chat template is unknown, or does not fit the model.
    """
    chat_templates.check_name(name)
    if name == chat_templates.PLAIN:
        return config
    if config.architecture != "decoder_only":
        raise ValueError(
            f"chat template {name!r} is for decoder-only models; this one has an encoder: use "
            f"GenerateRun.chat_template={chat_templates.PLAIN!r}"
        )
    if config.prefix_lm and config.positions != "rope":
        raise ValueError(
            f"chat template {name!r}: the model's relative positions are those of a prefix read "
            "both ways, and conversations are read one way; tune with ModelConfig.prefix_lm=False"
        )
    return dataclasses.replace(config, prefix_lm=False)


def _chat_prompt(
    name: str, texts: Sequence[str], encode: Callable[[str], list[int]], room: int, eos: int
) -> tuple[list[int], bool]:
    """Tokens of a conversation, and whether it was cut to fit."""
    roles = (USER, ASSISTANT) * len(texts)
    turns = [Turn(role, text) for role, text in zip(roles, texts, strict=False)]
    for first in range(0, len(turns), 2):
        chat = Conversation(tuple(turns[first:]))
        if name == chat_templates.PLAIN:
            parts, end = [encode(chat_templates.plain_prompt(chat))], [eos]
        else:
            parts, end = list(map(encode, chat_templates.TEMPLATES[name].prompt(chat))), []
        over = sum(map(len, parts)) + len(end) - room
        if over <= 0:
            return [token for part in parts for token in part] + end, first > 0
    # One question alone is too long. Its text comes before two markers, or stands alone.
    text = 0 if name == chat_templates.PLAIN else len(parts) - 3
    if len(parts[text]) < over:
        raise ValueError(f"GenerateRun.inputs_length={room} leaves no room beside the markers")
    parts[text] = parts[text][: len(parts[text]) - over]
    return [token for part in parts for token in part] + end, True
