"""Renderers: a checked example in, the texts of its prompts and targets out, in plain Python.

A renderer is made of plain data (templates, styles, a seed, the pool of exemplars), so another
process can be given the facts of one. Whatever is drawn at random (order of options, exemplars of a
few-shot prompt) is keyed by seed, task, example and template: any rendering can be made again
alone.
"""

import dataclasses
import functools
import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from flan_jax.data import content_free, keyed
from flan_jax.data.declarations import Example, Segments, TaskDeclaration
from flan_jax.data.forms import MIXED, Form, template_indices
from flan_jax.data.templates import (
    OPTION_STYLES,
    FewShot,
    Rendering,
    Template,
    exemplar_text,
    few_shot_prompt,
    options_block,
    render_inputs,
    render_targets,
    slots,
)

# Rows from which a few-shot prompt takes its exemplars: enough variety, and cheap to hold.
POOL_SIZE = 64
_SPARE_EXEMPLARS = 4

# The templates of an example, and often all examples, show the same options.
_options_block = functools.lru_cache(maxsize=256)(options_block)


class Rendered(NamedTuple):
    """One example under one template.

    Attributes:
      example: index of the row in its split.
      template: index of the template in its task; 0 for documents.
      inputs: the prompt; empty for documents.
      targets: the text to produce, or `(text, loss weight)` segments.
      options: the answers to choose from, as this template verbalises them; empty without.
      answer: index of the right option; -1 without options.
      references: right answers, as this template verbalises them.
      content_free: the prompt with the words of `flan_jax.data.content_free` in place of what the
        example says, one each; empty where these are not asked for.
    """

    example: int
    template: int
    inputs: str
    targets: str | Segments
    options: list[str]
    answer: int
    references: list[str]
    content_free: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # Fingerprints of caches hash it, and have those prompts by the setting that asks for them.
        said = self._fields if self.content_free else self._fields[:-1]
        return f"Rendered({', '.join(f'{name}={getattr(self, name)!r}' for name in said)})"


class Checked(NamedTuple):
    """A checked example of a split.

    Attributes:
      index: index of its row.
      example: what templates are filled with.
      doubles: positions in the pool of exemplars that hold this row or one equal to it.
    """

    index: int
    example: Example
    doubles: tuple[int, ...] = ()

    def plain(self, names: Iterable[str]) -> list[Any]:
        """Gives values that JSON holds, with the texts of the named fields only."""
        return [self.index, *_plain(self.example, names), self.doubles]

    @classmethod
    def from_plain(cls, values: Sequence[Any], names: Iterable[str]) -> "Checked":
        """Makes it of what `plain` gave; fields that were no texts are the texts they show as."""
        index, *example, doubles = values
        return cls(index, _from_plain(example, names), tuple(doubles))


@dataclass(frozen=True)
class Wording:
    """What one form of a task makes of an example under a template.

    Attributes:
      task: name of the task, which is in the key of what is drawn at random.
      templates: those of the task.
      styles: how each template lists the options; None where it lists none.
      shuffled: whether options come in seeded random order.
      seed: seed of that order.
    """

    task: str
    templates: tuple[Template, ...]
    styles: tuple[str | None, ...]
    shuffled: bool
    seed: int

    @classmethod
    def of(cls, declaration: TaskDeclaration, form: Form, seed: int) -> "Wording":
        """Finds what a form of a task does."""
        styles = (_style(declaration, form, n, seed) for n in range(len(declaration.templates)))
        shuffled = declaration.shuffle_options or form.permuted
        return cls(declaration.name, declaration.templates, tuple(styles), shuffled, seed)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that some template shows, each once, without `answer` and `options`."""
        texts = (text for one in self.templates for text in (one.inputs, one.targets))
        named = dict.fromkeys(name for text in texts for name in slots(text))
        return tuple(name for name in named if name not in ("answer", "options"))

    def shuffle(self, example: Example, index: int, template: int | None) -> Example:
        """Puts the options of the example of an index in the order for a template.

        None stands for one order under all templates.
        """
        if not self.shuffled or not example.options:
            return example
        place = () if template is None else (template,)
        key = keyed.derive(self.seed, "options", self.task, index, *place)
        options = list(example.options)
        random.Random(int(key)).shuffle(options)
        answer = options.index(example.references[0])
        return Example(example.fields, tuple(options), answer, example.references)

    def texts(self, example: Example, template: int) -> Rendering:
        """Fills a template."""
        wording, block = self.templates[template], self._block(example, template)
        fields, answer = example.fields, example.references[0]
        if wording.targets != "{answer}" and wording.turned_around:
            fields = {**fields, "answer": answer}
        return Rendering(
            render_inputs(wording, fields, block), render_targets(wording, fields, answer)
        )

    def content_free(self, example: Example, template: int) -> tuple[str, ...]:
        """Fills a template's inputs with nothing that the example says."""
        block = self._block(example, template)
        return content_free.prompts(self.templates[template], example, block)

    def _block(self, example: Example, template: int) -> str | None:
        style = self.styles[template]
        return _options_block(example.options, style) if style and example.options else None


class Exemplars:
    """The solved examples that few-shot prompts of one task are made of."""

    def __init__(
        self,
        wording: Wording,
        pool: list[tuple[int, Example]],
        few_shot: FewShot,
        count_tokens: Callable[[str], int] | None,
        same_split: bool,
    ):
        """Holds a pool.

        Args:
          wording: puts them into words.
          pool: rows with their index, from `rendering.draw_pool`.
          few_shot: how prompts are made.
          count_tokens: length of a text in tokens; needed for a token budget.
          same_split: whether the pool is from the split that is rendered, so that an example must
            be kept out of its own prompt by its index.
        """
        self._wording = wording
        self._pool = pool
        self._few_shot = few_shot
        self._same_split = same_split
        # Exemplar texts recur in prompt after prompt, so each is measured once.
        self._count = _Memo(count_tokens) if count_tokens else None
        self._texts: dict[tuple[int, int], tuple[str, str]] = {}

    def doubles(self, index: int, example: Example) -> tuple[int, ...]:
        """Finds what in the pool is the row of an index, or has the same fields as its example."""
        return tuple(
            position
            for position, (other, one) in enumerate(self._pool)
            if one.fields == example.fields or (self._same_split and other == index)
        )

    def prompt(self, query: str, checked: Checked, template: int) -> str:
        """Puts solved examples before a prompt.

        Args:
          query: the prompt to be solved.
          checked: its example, which is kept out with its doubles.
          template: index of the template, which renders the exemplars too.

        Returns:
          The few-shot prompt.
        """
        wording = self._wording
        key = keyed.derive(wording.seed, "exemplars", wording.task, checked.index, template)
        # Twice as many as wanted are tried against a budget, so that a long one can be passed over;
        # and some more, as the example itself and its doubles are kept out.
        wanted = 2 * self._few_shot.exemplars + _SPARE_EXEMPLARS
        size = len(self._pool)
        order = random.Random(int(key)).sample(range(size), min(size, wanted))
        candidates = (self._text(position, template) for position in order)
        others = (
            text
            for position, (inputs, text) in zip(order, candidates, strict=True)
            if inputs != query and position not in checked.doubles
        )
        few = list(itertools.islice(others, 2 * self._few_shot.exemplars))
        return few_shot_prompt(query, few, self._few_shot, self._count)

    def replaced(self, prompt: str, query: str, other: str) -> str:
        """Puts another prompt to be solved behind the same exemplars.

        Args:
          prompt: what `prompt` gave for `query`.
          query: the prompt to be solved.
          other: what is to stand in its place, however long.
        """
        mark = self._few_shot.answer_mark
        return f"{prompt.removesuffix(query + mark)}{other}{mark}"

    def _text(self, position: int, template: int) -> tuple[str, str]:
        """Gives the prompt of an exemplar, and the prompt with its answer."""
        if (position, template) not in self._texts:
            index, example = self._pool[position]
            solved = self._wording.texts(self._wording.shuffle(example, index, template), template)
            self._texts[position, template] = (
                solved.inputs,
                exemplar_text(solved, self._few_shot),
            )
        return self._texts[position, template]

    def facts(self) -> dict[str, Any]:
        """Gives all but the wording, as values that JSON holds."""
        names = self._wording.fields
        return {
            "pool": [[index, *_plain(example, names)] for index, example in self._pool],
            "few_shot": dataclasses.asdict(self._few_shot),
            "same_split": self._same_split,
        }

    @classmethod
    def from_facts(
        cls, facts: Mapping[str, Any], wording: Wording, count_tokens: Callable[[str], int]
    ) -> "Exemplars":
        """Makes them of what `facts` gave."""
        names = wording.fields
        pool = [(index, _from_plain(example, names)) for index, *example in facts["pool"]]
        few_shot = FewShot(**facts["few_shot"])
        return cls(wording, pool, few_shot, count_tokens, facts["same_split"])


class _Memo(dict):
    """A function of text that remembers a bounded number of results."""

    def __init__(self, function: Callable[[str], int]):
        super().__init__()
        self._function = function

    def __call__(self, text: str) -> int:
        if len(self) > POOL_SIZE * 256:
            self.clear()
        if text not in self:
            self[text] = self._function(text)
        return self[text]


@dataclass(frozen=True)
class Renderer:
    """Renders examples of one form of a task.

    Attributes:
      wording: what a template makes of an example.
      templates: indices of the templates that the form uses, increasing.
      evaluation: whether the renderings are scored.
      exemplars: solved examples, for few-shot forms.
      content_free: whether content-free prompts are rendered too.
    """

    wording: Wording
    templates: tuple[int, ...]
    evaluation: bool
    exemplars: Exemplars | None = None
    content_free: bool = False

    @classmethod
    def of(
        cls,
        declaration: TaskDeclaration,
        form: Form,
        seed: int,
        exemplars: Exemplars | None = None,
        content_free: bool = False,
    ) -> "Renderer":
        """Makes that of a form.

        Args:
          declaration: the task.
          form: which of its forms.
          seed: seed of options.
          exemplars: solved examples, for few-shot forms.
          content_free: whether to render content-free prompts too.
        """
        indices = template_indices(declaration, form)
        wording = Wording.of(declaration, form, seed)
        return cls(wording, indices, bool(form.evaluation), exemplars, content_free)

    def render(self, checked: Checked, templates: Iterable[int] | None = None) -> list[Rendered]:
        """Renders an example under each of some templates; None stands for all of the form."""
        templates = self.templates if templates is None else templates
        return [self._rendered(checked, template) for template in templates]

    def _rendered(self, checked: Checked, template: int) -> Rendered:
        # In evaluation all templates of an example show the options in one order, so that means
        # over templates compare wordings and nothing else.
        place = None if self.evaluation else template
        example = self.wording.shuffle(checked.example, checked.index, place)
        query, targets = self.wording.texts(example, template)
        inputs = query
        free = self.wording.content_free(example, template) if self.content_free else ()
        if self.exemplars is not None:
            inputs = self.exemplars.prompt(query, checked, template)
            free = tuple(self.exemplars.replaced(inputs, query, other) for other in free)
        wording = self.wording.templates[template]
        if wording.targets == "{answer}":
            options, references = list(example.options), list(example.references)
        elif wording.turned_around:
            return Rendered(checked.index, template, inputs, targets, [], -1, [targets])
        else:
            put = functools.partial(render_targets, wording, example.fields)
            options, references = [*map(put, example.options)], [*map(put, example.references)]
        texts = inputs, targets, options, example.answer, references, free
        return Rendered(checked.index, template, *texts)

    def facts(self) -> dict[str, Any]:
        """Gives what makes the same renderer elsewhere, as values that JSON holds."""
        return {
            "wording": dataclasses.asdict(self.wording),
            "templates": self.templates,
            "evaluation": self.evaluation,
            "exemplars": self.exemplars and self.exemplars.facts(),
            "content_free": self.content_free,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], count_tokens: Callable[[str], int]) -> "Renderer":
        """Makes the renderer of which facts were given.

        Args:
          facts: what `facts` gave.
          count_tokens: length of a text in tokens, for few-shot prompts.
        """
        values = facts["wording"]
        templates = tuple(Template(**one) for one in values["templates"])
        wording = Wording(**{**values, "templates": templates, "styles": tuple(values["styles"])})
        exemplars = facts["exemplars"] and Exemplars.from_facts(
            facts["exemplars"], wording, count_tokens
        )
        how = facts["evaluation"], exemplars, facts["content_free"]
        return cls(wording, tuple(facts["templates"]), *how)


def _plain(example: Example, names: Iterable[str]) -> list[Any]:
    texts = [format(example.fields[name], "") for name in names]
    return [texts, example.options, example.answer, example.references]


def _from_plain(values: Sequence[Any], names: Iterable[str]) -> Example:
    texts, options, answer, references = values
    fields = dict(zip(names, texts, strict=True))
    return Example(fields, tuple(options), answer, tuple(references))


def _style(declaration: TaskDeclaration, form: Form, template: int, seed: int) -> str | None:
    """Gives the style of the list of options; None where it is not shown."""
    if not form.with_options or declaration.lists_options:
        return None
    if form.style != MIXED:
        return form.style
    key = keyed.derive(seed, "style", declaration.name, template)
    return list(OPTION_STYLES)[int(key) % len(OPTION_STYLES)]
