"""Reading comprehension with commonsense: what follows from a passage that does not say it?"""

from flan_jax.data.declarations import choose, task
from flan_jax.data.sources import first_of, jsonl, tfds
from tasks.splits import SCORES_VALIDATION, SCORES_VALIDATION_FILE
from tasks.templates import reading_comprehension_commonsense as templates
from tasks.tidy import tidy

BLANK = "____"


def in_words(answer):
    """Puts an answer as part of a sentence; "none of the above" is said of options only."""
    if answer.lower().startswith("none of the above"):
        return "none of the obvious ones"
    return f'"{answer.rstrip(" .")}"'


@task("cosmos_qa", cluster="reading_comprehension_commonsense",
      source=first_of(jsonl("cosmos_qa", SCORES_VALIDATION_FILE),
                      tfds("cosmos_qa:1.0.0", SCORES_VALIDATION)),
      templates=templates.COSMOS_QA, metrics=("accuracy",), licence="CC BY 4.0 (Cosmos QA)",
      origins=("cosmos_qa",), example={
          "context": "On the way home I bought candles . My sister turns thirty tomorrow .",
          "question": "Why did I buy candles ?", "answer0": "The power had failed .",
          "answer1": "They are for a cake .", "answer2": "My office sells them .",
          "answer3": "None of the above choices .", "label": 1})  # fmt: skip
def cosmos_qa(row):
    options = [tidy(row[f"answer{number}"]) for number in range(4)]
    answer = choose(options, row["label"])
    return {"context": tidy(row["context"]), "question": tidy(row["question"]),
            "reply": in_words(answer), "options": options, "answer": answer}  # fmt: skip


# A row whose query has not exactly one gap fails, and is counted. Answers that are not among the
# entities are left out.
@task("record", cluster="reading_comprehension_commonsense",
      source=first_of(jsonl("record", SCORES_VALIDATION_FILE),
                      tfds("super_glue/record:1.0.2", SCORES_VALIDATION)),
      templates=templates.RECORD, metrics=("accuracy", "record_exact_match", "record_f1"),
      licence="research use (ReCoRD)",
      origins=("record", "cnn_dailymail"), example={
          "passage": "The mayor of Tarn, Ida Holm, opened a bridge.\n@highlight\nIt took two years",
          "query": "\"We waited long for it,\" said @placeholder as she cut the ribbon.",
          "entities": ["Ida Holm", "Tarn"], "answers": ["Ida Holm"]})  # fmt: skip
def record(row):
    before, after = tidy(row["query"]).split("@placeholder")
    options = list(dict.fromkeys(map(tidy, row["entities"])))
    answers = [name for name in dict.fromkeys(map(tidy, row["answers"])) if name in options]
    return {"passage": tidy(row["passage"].split("@highlight")[0]),
            "query": before + BLANK + after, "sentence": before + "".join(answers[:1]) + after,
            "before": before, "after": after, "options": options,
            # The gap itself shows metrics what a template put around an answer.
            "answer": [*answers, "@placeholder"] if answers else []}  # fmt: skip
