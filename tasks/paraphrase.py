"""Paraphrase: do two sentences, or two questions, mean the same?"""

from flan_jax.data.declarations import task
from flan_jax.data.sources import jsonl
from tasks.splits import LAST_200
from tasks.templates import paraphrase as templates
from tasks.tidy import tidy

NO_YES = ["no", "yes"]
# How the turned-around templates put an answer.
SAMENESS = ["says something else than", "says the same as"]
OVERLAP = ["asks for something else than", "asks for the same thing as"]


@task("mrpc", cluster="paraphrase", source=jsonl("mrpc", LAST_200), templates=templates.MRPC,
      metrics=("accuracy",), example={
          "sentence1": "The council approved the tram line on Monday by a single vote.",
          "sentence2": "By one vote, the tram line won the council's approval on Monday.",
          "label": 1})  # fmt: skip
def mrpc(row):
    return {"sentence1": tidy(row["sentence1"]), "sentence2": tidy(row["sentence2"]),
            "sameness": SAMENESS[row["label"]],
            "options": NO_YES, "answer": NO_YES[row["label"]]}  # fmt: skip


@task("qqp", cluster="paraphrase", source=jsonl("qqp", LAST_200), templates=templates.QQP,
      metrics=("accuracy",), example={
          "question1": "How do I keep basil alive in winter?",
          "question2": "How often should I water basil?", "is_duplicate": False})  # fmt: skip
def qqp(row):
    return {"question1": tidy(row["question1"]), "question2": tidy(row["question2"]),
            "overlap": OVERLAP[row["is_duplicate"]],
            "options": NO_YES, "answer": NO_YES[row["is_duplicate"]]}  # fmt: skip
