"""The scores of a task, added up example by example, and what guessing would score."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flan_jax.evaluation import metrics
from flan_jax.evaluation.examples import Example, ExampleSet
from flan_jax.evaluation.predictions import STEP
from flan_jax.evaluation.results import TaskScores


class Tally:
    """What the answers to the examples of one task score."""

    def __init__(self, examples: ExampleSet):
        """Begins with no answer.

        Args:
          examples: at least one.

        Raises:
          ValueError: a metric is unknown.
        """
        self._examples = examples
        self._metrics = [metrics.lookup(name, examples.name) for name in examples.metrics]
        self._sources = sorted({example.example for example in examples.examples})
        self._places = {source: i for i, source in enumerate(self._sources)}
        shape = (len(self._sources), len(examples.templates))
        self._statistics = {
            metric.name: np.full((*shape, metric.size), np.nan) for metric in self._metrics
        }
        self._samples: dict[bool, tuple[int, dict]] = {}

    def add(self, position: int, answer: Mapping[str, object]) -> dict:
        """Adds an answer, of `predictions.iterate_predictions`, and returns its record."""
        example = self._examples.examples[position]
        record = {
            "task": self._examples.name,
            "example": example.example,
            "template": example.template,
            "prompt": example.prompt,
            **answer,
            "references": list(example.references),
            "scores": {},
        }
        for metric in self._metrics:
            values = metric.statistics(answer["prediction"], _judged_by(example))
            place = self._places[example.example], example.template
            self._statistics[metric.name][place] = values
            record["scores"][metric.name] = metric.of_example(values)
        # The first example that is wholly right and the first that is not are shown in reports.
        wrong = record["scores"][self._metrics[0].name] < 1.0
        if wrong not in self._samples or position < self._samples[wrong][0]:
            # When it was answered is nothing to a report.
            shown = {name: value for name, value in record.items() if name != STEP}
            self._samples[wrong] = (position, shown)
        return record

    def scores(self, prompts: str) -> TaskScores:
        """The task's scores; `prompts` is the SHA-256 of its prompts."""
        examples = self._examples
        return TaskScores(
            name=examples.name,
            task=examples.task,
            cluster=examples.cluster,
            metrics=examples.metrics,
            templates=examples.templates,
            examples=tuple(self._sources),
            statistics=self._statistics,
            chance=_mean_over_templates(examples.examples, _chance),
            majority=self._majority(),
            samples=tuple(record for _, (_, record) in sorted(self._samples.items())),
            cache=examples.cache,
            left_out=examples.left_out,
            prompts=prompts,
        )

    def _majority(self) -> float:
        if not all(metric.of_answers for metric in self._metrics):
            return float("nan")
        return _mean_over_templates(self._examples.examples, _majority)


def right_answers(example: Example) -> tuple[str, ...]:
    """What counts as right: any reference, which of a question with options is one of these."""
    if example.answer < 0:
        return example.references
    right = example.options[example.answer]
    # Some questions (ReCoRD's) have several right options.
    others = (option for option in example.options if option in example.references)
    return tuple(dict.fromkeys((right, *others)))


def _judged_by(example: Example) -> tuple[str, ...]:
    """What metrics compare an answer with: right answers, then references that hold facts."""
    return tuple(dict.fromkeys((*right_answers(example), *example.references)))


def _mean_over_templates(
    examples: Sequence[Example], function: Callable[[Sequence[Example]], float]
) -> float:
    groups: dict[int, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.template, []).append(example)
    return float(np.mean([function(group) for group in groups.values()]))


def _chance(examples: Sequence[Example]) -> float:
    """Expected accuracy of picking an option at random; 0 without options."""
    shares = [
        len(right_answers(example)) / len(example.options) if example.options else 0.0
        for example in examples
    ]
    return float(np.mean(shares))


def _majority(examples: Sequence[Example]) -> float:
    """Share of the most frequent answer text under one template."""
    counts = Counter(right[0] for example in examples if (right := right_answers(example)))
    return max(counts.values(), default=0) / len(examples)
