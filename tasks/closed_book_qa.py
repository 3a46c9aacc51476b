"""Closed-book question answering: what does the model know?"""

from flan_jax.data.declarations import choose, task
from flan_jax.data.sources import ApartSource, first_of, jsonl, tfds
from tasks.splits import LAST_200, SCORES_VALIDATION
from tasks.templates import closed_book_qa as templates
from tasks.tidy import tidy


def _arc_schema(row):
    """Files hold `choices` as a plain list, and the index of the right one as `answer_idx`."""
    if "answerKey" in row:
        return row
    return {"question": row["question"], "choices": {"text": row["choices"]},
            "answerKey": row["answer_idx"]}  # fmt: skip


def _arc(name, tfds_name):
    """A few of the training questions are also in the test set."""
    return first_of(ApartSource(jsonl(name, LAST_200, adapt=_arc_schema), text="question"),
                    ApartSource(tfds(tfds_name, LAST_200), text="question"))  # fmt: skip


def _four_choices(row):
    options = [tidy(text) for text in row["choices"]["text"]]
    if len(options) != 4:  # a few questions have three or five; FLAN leaves them out
        return None
    return {"question": tidy(row["question"]), "options": options,
            "answer": choose(options, row["answerKey"])}  # fmt: skip


@task("arc_easy", cluster="closed_book_qa", source=_arc("arc_easy", "ai2_arc/ARC-Easy:1.0.0"),
      templates=templates.ARC_EASY, metrics=("accuracy",), licence="CC BY-SA 4.0 (ARC)",
      origins=("ai2_arc",), example={
          "question": "Which of these gives off its own light?",
          "choices": {"text": ["the Moon", "a mirror", "the Sun", "a window"],
                      "label": [0, 1, 2, 3]},
          "answerKey": 2})  # fmt: skip
def arc_easy(row):
    return _four_choices(row)


@task("arc_challenge", cluster="closed_book_qa",
      source=_arc("arc_challenge", "ai2_arc/ARC-Challenge:1.0.0"),
      templates=templates.ARC_CHALLENGE, metrics=("accuracy",), licence="CC BY-SA 4.0 (ARC)",
      origins=("ai2_arc",), example={
          "question": "A wet stone and a dry stone lie in the shade. Why is the wet one cooler?",
          "choices": {"text": ["Water reflects all light.", "It weighs more.",
                               "Water takes up heat as it evaporates.", "It is older."],
                      "label": [0, 1, 2, 3]},
          "answerKey": 2})  # fmt: skip
def arc_challenge(row):
    return _four_choices(row)


@task("nq_open", cluster="closed_book_qa",
      source=first_of(jsonl("nq_open", SCORES_VALIDATION),
                      tfds("natural_questions_open:1.0.0", SCORES_VALIDATION)),
      templates=templates.NQ_OPEN, metrics=("natural_questions_exact_match", "token_f1"),
      licence="CC BY-SA 3.0 (Natural Questions)", origins=("natural_questions",), example={
          "question": "what do you call a baby hare",
          "answer": ["leveret", "a leveret"]})  # fmt: skip
def nq_open(row):
    return {"question": f"{tidy(row['question'])}?", "answer": row["answer"]}


# The same question may come with web pages and with Wikipedia's, as two rows. `rc.nocontext` has
# the rows of `rc`, which FLAN's code reads, less the pages.
_TRIVIA_QA = (jsonl("trivia_qa", SCORES_VALIDATION),
              tfds("trivia_qa/rc:1.1.0", SCORES_VALIDATION),
              tfds("trivia_qa/rc.nocontext:1.1.0", SCORES_VALIDATION))  # fmt: skip


@task("trivia_qa", cluster="closed_book_qa",
      source=first_of(*(ApartSource(one, text="question") for one in _TRIVIA_QA)),
      templates=templates.TRIVIA_QA, metrics=("trivia_qa_exact_match", "trivia_qa_f1"),
      licence="Apache-2.0 (TriviaQA); the questions are their quiz sites'",
      origins=("trivia_qa",), example={
          "question": "In which Danish town was the writer Hans Christian Andersen born?",
          "answer": {"value": "Odense", "normalized_value": "odense",
                     "normalized_aliases": ["odense", "odense denmark"]}})  # fmt: skip
def trivia_qa(row):
    value, aliases = row["answer"]["normalized_value"], row["answer"]["normalized_aliases"]
    if value == "<unk>":  # the answers of the test set are secret
        return None
    return {"question": tidy(row["question"]), "answer": list(dict.fromkeys([value, *aliases]))}
