"""What benchmarks share that write JSON lines: `--out`, and the writing. Needs Python alone."""

import argparse
import json
from typing import Any


def parser(documentation: str) -> argparse.ArgumentParser:
    """Returns a parser with `--out`, described by the first line of a benchmark's docstring."""
    made = argparse.ArgumentParser(description=documentation.splitlines()[0])
    made.add_argument("--out", help="file to append the lines to, beside printing them")
    return made


def write(facts: dict[str, Any], out: str | None = None) -> None:
    """Prints facts as a JSON object on a line, and appends the line to the file `out` if given."""
    line = json.dumps(facts)
    print(line, flush=True)
    if out:
        with open(out, "a") as file:
            file.write(line + "\n")
