"""Commonsense reasoning: what is plausible in the world of objects and of people?

Of `piqa` and `social_iqa` only the validation split is at hand. It is the one that is reported
everywhere (the labels of the test sets are secret), so it is scored whole and never trained on.
"""

import re

from flan_jax.data.declarations import task
from flan_jax.data.sources import jsonl
from tasks.splits import LAST_50, ONLY_VALIDATION
from tasks.templates import commonsense as templates
from tasks.tidy import tidy

QUESTIONS = {"cause": "How come?", "effect": "And then?"}
_LAST_SENTENCE = re.compile(r"^(?P<context>.*[.!?\"'])\s+(?P<question>[^.!?]+\?)$")


@task("copa", cluster="commonsense", source=jsonl("copa", LAST_50), templates=templates.COPA,
      metrics=("accuracy",), example={
          "premise": "The candle went out.", "question": "cause",
          "choice1": "The window blew open.", "choice2": "The room smelled of honey.",
          "label": 0})  # fmt: skip
def copa(row):
    options = [row["choice1"], row["choice2"]]
    return {"premise": tidy(row["premise"]), "role": row["question"],
            "question": QUESTIONS[row["question"]],
            "options": options, "answer": options[row["label"]]}  # fmt: skip


@task("piqa", cluster="commonsense", source=jsonl("piqa", ONLY_VALIDATION),
      templates=templates.PIQA, metrics=("accuracy",), example={
          "goal": "Keep a door from slamming in the draught.",
          "sol1": "Push a folded towel over the top of the door.",
          "sol2": "Push a folded towel over the top of the lamp.", "label": 0})  # fmt: skip
def piqa(row):
    options = [tidy(row["sol1"]), tidy(row["sol2"])]
    return {"goal": tidy(row["goal"]), "options": options, "answer": options[row["label"]]}


@task("social_iqa", cluster="commonsense", source=jsonl("social_iqa", ONLY_VALIDATION),
      templates=templates.SOCIAL_IQA, metrics=("accuracy",), example={
          "context_question": "Ines lent Bo her umbrella. How will Bo feel afterwards?",
          "choices": ["grateful", "bored", "soaked"], "answer_idx": 0})  # fmt: skip
def social_iqa(row):
    """The file joins context and question; the question is the last sentence."""
    parts = _LAST_SENTENCE.match(tidy(row["context_question"]))
    options = row["choices"]
    return {**parts.groupdict(), "options": options, "answer": options[row["answer_idx"]]}
