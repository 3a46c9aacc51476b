"""Jinja templates as promptsource writes them: `prompt ||| target`, run in a sandbox.

    >>> template = compile_template("{{a}} + {{b}} = |||{{ answer_choices[c] }}", "one ||| {{b}}1")
    >>> render(template, {"a": 2, "b": 3, "c": 1}, ("sums",))
    Prompt(inputs='2 + 3 =', targets='31', choices=('one', '31'))

The rules are those that P3 and T0's training data were made by (bigscience-workshop/promptsource,
promptsource/templates.py, `Template.apply`, and promptsource/seqio_tasks/utils.py):

- the value of each `{{ ... }}` is turned into text and cut to 2,048 characters, at a blank where
  there is one, with `...` behind it; so is the last alternative of a `{{ a if b else c }}` alone;
- hyphens in the names of fields become underscores;
- `|||` in a row is protected, so that it does not split the prompt;
- prompt, target and each answer choice lose the white space around them;
- a rendering that is not two parts, or has an empty one, leaves the row out.

Two things differ. What a template draws at random is drawn by a key here, so that any rendering
can be made again. And a row that lacks a field is an error, which Jinja's blank would hide.

The sandbox is Jinja's own, with the filters that promptsource has and no template loading. It keeps
a template away from Python and the machine; it does not bound the time or memory that one takes.
"""

import functools
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jinja2
from jinja2 import filters, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from flan_jax.data import keyed
from flan_jax.data.declarations import RowError
from flan_jax.data.suggestions import suggest

SEPARATOR = "|||"
# promptsource/templates.py, TEXT_VAR_LENGTH.
_LONGEST_VALUE = 2048
_CUT = f" | string | truncate({_LONGEST_VALUE}) "
# What stands for a separator in a row while a template is rendered. No template can write it.
_PROTECTED = "\x00|\x00"
# The context holds the generator under a name that no template can write.
_GENERATOR = "<generator>"
_DRAWING = ("choice", "random")
_CHOICES = "answer_choices"
# Those of Jinja's filters that promptsource's templates may want: none that loads, escapes for a
# web page, or writes times and sizes. `random` and `choice` are ours.
_FILTERS = (
    "abs batch capitalize center count d default dictsort first float format groupby indent int "
    "items join last length list lower lstrip map max min reject rejectattr replace reverse round "
    "rstrip select selectattr slice sort string strip sum title trim truncate unique upper "
    "wordcount"
).split()
_LOADING = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
# Methods that change a list or a dict, which the sandbox turns away when it comes to them.
_CHANGING = (
    "append clear extend insert pop popitem remove reverse setdefault sort update"
).split()  # fmt: skip


class TemplateError(ValueError):
    """A template that cannot be used; the message says what is wrong, and on which line of it."""


class Prompt(NamedTuple):
    """What one template makes of one row.

    Attributes:
      inputs: the prompt.
      targets: what the model must say.
      choices: answers to choose from; empty for templates without answer choices.
    """

    inputs: str
    targets: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class CompiledTemplate:
    """A checked template; made by `compile_template`.

    Attributes:
      fields: names of the row's fields that it reads.
      draws: whether it draws at random.
      body: renders `prompt ||| target`.
      choices: renders the answer choices; None without.
    """

    fields: frozenset[str]
    draws: bool
    body: jinja2.Template
    choices: jinja2.Template | None


@functools.cache
def compile_template(jinja: str, answer_choices: str | None = None) -> CompiledTemplate:
    """Checks a template and makes it ready to be rendered.

    Args:
      jinja: text of the template, with `|||` between prompt and target.
      answer_choices: Jinja text of the answers to choose from, with `|||` between them.

    Returns:
      The compiled template.

    Raises:
      TemplateError: it is no Jinja, lacks `|||`, or uses a filter, function or statement that is
        not allowed.
    """
    trees = _checked(jinja, answer_choices)
    environment = _environment()
    used = {found.name for one in trees for found in one.find_all(nodes.Filter)}
    return CompiledTemplate(
        fields=_fields(trees),
        draws=not used.isdisjoint(_DRAWING),
        body=environment.from_string("".join(_with_cuts(jinja))),
        choices=None if answer_choices is None else environment.from_string(answer_choices),
    )


def check_template(jinja: str, answer_choices: str | None = None) -> frozenset[str]:
    """Checks a template without making it ready, which takes a third of the time.

    Args and raises: as for `compile_template`.

    Returns:
      Names of the row's fields that it reads.
    """
    return _fields(_checked(jinja, answer_choices))


def _checked(jinja: str, answer_choices: str | None) -> list[nodes.Template]:
    trees = [check(jinja)]
    if SEPARATOR not in jinja:
        raise TemplateError(f"there is no {SEPARATOR!r}; put it between prompt and target")
    if answer_choices is not None:
        try:
            trees.append(check(answer_choices))
        except TemplateError as error:
            raise TemplateError(f"answer choices: {error}") from error
    return trees


def _fields(trees: Sequence[nodes.Template]) -> frozenset[str]:
    names = set().union(*map(meta.find_undeclared_variables, trees))
    return frozenset(names - set(_environment().globals) - {_CHOICES})


def check(text: str) -> nodes.Template:
    """Parses Jinja text and checks that it keeps to what is allowed.

    Returns:
      The syntax tree.

    Raises:
      TemplateError: it does not.
    """
    environment = _environment()
    try:
        tree = environment.parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"line {error.lineno}: no valid Jinja: {error.message}") from error
    for found in tree.find_all(nodes.Filter):
        if found.name not in environment.filters:
            raise TemplateError(
                f"line {found.lineno}: unknown filter {found.name!r}"
                f"{suggest(found.name, environment.filters)} Known: "
                f"{', '.join(sorted(environment.filters))}"
            )
    for found in tree.find_all(nodes.Test):
        if found.name not in environment.tests:
            raise TemplateError(
                f"line {found.lineno}: unknown test {found.name!r}"
                f"{suggest(found.name, environment.tests)}"
            )
    for found in tree.find_all(_LOADING):
        raise TemplateError(f"line {found.lineno}: a template may not load others")
    undeclared = meta.find_undeclared_variables(tree)
    for found in tree.find_all(nodes.Call):
        _check_call(found, undeclared - set(environment.globals))
    return tree


def render(
    template: CompiledTemplate, row: Mapping[str, Any], name: Sequence[str]
) -> Prompt | None:
    """Renders a row.

    Args:
      template: the template.
      row: the row; its fields are what the template names.
      name: what the template is called; it keys the random draws, together with the row.

    Returns:
      The prompt; None if the template leaves the row out.

    Raises:
      RowError: the row lacks a field, or the template fails on it.
    """
    values = {key.replace("-", "_"): _protected(value) for key, value in row.items()}
    for field in sorted(template.fields):
        if field not in values:
            raise RowError(f"missing field {field!r}")
    if template.draws:
        values[_GENERATOR] = _generator(row, name)
    try:
        choices = None
        if template.choices is not None:
            choices = _parts(template.choices.render(values))
        parts = _parts(template.body.render(values | {_CHOICES: choices}))
    # A template is a program: anything may go wrong in it, on the row that it is given.
    except Exception as error:
        raise RowError(f"template fails ({type(error).__name__}: {error})") from error
    if len(parts) != 2 or not all(parts):
        return None
    inputs, targets = map(_unprotected, parts)
    return Prompt(inputs, targets, tuple(map(_unprotected, choices or ())))


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment()
    names = [name for name in _FILTERS if name in filters.FILTERS]
    environment.filters = {name: filters.FILTERS[name] for name in names}
    environment.filters |= {"choice": _choice, "random": _choice, "most_frequent": _most_frequent}
    kept = ("range", "dict", "namespace")
    environment.globals = {name: environment.globals[name] for name in kept} | {"zip": zip}
    return environment


def _with_cuts(jinja: str) -> Iterator[str]:
    """Adds to each `{{ ... }}` what cuts its value, and otherwise leaves the text as it is."""
    for _, kind, text in _environment().lex(jinja):
        if kind == "variable_end":
            yield _CUT
        yield text


def _check_call(call: nodes.Call, unknown: set[str]) -> None:
    function = call.node
    if isinstance(function, nodes.Name) and function.name in unknown:
        known = _environment().globals
        raise TemplateError(
            f"line {call.lineno}: unknown function {function.name!r}"
            f"{suggest(function.name, known)} Known: {', '.join(known)}"
        )
    if isinstance(function, nodes.Getattr) and function.attr in _CHANGING:
        raise TemplateError(
            f"line {call.lineno}: .{function.attr}() changes a list or a dict, which templates may "
            "not do here; join the parts instead"
        )


def _protected(value: Any) -> Any:
    return value.replace(SEPARATOR, _PROTECTED) if isinstance(value, str) else value


def _unprotected(text: str) -> str:
    return text.replace(_PROTECTED, SEPARATOR)


def _parts(rendered: str) -> list[str]:
    return [part.strip() for part in rendered.split(SEPARATOR)]


def _generator(row: Mapping[str, Any], name: Sequence[str]) -> random.Random:
    text = json.dumps(row, sort_keys=True, ensure_ascii=False, default=str)
    return random.Random(int(keyed.derive(0, "promptsource", *name, text)))


@jinja2.pass_context
def _choice(context: Mapping[str, Any], items: Sequence[Any]) -> Any:
    """Chooses one item; the context keeps Jinja from doing so once and for all, as it compiles."""
    generator: random.Random = context[_GENERATOR]
    return generator.choice(items)


def _most_frequent(items: Sequence[Any]) -> list[Any] | None:
    """Lists the items that come most often, the first to come first."""
    counts = Counter(items)
    most = max(counts.values(), default=0)
    return [item for item, count in counts.items() if count == most] or None
