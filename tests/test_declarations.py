"""A declaration that cannot work is refused, with the name of the task and the remedy."""

import pytest
from declared import declare_colors

from flan_jax.data.declarations import DeclarationError, documents, task
from flan_jax.data.sources import jsonl, text_lines
from flan_jax.data.templates import Template

pytestmark = pytest.mark.usefixtures("clean_registries")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"templates": (Template("{objct}?"),)}, r"'colors': template 0 names the field \{objct\}"),
        ({"templates": (Template("{objct}?"),)}, "did you mean 'object'"),
        ({"templates": ()}, "'colors': 0 templates given; give 1"),
        ({"templates": (Template("{object}"),) * 2}, "'colors': templates 0 and 1 are the same"),
        ({"templates": (Template("{object"),)}, "'colors': template 0: single brace"),
        (
            {"templates": (Template("{object}", name="a"), Template("is {object}", name="a"))},
            "'colors': templates 0 and 1 are both named 'a'",
        ),
        ({"templates": (Template("{object} {answer}"),)}, "gives the answer away"),
        ({"templates": (Template("{object}", "{options} {answer}"),)}, "{options} in its targets"),
        ({"templates": (Template("{answer}", "{object}"),)}, "none can be evaluated"),
        (
            {"metrics": ("acuracy",)},
            "'colors': metric 'acuracy' is unknown; did you mean 'accuracy",
        ),
        ({"name": "a:b"}, "letters, digits and underscores"),
    ],
)
def test_faults_of_templates_and_metrics(settings, message):
    with pytest.raises(DeclarationError, match=message):
        declare_colors(**settings)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"answer": "no", "options": ["a", "b"]}, "answer not among options"),
        ({"answer": "a", "options": ["a"]}, "fewer than two options"),
        ({"answer": "a", "options": ["a", "a"]}, "the same option twice"),
        ({"answer": "a", "options": ["a", ""]}, "empty option"),
        ({"answer": "  "}, "empty answer"),
        ({"answer": []}, "empty answer"),
        ({"answer": 3}, "answer is not text"),
        ({"object": "a"}, "missing field 'answer'"),
        (None, "filtered"),
    ],
)
def test_faults_of_the_declared_example(fields, message):
    declare = task("broken", cluster="c", source=jsonl("x"), example={}, templates=(Template("a"),))
    with pytest.raises(DeclarationError, match=f"task 'broken': .*{message}"):
        declare(lambda row: fields)


def test_rank_classification_needs_options():
    declare = task(
        "open",
        cluster="c",
        source=jsonl("x"),
        example={},
        templates=(Template("a"),),
        metrics=("accuracy",),
    )
    with pytest.raises(DeclarationError, match="'open': metric 'accuracy' .* needs options"):
        declare(lambda row: {"answer": "a"})


def test_faults_of_documents():
    declare = documents("books", source=text_lines("books"), example={"text": "a"})
    with pytest.raises(DeclarationError, match="documents 'books': .*empty document"):
        declare(lambda row: " ")
    with pytest.raises(DeclarationError, match="loss weight negative or not finite"):
        declare(lambda row: [("a", float("nan"))])
    with pytest.raises(DeclarationError, match="objective 'prefix' is unknown; did you mean"):
        documents("b", source=text_lines("b"), example={}, objectives=("prefix",))(str)
