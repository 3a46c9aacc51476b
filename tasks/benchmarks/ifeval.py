"""IFEval (Zhou et al., 2023): 541 prompts whose instructions a program can check.

Prompts are shown as they are and answered freely. What a verdict needs is kept as the second
reference of each example, the JSON object `{"key", "instruction_id_list", "kwargs"}` of the
release, and so stands in predictions beside the answer; the first reference is the key. Scores are
the shares of prompts all of whose instructions are followed and of instructions followed, strictly
and loosely (see `flan_jax.evaluation.ifeval`), and of prompts that get any answer.
"""

from collections.abc import Mapping
from typing import Any

from flan_jax.data.declarations import RowError, TaskDeclaration
from flan_jax.data.facts import with_facts
from flan_jax.data.sources import first_of, huggingface, jsonl
from flan_jax.data.templates import Template

_CLONES = (
    "instruction_following_eval/data/{split}.jsonl",
    "google-research/instruction_following_eval/data/{split}.jsonl",
)

METRICS = (
    "ifeval_prompt_strict",
    "ifeval_instruction_strict",
    "ifeval_prompt_loose",
    "ifeval_instruction_loose",
    "answered",
)
EXAMPLE = {
    "key": 1,
    "prompt": "Describe a lighthouse in less than 20 words. Do not use any commas.",
    "instruction_id_list": ["length_constraints:number_words", "punctuation:no_comma"],
    "kwargs": [{"relation": "less than", "num_words": 20}, {}],
}


def prompt(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row function: gives `prompt`, and as `answer` the key and what a verdict needs.

    Arguments that are None, as the hub has them, are left out.
    """
    names, arguments = list(row["instruction_id_list"]), row["kwargs"]
    if not names or len(names) != len(arguments):
        raise RowError("instruction_id_list and kwargs differ in length, or are empty")
    kwargs = [
        {name: value for name, value in one.items() if value is not None} for one in arguments
    ]
    needed = {"key": row["key"], "instruction_id_list": names, "kwargs": kwargs}
    return {"prompt": row["prompt"], "answer": with_facts([str(row["key"])], **needed)}


def declarations() -> list[TaskDeclaration]:
    """Declares the prompts; reads nothing."""
    clones = [jsonl(clone, {"test": "input_data"}) for clone in _CLONES]
    hub = huggingface("google/IFEval", None, {"test": "train"})
    return [
        TaskDeclaration(
            name="ifeval",
            cluster="ifeval",
            source=first_of(jsonl("ifeval", ("test",)), *clones, hub),
            templates=(Template("{prompt}", name="ifeval"),),
            row=prompt,
            example=EXAMPLE,
            metrics=METRICS,
            few_shot=None,
            shuffle_options=False,
            has_options=False,
            licence="Apache-2.0 (IFEval)",
            origins=("ifeval",),
        )
    ]
