"""The role of each cluster, written down before any model was tuned on this world.

Choices (the wording of the world, lengths of training, learning rates, templates) were made on the
development clusters and the trained ones. The test clusters are for the report alone.
"""

TEST = ("nli", "closed_qa", "sentiment", "coreference", "commonsense")
DEVELOPMENT = ("trivia", "attribution", "tone", "intent")
TRAINED = (
    "reading_comprehension",
    "boolean_qa",
    "fact_checking",
    "topic",
    "word_relations",
    "definitions",
    "proverbs",
    "paraphrase",
    "strings",
    "numbers",
    "order",
    "translation",
    "struct_to_text",
    "summary",
    "cloze",
)


def role(cluster: str) -> str:
    """The role of a cluster: `test`, `dev` or `trained`.

    Raises:
      ValueError: if the collection has no such cluster.
    """
    for name, clusters in (("test", TEST), ("dev", DEVELOPMENT), ("trained", TRAINED)):
        if cluster in clusters:
            return name
    known = ", ".join((*TEST, *DEVELOPMENT, *TRAINED))
    raise ValueError(f"cluster {cluster!r} is not in the collection 'mini'; it has {known}")
