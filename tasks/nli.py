"""Natural language inference: does one text follow from another?"""

from flan_jax.data.declarations import task
from flan_jax.data.sources import jsonl
from tasks.splits import LAST_50, LAST_200
from tasks.templates import nli as templates
from tasks.tidy import tidy

ANSWERS = {"entailment": "yes", "contradiction": "no", "neutral": "unclear"}
# How the turned-around templates put an answer.
RELATIONS = {"yes": "follows from", "no": "does not follow from"}
STANCES = {"yes": "makes clear that", "no": "denies that", "unclear": "leaves open whether"}
STATUSES = {"yes": "must be true", "no": "cannot be true", "unclear": "may or may not be true"}


@task("rte", cluster="nli", source=jsonl("rte", LAST_200), templates=templates.RTE,
      metrics=("accuracy",), example={
          "premise": "The ferry to Skagen was cancelled on Friday because of high waves.",
          "hypothesis": "High waves stopped a ferry.", "label": "entailment"})  # fmt: skip
def rte(row):
    """Two labels: the files write "contradiction" for all that is not entailed."""
    answer = ANSWERS[row["label"]]
    return {"premise": tidy(row["premise"]), "hypothesis": tidy(row["hypothesis"]),
            "relation": RELATIONS[answer], "options": ["yes", "no"], "answer": answer}  # fmt: skip


@task("cb", cluster="nli", source=jsonl("cb", LAST_50), templates=templates.CB,
      metrics=("accuracy",), example={
          "premise": "A: Have you seen the new bridge? B: Yes. I don't think they were in time.",
          "hypothesis": "the bridge was ready in time", "label": "contradiction"})  # fmt: skip
def cb(row):
    answer, options = ANSWERS[row["label"]], ["yes", "no", "unclear"]
    return {"premise": tidy(row["premise"]), "hypothesis": tidy(row["hypothesis"]),
            "stance": STANCES[answer], "options": options, "answer": answer}  # fmt: skip


@task("mnli", cluster="nli", source=jsonl("mnli", LAST_200), templates=templates.MNLI,
      metrics=("accuracy",), example={
          "premise": "The museum opens at nine and closes when the last guest has left.",
          "hypothesis": "The museum is never busy.", "label": "neutral"})  # fmt: skip
def mnli(row):
    if row["label"] == "-":  # the annotators did not agree
        return None
    answer, options = ANSWERS[row["label"]], ["yes", "unclear", "no"]
    return {"premise": tidy(row["premise"]), "hypothesis": tidy(row["hypothesis"]),
            "status": STATUSES[answer], "options": options, "answer": answer}  # fmt: skip
