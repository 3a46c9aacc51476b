"""Measures the ledger: examples that it counts per CPU second, and what a plan costs.

    taskset -c 0 python benchmarks/ledger.py [--out results.jsonl]

Writes one JSON object a line, for the caches of benchmarks/feed.py. Runs without TensorFlow in
about twenty seconds.
"""

import tempfile
import time
from pathlib import Path

import lines
from feed import cases

from flan_jax.data import ledger
from flan_jax.data.feed import FeedState

EXAMPLES = 2**22
PLANNED_STEPS = 10_000


def measure(name, mixture, config) -> dict:
    """Counts `EXAMPLES` examples, and plans a run."""
    state = FeedState(EXAMPLES // config.window, 1)
    ledger.count(mixture, config, 0, state, 1)  # the first read checks the files
    start = time.process_time()
    seen = ledger.count(mixture, config, 0, state, 1)
    counted = time.process_time()
    ledger.plan(mixture, config, 0, PLANNED_STEPS)
    return {
        "case": name,
        "members": len(mixture.members),
        "examples": seen.total.examples,
        "exact": seen.exact,
        "examples_per_cpu_second": round(seen.total.examples / (counted - start)),
        f"plan_of_{PLANNED_STEPS}_steps_cpu_seconds": round(time.process_time() - counted, 2),
    }


def main() -> None:
    """Runs all cases."""
    parser = lines.parser(__doc__)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, mixture, config, _ in cases(Path(folder), seed=0):
            lines.write(measure(name, mixture, config), arguments.out)


if __name__ == "__main__":
    main()
