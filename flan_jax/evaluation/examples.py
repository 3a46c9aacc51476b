"""Evaluation examples as the scorers see them, and how a cache becomes them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np

from flan_jax import storage
from flan_jax.batch import Boundaries

# Columns that only calibrated scores need.
_FREE = ("content_free_inputs", "content_free_prompts")


@dataclasses.dataclass(frozen=True)
class Example:
    """One source example under one template.

    Attributes:
      inputs: token ids of the prompt, as they are fed to the model (with EOS where cached so).
      prompt: its text.
      references: acceptable answers, the first being the target.
      options: texts to choose from; empty for tasks without options.
      option_tokens: token ids of each option, with EOS.
      answer: index of the right option; -1 without options.
      example: index of the source example.
      template: index of the template.
      content_free: token ids of the prompt without what the example says, once for each word that
        stands in its place; empty unless they were asked for.
      content_free_prompts: their texts.
    """

    inputs: Sequence[int]
    prompt: str
    references: tuple[str, ...]
    options: tuple[str, ...] = ()
    option_tokens: tuple[Sequence[int], ...] = ()
    answer: int = -1
    example: int = 0
    template: int = 0
    content_free: tuple[Sequence[int], ...] = ()
    content_free_prompts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ExampleSet:
    """The examples of one evaluation cache.

    Attributes:
      name: the cached task, e.g. "rte:zero_shot:rank".
      task: the declared task, e.g. "rte".
      cluster: its cluster.
      metrics: names of metrics, the first being the headline.
      templates: texts of the templates, by template index.
      examples: the renderings, those of a source example next to each other.
      ranked: whether answers are chosen among options rather than generated.
      cache: name of the cache, which ends with a digest of whatever it depends on.
      left_out: what the cache could not hold, by kind: dropped examples and renderings, and
        prompts that were cut.
      boundaries: what sequences begin and end with.
      vocabulary: digest of the vocabulary that the tokens are of.
    """

    name: str
    task: str
    cluster: str
    metrics: tuple[str, ...]
    templates: tuple[str, ...]
    examples: tuple[Example, ...]
    ranked: bool
    cache: str = ""
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    boundaries: Boundaries = Boundaries()
    vocabulary: str = ""


def load(
    path: str, max_examples: int | None = None, local_dir: str = "", content_free: bool = False
) -> ExampleSet:
    """Reads an evaluation cache.

    Args:
      path: folder of the cache, local or remote.
      max_examples: source examples to keep, evenly spread over the cache; None for all.
      local_dir: where remote caches are staged.
      content_free: whether to read the content-free prompts that calibrated scores need.

    Raises:
      CacheError: the cache is missing or damaged.
      ValueError: the cache has no evaluation columns, or options are missing; or it is ranked and
        has no content-free prompts, but they are asked for.
    """
    from flan_jax.data import store  # pyarrow, which scoring itself does not need

    if content_free:
        check_content_free(path)
    cache = store.open_cache(str(storage.stage(path, local_dir)))
    manifest = cache.manifest
    if "prompt" not in cache.columns:
        raise ValueError(
            f"{path} is a training cache (columns {', '.join(cache.columns)}); expected an "
            "evaluation cache: build the task's ':rank' or ':generate' form"
        )
    kept = _spread_rows(cache, max_examples)
    table = cache.table([name for name in cache.columns if content_free or name not in _FREE])
    rows = (table if kept is None else table.take(kept)).to_batches()
    ranked = manifest["form"]["evaluation"] == "rank"
    result = ExampleSet(
        name=manifest["name"],
        task=manifest["task"],
        cluster=manifest["cluster"],
        metrics=tuple(manifest["metrics"] or ["accuracy" if ranked else "exact_match"]),
        templates=_template_texts(manifest),
        examples=tuple(_from_row(row) for batch in rows for row in batch.to_pylist()),
        ranked=ranked,
        cache=manifest["cache"],
        left_out=_left_out(manifest),
        boundaries=cache.boundaries,
        vocabulary=manifest["vocabulary"]["digest"],
    )
    check(result)
    return result


def expand(caches: Sequence[str], form: str) -> list[str]:
    """Puts the caches of a list in the place of the list.

    Args:
      caches: folders of caches, and lists of caches (`<cache_dir>/<collection>.json`).
      form: prompt form whose caches are taken from a list, e.g. "zero_shot"; "tasks" for those
        that were asked for by name.

    Raises:
      ValueError: a list is missing, or has no cache in this form.
    """
    folders = []
    for path in caches:
        if not path.endswith(".json"):
            folders.append(path)
            continue
        listed, missing = _listed(path)
        if form not in listed:
            raise ValueError(
                f"{path} lists no caches to score in form {form!r}; it has {', '.join(listed)}: "
                "choose one of these, or build them with CacheRun.scored_forms"
            )
        if not listed[form]:
            reasons = "".join(f"\n  {task}: {reason}" for task, reason in missing.items())
            raise ValueError(
                f"{path} lists no cache in form {form!r}: build some with scripts/cache.py and "
                f"CacheRun.scored_clusters{reasons and '. When it was written these failed:'}"
                f"{reasons}"
            )
        folders += listed[form]
    return folders


def _listed(path: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The evaluation caches in a list by form, and why others are missing."""
    file = storage.path(path)
    if not file.exists():
        raise ValueError(
            f"there is no list of caches {path}: expected <cache_dir>/<collection>.json, which "
            "scripts/cache.py writes, or the folder of a cache"
        )
    content = json.loads(file.read_text())
    if not isinstance(content, dict) or "evaluation" not in content:
        raise ValueError(
            f"{path} is no list of caches to score: expected <cache_dir>/<collection>.json, which "
            "scripts/cache.py writes (a mixture's file, <mixture>-train.json, is for training)"
        )
    return content["evaluation"], content.get("missing", {})


def count_rows(path: str, max_examples: int | None = None) -> int:
    """About how many examples `load` gives, from the manifest alone."""
    from flan_jax.data import store

    manifest = store.read_manifest(path)
    share = min(1.0, (max_examples or manifest["examples"]) / max(manifest["examples"], 1))
    return round(manifest["rows"] * share)


def check_vocabulary(path: str, digest: str) -> None:
    """Refuses a cache of another vocabulary: its tokens would read as other ones.

    Args:
      path: folder of a cache.
      digest: of the model's vocabulary.

    Raises:
      ValueError: the cache is of another one.
    """
    from flan_jax.data import store

    found = store.read_manifest(path)["vocabulary"]
    if found["digest"] != digest:
        raise ValueError(
            f"{path} was built with another vocabulary ({found.get('path')}, digest "
            f"{found['digest'][:12]}) than the model's (digest {digest[:12]}); build it with the "
            "vocabulary in the run's folder (CacheRun.vocabulary)"
        )


def check_content_free(path: str) -> None:
    """Raises ValueError for a cache that is ranked, but has no content-free prompts."""
    from flan_jax.data import store

    manifest = store.read_manifest(path)
    if manifest["form"]["evaluation"] == "rank" and not manifest.get("content_free"):
        raise ValueError(
            f"cache {path} of task {manifest['name']!r} holds no content-free prompts, and "
            "EvaluationConfig.score='calibrated' needs them: build its cache with "
            "CacheConfig.content_free=True, or choose another score"
        )


def _template_texts(manifest: dict) -> tuple[str, ...]:
    """Each template as one text; a task that is not ours has its own prompt only."""
    texts = [
        template["inputs"]
        if template["targets"] == "{answer}"
        else f"{template['inputs']} → {template['targets']}"
        for template in manifest["templates"]
    ]
    return tuple(texts or ["the task's own prompt"] * manifest["num_templates"])


def _left_out(manifest: dict) -> dict[str, int]:
    counts = {
        kind: sum(entry["count"] for entry in manifest[kind].values())
        for kind in ("dropped", "dropped_renderings", "truncated")
    }
    return {kind: count for kind, count in counts.items() if count}


def _spread_rows(cache, max_examples: int | None) -> np.ndarray | None:
    if max_examples is None or max_examples >= cache.num_examples:
        return None
    chosen = np.linspace(0, cache.num_examples - 1, max_examples).round().astype(np.int64)
    firsts, counts = cache.row_ranges(chosen)
    return np.concatenate(
        [np.arange(first, first + count) for first, count in zip(firsts, counts, strict=True)]
    )


def _from_row(row: dict) -> Example:
    return Example(
        inputs=row["inputs"],
        prompt=row["prompt"],
        references=tuple(row["references"] or ()),
        options=tuple(row["options"] or ()),
        option_tokens=tuple(row["option_tokens"] or ()),
        answer=row["answer"],
        example=row["example"],
        template=row["template"],
        content_free=tuple(row.get("content_free_inputs") or ()),
        content_free_prompts=tuple(row.get("content_free_prompts") or ()),
    )


def check(examples: ExampleSet) -> None:
    """Raises ValueError where a set is empty, or a ranked example lacks options or answer."""
    if not examples.examples:
        raise ValueError(f"task {examples.name!r} has no examples to evaluate; check its source")
    if not examples.ranked:
        return
    for example in examples.examples:
        options = len(example.options)
        tokens = [len(tokens) for tokens in example.option_tokens]
        if (
            options < 1
            or len(tokens) != options
            or 0 in tokens
            or not (0 <= example.answer < options)
        ):
            raise ValueError(
                f"task {examples.name!r}, example {example.example}, template "
                f"{example.template}: expected options with at least one token each and an "
                f"answer among them; got options {list(example.options)} with {tokens} tokens "
                f"and answer {example.answer}; build the cache again"
            )
