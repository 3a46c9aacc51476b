"""How far an evaluation is, on a terminal."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import rich.console
import rich.progress


@contextlib.contextmanager
def progress_bar(total: int, shown: bool) -> Iterator[Callable[[str, int], None]]:
    """Shows a progress bar while the block runs.

    Args:
      total: examples to score.
      shown: whether to show it at all; it is shown on terminals alone.

    Yields:
      A function of the name of a task and the number of its examples just scored.
    """
    console = rich.console.Console(stderr=True)
    if not (shown and console.is_terminal):
        yield lambda name, count: None
        return
    columns: Iterable[rich.progress.ProgressColumn] = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("evaluating", total=total)
        yield lambda name, count: bar.update(task, description=f"scoring {name}", advance=count)
