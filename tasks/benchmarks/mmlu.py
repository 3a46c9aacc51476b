"""MMLU (Hendrycks et al., 2021): 57 subjects, a question with four answers, by letter.

`mmlu_<subject>` shows no solved question, `mmlu_<subject>_5_shot` the five of the `dev` split in
their order. Prompts are those of the published code (`evaluate.py` of hendrycks/test, functions
`format_subject`, `format_example` and `gen_prompt`), and so is what happens to prompts of more than
2,048 tokens: the last solved questions are left out, one by one, until the prompt fits.

The letters are ranked by the log-probability of a letter and the end of sequence, where the code
compares the letters' alone. Its group scores weigh every question alike: those are `pooled` in
`report.json`, beside the mean over subjects. The averages over all 57, by subject and by question,
are `averages` there (see `flan_jax.evaluation.averages`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flan_jax.data.declarations import RowError, TaskDeclaration, choose
from flan_jax.data.sources import FirstOf, first_of, huggingface, jsonl
from flan_jax.data.sources.exemplars import MatchingSource, ShownSource
from flan_jax.data.sources.tables import csv_table
from flan_jax.data.templates import Template
from flan_jax.data.vocabulary import Vocabulary

LETTERS = ("A", "B", "C", "D")
SHOTS = 5
MAX_TOKENS = 2048  # with the end of sequence

# Subject to group, by way of the subcategories (`categories.py` of hendrycks/test).
GROUPS: dict[str, tuple[str, ...]] = {
    "stem": (
        "abstract_algebra",
        "astronomy",
        "college_biology",
        "college_chemistry",
        "college_computer_science",
        "college_mathematics",
        "college_physics",
        "computer_security",
        "conceptual_physics",
        "electrical_engineering",
        "elementary_mathematics",
        "high_school_biology",
        "high_school_chemistry",
        "high_school_computer_science",
        "high_school_mathematics",
        "high_school_physics",
        "high_school_statistics",
        "machine_learning",
    ),
    "humanities": (
        "formal_logic",
        "high_school_european_history",
        "high_school_us_history",
        "high_school_world_history",
        "international_law",
        "jurisprudence",
        "logical_fallacies",
        "moral_disputes",
        "moral_scenarios",
        "philosophy",
        "prehistory",
        "professional_law",
        "world_religions",
    ),
    "social_sciences": (
        "econometrics",
        "high_school_geography",
        "high_school_government_and_politics",
        "high_school_macroeconomics",
        "high_school_microeconomics",
        "high_school_psychology",
        "human_sexuality",
        "professional_psychology",
        "public_relations",
        "security_studies",
        "sociology",
        "us_foreign_policy",
    ),
    "other": (
        "anatomy",
        "business_ethics",
        "clinical_knowledge",
        "college_medicine",
        "global_facts",
        "human_aging",
        "management",
        "marketing",
        "medical_genetics",
        "miscellaneous",
        "nutrition",
        "professional_accounting",
        "professional_medicine",
        "virology",
    ),
}
SUBJECTS = tuple(subject for subjects in GROUPS.values() for subject in subjects)

# The release's `data.tar` unpacks to `data/<split>/<subject>_<split>.csv`.
_FOLDERS = ("mmlu/data", "mmlu")
_ON_DISK = {"test": "test", "validation": "val", "dev": "dev"}
_COLUMNS = ("question", *LETTERS, "answer")

EXAMPLE = {
    "question": "Which of these is a prime number?",
    "choices": ["4", "6", "7", "9"],
    "answer_idx": 2,
    "exemplars": [
        {"question": "How much is 2 + 2?", "choices": ["2", "4", "6", "8"], "answer_idx": 1}
    ],
}


@dataclass(frozen=True)
class Prompt:
    """The row function of a subject.

    Attributes:
      subject: its name in the release.
      vocabulary: what measures prompts; None leaves them as long as they are.
    """

    subject: str
    vocabulary: Vocabulary | None = None

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Gives `prompt`, the letters as `options`, and the right one as `answer`."""
        query, answer = _question(row), choose(LETTERS, row["answer_idx"])
        shown = [
            f"{_question(one)} {choose(LETTERS, one['answer_idx'])}"
            for one in row.get("exemplars", ())
        ]
        # The published code puts a blank before each word of the subject, and so two here.
        words = " " + self.subject.replace("_", " ")
        header = f"The following are multiple choice questions (with answers) about {words}."
        prompt = "\n\n".join([header, *shown, query])
        while shown and not self._fits(prompt):
            shown.pop()
            prompt = "\n\n".join([header, *shown, query])
        return {"prompt": prompt, "options": list(LETTERS), "answer": answer}

    def _fits(self, prompt: str) -> bool:
        return self.vocabulary is None or len(self.vocabulary.encode(prompt)) < MAX_TOKENS


def _question(row: Mapping[str, Any]) -> str:
    choices = row["choices"]
    if len(choices) != len(LETTERS):
        raise RowError(f"{len(choices)} choices where {len(LETTERS)} are expected")
    lines = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=True)]
    return "\n".join([row["question"], *lines, "Answer:"])


def from_csv(row: Mapping[str, str]) -> dict[str, Any]:
    """Gives a row of the release the fields of the others.

    Args:
      row: texts by `question`, the four letters and `answer`, which is a letter.

    Returns:
      `question`, `choices` and `answer_idx`: 2 for the answer "C".
    """
    return {
        "question": row["question"],
        "choices": [row[letter] for letter in LETTERS],
        "answer_idx": LETTERS.index(row["answer"].strip()),
    }


def from_hub(row: Mapping[str, Any]) -> dict[str, Any]:
    """Gives a row of `cais/mmlu` the fields of the others; there `answer` is a number."""
    return {name: row[name] for name in ("question", "choices")} | {"answer_idx": row["answer"]}


def source(subject: str) -> FirstOf:
    """The places where a subject is found: the release's files, JSON lines of all, and the hub."""
    files = [
        csv_table(f"{folder}/{{split}}/{subject}_{{split}}.csv", _COLUMNS, _ON_DISK, from_csv)
        for folder in _FOLDERS
    ]
    lines = MatchingSource(jsonl("mmlu", tuple(_ON_DISK)), "subject", subject)
    hub = huggingface("cais/mmlu", subject, tuple(_ON_DISK), adapt=from_hub)
    return first_of(*files, lines, hub)


def declarations(vocabulary: Vocabulary | None = None) -> list[TaskDeclaration]:
    """Declares the subjects, without solved questions and with five; reads nothing.

    Args:
      vocabulary: what bounds prompts to 2,048 tokens; None leaves them as long as they are.
    """
    return [
        TaskDeclaration(
            name=f"mmlu_{subject}{suffix}",
            cluster=f"mmlu_{group}{suffix}",
            source=ShownSource(source(subject), "dev", SHOTS) if suffix else source(subject),
            templates=(Template("{prompt}", name="hendrycks_test"),),
            row=Prompt(subject, vocabulary if suffix else None),
            example=EXAMPLE,
            metrics=("accuracy",),
            few_shot=None,
            shuffle_options=False,
            has_options=True,
            licence="MIT (MMLU)",
            origins=("mmlu",),
            lists_options=True,
        )
        for suffix in ("", f"_{SHOTS}_shot")
        for group, subjects in GROUPS.items()
        for subject in subjects
    ]
