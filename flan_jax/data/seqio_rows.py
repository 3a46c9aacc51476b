"""What the cache asks of SeqIO: mixtures and their rates, and the rows of tasks that are not ours.

Any task that is registered the ordinary SeqIO way can be cached, with one row an example.
"""

import functools
import hashlib
import inspect
import itertools
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import seqio

from flan_jax.data.seqio_adapter import vocabulary_of
from flan_jax.data.suggestions import suggest
from flan_jax.data.tokenisation import CacheConfig, Row, Tokeniser

# Examples that enter the fingerprint: code cannot be compared, what it makes of these can.
_FINGERPRINT_EXAMPLES = 16
# Takes `sequence_length` but works without; with it targets would be cut unseen.
_TRIMS = "append_eos_after_trim"


def members(name: str) -> list[str]:
    """Lists the tasks of a SeqIO mixture, mixtures inside resolved; of a task, itself.

    Raises:
      ValueError: the name is unknown, or the mixture is empty.
    """
    known = [*seqio.MixtureRegistry.names(), *seqio.TaskRegistry.names()]
    if name not in known:
        raise ValueError(
            f"no SeqIO mixture or task is named {name!r}{suggest(name, known)} Register it first"
        )
    if name in seqio.TaskRegistry.names():
        return [name]
    tasks = [task.name for task in seqio.MixtureRegistry.get(name).tasks]
    if not tasks:
        raise ValueError(f"mixture {name!r} has no members; name at least one task or mixture")
    return tasks


def rates(name: str, without: Collection[str]) -> dict[str, float | Exception]:
    """Evaluates the rates of a mixture's tasks.

    Args:
      name: name of a SeqIO mixture, or of a task, whose rate is 1.
      without: tasks to leave out. A mixture inside whose rate cannot be counted because of them
        has the sum of the rates of its other tasks.

    Returns:
      A rate for each other task, or the error that came instead.
    """
    tasks = [task for task in members(name) if task not in without]
    if name in seqio.TaskRegistry.names():
        return dict.fromkeys(tasks, 1.0)
    values, errors = _rates(seqio.MixtureRegistry.get(name), frozenset(without))
    return {task: errors.get(task) or values.get(task, 0.0) for task in tasks}


def _rates(
    mixture: seqio.Mixture, without: frozenset[str]
) -> tuple[dict[str, float], dict[str, Exception]]:
    """Gives the rates of the tasks of a mixture, and the errors of those that have none.

    As `seqio.Mixture.get_rate`, which counts every task again for each, with the sum over the
    tasks that are left: a mixture inside of which nothing is left takes no part.
    """
    inside = {one.name for one in mixture._sub_mixtures}
    values: dict[str, float] = {}
    errors: dict[str, Exception] = {}
    for name, rate in mixture.rate_per_task_name.items():
        if name in without or name in inside:
            continue
        try:
            values[name] = float(rate(seqio.TaskRegistry.get(name)) if callable(rate) else rate)
        except Exception as error:
            errors[name] = error
    for one in mixture._sub_mixtures:
        found, faults = _rates(one, without)
        errors.update(faults)
        total = sum(found.values())
        if total == 0:
            # A rate that is wrong shall be seen as it is.
            values.update({task: values.get(task, 0.0) + rate for task, rate in found.items()})
            continue
        try:
            weight = mixture._get_submixture_rate(one)
        except Exception:
            weight = total
        for task, rate in found.items():
            values[task] = values.get(task, 0.0) + weight * rate / total
    return values, errors


def find(name: str, split: str) -> seqio.Task:
    """Returns a registered task that has a split.

    Raises:
      ValueError: the task or the split is unknown.
    """
    known = list(seqio.TaskRegistry.names())
    if name not in known:
        raise ValueError(f"no SeqIO task is named {name!r}{suggest(name, known)} Register it first")
    task = seqio.TaskRegistry.get(name)
    if split not in task.splits:
        raise ValueError(
            f"task {name!r} has no split {split!r}; it has {', '.join(map(str, task.splits))}"
        )
    return task


def version(task: seqio.Task) -> str:
    """Says what the source of a task is."""
    dataset = getattr(task.source, "tfds_dataset", None)
    return f"{type(task.source).__name__}:{getattr(dataset, 'name', None) or task.name}"


def vocabulary_digest(task: seqio.Task) -> str:
    """Returns the digest of the vocabulary of a task's targets.

    Raises:
      ValueError: it is no SentencePiece vocabulary.
    """
    return vocabulary_of(task.output_features["targets"].vocabulary).digest


def fingerprint(task: seqio.Task, split: str, config: CacheConfig) -> str:
    """Returns a digest that changes with the first examples of a task, or with their number."""
    digest = hashlib.sha256(f"{task.name} {split} {task.num_input_examples(split)}".encode())
    for example in itertools.islice(_dataset(task, split, config), _FINGERPRINT_EXAMPLES):
        for feature in sorted(example):
            digest.update(f"{feature} {np.asarray(example[feature]).tolist()!r}".encode())
    return digest.hexdigest()


def has_options(task: seqio.Task, split: str, config: CacheConfig) -> bool:
    """Whether the examples of a task have options to choose from."""
    first = next(iter(_dataset(task, split, config)), {})
    return len(np.atleast_1d(first.get("options", []))) > 0


def examples(
    task: seqio.Task, split: str, tokeniser: Tokeniser, part: int, parts: int
) -> Iterator[list[Row]]:
    """Yields the rows of a task, one an example.

    Prompts are `inputs_pretokenized` where a task has them, else what the tokens say; references
    are `references`, `targets_pretokenized`, or what the tokens say; options are `options`.

    Args:
      task: a task with a feature `targets` and perhaps `inputs`, of token ids.
      split: name of the split.
      tokeniser: cuts, counts, and has the vocabulary.
      part: which part of the split to read.
      parts: number of parts; part i of n holds the examples i, i + n, ...
    """
    numbered = enumerate(_dataset(task, split, tokeniser.config))
    for number, example in itertools.islice(numbered, part, None, parts):
        row = _row(task, example, number, tokeniser)
        if row is not None:
            tokeniser.count(row)
            yield [row]


def _dataset(task: seqio.Task, split: str, config: CacheConfig) -> Iterator[dict[str, Any]]:
    lengths = {"inputs": config.inputs_length, "targets": config.targets_length}
    needed = any(_needs_lengths(preprocessor) for preprocessor in task.preprocessors)
    dataset = task.get_dataset(
        sequence_length={name: lengths.get(name) for name in task.output_features}
        if needed
        else None,
        split=split,
        use_cached=False,
        shuffle=False,
        seed=config.seed,
        trim_output_features=False,
    )
    return dataset.as_numpy_iterator()


def _needs_lengths(preprocessor: Any) -> bool:
    function = preprocessor
    while isinstance(function, functools.partial):
        function = function.func
    if getattr(function, "__name__", "") == _TRIMS:
        return False
    return "sequence_length" in inspect.signature(preprocessor).parameters


def _row(task, example, number, tokeniser) -> Row | None:
    end = tokeniser.vocabulary.eos_id
    targets = _tokens(task, example, "targets")
    limit = tokeniser.config.targets_length
    if len(targets) > limit:
        tokeniser.drop(f"targets longer than {limit} tokens", number)
        return None
    if not targets or targets == [end]:
        tokeniser.drop("targets without tokens", number)
        return None
    inputs = _tokens(task, example, "inputs") if "inputs" in task.output_features else []
    if inputs[-1:] == [end]:
        inputs = tokeniser.truncate(inputs[:-1], number) + [end]
    else:
        inputs = tokeniser.truncate(inputs, number)
    row = {"inputs": inputs, "targets": targets, "example": number, "template": 0}
    if tokeniser.evaluation:
        row |= _evaluation(example, inputs, targets, tokeniser)
        if any(len(option) > limit for option in row["option_tokens"]):
            tokeniser.drop(f"option longer than {limit} tokens", number)
            return None
    return row


def _tokens(task, example, feature) -> list[int]:
    tokens = example[feature]
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(
            f"task {task.name!r}: feature {feature!r} is {tokens.dtype} with shape {tokens.shape}, "
            "expected a sequence of token ids; add seqio.preprocessors.tokenize to the task"
        )
    return tokens.tolist()


def _evaluation(example, inputs, targets, tokeniser) -> dict[str, Any]:
    vocabulary = tokeniser.vocabulary
    prompt = _texts(example.get("inputs_pretokenized")) or [vocabulary.decode(inputs)]
    references = (
        _texts(example.get("references"))
        or _texts(example.get("targets_pretokenized"))
        or [vocabulary.decode(targets)]
    )
    options, end = _texts(example.get("options")), [vocabulary.eos_id]
    answer = example.get("answer", -1)
    if not isinstance(answer, (int, np.integer)):
        answer = -1
    if options and answer < 0 and references[0] in options:
        answer = options.index(references[0])
    return {
        "prompt": prompt[0],
        "option_tokens": [ids + end for ids in vocabulary.encode_batch(options)],
        "options": options,
        "answer": int(answer),
        "references": references,
    }


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    texts = np.atleast_1d(value).ravel().tolist()
    return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]
