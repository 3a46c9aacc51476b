"""Promptsource's templates, and declared tasks made of them, one a data set and template.

    templates = read_templates("data/promptsource_templates/templates.jsonl.gz")
    templates = read_templates("promptsource/promptsource/templates", {("super_glue", "rte")})

The first form is JSON lines with `dataset`, `subset`, `name`, `jinja`, `answer_choices`, `metrics`,
`original_task` and `choices_in_prompt`. The second is the YAML tree of the promptsource repository
(bigscience-workshop/promptsource), `<dataset>/[<subset>/]templates.yaml`, whose tags are read as
plain data. Nothing of a file is run but the Jinja text, in a sandbox, when a row is rendered.
"""

import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from flan_jax import storage
from flan_jax.data import jinja_templates
from flan_jax.data.declarations import Fields, Row, RowError, TaskDeclaration
from flan_jax.data.jinja_templates import SEPARATOR, Prompt, TemplateError
from flan_jax.data.sources import Source
from flan_jax.data.templates import Template

# A data set of the Hugging Face hub and its configuration.
Key = tuple[str, str | None]

# Our metrics by promptsource's names, as T0 scores them (bigscience-workshop/t-zero,
# t0/seqio_tasks/tasks.py, GET_METRICS). Areas we have not, and correlations are of numbers, which
# not all of these templates ask for; what is left is whether the answer is the right one.
METRICS = {
    "rouge": ("rouge_1", "rouge_2", "rouge_lsum"),
    "bleu": ("bleu",),
    "squad": ("exact_match", "token_f1"),
    "trivia qa": ("exact_match", "token_f1"),
    "coqa f1": ("token_f1",),
    "edit distance": ("edit_similarity",),
}
_WORDING = "{prompt}"
_TREE_FILE = "templates.yaml"


@dataclass(frozen=True)
class PromptTemplate:
    """One of promptsource's templates.

    Attributes:
      dataset: name of the data set on the Hugging Face hub.
      subset: its configuration; None if it has none.
      name: name of the template, unique in its data set.
      jinja: Jinja text with `|||` between prompt and target.
      answer_choices: Jinja text of the answers to choose from, with `|||` between them.
      metrics: promptsource's names of its metrics.
      original_task: whether it asks for what the data set was made for.
      choices_in_prompt: whether the prompt shows the answers to choose from.
      place: where it was read, for messages; no part of what it is.
    """

    dataset: str
    subset: str | None
    name: str
    jinja: str
    answer_choices: str | None = None
    metrics: tuple[str, ...] = ()
    original_task: bool = False
    choices_in_prompt: bool = False
    place: str = field(default="", compare=False, repr=False)

    @property
    def key(self) -> Key:
        """Its data set and configuration."""
        return self.dataset, self.subset

    def check(self) -> frozenset[str]:
        """Checks the Jinja text.

        Returns:
          Names of the row's fields that it reads.

        Raises:
          TemplateError: it is wrong; the message names data set, template and file.
        """
        try:
            return jinja_templates.check_template(self.jinja, self.answer_choices)
        except TemplateError as error:
            raise TemplateError(f"{self}: {error}") from error

    def render(self, row: Row) -> Prompt | None:
        """Renders a row; see `flan_jax.data.jinja_templates.render`.

        Returns:
          The prompt; None if the template leaves the row out.

        Raises:
          RowError: the row lacks a field, or the template fails on it.
          TemplateError: the template is wrong.
        """
        try:
            compiled = jinja_templates.compile_template(self.jinja, self.answer_choices)
        except TemplateError as error:
            raise TemplateError(f"{self}: {error}") from error
        name = (self.dataset, self.subset or "", self.name)
        return jinja_templates.render(compiled, row, name)

    def __str__(self) -> str:
        of = "/".join(filter(None, self.key))
        return f"{self.place}: template {self.name!r} of {of}"


@dataclass(frozen=True)
class PromptRow:
    """The row function of a template: a row in, its prompt, answer and options out.

    Attributes:
      template: the template.
      options: whether its answer choices are given as options.
    """

    template: PromptTemplate
    options: bool

    def __call__(self, row: Row) -> Fields | None:
        """Renders a row.

        Returns:
          `prompt`, `answer` and, where they are given, `options`: each choice once, as two classes
          may be put into the same words. None if the template leaves the row out.

        Raises:
          RowError: the row cannot be rendered, or its target is none of its answer choices.
        """
        prompt = self.template.render(row)
        if prompt is None:
            return None
        fields: Fields = {"prompt": prompt.inputs, "answer": prompt.targets}
        if not self.options:
            return fields
        options = tuple(dict.fromkeys(filter(None, prompt.choices)))
        if prompt.targets not in options:
            raise RowError("target is none of the answer choices")
        return fields | {"options": options}


def prompt_task(
    template: PromptTemplate, *, name: str, cluster: str, source: Source, options: bool = True
) -> TaskDeclaration:
    """Declares a task of one template.

    Args:
      template: the template.
      name: name of the task.
      cluster: name of its task cluster.
      source: rows with the fields that the data set has on the Hugging Face hub.
      options: whether its answer choices, if it has some, are options to rank. A row whose target
        is none of them is then left out and counted as broken.

    Returns:
      The declaration.

    Raises:
      TemplateError: the template is wrong; the message names data set, template and file.
    """
    template.check()
    has_options = options and template.answer_choices is not None
    return TaskDeclaration(
        name=name,
        cluster=cluster,
        source=source,
        templates=(Template(_WORDING, name=template.name),),
        row=PromptRow(template, has_options),
        example={},
        metrics=metrics_of(template, has_options),
        few_shot=None,
        shuffle_options=False,
        has_options=has_options,
    )


def metrics_of(template: PromptTemplate, options: bool) -> tuple[str, ...]:
    """Gives our metrics for those that promptsource names.

    Args:
      template: the template.
      options: whether there are options to rank.

    Returns:
      For `("ROUGE", "BLEU")` `("rouge_1", "rouge_2", "rouge_lsum", "bleu")`; accuracy wherever
      there are options; exact match where nothing else is left.
    """
    named = [METRICS.get(name.lower(), ()) for name in template.metrics]
    found = [metric for metrics in named for metric in metrics]
    if options:
        found = ["accuracy", *found]
    return tuple(dict.fromkeys(found)) or ("exact_match",)


def task_names(prefix: str, templates: Sequence[PromptTemplate]) -> list[str]:
    """Names the tasks of a data set `<prefix>_<template>`.

    Args:
      prefix: what all names begin with, for example `p3_super_glue_rte`.
      templates: the templates.

    Returns:
      A name a template, of letters, digits and underscores; where two would be the same, the later
      has a number behind it. For "GPT-3 style" and "GPT-3 style?" `p3_super_glue_rte_GPT_3_style`
      and `p3_super_glue_rte_GPT_3_style_2`.
    """
    names: dict[str, None] = {}
    for template in templates:
        plain = name = f"{safe_name(prefix)}_{safe_name(template.name).strip('_')}"
        number = 1
        while name in names:
            number += 1
            name = f"{plain}_{number}"
        names[name] = None
    return list(names)


def safe_name(text: str) -> str:
    """Puts an underscore for whatever is no letter and no digit: `"wsc.fixed"` is `"wsc_fixed"`."""
    return re.sub(r"\W+", "_", text)


def read_templates(
    path: str | storage.AnyPath, wanted: Collection[Key] | None = None
) -> list[PromptTemplate]:
    """Reads templates from JSON lines or from promptsource's YAML tree.

    Args:
      path: a file of JSON lines, plain or compressed with gzip; or the folder of the tree.
      wanted: data sets to read; None means all.

    Returns:
      The templates, by data set, subset and name.

    Raises:
      FileNotFoundError: there is neither file nor folder, or the folder lacks a wanted data set.
      TemplateError: a file is broken; the message names it, and the line or the template.
    """
    path = storage.path(path)
    if path.is_dir():
        found = list(_read_tree(path, wanted))
    elif path.exists():
        found = list(_read_lines(path, wanted))
    else:
        raise FileNotFoundError(
            f"there are no templates at {path}; name a file of JSON lines, or the folder "
            "promptsource/templates of a clone of bigscience-workshop/promptsource"
        )
    # As in promptsource, the last of a name counts.
    unique = {(one.dataset, one.subset or "", one.name): one for one in found}
    return [unique[name] for name in sorted(unique)]


def _read_lines(path: storage.AnyPath, wanted: Collection[Key] | None) -> Iterator[PromptTemplate]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise TemplateError(f"{place}: broken JSON line ({error})") from error
        if not isinstance(entry, dict) or not isinstance(entry.get("dataset"), str):
            raise TemplateError(f"{place}: expected an object with a text 'dataset'")
        key = (entry["dataset"], entry.get("subset") or None)
        if wanted is None or key in wanted:
            yield _template(key, entry, entry, place)


def _lines(path: storage.AnyPath) -> list[bytes]:
    content = path.read_bytes()
    if path.name.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise TemplateError(f"{path}: broken gzip file ({error}); fetch it again") from error
    return content.split(b"\n")


def _read_tree(folder: storage.AnyPath, wanted: Collection[Key] | None) -> Iterator[PromptTemplate]:
    if wanted is None:
        paths = list(_yaml_files(folder))
    else:
        paths = [
            folder / "/".join(filter(None, (dataset, subset, _TREE_FILE)))
            for dataset, subset in sorted(wanted, key=lambda key: (key[0], key[1] or ""))
        ]
    if not paths:
        raise FileNotFoundError(
            f"{folder} holds no {_TREE_FILE}; name the folder promptsource/templates of a clone "
            "of bigscience-workshop/promptsource"
        )
    for path in paths:
        yield from _read_yaml(path)


def _yaml_files(folder: storage.AnyPath) -> Iterator[storage.AnyPath]:
    for path in sorted(folder.iterdir(), key=lambda one: one.name):
        if path.is_dir():
            yield from _yaml_files(path)
        elif path.name == _TREE_FILE:
            yield path


def _read_yaml(path: storage.AnyPath) -> Iterator[PromptTemplate]:
    try:
        content = yaml.load(path.read_bytes(), Loader=_Loader)
    except yaml.YAMLError as error:
        raise TemplateError(f"{path}: broken YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or not isinstance(content.get("dataset"), str):
        raise TemplateError(f"{path}: expected the keys 'dataset' and 'templates'")
    entries = content.get("templates")
    if not isinstance(entries, dict) or not all(isinstance(one, dict) for one in entries.values()):
        raise TemplateError(f"{path}: 'templates' is no table of !Template entries")
    key = (content["dataset"], content.get("subset") or None)
    for entry in entries.values():
        metadata = entry.get("metadata")
        yield _template(key, entry, metadata if isinstance(metadata, dict) else {}, str(path))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML as plain data: of tags that stand for Python's classes, promptsource's two alone."""


def _table(loader: yaml.SafeLoader, node: yaml.Node) -> dict[str, Any]:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("!Template", _table)
_Loader.add_constructor("!TemplateMetadata", _table)


def _template(
    key: Key, entry: Mapping[str, Any], metadata: Mapping[str, Any], place: str
) -> PromptTemplate:
    for name in ("name", "jinja"):
        if not isinstance(entry.get(name), str):
            raise TemplateError(
                f"{place}: template {entry.get('name')!r} of {'/'.join(filter(None, key))}: "
                f"expected a text {name!r}, got {type(entry.get(name)).__name__}"
            )
    choices = entry.get("answer_choices")
    if isinstance(choices, list):  # as promptsource wrote them before it had an expression
        choices = f" {SEPARATOR} ".join(map(str, choices))
    metrics = metadata.get("metrics") or []
    if not isinstance(choices or "", str) or not isinstance(metrics, list):
        raise TemplateError(
            f"{place}: template {entry['name']!r} of {'/'.join(filter(None, key))}: expected "
            "'answer_choices' to be a text and 'metrics' to be a list"
        )
    return PromptTemplate(
        *key,
        name=entry["name"],
        jinja=entry["jinja"],
        answer_choices=choices or None,
        metrics=tuple(map(str, metrics)),
        original_task=bool(metadata.get("original_task")),
        choices_in_prompt=bool(metadata.get("choices_in_prompt")),
        place=place,
    )
