"""GSM8K (Cobbe et al., 2021): 1,319 word problems, answered with a number behind a solution.

`gsm8k_0_shot` asks for a chain of thought and shows none (Kojima et al., 2022, whose second prompt,
which asks for the number, is left out: the number is looked for instead). `gsm8k_8_shot` shows
eight solved problems, in the form of Wei et al. (2022): the first eight of the training set, with
their published solutions, not the eight that Wei et al. wrote, so that scores are near theirs and
not the same. Marks for a calculator (`<<48/2=24>>`) are taken out of solutions.

The answer is the number behind `####` or "the answer is", else the last number; 1,200 and $1200.00
are the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flan_jax.data.declarations import RowError, TaskDeclaration
from flan_jax.data.sources import FirstOf, first_of, huggingface, jsonl
from flan_jax.data.sources.exemplars import ShownSource
from flan_jax.data.templates import Template

SHOTS = 8
_CHAIN = " Let's think step by step."
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_CLONE = "grade-school-math/grade_school_math/data/{split}.jsonl"

EXAMPLE = {
    "question": "A ferry has 12 seats on each of 3 decks. How many people can sit?",
    "answer": "There are 12 * 3 = <<12*3=36>>36 seats.\n#### 36",
    "exemplars": [
        {
            "question": "Tom has 2 hats and buys 3. How many has he?",
            "answer": "Tom has 2 + 3 = <<2+3=5>>5 hats.\n#### 5",
        }
    ],
}


@dataclass(frozen=True)
class Prompt:
    """The row function.

    Attributes:
      ending: what stands behind "A:".
    """

    ending: str = ""

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Gives `prompt`, and the number as `answer`."""
        shown = [
            f"Q: {one['question']}\nA: {solution(one['answer'])}"
            for one in row.get("exemplars", ())
        ]
        prompt = "\n\n".join([*shown, f"Q: {row['question']}\nA:{self.ending}"])
        return {"prompt": prompt, "answer": number(row["answer"])}


def solution(answer: str) -> str:
    """Takes marks for a calculator out: `solution("3 * 4 = <<3*4=12>>12")` is "3 * 4 = 12"."""
    return _CALCULATOR.sub("", answer).strip()


def number(answer: str) -> str:
    """Gives the number behind a published solution, for "... = 1200 pens.\\n#### 1,200" "1200".

    Raises:
      RowError: there is none.
    """
    _, mark, found = answer.rpartition("####")
    if not mark or not found.strip():
        raise RowError("no answer behind ####")
    return found.strip().replace(",", "")


def source(*splits: str) -> FirstOf:
    """The places where the set is found: JSON lines, a clone of its repository, and the hub."""
    hub = huggingface("openai/gsm8k", "main", splits)
    return first_of(jsonl("gsm8k", splits), jsonl(_CLONE, splits), hub)


def declarations() -> list[TaskDeclaration]:
    """Declares the set without solved problems and with eight; reads nothing."""
    ways = (
        ("gsm8k_0_shot", source("test"), Prompt(_CHAIN)),
        (f"gsm8k_{SHOTS}_shot", ShownSource(source("train", "test"), "train", SHOTS), Prompt()),
    )
    return [
        TaskDeclaration(
            name=name,
            cluster=name,
            source=place,
            templates=(Template("{prompt}", name="chain_of_thought"),),
            row=row,
            example=EXAMPLE,
            metrics=("answer_match", "gsm8k_strict"),
            few_shot=None,
            shuffle_options=False,
            has_options=False,
            licence="MIT (GSM8K)",
            origins=("gsm8k",),
        )
        for name, place, row in ways
    ]
