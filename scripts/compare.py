"""Compares two evaluations on the same prompts: differences with intervals and tests, examples.

    python scripts/compare.py runs/flan/evaluation runs/base/evaluation --output_dir runs/compared
    python scripts/compare.py runs/quickstart/seed2/tuned/results-zero_shot.json \\
        runs/quickstart/seed2/pretrained/results-zero_shot.json --output_dir runs/compared

Each side is the output_dir of scripts/evaluate.py, a run's folder in that of scripts/experiment.py,
or a results file in either. report.html has both side by side, and a browser of the examples that
only one has right. Prompts must be the same, unless `--allow_different_prompts` says that other
prompts are what is compared.

Hardware: CPU. Time: seconds; half a minute for 40,000 scored examples.
"""

import argparse
import sys
from collections.abc import Sequence


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", help="evaluation A")
    parser.add_argument("second", help="evaluation B; differences are A less B")
    parser.add_argument("--output_dir", required=True, help="where report.{html,json} go")
    parser.add_argument(
        "--upper_bound", default="", help="evaluation of a model that was trained on the held-out"
    )
    parser.add_argument("--allow_different_prompts", action="store_true")
    arguments = parser.parse_args(argv)
    from flan_jax.evaluation import side_by_side
    from flan_jax.evaluation.journal import JournalError

    try:
        side_by_side.compare(**vars(arguments))
    except (side_by_side.ComparisonError, JournalError) as error:
        sys.exit(f"compare.py: {error}")
    print(f"the report is in {arguments.output_dir}/report.html")


if __name__ == "__main__":
    main(sys.argv[1:])
