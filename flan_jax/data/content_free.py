"""Content-free prompts: the prompt of an example with nothing in it that the example says.

What a model prefers behind these it owes to the template, the list of options and the exemplars,
and calibrated scores take it off (Zhao et al. 2021, "Calibrate Before Use", section 5).

    >>> nli = Template("{premise}\\nDoes this mean that {hypothesis}?")
    >>> example = Example({"premise": "It rains.", "hypothesis": "it is wet"}, ("yes", "no"), 0, ())
    >>> prompts(nli, example, "OPTIONS:\\n- yes\\n- no")[0]
    'N/A\\nDoes this mean that N/A?\\nOPTIONS:\\n- yes\\n- no'
"""

import re

from flan_jax.data.arrow_file import CacheError
from flan_jax.data.declarations import Example, TaskDeclaration
from flan_jax.data.forms import RANK, Form, template_indices
from flan_jax.data.templates import Template, render_inputs, slots

# What stands in the place of an example's fields; the paper averages over these three.
WORDS = ("N/A", "[MASK]", "")

_OPTIONS = re.compile(r"\{options\}")
_ONE_FIELD = re.compile(r"\{\w+\}")


def prompts(template: Template, example: Example, block: str | None) -> tuple[str, ...]:
    """Renders the content-free prompts of an example, without exemplars.

    Each field that the template names is replaced, whatever its type, but for one whose text is
    among the options: such a template lists them in words of its own, and what is chosen from
    stays.

    Args:
      template: the template.
      example: whose options are shown.
      block: text of the options, from `templates.options_block`; None renders without them.

    Returns:
      A prompt for each of `WORDS`.
    """
    content = [name for name in slots(template.inputs) if name != "options"]
    content = [name for name in content if format(example.fields[name]) not in example.options]
    return tuple(
        render_inputs(template, {**example.fields, **dict.fromkeys(content, word)}, block)
        for word in WORDS
    )


def has_prompts(declaration: TaskDeclaration, form: Form) -> bool:
    """Whether a form has content-free prompts: it is ranked.

    Raises:
      CacheError: it is, and a template is one field and nothing else: a prompt that the row
        function or a published template made whole. Nothing of it would be left.
    """
    if form.evaluation != RANK:
        return False
    for index in template_indices(declaration, form):
        text = declaration.templates[index].inputs
        if _ONE_FIELD.fullmatch(_OPTIONS.sub("", text).strip()):
            raise CacheError(
                f"task {declaration.name!r} has no content-free prompts: its template {index} is "
                f"{text!r}, one field that holds the whole prompt, of which no word would be left; "
                "build its cache with CacheConfig.content_free=False, for another "
                "EvaluationConfig.score than 'calibrated' ('pmi' is less the score without a "
                "prompt)"
            )
    return True
