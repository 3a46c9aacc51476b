"""What is checked of a declaration before anything is registered: names, templates and metrics."""

import re
from collections.abc import Sequence

from flan_jax.data.metric_names import GENERATION_METRICS, RANK_METRICS
from flan_jax.data.suggestions import suggest
from flan_jax.data.templates import Template, slots

_NAME = re.compile(r"^\w+$")
# The cache stores the template's index in 16 bits.
_MAX_TEMPLATES = 2**15 - 1


class DeclarationError(ValueError):
    """A declaration that cannot work; the message names the task and the remedy."""


def check_name(kind: str, name: str, where: str = "") -> None:
    """Raises a DeclarationError if a name is none; `where` begins the message."""
    if not _NAME.match(name):
        raise DeclarationError(
            f"{where}{kind} name {name!r} may hold letters, digits and underscores only "
            "(':' and '.' are kept for SeqIO's names of its variants)"
        )


def check_known(what: str, name: str, known: Sequence[str]) -> None:
    """Raises a DeclarationError if a name is not among those known; `what` begins the message."""
    if name not in known:
        raise DeclarationError(
            f"{what} {name!r} is unknown{suggest(name, known)} Known: {', '.join(known)}"
        )


def check_templates(name: str, templates: Sequence[Template]) -> None:
    """Raises a DeclarationError if the templates of a task cannot be used, or are too many."""
    if not 1 <= len(templates) <= _MAX_TEMPLATES:
        raise DeclarationError(
            f"task {name!r}: {len(templates)} templates given; give 1 to {_MAX_TEMPLATES}"
        )
    texts, names = {}, {}
    for index, template in enumerate(templates):
        text = (template.inputs, template.targets)
        if text in texts:
            raise DeclarationError(
                f"task {name!r}: templates {texts[text]} and {index} are the same; remove one"
            )
        if template.name and template.name in names:
            raise DeclarationError(
                f"task {name!r}: templates {names[template.name]} and {index} are both named "
                f"{template.name!r}; rename one"
            )
        texts[text] = names[template.name] = index
        try:
            slots(template.inputs), slots(template.targets)
        except ValueError as error:
            raise DeclarationError(f"task {name!r}: template {index}: {error}") from error
    if all(template.turned_around for template in templates):
        raise DeclarationError(
            f"task {name!r}: no template has {{answer}} in its targets, so none can be evaluated; "
            "add one"
        )


def check_slots(name: str, templates: Sequence[Template], known: Sequence[str]) -> None:
    """Checks the slots of a task's templates.

    Args:
      name: of the task.
      templates: its templates.
      known: the slots that its examples fill, `answer` and perhaps `options` among them.

    Raises:
      DeclarationError: a template names another, or gives the answer away.
    """
    for index, template in enumerate(templates):
        used = (*slots(template.inputs), *slots(template.targets))
        for slot in used:
            if slot not in known:
                raise DeclarationError(
                    f"task {name!r}: template {index} names the field {{{slot}}}, which the row "
                    f"function does not give{suggest(slot, known)} It gives: {', '.join(known)}"
                )
        if "answer" in slots(template.inputs) and not template.turned_around:
            raise DeclarationError(
                f"task {name!r}: template {index} has {{answer}} in both inputs and targets, which "
                "gives the answer away; remove it from the inputs"
            )
        if "options" in slots(template.targets):
            raise DeclarationError(
                f"task {name!r}: template {index} has {{options}} in its targets; put it in the "
                "inputs"
            )


def check_metrics(name: str, metrics: Sequence[str], has_options: bool) -> None:
    """Raises a DeclarationError if a task cannot be scored by one of the metrics it asks for."""
    for metric in metrics:
        check_known(f"task {name!r}: metric", metric, RANK_METRICS + GENERATION_METRICS)
        if metric in RANK_METRICS and not has_options:
            raise DeclarationError(
                f"task {name!r}: metric {metric!r} is rank classification and needs options; give "
                "'options' in the row function, or use a metric of generation: "
                + ", ".join(GENERATION_METRICS)
            )
