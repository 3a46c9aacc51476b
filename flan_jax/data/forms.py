"""Forms: the SeqIO tasks that one declaration becomes, and their names.

A declared task `rte` becomes `rte:zero_shot`, `rte:zero_shot_no_options`, `rte:few_shot` and
`rte:few_shot_no_options` to train on, and each of them with `:rank` and `:generate` to score.
Documents `books` become `books:prefix_lm` and so on, one for each objective.
"""

from dataclasses import dataclass

from flan_jax.data.declarations import (
    Declaration,
    DocumentsDeclaration,
    TaskDeclaration,
    suggest,
)

RANK = "rank"
GENERATE = "generate"


@dataclass(frozen=True)
class Form:
    """One way to use a declaration.

    Attributes:
      few_shot: whether solved examples come before the prompt.
      with_options: whether the prompt shows the options, where the task has some.
      evaluation: `RANK` (rank classification), `GENERATE`, or empty for training.
      objective: pretraining objective, for documents; empty for tasks.
    """

    few_shot: bool = False
    with_options: bool = True
    evaluation: str = ""
    objective: str = ""

    @property
    def name(self) -> str:
        """The part of the SeqIO name behind the first colon, for example `few_shot:rank`."""
        if self.objective:
            return self.objective
        shots = "few_shot" if self.few_shot else "zero_shot"
        options = "" if self.with_options else "_no_options"
        return f"{shots}{options}{':' if self.evaluation else ''}{self.evaluation}"


def forms(declaration: Declaration) -> tuple[Form, ...]:
    """Lists the forms of a declaration, training forms first.

    Tasks without options have no `_no_options` and no `:rank` forms.
    """
    if isinstance(declaration, DocumentsDeclaration):
        return tuple(Form(objective=objective) for objective in declaration.objectives)
    with_options = (True, False) if declaration.has_options else (True,)
    evaluations = ("", RANK, GENERATE) if declaration.has_options else ("", GENERATE)
    return tuple(
        Form(few_shot, options, evaluation)
        for evaluation in evaluations
        for few_shot in (False, True)
        for options in with_options
    )


def seqio_name(declaration: Declaration, form: Form) -> str:
    """Names a form in SeqIO's registries, for example `rte:zero_shot:rank`."""
    return f"{declaration.name}:{form.name}"


def form_of(declaration: Declaration, name: str) -> Form:
    """Finds a form of a declaration by its name.

    Raises:
      ValueError: if the declaration has no such form.
    """
    known = {form.name: form for form in forms(declaration)}
    if name not in known:
        raise ValueError(
            f"{declaration.name!r} has no form {name!r}{suggest(name, known)} It has: "
            + ", ".join(known)
        )
    return known[name]


def template_indices(declaration: TaskDeclaration, form: Form) -> tuple[int, ...]:
    """Lists the templates that a form renders: all in training, none turned around in evaluation.

    Returns:
      Indices into `declaration.templates`, increasing.
    """
    return tuple(
        index
        for index, template in enumerate(declaration.templates)
        if not (form.evaluation and template.turned_around)
    )
