"""Shows rendered examples of tasks with tokens and loss mask, or writes a catalogue of them.

    python scripts/browse.py rte --data_dir /data/flan
    python scripts/browse.py flan2021_without_nli --data_dir /data/flan --form zero_shot | less
    python scripts/browse.py rte:five_shot_letters --data_dir /data/flan --seed 1 --tokens
    python scripts/browse.py flan2021 --data_dir /data/flan --html catalogue.html

NAME is a mixture, a task, a cluster or a whole collection. Nothing is downloaded. Hardware: CPU.
Time: ten seconds of imports, then a second a task; a catalogue of 75 tasks takes less than a
minute. FORCE_COLOR=1 keeps the colours for `less -R`.
"""

import argparse
import sys
from collections.abc import Sequence

from flan_jax import configuration

# Lengths of caches, for what is cut off and left out.
LENGTHS = "runs/cache.gin"


def main(argv: Sequence[str]) -> None:
    arguments, rest = parser().parse_known_args(argv)
    files = [part for file in arguments.gin_file or [LENGTHS] for part in ("--gin_file", file)]
    (lengths,), _ = configuration.from_command_line(["CacheConfig"], __doc__, files + rest)
    try:
        collection = register(arguments)
        if arguments.html:
            from flan_jax.data import catalogue

            print(catalogue.write(arguments.name, collection, lengths, arguments.html))
            return
        from flan_jax.data import browse, browse_terminal

        every = arguments.template == "all"
        choice = browse.Choice(
            lengths=lengths,
            forms=tuple(arguments.form),
            template=None if every or arguments.template is None else int(arguments.template),
            all_templates=every,
            example=arguments.example,
            seed=arguments.seed,
            split=arguments.split,
            tokens=arguments.tokens,
            count=arguments.count,
        )
        browse_terminal.browse(arguments.name, collection, choice, browse_terminal.make_console())
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"browse.py: {error}")


def register(arguments: argparse.Namespace) -> str:
    """Registers the collection that holds the name, and returns the collection's name."""
    from flan_jax.data import task_modules, vocabularies

    module, name = arguments.tasks_module or "tasks", arguments.name
    vocabulary = vocabularies.load(arguments.vocabulary) if arguments.vocabulary else None
    known = getattr(task_modules.load(module), "COLLECTIONS", (module.rpartition(".")[2],))
    likely = sorted(known, key=lambda one: not name.startswith(one))
    reasons = []
    for one in [arguments.collection] if arguments.collection else likely:
        try:
            task_modules.register(module, one, arguments.data_dir, vocabulary)
            from flan_jax.data import browse  # imports SeqIO, as registering did without its noise

            quieten()
            browse.members(name, one)
            return one
        except (ValueError, FileNotFoundError) as error:
            reasons.append(str(error))
    raise ValueError("\n".join(reasons))


def quieten() -> None:
    """TFDS warns of each data set that is not prepared, which is said more briefly here."""
    import absl.logging

    absl.logging.set_verbosity(absl.logging.ERROR)


def parser() -> argparse.ArgumentParser:
    made = configuration.argument_parser(__doc__)
    add = made.add_argument
    add("name", metavar="NAME", help="a mixture, a task, a cluster or a collection")
    add("--collection", help="where to look for NAME (default: in all of the module's)")
    add("--vocabulary", metavar="FILE", help="vocabulary to use (default: the collection's)")
    add("--form", action="append", default=[], help="a form, e.g. few_shot; may be repeated")
    add("--template", metavar="N", help="index of a template, or all (default: the first)")
    add("--example", type=int, metavar="N", help="index of a row (default: the first)")
    add("--seed", type=int, metavar="N", help="show a random row and template")
    add("--split", help="default: train")
    add("--tokens", action="store_true", help="show the piece of each token, and its weight")
    add("--count", type=int, default=1, metavar="N", help="rows a task (default: 1)")
    add("--html", metavar="FILE", help="write a page of all these tasks instead")
    return made


if __name__ == "__main__":
    main(sys.argv[1:])
