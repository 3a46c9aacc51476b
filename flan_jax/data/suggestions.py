"""What error messages suggest where a name is unknown."""

import difflib
from collections.abc import Iterable


def suggest(name: str, known: Iterable[str]) -> str:
    """Ends a clause of an error message: `; did you mean 'rte'?` or, with no near name, `.`."""
    near = difflib.get_close_matches(name, list(known), n=3)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
