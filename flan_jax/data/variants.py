"""Variants: a declaration in one form, with the vocabulary and the folder that it is used with.

This is what a name such as `rte:few_shot:rank` stands for once its collection is registered.
"""

import dataclasses
import functools
import hashlib
import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flan_jax.data.declarations import Declaration, DocumentsDeclaration
from flan_jax.data.forms import SHOTS, TRAIN, Form, seqio_name
from flan_jax.data.renderer import Checked, Exemplars, Rendered, Renderer, Wording
from flan_jax.data.rendering import Drops, LateDrops, checked_task, draw_pool, render_documents
from flan_jax.data.templates import FewShot
from flan_jax.data.vocabularies import AnyVocabulary

# Examples whose renderings enter the fingerprint: they show a change in whatever the row function
# calls, which its own text does not.
_FINGERPRINT_EXAMPLES = 16
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@dataclass(frozen=True)
class Variant:
    """One form of one declaration, ready to be rendered.

    Attributes:
      collection: name of the collection that it belongs to.
      declaration: the task or the documents.
      form: which form.
      vocabulary: what it is tokenised with.
      data_dir: folder of the data files; None if the source needs none.
      few_shot: how few-shot prompts are made.
    """

    collection: str
    declaration: Declaration
    form: Form
    vocabulary: AnyVocabulary
    data_dir: str | None
    few_shot: FewShot

    @property
    def name(self) -> str:
        """The name in SeqIO's registries."""
        return seqio_name(self.declaration, self.form)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the source."""
        return tuple(self.declaration.source.splits)

    def num_examples(self, split: str) -> int:
        """Counts the rows of a split in the source, before any is dropped or templated."""
        return self.declaration.source.num_examples(split, self.data_dir)

    def grouped(
        self, split: str, seed: int, drops: Drops, inputs_length: int | None = None
    ) -> Iterator[list[Rendered]]:
        """Renders a split.

        Args:
          split: name of the split.
          seed: seed of option order and exemplars.
          drops: counts rows that are left out.
          inputs_length: tokens that the inputs may have, end of sequence included; few-shot prompts
            take fewer exemplars rather than be cut. None leaves it at `few_shot.max_tokens`.

        Yields:
          The renderings of one example, one a template.
        """
        if isinstance(self.declaration, DocumentsDeclaration):
            rows = self.declaration.source.rows(split, self.data_dir)
            locate = functools.partial(self.locate, split)
            documents = render_documents(self.declaration, rows, drops=drops, locate=locate)
            yield from ([document] for document in documents)
            return
        renderer = self.renderer(split, seed, inputs_length)
        yield from map(renderer.render, self.checked(split, drops, renderer))

    def renderer(
        self, split: str, seed: int, inputs_length: int | None = None, content_free: bool = False
    ) -> Renderer:
        """Makes what renders a split of a task; for few-shot forms, this draws the exemplars.

        Arguments are those of `grouped`, and whether to render content-free prompts too.
        """
        exemplars = self._exemplars(split, seed, inputs_length) if self.form.few_shot else None
        return Renderer.of(self.declaration, self.form, seed, exemplars, content_free)

    def checked(
        self, split: str, drops: Drops | LateDrops, renderer: Renderer
    ) -> Iterator[Checked]:
        """Reads and checks a split of a task.

        Args:
          split: name of the split.
          drops: counts rows that are left out.
          renderer: what will render them.

        Yields:
          The examples, in order.
        """
        return checked_task(
            self.declaration,
            self.declaration.source.rows(split, self.data_dir),
            drops=drops,
            locate=functools.partial(self.locate, split),
            exemplars=renderer.exemplars,
        )

    def locate(self, split: str, index: int) -> str:
        """Says where the row of an index is, for example `file:line`."""
        return self.declaration.source.locate(split, index, self.data_dir)

    def fingerprint(self, split: str, seed: int, inputs_length: int | None = None) -> str:
        """Gives a hex digest that changes with whatever changes the renderings of a split.

        It covers the data, the templates, the settings of the form, the text of the row function,
        and the first renderings. Arguments are those of `grouped`.
        """
        source = self.declaration.source
        groups = self.grouped(split, seed, Drops(), inputs_length)
        examples = itertools.islice(groups, _FINGERPRINT_EXAMPLES)
        parts = [
            self.name,
            source.chosen(self.data_dir).version,
            source.fingerprint(split, self.data_dir),
            _source_text(self.declaration.row),
            getattr(self.declaration, "templates", ()),
            getattr(self.declaration, "shuffle_options", False),
            list(examples),
        ]
        if self.form.few_shot:
            exemplars = source.fingerprint(TRAIN, self.data_dir)
            parts += [self._few_shot(inputs_length), exemplars, self.vocabulary.digest]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def _few_shot(self, inputs_length: int | None) -> FewShot:
        budgets = [self.few_shot.max_tokens, inputs_length and inputs_length - 1]
        budget = min((tokens for tokens in budgets if tokens is not None), default=None)
        number = SHOTS[self.form.shots]
        exemplars = self.few_shot.exemplars if number is None else number
        return dataclasses.replace(self.few_shot, max_tokens=budget, exemplars=exemplars)

    def _exemplars(self, split: str, seed: int, inputs_length: int | None) -> Exemplars:
        """Draws exemplars from the training split: what is scored is never shown solved."""
        rows = self.declaration.source.rows(TRAIN, self.data_dir)
        return Exemplars(
            Wording.of(self.declaration, self.form, seed),
            draw_pool(self.declaration, rows, seed),
            self._few_shot(inputs_length),
            lambda text: len(self.vocabulary.encode(text)),
            same_split=split == TRAIN,
        )


def _source_text(function: object) -> str:
    if dataclasses.is_dataclass(function):
        text = repr(function)
        # A function is written with its address, which is another in every process.
        bare = _ADDRESS.sub("", text)
        return text if bare == text else bare + "".join(map(_source_text, _functions(function)))
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt, or built in
        return ""


def _functions(value: object) -> Iterator[Callable]:
    """Yields the functions in the fields of a dataclass, and of those in it."""
    if inspect.isfunction(value):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _functions(getattr(value, field.name))
