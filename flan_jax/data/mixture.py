"""Mixtures of caches: which tasks, at which rates."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from flan_jax import storage
from flan_jax.batch import Boundaries
from flan_jax.data.store import Cache, CacheError, open_cache


@dataclass(frozen=True)
class Member:
    """A cached task in a mixture.

    Attributes:
      task: SeqIO name of the task.
      rate: its mixing rate, in any unit.
      cache: its cache.
    """

    task: str
    rate: float
    cache: Cache

    @property
    def objective(self) -> str | None:
        """Name of the pretraining objective, or None for ordinary examples."""
        return self.cache.manifest["objective"]


@dataclass(frozen=True)
class Mixture:
    """Cached tasks with their rates; made by `open_mixture`.

    Attributes:
      name: its name.
      members: the tasks, at least one.
      missing: tasks that could not be cached and were left out, each with the reason.
    """

    name: str
    members: tuple[Member, ...]
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def vocabulary(self) -> dict:
        """The vocabulary of all members, as `flan_jax.data.vocabularies.facts` gives it."""
        return self.members[0].cache.manifest["vocabulary"]

    @property
    def boundaries(self) -> Boundaries:
        """What sequences begin and end with."""
        return self.members[0].cache.boundaries

    @property
    def fingerprint(self) -> str:
        """Digest of all that the stream depends on but seed and config."""
        facts = ("cache", "rows", "examples", "tokens")
        content = [
            [member.task, member.rate, *(member.cache.manifest[fact] for fact in facts)]
            for member in self.members
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def open_mixture(
    location: str, *, vocabulary: str | None = None, stage_dir: str = "~/.cache/flan_jax"
) -> Mixture:
    """Opens a mixture that `cache.build_mixture` wrote.

    Args:
      location: its JSON file, `{"name": ..., "members": [{"task", "cache", "rate"}, ...]}` and
        perhaps `"missing": {task: reason}`; paths of caches are relative to it.
      vocabulary: digest of the vocabulary that the model has, if it is known.
      stage_dir: local folder to which remote caches are brought.

    Returns:
      The mixture, its caches mapped but not yet read.

    Raises:
      ValueError: no members, a rate that is no positive number, or another vocabulary.
      CacheError: the file is missing, or caches are missing or damaged (all are named).
    """
    path = storage.path(location)
    if not path.exists():
        raise CacheError(f"mixture file {location} does not exist; build the mixture first")
    content = json.loads(path.read_text())
    if not isinstance(content, dict) or not {"name", "members"} <= content.keys():
        raise CacheError(
            f"{location} is no mixture file: expected <cache_dir>/<mixture>-train.json, which "
            "scripts/cache.py writes (<collection>.json lists caches to score)"
        )
    name, entries = content["name"], content["members"]
    if not entries:
        raise ValueError(f"mixture {name!r} ({location}) has no members; give it at least one task")
    for entry in entries:
        check_rate(name, entry["task"], entry["rate"])
    members, failures = [], []
    for entry in entries:
        try:
            folder = storage.stage(_beside(path, entry["cache"]), stage_dir)
            members.append(Member(entry["task"], entry["rate"], open_cache(str(folder))))
        except (CacheError, storage.StorageError) as error:
            failures.append(f"  {entry['task']}: {error}")
    if failures:
        raise CacheError(
            f"mixture {name!r}: {len(failures)} of {len(entries)} members cannot be opened:\n"
            + "\n".join(failures)
        )
    mixture = Mixture(name, tuple(members), content.get("missing", {}))
    _check_vocabulary(mixture, vocabulary or mixture.vocabulary["digest"])
    return mixture


def check_rate(mixture: str, task: str, rate: float) -> None:
    """Raises a ValueError unless a mixing rate is a positive finite number.

    Args:
      mixture: name of the mixture.
      task: name of the task.
      rate: its rate.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(
            f"mixture {mixture!r}: the rate of {task!r} is {rate}; give a positive number, or "
            "leave the task out"
        )


def _beside(path: storage.AnyPath, cache: str) -> storage.AnyPath:
    absolute = storage.is_remote(cache) or cache.startswith("/")
    return storage.path(cache) if absolute else path.parent / cache


def _check_vocabulary(mixture: Mixture, digest: str) -> None:
    for member in mixture.members:
        found = member.cache.manifest["vocabulary"]
        if found["digest"] != digest:
            raise ValueError(
                f"mixture {mixture.name!r}: the cache of {member.task!r} was built with another "
                f"vocabulary ({found.get('path')}, digest {found['digest'][:12]}) than expected "
                f"(digest {digest[:12]}); build its cache with the vocabulary of the others, or "
                "train a model of its vocabulary"
            )
