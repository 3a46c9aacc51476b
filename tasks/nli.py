"""Natural language inference: does one text follow from another?"""

from flan_jax.data.declarations import choose, task
from flan_jax.data.sources import ApartSource, first_of, jsonl, tfds
from tasks.splits import (
    LAST_50_SCORES_VALIDATION,
    LAST_50_SCORES_VALIDATION_FILE,
    LAST_200,
    PUBLISHED,
    SCORES_VALIDATION,
    SCORES_VALIDATION_FILE,
)
from tasks.templates import nli as templates
from tasks.tidy import tidy

# GLUE is at version 1.0.0 in FLAN's code; the rows are the same.
# The first round of ANLI has 16,946 training rows, of which TFDS cuts no 30,000.
ANLI_R1_SPLITS = PUBLISHED | {"train": "train"}
MATCHED = LAST_200 | {"test": "validation_matched"}
MATCHED_FILE = LAST_200 | {"test": "validation_matched|validation|test"}
MISMATCHED = {"test": "validation_mismatched"}
MISMATCHED_FILE = {"test": "validation_mismatched|validation|test"}
# FLAN's code keeps 30 of WNLI's 635 training rows.
LAST_30_SCORES_VALIDATION = {
    "train": "train[:-30]", "validation": "train[-30:]", "test": "validation"
}  # fmt: skip

# What the turned-around templates say for an answer.
ANLI_VERDICTS = {"yes": "proves", "can't say": "neither proves nor refutes", "no": "refutes"}
RELATIONS = {"yes": "follows from", "no": "does not follow from"}
STANCES = {"yes": "makes clear that", "no": "denies that", "unclear": "leaves open whether"}
STATUSES = {"yes": "must be true", "no": "cannot be true", "unclear": "may or may not be true"}
SERVICES = {"yes": "answers", "no": "does not answer"}
CERTAINTIES = {"yes": "has to be so", "maybe": "might be so", "no": "cannot be so"}
BEARINGS = {"yes": "bears out", "no": "does not bear out"}


def _numbered(*names):
    """Makes an adapter for files that name the labels, given TFDS's names in its order."""

    def adapt(row):
        # A name that is not known stays, and is counted as a label out of range.
        label = row["label"]
        return row | {"label": names.index(label)} if label in names else row

    return adapt


def _anli(row):
    answer = choose(options := ("yes", "can't say", "no"), row["label"])
    return {"context": tidy(row["context"]), "hypothesis": tidy(row["hypothesis"]),
            "verdict": ANLI_VERDICTS[answer], "options": options, "answer": answer}  # fmt: skip


def _declare_anli(number, splits, origins):
    """A round of adversarial writing; the three differ in the model that had to be fooled."""
    name = f"anli_r{number}"
    return task(name, cluster="nli", source=first_of(
        jsonl(name, splits, adapt=_numbered("e", "n", "c")), tfds(f"anli/r{number}:0.1.0", splits)),
        templates=templates.ANLI, metrics=("accuracy",), licence="CC BY-NC 4.0 (ANLI)",
        origins=origins, example={
            "context": "The Harrow Lane Lido is an open-air pool in the north of the town. It was "
            "dug by volunteers in 1931, closed in 1984 and opened again, heated, in 2009.",
            "hypothesis": "The pool had no heating before 1984.", "label": 1})(_anli)  # fmt: skip


anli_r1 = _declare_anli(1, ANLI_R1_SPLITS, ("hotpot_qa",))
anli_r2 = _declare_anli(2, PUBLISHED, ("hotpot_qa",))
# Nie et al., 2020, section 2: the third round adds news, fiction, speech, WikiHow and RTE's texts.
anli_r3 = _declare_anli(
    3, PUBLISHED, ("hotpot_qa", "story_cloze", "childrens_book_test", "oanc", "wikihow", "rte")
)


@task("cb", cluster="nli", source=first_of(
          jsonl("cb", LAST_50_SCORES_VALIDATION_FILE,
                _numbered("entailment", "contradiction", "neutral")),
          tfds("super_glue/cb:1.0.2", LAST_50_SCORES_VALIDATION)),
      templates=templates.CB, metrics=("accuracy", "macro_f1"), licence="research use (SuperGLUE)",
      origins=("switchboard", "british_national_corpus", "wall_street_journal"), example={
          "premise": "A: Have you seen the new bridge? B: Yes. I don't think they were in time.",
          "hypothesis": "the bridge was ready in time", "label": 1})  # fmt: skip
def cb(row):
    answer = choose(options := ("yes", "no", "unclear"), row["label"])
    return {"premise": tidy(row["premise"]), "hypothesis": tidy(row["hypothesis"]),
            "stance": STANCES[answer], "options": options, "answer": answer}  # fmt: skip


MNLI = {
    "cluster": "nli",
    "templates": templates.MNLI,
    "metrics": ("accuracy",),
    "licence": "OANC's, CC BY 3.0 and CC BY-SA 3.0, by genre (MultiNLI)",
    "origins": ("multi_nli", "oanc", "switchboard"),
    "example": {
        "premise": "The museum opens at nine and closes when the last guest has left.",
        "hypothesis": "The museum is never busy.",
        "label": 1,
    },
}
_mnli_numbered = _numbered("entailment", "neutral", "contradiction")


def _mnli(row):
    if row["label"] in ("-", -1):  # the annotators did not agree
        return None
    answer = choose(options := ("yes", "unclear", "no"), row["label"])
    return {"premise": tidy(row["premise"]), "hypothesis": tidy(row["hypothesis"]),
            "status": STATUSES[answer], "options": options, "answer": answer}  # fmt: skip


@task("mnli_matched", source=first_of(jsonl("mnli", MATCHED_FILE, _mnli_numbered),
                                      tfds("glue/mnli:2.0.0", MATCHED)), **MNLI)  # fmt: skip
def mnli_matched(row):
    """Scored on the genres that it is trained on."""
    return _mnli(row)


@task("mnli_mismatched", source=first_of(
    jsonl("mnli_mismatched", MISMATCHED_FILE, _mnli_numbered),
    tfds("glue/mnli:2.0.0", MISMATCHED)), **MNLI)  # fmt: skip
def mnli_mismatched(row):
    """Scored on other genres; the training rows are `mnli_matched`'s, and count there alone."""
    return _mnli(row)


@task("qnli", cluster="nli", source=first_of(
          jsonl("qnli", SCORES_VALIDATION_FILE, _numbered("entailment", "not_entailment")),
          tfds("glue/qnli:2.0.0", SCORES_VALIDATION)),
      templates=templates.QNLI, metrics=("accuracy",), licence="CC BY-SA 4.0 (SQuAD)",
      origins=("squad",), example={
          "question": "Who paid for the lighthouse at Orme Head?",
          "sentence": "The lighthouse at Orme Head was lit for the first time in 1862.",
          "label": 1})  # fmt: skip
def qnli(row):
    answer = choose(options := ("yes", "no"), row["label"])
    return {"question": tidy(row["question"]), "sentence": tidy(row["sentence"]),
            "service": SERVICES[answer], "options": options, "answer": answer}  # fmt: skip


def _rte_numbered(row):
    """The local files write "contradiction" for all that is not entailed."""
    labels = {"entailment": 0, "not_entailment": 1, "contradiction": 1}
    return row | {"label": labels.get(row["label"], row["label"])}


@task("rte", cluster="nli", source=first_of(
          ApartSource(jsonl("rte", SCORES_VALIDATION_FILE, _rte_numbered), text="premise"),
          ApartSource(tfds("super_glue/rte:1.0.2", SCORES_VALIDATION), text="premise")),
      templates=templates.RTE, metrics=("accuracy",), licence="research use (SuperGLUE)",
      origins=("rte",), example={
          "premise": "The ferry to Skagen was cancelled on Friday because of high waves.",
          "hypothesis": "High waves stopped a ferry.", "label": 0})  # fmt: skip
def rte(row):
    """Some premises recur in training and validation, with another hypothesis."""
    answer = choose(options := ("yes", "no"), row["label"])
    return {"premise": tidy(row["premise"]), "hypothesis": tidy(row["hypothesis"]),
            "relation": RELATIONS[answer], "options": options, "answer": answer}  # fmt: skip


@task("snli", cluster="nli", source=first_of(
          jsonl("snli", PUBLISHED, _numbered("entailment", "neutral", "contradiction")),
          tfds("snli:1.1.0", PUBLISHED)),
      templates=templates.SNLI, metrics=("accuracy",), licence="CC BY-SA 4.0 (SNLI)",
      origins=("snli", "flickr30k", "visual_genome"), example={
          "premise": "Two women in raincoats push a cart of pumpkins up a muddy lane.",
          "hypothesis": "The women are sisters.", "label": 1})  # fmt: skip
def snli(row):
    if row["label"] in ("-", -1):  # the annotators did not agree
        return None
    answer = choose(options := ("yes", "maybe", "no"), row["label"])
    return {"premise": tidy(row["premise"]), "hypothesis": tidy(row["hypothesis"]),
            "certainty": CERTAINTIES[answer], "options": options, "answer": answer}  # fmt: skip


_WNLI = (
    jsonl("wnli", LAST_30_SCORES_VALIDATION | {"test": "validation|test"},
          _numbered("not_entailment", "entailment")),
    tfds("glue/wnli:2.0.0", LAST_30_SCORES_VALIDATION),
)  # fmt: skip


@task("wnli", cluster="nli", source=first_of(*(ApartSource(one, "sentence1") for one in _WNLI)),
      templates=templates.WNLI, metrics=("accuracy",), licence="CC BY 4.0 (Winograd schemas)",
      origins=("winograd_schema_challenge",), example={
          "sentence1": "Nora asked her aunt for the ladder because she wanted to prune the pear.",
          "sentence2": "Nora wanted to prune the pear.", "label": 1})  # fmt: skip
def wnli(row):
    """Sentences recur in training and validation, mostly with the opposite label."""
    answer = choose(options := ("no", "yes"), row["label"])
    return {"sentence1": tidy(row["sentence1"]), "sentence2": tidy(row["sentence2"]),
            "bearing": BEARINGS[answer], "options": options, "answer": answer}  # fmt: skip
