"""The page `docs/plans.md`: the shipped large models on each generation of TPU.

What the results file has is shown; what it lacks is compiled while there is time, and named where
there is none. No figure on the page is written by hand.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence

from flan_jax.data.feed import FeedConfig
from flan_jax.parallel.mesh import describe
from flan_jax.parallel.planning import plan, search, tables
from flan_jax.parallel.planning.compilation import Job
from flan_jax.parallel.planning.plan import Plan

_MODELS = {
    "t5_1_1_xl": "T5 1.1 XL (2.8B)",
    "t5_1_1_xxl": "T5 1.1 XXL (11.1B)",
    "llama3_8b": "A decoder of 8B (the shape of Llama 3 8B)",
    "lamda_pt_137b": "A decoder of 137B (the shape of LaMDA-PT)",
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One plan of the page.

    Attributes:
      model: a file of gin/models.
      topology: of one slice.
      mesh: (data, fsdp, tensor, sequence).
      rows: of a global batch.
      remat: rematerialisation policy.
      num_slices: slices.
      program: "train" or "decode".
    """

    model: str
    topology: str
    mesh: tuple[int, int, int, int]
    rows: int
    remat: str = "full"
    num_slices: int = 1
    program: str = "train"


# In the order in which they are compiled while there is time.
ENTRIES = (
    Entry("t5_1_1_xxl", "v5p:4x4x4", (4, 16, 1, 1), 256),
    Entry("t5_1_1_xxl", "v5e:16x16", (16, 16, 1, 1), 1024),
    Entry("llama3_8b", "v6e:16x16", (32, 16, 1, 1), 2048, num_slices=2),
    Entry("t5_1_1_xxl", "v5p:4x4x4", (4, 16, 1, 1), 256, "dots"),
    Entry("llama3_8b", "v5p:4x4x4", (4, 16, 1, 1), 256),
    Entry("t5_1_1_xxl", "v5p:4x4x4", (4, 16, 1, 1), 256, program="decode"),
    Entry("t5_1_1_xxl", "v5p:4x4x4", (1, 16, 4, 1), 256),
    Entry("t5_1_1_xxl", "v5e:16x16", (1, 64, 4, 1), 1024),
    Entry("t5_1_1_xxl", "v6e:16x16", (16, 16, 1, 1), 1024),
    Entry("t5_1_1_xxl", "v4:4x4x4", (4, 16, 1, 1), 256),
    Entry("lamda_pt_137b", "v5p:8x8x8", (4, 64, 2, 1), 2048),
    Entry("t5_1_1_xl", "v5p:4x4x4", (16, 4, 1, 1), 256),
    Entry("t5_1_1_xl", "v5e:16x16", (16, 16, 1, 1), 1024),
    Entry("t5_1_1_xl", "v4:4x4x4", (4, 16, 1, 1), 256),
    Entry("t5_1_1_xl", "v6e:16x16", (16, 16, 1, 1), 1024),
    Entry("llama3_8b", "v4:4x4x4", (4, 16, 1, 1), 256),
    Entry("llama3_8b", "v5e:16x16", (16, 16, 1, 1), 1024),
    Entry("llama3_8b", "v6e:16x16", (16, 16, 1, 1), 1024),
    Entry("lamda_pt_137b", "v4:8x8x8", (4, 64, 2, 1), 1024),
    Entry("lamda_pt_137b", "v6e:16x16", (1, 64, 4, 1), 256),
    Entry("lamda_pt_137b", "v5e:16x16", (1, 64, 4, 1), 256),
)


_HEAD = """# Plans: large models on TPUs

Made by `scripts/plan.py --page`; every figure is of a program that was compiled ahead of time for
the chips named, on a machine without them. Nothing was run on a TPU.

Rows hold 1,024 input and 256 target tokens (decoders: 1,280 tokens), the optimiser is Adafactor,
parameters are float32 and products bfloat16. The train step is the one that `scripts/train.py`
runs.

- *rows*: of a global batch.
- *GiB of*: the compiler's `memory_analysis()` for one chip (arguments, outputs that are not in
  place, temporaries, program), and what the chip has.
- *compute s*: matrix products of the traced step, recomputation included, at peak.
- *HBM s*: what the compiled instructions read and write, at peak bandwidth.
- *links s*: the busiest direction of the torus, or the network between slices, when every
  collective uses all links that its group can use.
- *MFU bound*: useful arithmetic at peak over the longest of the three. Latency, imperfect overlap
  and everything that is no matrix product come on top: a real run stays below it.
- *collectives GB*: bytes a step and chip by kind, loops multiplied. Permutes are all-gathers and
  reduce-scatters that the compiler has cut up to overlap them with products; *slices* is what
  hosts exchange with other slices.
- *CPU s*: how long compiling took.

None of the train steps below reduces whole weights over the mesh in its forward pass, unless a
table says so.
"""


def write(
    results: search.Results,
    minutes: float,
    say: Callable[[str], None],
    configure: Callable[[str, Sequence[str]], tuple],
) -> str:
    """Returns the page; compiles what the results lack while there is time.

    Args:
      results: plans that are known; new ones are added.
      minutes: wall time for compiling.
      say: prints a line.
      configure: function of a file of gin/models and bindings to (model, optimiser, loss).
    """
    plans, missing = _compile(results, minutes, say, configure)
    parts = [_HEAD]
    for model, title in _MODELS.items():
        for program in ("train", "decode"):
            asked = (model, program)
            found = [
                (entry.rows, done) for entry, done in plans if (entry.model, entry.program) == asked
            ]
            if found:
                parts.append(f"## {title}: {program} step\n\n{_section(found)}\n")
    if missing:
        lines = [f"- {_name(entry)}" for entry in missing]
        parts.append("## Not compiled yet\n\n" + "\n".join(lines) + "\n")
    parts.append(f"## The chips\n\n{tables.chip_table()}\n")
    return "\n".join(parts)


def job_of(entry: Entry, configure: Callable[[str, Sequence[str]], tuple]) -> Job:
    """Returns the job of one entry."""
    model, optimizer, loss = configure(entry.model, [])
    feed = FeedConfig(1024, 256, entry.rows, architecture=model.architecture)
    return search.with_remat(Job(model, feed, optimizer, loss), entry.remat)


def _compile(
    results: search.Results,
    minutes: float,
    say: Callable[[str], None],
    configure: Callable[[str, Sequence[str]], tuple],
) -> tuple[list[tuple[Entry, Plan]], list[Entry]]:
    """The plans that there are, and the entries that there was no time for."""
    end = time.monotonic() + 60 * minutes
    plans, missing = [], []
    for entry in ENTRIES:
        job = job_of(entry, configure)
        sketch = plan.analyse(job, entry.topology, entry.mesh, entry.num_slices)
        left = (end - time.monotonic()) / 60
        done = search.compile_all([(job, sketch)], results, left, say, entry.model, entry.program)
        if done:
            plans.append((entry, done[0]))
        else:
            missing.append(entry)
    return plans, missing


def _section(found: Sequence[tuple[int, Plan]]) -> str:
    ordered = sorted(found, key=lambda pair: (pair[1].topology, pair[1].rank))
    text = tables.markdown(ordered)
    for _, one in ordered:
        if one.forward_weight_all_reduces:
            text += (
                f"\n\n{one.topology}, {describe(one.mesh)}: "
                f"{one.forward_weight_all_reduces} all-reduces of weights outside of gradients a "
                "step."
            )
    return text


def _name(entry: Entry) -> str:
    slices = f"{entry.num_slices} x " if entry.num_slices > 1 else ""
    return (
        f"{entry.model}, {entry.program} step, {slices}{entry.topology}, "
        f"{describe(entry.mesh)}, {entry.rows} rows, remat={entry.remat}"
    )
