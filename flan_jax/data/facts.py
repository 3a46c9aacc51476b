"""Facts that a verdict needs beside the right answers, kept as the last reference of an example.

Caches, SeqIO and files of predictions know references only, which are texts: facts are one more
text, a JSON object. `with_facts(["yes"], question="q1")` is `["yes", '{"question": "q1"}']`, and
`facts_of` reads it back. Metrics that need none see one more reference that nobody answers.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any


def with_facts(answers: Iterable[str], **facts: Any) -> list[str]:
    """Puts facts behind right answers.

    Args:
      answers: at least one, the first being the training target.
      **facts: whatever JSON can hold, by name.

    Returns:
      What a row function gives as `answer`.
    """
    return [*answers, json.dumps(facts, ensure_ascii=False)]


def identity(*texts: str) -> str:
    """A short name for texts: the same for the same texts, in this order, and for no others."""
    joined = json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:16]


def facts_of(references: Sequence[str], needed: Iterable[str]) -> dict[str, Any]:
    """Reads the facts of an example.

    Args:
      references: those of the example.
      needed: names that must be among the facts.

    Raises:
      ValueError: the last reference is no JSON object, or lacks one of the names.
    """
    try:
        facts = json.loads(references[-1]) if references else None
    except ValueError:
        facts = None
    missing = [name for name in needed if not isinstance(facts, dict) or name not in facts]
    if missing:
        raise ValueError(
            f"expected a JSON object with {', '.join(missing)} as the last reference, got "
            f"{list(references)}; give 'answer' by flan_jax.data.facts.with_facts, and build older "
            "caches again"
        )
    return facts
