"""Our checkpoints in lm-evaluation-harness, encoder-decoders included.

    python -m flan_jax.interop.lm_eval --model flan_jax --tasks hellaswag --batch_size 64 \\
        --model_args checkpoint=runs/flan

    lm_eval.simple_evaluate(model=FlanJaxLM("runs/flan", batch_size=64), tasks=["hellaswag"])

What is scored is what the harness' own class for Hugging Face models scores on the same weights
(`lm_eval/models/huggingface.py` of 0.4.13), to the token: continuations without an end, a
decoder's contexts behind its start token, an encoder's with EOS. What is computed is less: the
continuations of a context are scored together, behind one reading of it.

Written with lm_eval 0.4.13, the `lm_eval` extra; it needs neither torch nor transformers.
"""

import dataclasses
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import jax
from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import (
    handle_stop_sequences,
    normalize_gen_kwargs,
    postprocess_generated_text,
)
from tqdm import tqdm

from flan_jax.batch import Boundaries
from flan_jax.data import chat_templates
from flan_jax.evaluation import batching, generation, scoring
from flan_jax.evaluation.examples import Example
from flan_jax.evaluation.sampling import DecodingConfig, Generator
from flan_jax.interop import lm_eval_chats, lm_eval_requests
from flan_jax.interop.lm_eval_requests import Request
from flan_jax.interop.weights import parameter_count
from flan_jax.parallel import distributed
from flan_jax.parallel.mesh import MeshConfig, make_mesh
from flan_jax.train import checkpoint as checkpoints
from flan_jax.train import run_folder

_LOG = logging.getLogger("lm_eval.flan_jax")  # below the harness' own, whose level it has
_AUTO_BATCH = 64  # what --batch_size auto is


@register_model("flan_jax")
class FlanJaxLM(TemplateLM):
    """A checkpoint of flan_jax.

    Attributes:
      backend: "causal" or "seq2seq", as the harness calls decoder-only models and others.
      batch_size: rows at a time.
      max_length: most tokens of a context (encoder-decoder), or of context and answer together.
      max_gen_toks: most tokens of an answer, where a task does not say.
      cut: contexts that were cut from the left to fit, so far.
    """

    def __init__(
        self,
        checkpoint: str,
        step: int | None = None,
        batch_size: int | str = 1,
        max_length: int = 2048,
        max_gen_toks: int = 256,
        chat_template: str | None = None,
        end_contexts: bool = False,
        mesh: str = "",
        dtype: Literal["bfloat16", "float32"] | None = None,
        cache_dtype: str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
    ):
        """Loads the checkpoint.

        Args:
          checkpoint: a run's folder, or one checkpoint in it.
          step: which checkpoint of a run's folder; None for the latest.
          batch_size: rows at a time, rounded up to what the mesh divides; "auto" is 64. Of no
            influence on results.
          max_length: most tokens; 2048 is the harness' own for models that do not say. Ours have
            no longest row: positions are relative or rotary.
          max_gen_toks: most tokens of an answer, where a task does not say.
          chat_template: one of `chat_templates.NAMES`, for --apply_chat_template.
          end_contexts: whether a decoder-only model's contexts end with EOS, as the prompts do that
            our caches hold; encoders' always do.
          mesh: devices along each axis, as `MeshConfig.parse` has it; empty for all along `data`.
          dtype: of activations; None for what the model was configured with.
          cache_dtype: of keys and values in generation; see `DecodingConfig`.
          max_batch_size: what "auto" is instead of 64.
          device: the harness' --device, "cuda:0" by default, which says nothing here: JAX uses all
            devices of the platform that the environment variable JAX_PLATFORMS names.

        Raises:
          RunFolderError: there is no such checkpoint, or its vocabulary is gone.
          CheckpointError: it does not have the parameters of its model.
          ValueError: an argument is none of those; it is named.
        """
        super().__init__()
        folder, self.step = run_folder.locate(str(checkpoint), step)
        config = run_folder.read_model_config(folder)
        if dtype is not None:
            config = dataclasses.replace(config, dtype=dtype)
        if chat_template is not None:
            config = generation.chat_model(config, chat_template)
        self.config, self.template = config, chat_template
        self.vocabulary = run_folder.read_vocabulary(folder)
        self.mesh = make_mesh(MeshConfig.parse(mesh) if mesh else MeshConfig())
        with jax.set_mesh(self.mesh):
            loaded = checkpoints.load_identified(str(folder), config, self.mesh, self.step)
        self.params, self.digest = loaded
        self.backend = "seq2seq" if config.encoder_layers else "causal"
        self.batch_size = _batch_size(batch_size, max_batch_size)
        self.max_length, self.max_gen_toks = int(max_length), int(max_gen_toks)
        self.end_contexts = end_contexts
        self.cut = 0
        # Contexts have their start token: the harness counts it among those that it cuts.
        self._boundaries = Boundaries(None, self.vocabulary.eos_id)
        self._decoding = DecodingConfig(cache_dtype=cache_dtype, boundaries=self._boundaries)

    @property
    def eot_token_id(self) -> int:
        """Id that ends a sequence."""
        return self.vocabulary.eos_id

    @property
    def prefix_token_id(self) -> int:
        """Id that stands for an empty context."""
        start = self.vocabulary.boundaries.start
        if self.backend == "seq2seq" or start is None:
            start = self.vocabulary.bos_id
        return self.eot_token_id if start is None else start

    @property
    def tokenizer_name(self) -> str:
        """Tells vocabularies apart, and what is made of conversations."""
        return f"flan_jax_{self.vocabulary.digest[:12]}_{self.template}"

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs
    ) -> list[int]:
        """Turns a text into ids, an encoder's with EOS, a decoder's behind the start token.

        Args:
          string: the text.
          add_special_tokens: False for neither; None for neither where the text begins with the
            start token itself.
          kwargs: of other models.
        """
        parts = lm_eval_chats.segments(self.template, string) if self.template else [string]
        tokens = [token for part in parts for token in self.vocabulary.encode(part)]
        written = add_special_tokens is None and tokens[:1] == [self.prefix_token_id]
        if add_special_tokens is False or written:
            return tokens
        if self.backend == "seq2seq":
            return [*tokens, self.eot_token_id]
        start = self.vocabulary.boundaries.start
        return tokens if start is None else [start, *tokens]

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """As `TemplateLM._encode_pair`, except that a chat template's last marker stays whole."""
        if self.template in chat_templates.TEMPLATES:
            tokens = self.tok_encode(context)
            pair = tokens, self.tok_encode(context + continuation)[len(tokens) :]
        else:
            pair = super()._encode_pair(context, continuation)
        return [*pair[0], *self._ends()], pair[1]

    def _ends(self) -> list[int]:
        """What follows a decoder's contexts."""
        return [self.eot_token_id] if self.end_contexts and self.backend == "causal" else []

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], disable_tqdm: bool = False, **kwargs
    ) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation, in nats, and whether greedy decoding writes it.

        Args:
          requests: texts (for errors and the harness' cache), and tokens of contexts and
            continuations.
          disable_tqdm: whether no progress is shown.
          kwargs: of other models.

        Raises:
          ValueError: a continuation has no tokens or too many, or a score is not finite.
        """
        before = self.cut
        contexts = [self._fit(*request) for request in requests]
        self._say_cut("loglikelihood", before, len(requests))
        examples, numbers = lm_eval_requests.examples(requests, contexts)
        result: list[Any] = [None] * len(requests)
        with tqdm(total=len(requests), desc="flan_jax: scored", disable=disable_tqdm) as bar:
            for position, found in self._scores(examples):
                for number, score, greedy in zip(numbers[position], *found, strict=True):
                    texts, result[number] = requests[number][0], (float(score), bool(greedy))
                    self.cache_hook.add_partial("loglikelihood", texts, result[number])
                bar.update(len(numbers[position]))
        return result

    def _fit(self, texts: tuple[str, str], context: list[int], continuation: list[int]):
        """The end of a context that fits, and counts those that are cut.

        As the harness has it: an encoder's context alone, a decoder's with its continuation, whose
        last token is never read.
        """
        if not 0 < len(continuation) <= self.max_length:
            raise ValueError(
                f"continuation {texts[1]!r} of the context that ends with {texts[0][-80:]!r}: "
                f"expected 1 to max_length={self.max_length} tokens, got {len(continuation)}"
            )
        room = self.max_length
        if self.backend == "causal":
            room += 1 - len(continuation)
        self.cut += len(context) > room
        return context[-room:]

    def _scores(self, examples: list[Example]) -> Iterator[tuple[int, scoring.OptionScores]]:
        model, size = (self.config, self.params), self._rows(len(examples))
        scorer = scoring.Scorer(*model, size, boundaries=self._boundaries)
        with jax.set_mesh(self.mesh):
            for positions, found in scoring.iterate_option_scores(scorer, examples):
                some = [examples[position] for position in positions]
                scoring.check_finite(some, [one.scores for one in found])
                yield from zip(positions, found, strict=True)

    def _rows(self, count: int) -> int:
        """Rows of a batch: not many more than there are, and such that the mesh divides them."""
        ways = self.mesh.shape["data"] * self.mesh.shape["fsdp"]
        return -(-min(self.batch_size, batching.bucket(max(count, 1))) // ways) * ways

    def _say_cut(self, kind: str, before: int, requests: int) -> None:
        if self.cut > before:
            _LOG.warning(
                "%s: %d of %d contexts were cut from the left to max_length=%d",
                kind, self.cut - before, requests, self.max_length,
            )  # fmt: skip

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-likelihood of whole texts, in nats, in windows of `max_length` tokens.

        As the harness has it, the first token is scored behind `prefix_token_id`, what begins or
        ends a text is scored too, and an encoder reads the context of a window.

        Args:
          requests: with a text each.
          disable_tqdm: whether no progress is shown.
        """
        examples, owners = [], []
        for number, (text,) in enumerate(request.args for request in requests):
            windows = utils.get_rolling_token_windows(
                self.tok_encode(text), self.prefix_token_id, self.max_length, context_len=1
            )
            for context, tokens in map(utils.make_disjoint_window, windows):
                owners.append(number)
                # Each alone: contexts are short, and a row holds one window.
                examples.append(Example(context, text, (), (text,), (tokens,), example=number))
        result = [0.0] * len(requests)
        with tqdm(total=len(examples), desc="flan_jax: windows", disable=disable_tqdm) as bar:
            for position, found in self._scores(examples):
                result[owners[position]] += float(found.scores[0])
                bar.update()
        for request, score in zip(requests, result, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, score)
        return result

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answers up to a stop text, without it, without special tokens.

        Args:
          requests: a context and what the task asks of generation each.
          disable_tqdm: whether no progress is shown.

        Raises:
          ValueError: a task asks for something that there is not, or leaves no room for a context.
        """
        alike: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            alike.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(number)
        result: list[Any] = [None] * len(requests)
        with tqdm(total=len(requests), desc="flan_jax: answers", disable=disable_tqdm) as bar:
            for numbers in alike.values():
                contexts = [requests[number].args[0] for number in numbers]
                asked = requests[numbers[0]].args[1]
                for position, text in self._answers(contexts, asked):
                    number = numbers[position]
                    result[number] = text
                    self.cache_hook.add_partial("generate_until", requests[number].args, text)
                    bar.update()
        return result

    def _answers(self, contexts: list[str], asked: dict[str, Any]) -> Iterator[tuple[int, str]]:
        """Yields the position of each context and its answer."""
        decoding, until, most = self._how(asked)
        room = self.max_length - (most if self.backend == "causal" else 0)
        if room < 1:
            raise ValueError(
                f"max_gen_toks={most} leaves no room for a context in max_length="
                f"{self.max_length}; set another in --model_args or --gen_kwargs"
            )
        before, prompts = self.cut, []
        for context in contexts:
            tokens = [*self.tok_encode(context), *self._ends()] or [self.prefix_token_id]
            self.cut += len(tokens) > room
            prompts.append(tokens[-room:])
        self._say_cut("generate_until", before, len(contexts))
        template = chat_templates.TEMPLATES.get(self.template)
        stop = self.vocabulary.encode(template.end) if template else ()
        size = self._rows(len(prompts))
        read, until = lm_eval_requests.reader(self.vocabulary, until), self._until(until)
        how = Generator(self.config, self.params, most, size, stop, decoding, read)
        with jax.set_mesh(self.mesh):
            for positions, found, _ in generation.iterate_answers(how, prompts):
                texts = [postprocess_generated_text(read(one), until, None) for one in found]
                yield from zip(positions, texts, strict=True)

    def _how(self, asked: dict[str, Any]) -> tuple[DecodingConfig, list[str], int]:
        """How a task wants to be answered: also its stop texts, and the most tokens."""
        asked = dict(normalize_gen_kwargs(asked, self.max_gen_toks))
        most = asked.pop("max_gen_toks")
        return *lm_eval_requests.decoding(asked, self._decoding), most

    def _until(self, until: list[str]) -> list[str]:
        """The stop texts, and what is written as EOS is."""
        (end,) = self.vocabulary.pieces([self.eot_token_id])
        return handle_stop_sequences([*until], end)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as one text; see `lm_eval_chats.prompt_text`."""
        self.chat_template(True)
        return lm_eval_chats.prompt_text(self.template, chat_history, add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """What is recorded of the chat template.

        Raises:
          ValueError: another one is asked for than the model has, or it has none.
        """
        if chat_template is False or chat_template is None:
            return None
        if self.template is None or chat_template not in (True, self.template):
            raise ValueError(
                f"apply_chat_template={chat_template}, but the model has chat_template="
                f"{self.template}; give one of {', '.join(chat_templates.NAMES)} as chat_template "
                "in --model_args"
            )
        return lm_eval_chats.description(self.template)

    def get_model_info(self) -> dict[str, Any]:
        """What stands beside the results: which parameters these were, and contexts cut."""
        return {
            "model_num_parameters": parameter_count(self.config),
            "model_dtype": self.config.dtype,
            "model_revision": str(self.step),
            "model_sha": self.digest,
            "contexts_cut": self.cut,
        }


def _batch_size(given: int | str, most: int | None) -> int:
    if str(given).split(":")[0] == "auto":
        return most or _AUTO_BATCH
    if not str(given).isdecimal() or int(given) < 1:
        raise ValueError(f"batch_size: expected a positive number or auto, got {given!r}")
    return int(given)


def main() -> None:
    """The harness' own command line, with `--model flan_jax`."""
    from lm_eval.__main__ import cli_evaluate

    distributed.initialize()
    # All processes of a job score everything together; the harness lets the one with 0 write.
    os.environ.setdefault("LOCAL_RANK", str(jax.process_index()))
    sys.argv[0] = "flan_jax.interop.lm_eval"
    cli_evaluate()


if __name__ == "__main__":
    main()
