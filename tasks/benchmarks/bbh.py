"""BIG-Bench Hard (Suzgun et al., 2022): 23 tasks, of which two come in three sizes: 27 subtasks.

`bbh_<task>_direct` shows three questions with their answers, `bbh_<task>_cot` with chains of
thought before these, from the repository's own files (see `flan_jax.data.sources.big_bench_hard`).
Prompts are those that its published outputs hold (code-davinci-002-outputs/): a prompt, a blank
line, "Q: <input>", and "A:" or "A: Let's think step by step.".

Answers are found behind "the answer is", and are right if they are the target's but for case,
blanks and how a number is written. The published score is the mean over the 27 subtasks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flan_jax.data.declarations import TaskDeclaration
from flan_jax.data.sources.big_bench_hard import CHAIN, BigBenchHardSource, answers_alone
from flan_jax.data.templates import Template

# Section 2 and appendix A of the paper; files of bbh/.
TASKS = (
    "boolean_expressions",
    "causal_judgement",
    "date_understanding",
    "disambiguation_qa",
    "dyck_languages",
    "formal_fallacies",
    "geometric_shapes",
    "hyperbaton",
    "logical_deduction_five_objects",
    "logical_deduction_seven_objects",
    "logical_deduction_three_objects",
    "movie_recommendation",
    "multistep_arithmetic_two",
    "navigate",
    "object_counting",
    "penguins_in_a_table",
    "reasoning_about_colored_objects",
    "ruin_names",
    "salient_translation_error_detection",
    "snarks",
    "sports_understanding",
    "temporal_sequences",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
    "tracking_shuffled_objects_three_objects",
    "web_of_lies",
    "word_sorting",
)
DIRECT, COT = "direct", "cot"

EXAMPLE = {
    "prompt": "Tell whether a number is even.\n\nQ: Is 6 even?\nA: Let's think step by step.\n"
    "Half of 6 is 3, with no rest. So the answer is Yes.",
    "input": "Is 9 even?",
    "target": "No",
}


@dataclass(frozen=True)
class Prompt:
    """The row function of a task.

    Attributes:
      chains: whether chains of thought are shown and asked for.
    """

    chains: bool

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Gives `prompt`, and the target as `answer`."""
        shown = row["prompt"] if self.chains else answers_alone(row["prompt"])
        ending = f"Q: {row['input']}\nA:{CHAIN if self.chains else ''}"
        return {"prompt": f"{shown}\n\n{ending}", "answer": row["target"]}


def declarations() -> list[TaskDeclaration]:
    """Declares the subtasks, direct and with chains of thought; reads nothing."""
    return [
        TaskDeclaration(
            name=f"bbh_{task}_{style}",
            cluster=f"bbh_{style}",
            source=BigBenchHardSource(task),
            templates=(Template("{prompt}", name="big_bench_hard"),),
            row=Prompt(chains=style == COT),
            example=EXAMPLE,
            metrics=("answer_match", "bbh_exact_match"),
            few_shot=None,
            shuffle_options=False,
            has_options=False,
            licence="MIT (BIG-Bench Hard); Apache-2.0 (BIG-bench)",
            origins=("big_bench_hard", "bigbench"),
        )
        for style in (DIRECT, COT)
        for task in TASKS
    ]
