"""Small caches and mixtures, written directly, for the tests of what reads them."""

import json
from pathlib import Path

import numpy as np

from flan_jax.data import store

VOCABULARY = {"digest": "d" * 64, "size": 200, "sentinels": 20, "path": None}


def write_cache(
    folder: Path,
    examples: list[list[dict]],
    *,
    lengths=(16, 8),
    objective=None,
    weights=False,
    vocabulary=VOCABULARY,
    **writer_arguments,
) -> dict:
    """Writes a cache; each example is a list of renderings {"inputs", "targets", ...}."""
    folder.mkdir(parents=True)
    columns = store.schema(vocabulary["size"], weights=weights)
    writer = store.CacheWriter(str(folder), columns, **writer_arguments)
    tokens, longest = {"inputs": 0, "targets": 0}, {"inputs": 0, "targets": 0}
    for number, renderings in enumerate(examples):
        rows = [{"example": number, "template": t} | row for t, row in enumerate(renderings)]
        for side in tokens:
            tokens[side] += sum(len(row[side]) for row in rows)
            longest[side] = max(longest[side], *(len(row[side]) for row in rows))
        writer.add(rows)
    facts = {
        "cache": folder.name,
        "tokens": tokens,
        "longest": longest,
        "objective": objective,
        "vocabulary": vocabulary,
        "lengths": list(lengths),
    }
    return store.write_manifest(str(folder), writer.close(), facts)


def random_examples(seed: int, count: int, lengths=(16, 8), renderings=1) -> list[list[dict]]:
    """Examples of random tokens; their first input tokens say which they are."""
    rng = np.random.default_rng(seed)

    def rendering(example, template):
        inputs = rng.integers(20, 150, rng.integers(3, lengths[0] - 1)).tolist()
        targets = rng.integers(20, 150, rng.integers(1, lengths[1])).tolist()
        label = [3 + example // 100, 3 + example % 100, 3 + template]
        inputs = (label + inputs)[: lengths[0] - 1]
        return {"inputs": inputs + [1], "targets": targets + [1]}

    return [[rendering(e, t) for t in range(renderings)] for e in range(count)]


def random_documents(seed: int, count: int, chunk: int, weights=False) -> list[list[dict]]:
    """Chunks of random tokens, without end-of-sequence token."""
    rng = np.random.default_rng(seed)
    chunks = []
    for _ in range(count):
        tokens = rng.integers(20, 150, rng.integers(2, chunk + 1)).tolist()
        row = {"inputs": [], "targets": tokens}
        if weights:
            row["weights"] = [round(token / 200, 3) for token in tokens]
        chunks.append([row])
    return chunks


def write_mixture(path: Path, members: dict[str, float], name="mixture") -> str:
    """Writes the file of a mixture of caches beside it, and returns its path."""
    entries = [{"task": task, "cache": task, "rate": rate} for task, rate in members.items()]
    path.write_text(json.dumps({"name": name, "members": entries}))
    return str(path)
