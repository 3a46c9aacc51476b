"""Paraphrase: do two sentences, or two questions, mean the same?"""

import math

from flan_jax.data.declarations import choose, task
from flan_jax.data.sources import ApartSource, first_of, jsonl, tfds
from tasks.splits import PUBLISHED, SCORES_VALIDATION, SCORES_VALIDATION_FILE
from tasks.templates import paraphrase as templates
from tasks.tidy import tidy

# FLAN's code keeps 100 of STS-B's 5,749 training rows.
LAST_100_SCORES_VALIDATION = {
    "train": "train[:-100]", "validation": "train[-100:]", "test": "validation"
}  # fmt: skip

NO_YES = ("no", "yes")
# What the turned-around templates say for an answer.
SAMENESS = ("says something else than", "says the same as")
OVERLAP = ("asks for something else than", "asks for the same thing as")
OUTCOME = ("means something else", "means the same")
CLOSENESS = (
    "has nothing to do with",
    "shares no more than its topic with",
    "has a few details in common with",
    "says roughly, but not quite, the same as",
    "differs only in small details from",
    "means exactly the same as",
)


# GLUE is at version 1.0.0 in FLAN's code; the rows are the same.
@task("mrpc", cluster="paraphrase", source=first_of(
          jsonl("mrpc", SCORES_VALIDATION_FILE), tfds("glue/mrpc:2.0.0", SCORES_VALIDATION)),
      templates=templates.MRPC, metrics=("accuracy",), origins=("mrpc",),
      licence="Microsoft Research shared-source licence (research)", example={
          "sentence1": "The council approved the tram line on Monday by a single vote.",
          "sentence2": "By one vote, the tram line won the council's approval on Monday.",
          "label": 1})  # fmt: skip
def mrpc(row):
    return {"sentence1": tidy(row["sentence1"]), "sentence2": tidy(row["sentence2"]),
            "sameness": choose(SAMENESS, row["label"]),
            "options": NO_YES, "answer": choose(NO_YES, row["label"])}  # fmt: skip


def _labelled(row):
    """Quora's own files call the label something else."""
    return row if "label" in row else row | {"label": row["is_duplicate"]}


def _unquoted(text):
    """Undoes the quotation of a CSV file, which Quora's release has kept."""
    text = tidy(text)
    if '""' in text and text[0] == text[-1] == '"':
        text = text[1:-1]
    return text.replace('""', '"')


@task("qqp", cluster="paraphrase", source=first_of(
          jsonl("qqp", SCORES_VALIDATION_FILE, _labelled),
          tfds("glue/qqp:2.0.0", SCORES_VALIDATION)),
      templates=templates.QQP, metrics=("accuracy",),
      licence="Quora's terms (non-commercial research)", example={
          "question1": "How do I keep basil alive in winter?",
          "question2": "How often should I water basil?", "label": 0})  # fmt: skip
def qqp(row):
    return {"question1": _unquoted(row["question1"]), "question2": _unquoted(row["question2"]),
            "overlap": choose(OVERLAP, row["label"]),
            "options": NO_YES, "answer": choose(NO_YES, row["label"])}  # fmt: skip


@task("paws_wiki", cluster="paraphrase", source=first_of(  # 1.0.0 in FLAN's code
          jsonl("paws_wiki", PUBLISHED), tfds("paws_wiki:1.1.0", PUBLISHED)),
      templates=templates.PAWS, metrics=("accuracy",), licence="free use, as is (PAWS, Google)",
      example={
          "sentence1": "In 1921 , Otto Brandt moved from Graz to Bern , where he taught cello .",
          "sentence2": "In 1921 , Otto Brandt moved from Bern to Graz , where he taught cello .",
          "label": 0})  # fmt: skip
def paws_wiki(row):
    """Pairs of nearly the same words, as tokens with blanks between them."""
    return {"sentence1": tidy(row["sentence1"]), "sentence2": tidy(row["sentence2"]),
            "outcome": choose(OUTCOME, row["label"]),
            "options": NO_YES, "answer": choose(NO_YES, row["label"])}  # fmt: skip


PAIR = ("sentence1", "sentence2")


def _glue_stsb(row):
    """The benchmark's own files call the score so, and hold further fields."""
    return row if "label" in row else {
        "sentence1": row["sentence1"], "sentence2": row["sentence2"], "label": row["score"]
    }  # fmt: skip


# Some pairs recur in training and validation. 1,500 of the news pairs are MRPC's; captions come
# from Flickr and, by way of SNLI, from Flickr30k (Cer et al., 2017, section 8).
@task("stsb", cluster="paraphrase", source=first_of(
          ApartSource(jsonl("stsb", LAST_100_SCORES_VALIDATION, _glue_stsb), PAIR),
          ApartSource(tfds("glue/stsb:2.0.0", LAST_100_SCORES_VALIDATION), PAIR)),
      templates=templates.STSB, metrics=("accuracy", "pearson", "spearman"),
      licence="CC BY-SA 4.0 and the sources' own",
      origins=("mrpc", "snli", "flickr30k"), example={
          "sentence1": "A man is mending a fishing net.",
          "sentence2": "A man repairs a green net on the pier.", "label": 3.4})  # fmt: skip
def stsb(row):
    """Scores from 0 to 5 are rounded to the nearest whole number, halves up."""
    points = math.floor(row["label"] + 0.5)
    options = ("0", "1", "2", "3", "4", "5")
    return {"sentence1": tidy(row["sentence1"]), "sentence2": tidy(row["sentence2"]),
            "closeness": choose(CLOSENESS, points),
            "options": options, "answer": choose(options, points)}  # fmt: skip
