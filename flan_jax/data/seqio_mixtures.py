"""Mixtures: SeqIO tasks and mixtures, mixed at rates that are counted when they are needed."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import seqio

from flan_jax.data.forms import TRAIN
from flan_jax.data.suggestions import suggest

# Wei et al. (2021), section 2.4: examples-proportional mixing with a rate of at most 3,000.
FLAN_CAP = 3000


class MixtureError(ValueError):
    """A mixture that cannot work; the message names the mixture, the member and the remedy."""


class LazyMixture(seqio.Mixture):
    """A SeqIO mixture whose rates for mixtures inside it may be functions too."""

    def __init__(self, name: str, tasks: Sequence[Any], settings: tuple, **kwargs: Any):
        """See `seqio.Mixture`; `settings` is what `add_mixture` was called with."""
        super().__init__(name, tasks, **kwargs)
        self.settings = settings

    def _get_submixture_rate(self, mix: seqio.Mixture) -> float:
        rate = self.rate_per_task_name[mix.name]
        return float(rate(mix) if callable(rate) else rate)


def add_mixture(
    name: str,
    members: Sequence[str],
    *,
    cap: int | None = FLAN_CAP,
    weights: Mapping[str, float] | None = None,
) -> seqio.Mixture:
    """Registers a mixture of SeqIO tasks and mixtures, ours or not.

    Registering the same again does nothing. Rates are counted when they are first needed.

    Args:
      name: name of the mixture.
      members: names of SeqIO tasks and mixtures.
      cap: without weights, a task's rate is its number of training examples in the source
        (templates do not count), at most this; None means no cap. A mixture inside has the sum of
        its tasks' rates.
      weights: a rate for each member instead.

    Returns:
      The mixture.

    Raises:
      MixtureError: if there is no member, a member is unknown or named twice, a rate is not a
        positive number, or the name is taken.
    """
    settings = (tuple(members), cap, None if weights is None else tuple(sorted(weights.items())))
    if name in seqio.MixtureRegistry.names():
        existing = seqio.MixtureRegistry.get(name)
        if getattr(existing, "settings", None) == settings:
            return existing
    _check_members(name, members, cap, weights)
    if weights is None:
        rates = [functools.partial(_rate, mixture=name, cap=cap) for _ in members]
    else:
        rates = [_checked(float(weights[member]), name, member) for member in members]
    tasks = list(zip(members, rates, strict=True))
    return seqio.MixtureRegistry.add(name, tasks, mixture_cls=LazyMixture, settings=settings)


def mixture_rates(name: str) -> dict[str, float]:
    """Evaluates the rates of a mixture, of ours or of any SeqIO mixture.

    Args:
      name: name of a SeqIO mixture, or of a task, which is then all of it.

    Returns:
      A rate for each task, mixtures inside resolved, in order of name.

    Raises:
      MixtureError: if the name is unknown, or a rate is not a positive number.
    """
    if name in seqio.TaskRegistry.names() and name not in seqio.MixtureRegistry.names():
        return {name: 1.0}
    if name not in seqio.MixtureRegistry.names():
        known = [*seqio.MixtureRegistry.names(), *seqio.TaskRegistry.names()]
        raise MixtureError(
            f"no SeqIO mixture or task is named {name!r}{suggest(name, known)} Register it first"
        )
    mixture = seqio.MixtureRegistry.get(name)
    rates = {}
    for member in mixture.tasks:
        try:
            rate = float(mixture.get_rate(member))
        except ZeroDivisionError:
            rate = 0.0
        rates[member.name] = _checked(rate, name, member.name)
    return rates


def _check_members(
    name: str, members: Sequence[str], cap: int | None, weights: Mapping[str, float] | None
) -> None:
    known = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if name in known:
        raise MixtureError(
            f"mixture {name!r}: the name is taken by a task or a mixture with other settings; "
            "choose another"
        )
    if not members:
        raise MixtureError(f"mixture {name!r} has no members; name at least one task or mixture")
    for member in members:
        if member not in known:
            raise MixtureError(
                f"mixture {name!r}: member {member!r} is not registered{suggest(member, known)}"
            )
        if list(members).count(member) > 1:
            raise MixtureError(
                f"mixture {name!r}: member {member!r} is named twice; give it a weight instead"
            )
    if cap is not None and not cap > 0:
        raise MixtureError(f"mixture {name!r}: cap is {cap}; give a positive number or None")
    if weights is not None and set(weights) != set(members):
        wrong = sorted(set(weights) ^ set(members))
        raise MixtureError(
            f"mixture {name!r}: weights and members differ in {', '.join(map(repr, wrong))}; give "
            "each member one weight"
        )


def _rate(provider: seqio.Task | seqio.Mixture, *, mixture: str, cap: int | None) -> float:
    """Counts the training examples of a task, or of the tasks of a mixture, up to the cap each."""
    if isinstance(provider, seqio.Mixture):
        return sum(_rate(member, mixture=mixture, cap=cap) for member in provider.tasks)
    count = provider.num_input_examples(TRAIN) if TRAIN in provider.splits else 0
    if count is None:
        raise MixtureError(
            f"mixture {mixture!r}: the source of member {provider.name!r} does not say how many "
            "examples it has; give its num_input_examples to SeqIO, or give weights"
        )
    return _checked(float(count if cap is None else min(count, cap)), mixture, provider.name)


def _checked(rate: float, mixture: str, member: str) -> float:
    if not (math.isfinite(rate) and rate > 0):
        raise MixtureError(
            f"mixture {mixture!r}: the rate of member {member!r} is {rate}; a rate must be a "
            "positive number (a task needs training examples). Leave the member out, or give it a "
            "weight"
        )
    return rate
