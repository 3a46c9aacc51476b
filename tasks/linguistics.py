"""Words and sentences: is a word used in one sense, is a sentence good English?"""

from flan_jax.data.declarations import choose, task
from flan_jax.data.sources import ApartSource, first_of, jsonl, tfds
from tasks.splits import SCORES_VALIDATION, SCORES_VALIDATION_FILE
from tasks.templates import linguistics as templates
from tasks.tidy import tidy

# What the turned-around templates say for an answer.
KINSHIPS = ("in a different sense from", "in the same sense as")


@task("wic", cluster="word_disambiguation", source=first_of(
          jsonl("wic", SCORES_VALIDATION_FILE),
          tfds("super_glue/wic:1.0.2", SCORES_VALIDATION)),
      templates=templates.WIC, metrics=("accuracy",), licence="CC BY-NC 4.0 (WiC)",
      origins=("wordnet", "verbnet", "wiktionary"), example={
          "word": "spring", "sentence1": "We filled our bottles at the spring.",
          "sentence2": "The spring in the mattress has snapped.", "label": 0})  # fmt: skip
def wic(row):
    options = ("no", "yes")
    return {"word": tidy(row["word"]), "kinship": choose(KINSHIPS, row["label"]),
            "sentence1": tidy(row["sentence1"]), "sentence2": tidy(row["sentence2"]),
            "options": options, "answer": choose(options, row["label"])}  # fmt: skip


# GLUE is at version 1.0.0 in FLAN's code; the rows are the same.
@task("cola", cluster="linguistic_acceptability", source=first_of(
          ApartSource(jsonl("cola", SCORES_VALIDATION_FILE), text="sentence"),
          ApartSource(tfds("glue/cola:2.0.0", SCORES_VALIDATION), text="sentence")),
      templates=templates.COLA, metrics=("accuracy", "matthews"),
      licence="research use (CoLA: examples from the linguistics literature)", example={
          "sentence": "Which book did you wonder whether he read it?", "label": 0})  # fmt: skip
def cola(row):
    """Some sentences are in two of the publications that they were taken from."""
    sentence, options = tidy(row["sentence"]), ("unacceptable", "acceptable")
    return {"sentence": sentence, "opening": sentence.split(" ")[0],
            "options": options, "answer": choose(options, row["label"])}  # fmt: skip
