"""Measures cache building: short templated examples per CPU second, by number of workers.

    python benchmarks/cache.py t5_spiece.model [--workers 1 2] [--rows 10000] [--out results.jsonl]

Writes one JSON object a line. A made-up task of classification, rows of two sentences and a label
in a JSON lines file, is rendered under ten templates with its options, tokenised with the given
SentencePiece model and written. An example is a row under one template. The time counts everything
from the file to a complete cache, with what the workers need to start; not the start of SeqIO and
TensorFlow in the main process, nor 0.8 CPU seconds in which pyarrow loads pandas, if it is there.
"""

import json
import os
import platform
import random
import resource
import tempfile
import time
from importlib import metadata
from pathlib import Path

import lines
import pyarrow as pa

from flan_jax.data import cache, store
from flan_jax.data.declarations import choose, task
from flan_jax.data.registry import register_collection
from flan_jax.data.sources import jsonl
from flan_jax.data.templates import Template
from flan_jax.data.vocabulary import Vocabulary

OPTIONS = ("yes", "it is not possible to tell", "no")
TEMPLATES = tuple(
    Template(text)
    for text in (
        "{premise}\nDoes this mean that {hypothesis}?",
        "Premise: {premise}\nHypothesis: {hypothesis}\nDoes the premise entail the hypothesis?",
        "{premise}\nBased on the sentence above, is it true that {hypothesis}?\n{options}",
        "Read this: {premise}\nCan we conclude that {hypothesis}?",
        'Is "{hypothesis}" true, given that "{premise}"?\n{options}\nAnswer:',
        "Suppose {premise}\nShould we assume that {hypothesis}?",
        "{hypothesis}\nIs this so if we know that {premise}?",
        "Here is a fact: {premise}\nFrom it, does it follow that {hypothesis}?\n{options}",
        "Sentence 1: {premise}\nSentence 2: {hypothesis}\nDoes sentence 2 follow from sentence 1?",
        "What can be said of {hypothesis}, when {premise}?",
    )
)
WORDS = (
    "the a this that some every no old young small large red green blue quiet early late man woman "
    "child dog horse river street house garden market teacher doctor farmer window table letter "
    "story walks runs sleeps reads writes opens closes carries brings finds loses sells buys sees "
    "and or but because while near behind under over with without before after in on at from to "
    "yesterday today tomorrow slowly quickly together alone again never always"
).split()


def write_rows(file: Path, count: int) -> None:
    """Writes rows of a premise of some 14 words, a hypothesis of some 6, and a label."""
    rng = random.Random(0)

    def sentence(least, most):
        return " ".join(rng.choices(WORDS, k=rng.randint(least, most)))

    with file.open("w") as out:
        for _ in range(count):
            row = {"premise": sentence(8, 20), "hypothesis": sentence(3, 9)}
            out.write(json.dumps(row | {"label": rng.randrange(3)}) + "\n")


def declare(folder: Path):
    """Declares the task."""

    @task(
        "benchmark",
        cluster="benchmark",
        source=jsonl(str(folder), ("train",)),
        templates=TEMPLATES,
        example={"premise": "It rains.", "hypothesis": "it is wet", "label": 0},
    )
    def benchmark(row):
        return {
            "premise": row["premise"],
            "hypothesis": row["hypothesis"],
            "options": list(OPTIONS),
            "answer": choose(OPTIONS, row["label"]),
        }

    return benchmark


def cpu_seconds() -> tuple[float, float]:
    """CPU seconds of this process, and of the children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return tuple(one.ru_utime + one.ru_stime for one in used)


def measure(vocabulary: Vocabulary, folder: Path, workers: int) -> tuple[dict, dict]:
    """Builds the cache; returns what was seen, and the manifest, which has checksums of all."""
    config = cache.CacheConfig(inputs_length=512, targets_length=128)
    before, start = cpu_seconds(), time.perf_counter()
    path = cache.build(
        "benchmark:zero_shot",
        "train",
        vocabulary,
        config,
        str(folder),
        workers=workers,
        progress=False,
    )
    main, children = (now - then for now, then in zip(cpu_seconds(), before, strict=True))
    cpu, wall = main + children, time.perf_counter() - start
    manifest = store.read_manifest(path)
    rows = manifest["rows"]
    line = {
        "case": "cache",
        "workers": workers,
        "examples": rows,
        "examples_per_cpu_second": round(rows / cpu),
        "examples_per_second": round(rows / wall),
        "cpu_seconds": round(cpu, 2),
        "cpu_seconds_of_main_process": round(main, 2),
        "wall_seconds": round(wall, 2),
        "tokens_per_example": round(sum(manifest["tokens"].values()) / rows, 1),
    }
    return line, manifest


def main() -> None:
    """Builds the cache with each number of workers."""
    parser = lines.parser(__doc__)
    parser.add_argument("model", help="SentencePiece model, such as T5's")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", type=int, default=10_000, help="rows of the file")
    arguments = parser.parse_args()
    versions = {name: metadata.version(name) for name in ("sentencepiece", "pyarrow", "numpy")}
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_rows(folder / "train.jsonl", arguments.rows)
        vocabulary = Vocabulary(arguments.model)
        register_collection("benchmark", [declare(folder)], vocabulary=vocabulary)
        pa.array(["text"])
        manifests = []
        for number, workers in enumerate(arguments.workers):
            seen, manifest = measure(vocabulary, folder / f"caches-{number}", workers)
            manifests.append(manifest)
            seen["same_bytes"] = manifest == manifests[0]
            lines.write(seen | versions | machine, arguments.out)


if __name__ == "__main__":
    main()
