"""Plans a training run before it is paid for: does it fit, on which mesh, how fast at best.

    python scripts/plan.py --model t5_1_1_xxl --topology v5p:4x4x4
    python scripts/plan.py --model t5_1_1_xxl --topology v5p:4x4x4 --mesh data=4,fsdp=16
    python scripts/plan.py --model llama3_8b --topology v6e:16x16 --slices 2 --batch_size 2048
    python scripts/plan.py --model llama3_8b --topology h100:64
    python scripts/plan.py --model t5_1_1_xxl --topology v5e:16x16 --search --minutes 60 \\
        --results plans.jsonl
    python scripts/plan.py --page docs/plans.md --results docs/plans.jsonl --minutes 0

For a TPU the real train step (with --decode the decode step) is compiled for the topology, which
takes a machine with libtpu (pip install 'flan_jax[tpu]') and no TPU: the best mesh by analysis, or
with --search one after the other. GPUs are planned by analysis alone.

Hardware: CPU, 4 GiB of memory. Time: seconds by analysis; 2 to 5 CPU minutes a compiled mesh.
"""

import argparse
import sys
from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = result.add_argument
    add("--model", help="a file of gin/models, e.g. t5_1_1_xxl")
    add("--topology", help="v4:4x4x4, v5e:16x16, v5p:4x4x4, v6e:16x16, h100:64 ...")
    add("--slices", type=int, default=1, help="TPU slices of that topology (default 1)")
    add("--mesh", help="e.g. data=4,fsdp=16 (default: the best by analysis)")
    add("--remat", choices=("none", "dots", "full"), help="default: the best by analysis")
    add("--batch_size", type=int, help="rows of a global batch (default: 4 a device)")
    add("--inputs_length", type=int, default=1024, help="tokens (default 1024)")
    add("--targets_length", type=int, default=256, help="tokens (default 256)")
    add("--gradient_accumulation", type=int, default=1, help="microbatches a step (default 1)")
    add("--optimizer", default="adafactor", help="OptimizerConfig.name (default adafactor)")
    add("--decode", action="store_true", help="plan a decode step instead of a train step")
    add("--search", action="store_true", help="compile one mesh after the other")
    add("--minutes", type=float, default=60.0, help="time for compiling (default 60)")
    add("--results", metavar="FILE", help="keeps compiled plans, and resumes from them")
    add("--rows", type=int, default=12, help="plans to print or to search (default 12)")
    add("--json", metavar="FILE", help="write the plans as JSON too")
    add("--hlo", metavar="FILE", help="write the compiled program of the last mesh")
    add("--page", metavar="FILE", help="write docs/plans.md; compiles what --results lacks")
    return result


def main(argv: Sequence[str]) -> int:
    arguments, rest = parser().parse_known_args(argv)
    from flan_jax import configuration
    from flan_jax.parallel.planning import command

    def configure(model: str, bindings: Sequence[str]) -> tuple:
        name = model.removeprefix("models/").removesuffix(".gin")
        roots = ["ModelConfig", "OptimizerConfig", "LossConfig"]
        trees, _ = configuration.build(roots, [f"models/{name}.gin"], bindings)
        return tuple(trees)

    return command.run(arguments, rest, configure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
