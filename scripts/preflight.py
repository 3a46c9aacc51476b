"""Says of each data set of a mixture whether it can be had, before anything is built.

    python scripts/preflight.py --mixture flan2021 --data_dir /data/flan

State, size, licence, and for what is missing why and what to do. Ends with 1 if something is.
`--json FILE` writes the same for programs; `--offline` asks no network.

Hardware: CPU. Time: about 20 seconds, most of it importing TensorFlow.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--mixture", required=True, help="a mixture, a task (rte:zero_shot) or a collection"
    )
    parser.add_argument("--collection", help="default: what the mixture's name begins with")
    parser.add_argument("--data_dir", metavar="FOLDER", help="folder of the data sets")
    parser.add_argument(
        "--tasks_module", default="tasks", help="Python module that holds the collection"
    )
    parser.add_argument("--vocabulary", metavar="FILE", help="where the module chooses none")
    parser.add_argument("--json", metavar="FILE", help="write the findings as JSON too")
    parser.add_argument("--offline", action="store_true", help="ask no network")
    arguments = parser.parse_args(argv)

    import rich.console

    from flan_jax.data import task_modules, vocabularies

    module = arguments.tasks_module
    collection = arguments.collection or task_modules.collection_of(module, arguments.mixture)
    vocabulary = vocabularies.load(arguments.vocabulary) if arguments.vocabulary else None
    task_modules.register(module, collection, arguments.data_dir, vocabulary)
    from flan_jax.data import preflight

    names = preflight.task_names(arguments.mixture)
    checks = preflight.check(names, arguments.data_dir, online=not arguments.offline)
    # In a file or a pipe, lines need not fit a terminal.
    console = rich.console.Console(width=None if sys.stdout.isatty() else 160)
    console.print(preflight.table(checks))
    console.print(preflight.summary(checks))
    if arguments.json:
        found = [dataclasses.asdict(one) | {"ready": one.ready} for one in checks]
        Path(arguments.json).write_text(json.dumps(found, indent=1))
    return 0 if all(one.ready for one in checks) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
