"""Reading comprehension: what does a passage say?"""

import re

from flan_jax.data.declarations import choose, task
from flan_jax.data.facts import identity, with_facts
from flan_jax.data.sources import ApartSource, GroupedSource, first_of, jsonl, tfds
from tasks.splits import LAST_200, PUBLISHED, SCORES_VALIDATION, SCORES_VALIDATION_FILE
from tasks.templates import reading_comprehension as templates
from tasks.tidy import tidy

NO_YES = ("no", "yes")
# What stands for the answer to a question that the passage does not answer.
NOT_STATED = "not stated"
SPAN_METRICS = ("token_f1", "exact_match")

# DROP's labelled development set is published as `dev`.
SCORES_DEV = LAST_200 | {"test": "dev"}
SCORES_DEV_FILE = LAST_200 | {"test": "dev|validation|test"}

# TFDS joins the parts of DROP's dates by hyphens, missing ones too: "1812-June-18", "-June-18".
_DATE = re.compile(r"^(\d*)-([A-Za-z]+)-(\d+)$")


def unique(texts):
    """Gives texts tidied, each once."""
    return list(dict.fromkeys(map(tidy, texts)))


# The file's passages recur: training rows that share one with a scored question are left out.
@task("boolq", cluster="reading_comprehension",
      source=first_of(ApartSource(jsonl("boolq", SCORES_VALIDATION_FILE), text="passage"),
                      tfds("bool_q:1.0.0", SCORES_VALIDATION)),
      templates=templates.BOOLQ, metrics=("accuracy",), licence="CC BY-SA 3.0 (BoolQ)",
      origins=("boolq",), example={
          "question": "can a lighthouse be seen from space", "title": "Lighthouse",
          "passage": "Lighthouse -- A lighthouse sends out light for ships. From orbit its beam "
                     "is too faint for the naked eye.", "answer": False})  # fmt: skip
def boolq(row):
    return {"question": f"{tidy(row['question'])}?", "passage": tidy(row["passage"]),
            "options": NO_YES, "answer": choose(NO_YES, row["answer"])}  # fmt: skip


@task("drop", cluster="reading_comprehension",
      source=first_of(jsonl("drop", SCORES_DEV_FILE), tfds("drop:2.0.0", SCORES_DEV)),
      templates=templates.DROP, metrics=SPAN_METRICS, licence="CC BY-SA 4.0 (DROP)",
      origins=("drop",), example={
          "passage": "In the spring of 1904 the harbour counted 41 sailing ships and 17 steamers. "
                     "Ten years later there were 9 sailing ships and 52 steamers.",
          "question": "How many more steamers were there in 1914 than in 1904?",
          "answer": "35", "validated_answers": ["35", "35 steamers"]})  # fmt: skip
def drop(row):
    answers = [row["answer"], *row["validated_answers"]]
    return {"passage": tidy(row["passage"]), "question": tidy(row["question"]),
            "answer": unique(_DATE.sub(r"\3 \2 \1", answer) for answer in answers)}  # fmt: skip


# Of a lone training file all splits are ours, and no passage is in two.
@task("multirc", cluster="reading_comprehension",
      source=first_of(jsonl("multirc", SCORES_VALIDATION),
                      GroupedSource(jsonl("multirc", ("train",)), group="paragraph"),
                      tfds("super_glue/multirc:1.0.2", SCORES_VALIDATION)),
      templates=templates.MULTIRC, metrics=("accuracy", "multirc_f1a", "multirc_exact_match"),
      licence="research use (MultiRC)",
      # Some passages are travel guides that MultiNLI's part of OANC has too.
      origins=("multirc", "mctest", "oanc"), example={
          "paragraph": "Oda baked two loaves. She sold one to the miller and kept the other.",
          "question": "Who had bread in the end?", "answer": "The miller",
          "label": 1, "idx": {"paragraph": 0, "question": 0, "answer": 0}})  # fmt: skip
def multirc(row):
    answer = choose(NO_YES, row["label"])
    # Two scores look at all candidates of a question together.
    question = identity(row["paragraph"], row["question"])
    return {"paragraph": tidy(row["paragraph"]), "question": tidy(row["question"]),
            "candidate": tidy(row["answer"]), "judgement": "right" if answer == "yes" else "wrong",
            "options": NO_YES,
            "answer": with_facts([answer], question=question, positive="yes")}  # fmt: skip


@task("openbookqa", cluster="reading_comprehension",
      source=first_of(jsonl("openbookqa", PUBLISHED), tfds("openbookqa:0.1.0", PUBLISHED)),
      templates=templates.OPENBOOKQA, metrics=("accuracy",), origins=("openbookqa",),
      licence="Apache-2.0 (its repository)", example={
          "fact1": "salt water freezes at a lower temperature than fresh water", "answerKey": 2,
          "question": {"stem": "On a frosty night, ice forms last on", "choice_A": "a puddle",
                       "choice_B": "a mountain lake", "choice_C": "the sea",
                       "choice_D": "a bird bath"}})  # fmt: skip
def openbookqa(row):
    options = [tidy(row["question"][f"choice_{letter}"]) for letter in "ABCD"]
    return {"fact": tidy(row["fact1"]).rstrip("."), "question": tidy(row["question"]["stem"]),
            "options": options, "answer": choose(options, row["answerKey"])}  # fmt: skip


@task("squad_v1", cluster="reading_comprehension",
      source=first_of(jsonl("squad_v1", SCORES_VALIDATION_FILE),
                      tfds("squad/v1.1:3.0.0", SCORES_VALIDATION)),
      templates=templates.SQUAD_V1, metrics=SPAN_METRICS, licence="CC BY-SA 4.0 (SQuAD)",
      origins=("squad",), example={
          "title": "Tide_mill", "question": "What keeps the water in the pond of a tide mill?",
          "context": "A tide mill is driven by the sea. The flood fills a pond and is held back by "
                     "a gate until low tide, when it is let out over the wheel.",
          "answers": {"text": ["a gate", "gate"], "answer_start": [77, 79]}})  # fmt: skip
def squad_v1(row):
    return {"title": tidy(row["title"].replace("_", " ")), "context": tidy(row["context"]),
            "question": tidy(row["question"]),
            "answer": unique(row["answers"]["text"])}  # fmt: skip


@task("squad_v2", cluster="reading_comprehension",
      source=first_of(jsonl("squad_v2", SCORES_VALIDATION_FILE),
                      tfds("squad/v2.0:3.0.0", SCORES_VALIDATION)),
      templates=templates.SQUAD_V2, metrics=SPAN_METRICS, licence="CC BY-SA 4.0 (SQuAD)",
      origins=("squad",), example={
          "title": "Paper_boat", "question": "Who folded the first paper boat?",
          "context": "A paper boat is folded from one sheet. It was known by the 19th century.",
          "is_impossible": True, "answers": {"text": [], "answer_start": []}})  # fmt: skip
def squad_v2(row):
    answers = [NOT_STATED] if row["is_impossible"] else unique(row["answers"]["text"])
    told = f'the text answers with "{answers[0]}"' if answers else ""
    if row["is_impossible"]:
        told = "is about the text without being answered there"
    return {"title": tidy(row["title"].replace("_", " ")), "context": tidy(row["context"]),
            "question": tidy(row["question"]), "told": told, "answer": answers}  # fmt: skip
