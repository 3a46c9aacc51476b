"""Forms: the SeqIO tasks that one declaration becomes, and their names.

A declared task `rte` becomes `rte:zero_shot`, `rte:zero_shot_no_options`, `rte:few_shot` and
`rte:few_shot_no_options` to train on, and each of them with `:rank` and `:generate` to score.
Documents `books` become `books:prefix_lm` and so on, one for each objective.

These are registered with a collection. Any other form is there as soon as it is named:

    <shots>[_no_options | _<style>][_permuted][_<n>_templates][:rank | :generate]

    rte:five_shot_letters            five exemplars at most; options as A., B., ...
    rte:zero_shot_permuted:rank      options in a seeded order of each example's own
    rte:multi_shot_mixed_4_templates sixteen exemplars; each template another style; 4 templates
"""

import re
from dataclasses import dataclass

from flan_jax.data.declarations import (
    Declaration,
    DocumentsDeclaration,
    TaskDeclaration,
)
from flan_jax.data.suggestions import suggest
from flan_jax.data.templates import OPTION_STYLES

RANK = "rank"
GENERATE = "generate"
TRAIN = "train"

# Exemplars by the name of the shots. None is what the task or its collection says. FLAN's code has
# these but four and six to nine, and shows up to 16 in its multi-shot form (flan/few_shot.py,
# flan/tasks.py).
SHOTS: dict[str, int | None] = {
    "zero_shot": 0,
    "few_shot": None,
    "one_shot": 1,
    "two_shot": 2,
    "three_shot": 3,
    "four_shot": 4,
    "five_shot": 5,
    "six_shot": 6,
    "seven_shot": 7,
    "eight_shot": 8,
    "nine_shot": 9,
    "ten_shot": 10,
    "multi_shot": 16,
}
BULLETS = "bullets"
# Each template shows the options in another style, chosen by seed.
MIXED = "mixed"

_NAME = re.compile(
    rf"^(?P<shots>{'|'.join(SHOTS)})"
    rf"(?P<options>_no_options|_{'|_'.join([*OPTION_STYLES, MIXED])})?"
    r"(?P<permuted>_permuted)?"
    r"(?:_(?P<templates>[1-9]\d*)_templates)?"
    rf"(?::(?P<evaluation>{RANK}|{GENERATE}))?$"
)


@dataclass(frozen=True)
class Form:
    """One way to use a declaration.

    Attributes:
      shots: a key of `SHOTS`: how many solved examples come before the prompt.
      with_options: whether the prompt shows the options, where the task has some.
      style: how options are listed: a key of `OPTION_STYLES`, or `MIXED`.
      permuted: whether options come in a seeded order instead of the declared one.
      templates: how many of the task's templates are used, from the first; None means all.
      evaluation: `RANK` (rank classification), `GENERATE`, or empty for training.
      objective: pretraining objective, for documents; empty for tasks.
    """

    shots: str = "zero_shot"
    with_options: bool = True
    style: str = BULLETS
    permuted: bool = False
    templates: int | None = None
    evaluation: str = ""
    objective: str = ""

    @property
    def few_shot(self) -> bool:
        """Whether solved examples come before the prompt."""
        return self.shots != "zero_shot"

    @property
    def name(self) -> str:
        """The part of the SeqIO name behind the first colon, for example `few_shot:rank`."""
        if self.objective:
            return self.objective
        parts = [self.shots]
        if not self.with_options:
            parts.append("no_options")
        elif self.style != BULLETS:
            parts.append(self.style)
        if self.permuted:
            parts.append("permuted")
        if self.templates is not None:
            parts.append(f"{self.templates}_templates")
        return "_".join(parts) + (f":{self.evaluation}" if self.evaluation else "")


def forms(declaration: Declaration) -> tuple[Form, ...]:
    """Lists the forms that a declaration is registered in, training forms first.

    Tasks without options have no `_no_options` and no `:rank` forms, and those whose templates list
    the options no `_no_options` forms; tasks without a training split have no few-shot forms, as
    exemplars come from nowhere else.
    """
    if isinstance(declaration, DocumentsDeclaration):
        return tuple(Form(objective=objective) for objective in declaration.objectives)
    left_out = declaration.has_options and not declaration.lists_options
    with_options = (True, False) if left_out else (True,)
    evaluations = ("", RANK, GENERATE) if declaration.has_options else ("", GENERATE)
    shots = ("zero_shot", "few_shot") if TRAIN in declaration.source.splits else ("zero_shot",)
    return tuple(
        Form(number, options, evaluation=evaluation)
        for evaluation in evaluations
        for number in shots
        for options in with_options
    )


def parse(name: str) -> Form | None:
    """Reads the name of a form of a task.

    Args:
      name: for example `five_shot_letters_permuted:rank`.

    Returns:
      The form; None if the name is not understood.
    """
    match = _NAME.match(name)
    if not match:
        return None
    options = match["options"] or f"_{BULLETS}"
    return Form(
        shots=match["shots"],
        with_options=options != "_no_options",
        style=BULLETS if options == "_no_options" else options[1:],
        permuted=bool(match["permuted"]),
        templates=int(match["templates"]) if match["templates"] else None,
        evaluation=match["evaluation"] or "",
    )


def seqio_name(declaration: Declaration, form: Form) -> str:
    """Names a form in SeqIO's registries, for example `rte:zero_shot:rank`."""
    return f"{declaration.name}:{form.name}"


def lacking(declaration: Declaration, form: Form) -> str:
    """Says why a declaration has no such form; empty if it has."""
    if isinstance(declaration, DocumentsDeclaration):
        return "" if form.objective in declaration.objectives else "it declares no such objective"
    if not declaration.has_options:
        if not form.with_options or form.style != BULLETS or form.permuted:
            return "it has no options to leave out, style or permute"
        if form.evaluation == RANK:
            return "it has no options to rank"
    if declaration.lists_options:
        if not form.with_options or form.style != BULLETS or form.permuted:
            return "its templates list the options themselves"
    if form.few_shot and TRAIN not in declaration.source.splits:
        return "it has no training split to take exemplars from"
    if form.templates is not None and form.templates > len(declaration.templates):
        return f"it has {len(declaration.templates)} templates"
    if form.evaluation and not template_indices(declaration, form):
        return "all of these templates are turned around"
    return ""


def form_of(declaration: Declaration, name: str) -> Form:
    """Finds a form of a declaration by its name.

    Raises:
      ValueError: if the declaration has no such form.
    """
    known = {form.name: form for form in forms(declaration)}
    is_task = isinstance(declaration, TaskDeclaration)
    form = known.get(name) or (parse(name) if is_task else None)
    if form is None:
        raise ValueError(
            f"{declaration.name!r} has no form {name!r}{suggest(name, known)} It has: "
            f"{', '.join(known)}, and what flan_jax.data.forms describes"
        )
    reason = lacking(declaration, form)
    if reason:
        raise ValueError(f"{declaration.name!r} has no form {name!r}: {reason}")
    return form


def template_indices(declaration: TaskDeclaration, form: Form) -> tuple[int, ...]:
    """Lists the templates that a form renders: in evaluation none that is turned around.

    Returns:
      Indices into `declaration.templates`, increasing.
    """
    return tuple(
        index
        for index, template in enumerate(declaration.templates[: form.templates])
        if not (form.evaluation and template.turned_around)
    )
