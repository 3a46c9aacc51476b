"""Rows of BIG-Bench Hard (Suzgun et al., 2022), from a clone of suzgunmirac/BIG-Bench-Hard.

    <clone>/bbh/<task>.json              {"canary": ..., "examples": [{"input", "target"}, ...]}
    <clone>/cot-prompts/<task>.txt       a canary, a line of dashes, and the prompt: what the task
                                         is, and three questions ("Q:") with chains of thought and
                                         answers ("A: Let's think step by step. ... So the answer
                                         is ...")

Neither is copied anywhere: prompts are read where they are, and shown as they are.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flan_jax import storage
from flan_jax.data.sources.protocol import LOCAL, MISSING, Availability, BadRow
from flan_jax.data.sources.split_rules import check_split

TEST = "test"
CHAIN = " Let's think step by step."

_URL = "https://github.com/suzgunmirac/BIG-Bench-Hard"
_CANARY_END = re.compile(r"^-{3,}[ \t]*\n", re.MULTILINE)
_QUESTION = re.compile(r"\n\n(?=Q: )")
_ANSWER = "So the answer is"


class BenchmarkFileError(ValueError):
    """A file of a benchmark that is not as published; the message names it and the place."""


@dataclass(frozen=True)
class BigBenchHardSource:
    """The examples of a task, each with the task's published prompt under `prompt`.

    Attributes:
      task: name of the task's files.
      folders: where the clone may be in the data folder; empty stands for the data folder itself.
    """

    task: str
    folders: tuple[str, ...] = ("BIG-Bench-Hard", "big_bench_hard", "")  # as git names it, first

    @property
    def splits(self) -> tuple[str, ...]:
        return (TEST,)

    @property
    def version(self) -> str:
        return f"bbh:{self.task}"

    @property
    def identities(self) -> frozenset[str]:
        return frozenset({self.version})

    def chosen(self, data_dir: str | None) -> "BigBenchHardSource":
        return self

    def availability(self, data_dir: str | None) -> Availability:
        found = self._found(data_dir)
        if found is None:
            return Availability(
                MISSING,
                f"there is no clone with bbh/{self.task}.json in {data_dir}",
                f"git clone {_URL} into the folder of --data_dir",
            )
        return Availability(LOCAL, str(found[0]), size=sum(map(storage.size, found)))

    def prepare(self, data_dir: str | None) -> None:
        """Does nothing: files are there, or reading says what is missing."""

    def rows(self, split: str, data_dir: str | None) -> Iterator[dict[str, Any] | BadRow]:
        examples, prompts = self._files(split, data_dir)
        prompt = read_prompt(prompts)
        for number, example in enumerate(_examples(examples)):
            if isinstance(example, dict) and all(
                isinstance(example.get(name), str) for name in ("input", "target")
            ):
                yield {**example, "prompt": prompt}
            else:
                where = f"{examples}: examples[{number}]"
                yield BadRow(where, "no object with the texts 'input' and 'target'")

    def num_examples(self, split: str, data_dir: str | None) -> int:
        return len(_examples(self._files(split, data_dir)[0]))

    def locate(self, split: str, index: int, data_dir: str | None) -> str:
        return f"{self._files(split, data_dir)[0]}: examples[{index}]"

    def fingerprint(self, split: str, data_dir: str | None) -> str:
        digest = hashlib.sha256(self.version.encode())
        for path in self._files(split, data_dir):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _found(self, data_dir: str | None) -> tuple[storage.AnyPath, storage.AnyPath] | None:
        for folder in self.folders if data_dir else ():
            root = storage.path(data_dir) / folder if folder else storage.path(data_dir)
            examples = root / "bbh" / f"{self.task}.json"
            prompts = root / "cot-prompts" / f"{self.task}.txt"
            if examples.is_file() and prompts.is_file():
                return examples, prompts
        return None

    def _files(self, split: str, data_dir: str | None) -> tuple[storage.AnyPath, storage.AnyPath]:
        check_split(self.version, self.splits, split)
        found = self._found(data_dir)
        if found is None:
            raise FileNotFoundError(
                f"source {self.version}: {data_dir} has no folder {', '.join(self.folders[:-1])} "
                f"with bbh/{self.task}.json and cot-prompts/{self.task}.txt; git clone {_URL} there"
            )
        return found


def _examples(path: storage.AnyPath) -> list[Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise BenchmarkFileError(f"{path}: broken JSON ({error}); get the file anew") from error
    examples = content.get("examples") if isinstance(content, dict) else None
    if not isinstance(examples, list) or not examples:
        raise BenchmarkFileError(
            f"{path}: expected an object with a list 'examples'; get the file anew"
        )
    return examples


def read_prompt(path: storage.AnyPath) -> str:
    """Reads a published prompt, without the canary before it.

    Raises:
      BenchmarkFileError: the file is not of the published form.
    """
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BenchmarkFileError(f"{path}: not UTF-8 ({error}); get the file anew") from error
    _, *rest = _CANARY_END.split(text, maxsplit=1)
    if not rest:
        raise BenchmarkFileError(f"{path}: no line of dashes after the canary; get the file anew")
    prompt = rest[0].strip()
    try:
        answers_alone(prompt)
    except ValueError as error:
        raise BenchmarkFileError(f"{path}: {error}; get the file anew") from error
    return prompt


def answers_alone(prompt: str) -> str:
    """Takes the chains of thought out of a published prompt, as its direct prompts have it.

    Args:
      prompt: what the task is, and questions with chains of thought.

    Returns:
      For "Add.\\n\\nQ: 1 + 1?\\nA: Let's think step by step.\\nOne and one. So the answer is 2."
      the text "Add.\\n\\nQ: 1 + 1?\\nA: 2".

    Raises:
      ValueError: there is no question, or one has no chain of thought or no answer.
    """
    task, *questions = _QUESTION.split(prompt)
    if not questions:
        raise ValueError("no question ('Q: ') behind a blank line")
    direct = []
    for number, block in enumerate(questions, start=1):
        question, answered, chain = block.partition(f"\nA:{CHAIN}")
        _, concluded, answer = chain.rpartition(_ANSWER)
        answer = answer.strip().removesuffix(".")
        if not (answered and concluded and answer):
            raise ValueError(f"question {number} lacks 'A:{CHAIN}' or '{_ANSWER}'")
        direct.append(f"{question}\nA: {answer}")
    return "\n\n".join([task, *direct])
