"""Measures the leak scan: training examples per CPU second, reading them from files included.

    taskset -c 0 python benchmarks/leaks.py [--out results.jsonl]

Writes one JSON object a line. Rows of random words, whose frequencies follow Zipf's law, are
written to a temporary folder; one training row in a thousand holds the text of an evaluation row,
and the scan must find each of these. Runs without TensorFlow in about ten seconds.
"""

import json
import platform
import tempfile
import time
from pathlib import Path

import lines
import numpy as np

from flan_jax.data.declarations import task
from flan_jax.data.leak_scan import scan
from flan_jax.data.leak_texts import Split
from flan_jax.data.sources import jsonl
from flan_jax.data.templates import Template

SCORED = 5_000
EVERY = 1_000  # one training row in so many holds an evaluation row's text
# Words of the two texts of an example: those of a sentence pair, and of a passage and a question.
CASES = {"sentence pairs": (25, 12, 40_000), "passages": (200, 12, 10_000)}


def declare(name: str, folder: Path):
    """Declares a task that reads rows of two texts."""

    @task(
        name,
        cluster="benchmark",
        source=jsonl(f"{folder}/{name}", ("train",)),
        templates=(Template("{first}\n{second}"),),
        example={"first": "a", "second": "b"},
    )
    def pairs(row):
        return {"first": row["first"], "second": row["second"], "answer": "yes"}

    return pairs


def write(folder: Path, name: str, rows: list[tuple[str, str]]) -> None:
    """Writes rows as JSON lines."""
    (folder / name).mkdir()
    lines = (json.dumps({"first": first, "second": second}) for first, second in rows)
    (folder / name / "train.jsonl").write_text("\n".join(lines))


def measure(name: str, folder: Path, lengths: tuple[int, int], count: int) -> dict:
    """Scans `count` training rows and returns what was found, and how fast."""
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"word{number}" for number in range(50_000)])

    def text(mean):
        size = max(int(rng.normal(mean, mean / 4)), 5)
        return " ".join(vocabulary[np.minimum(rng.zipf(1.3, size), len(vocabulary)) - 1])

    scored, trained = (
        [(text(lengths[0]), text(lengths[1])) for _ in range(size)] for size in (SCORED, count)
    )
    trained[::EVERY] = scored[: len(trained[::EVERY])]
    splits = []
    for role, rows in (("scored", scored), ("trained", trained)):
        write(folder, role, rows)
        splits.append([Split(declare(role, folder), "train")])
    start = time.process_time()
    scan(splits[0], [])
    indexed = time.process_time()
    found = scan(*splits)
    seconds = time.process_time() - indexed - (indexed - start)
    assert not found.unread, found.unread
    whole = sum(hit.covered > 0.9 for pair in found.pairs for hit in pair.hits)
    return {
        "case": name,
        "scored_examples": len(scored),
        "trained_examples": len(trained),
        "leaks": len(trained[::EVERY]),
        "found_whole": whole,
        "examples_per_cpu_second": round(len(trained) / seconds),
        "words_per_cpu_second": round(len(trained) * sum(lengths) / seconds),
        "scored_examples_per_cpu_second": round(len(scored) / (indexed - start)),
        "machine": platform.processor() or platform.machine(),
    }


def main() -> None:
    """Runs all cases."""
    parser = lines.parser(__doc__)
    arguments = parser.parse_args()
    for name, (first, second, count) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            facts = measure(name, Path(folder), (first, second), count)
        lines.write(facts, arguments.out)


if __name__ == "__main__":
    main()
