"""Templates of translation, for any pair of languages."""

from flan_jax.data.templates import Template

CAPTIONS = (
    Template("Put this into {to_language}: {text}"),
    Template("{text}\n\nThe line above is in {from_language}. What is it in {to_language}?"),
    Template("{from_language}: {text}\n{to_language}:"),
    Template(
        'A photograph has the {from_language} caption "{text}". Write the caption for the '
        "{to_language} edition of the catalogue."
    ),
    Template("How would a native speaker of {to_language} express what this says? {text}"),
    Template(
        "You interpret from {from_language} into {to_language}.\nThe speaker says: {text}\nYou say:"
    ),
    Template(
        "My {to_language} is poor. Could you please render the following for me, and keep every "
        "detail?\n{text}"
    ),
    Template("Translation exercise ({from_language} to {to_language}), no dictionary. {text}"),
    Template(
        "{answer}\nThis {to_language} sentence is a translator's work. Give the {from_language} "
        "original.",
        "{text}",
    ),
    Template(
        'Which {from_language} sentence comes out as "{answer}" in {to_language}?', "{text}"
    ),
)
