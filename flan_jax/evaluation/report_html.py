"""Pieces of HTML that the sections of a report share. Whatever is data is escaped here."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from flan_jax.evaluation.comparison import percent
from flan_jax.evaluation.results import ROLES, ClusterSummary, Score, Summary


def by_role(summary: Summary) -> list[tuple[str, list[ClusterSummary]]]:
    """The clusters of each role that has some, in the order of roles."""
    groups = [
        (role, [cluster for cluster in summary.clusters.values() if cluster.role == role])
        for role in ROLES
    ]
    return [(role, members) for role, members in groups if members]


def subject(summaries: Mapping[str, Summary]) -> Summary:
    """The system that the report is about: the first."""
    return next(iter(summaries.values()))


def breakable(name: str) -> str:
    """A name that may be broken after its underscores."""
    return escape(name).replace("_", "_<wbr>")


def with_interval(score: Score) -> str:
    """A score in points with its interval, as text."""
    low, high = score.interval
    return f"{percent(score.value)} ({percent(low)} to {percent(high)})"


def score_cell(score: Score | None) -> str:
    """A score in points with its interval below, as the content of a cell."""
    if score is None:
        return "–"
    low, high = score.interval
    return f"{percent(score.value)}<small>{percent(low)} to {percent(high)}</small>"


def difference_cell(score: Score) -> str:
    """A difference in points with its interval below, all with their signs."""
    low, high = (f"{100 * value:+.1f}" for value in score.interval)
    return f"{100 * score.value:+.1f}<small>{low} to {high}</small>"


def p_value(p: float | None) -> str:
    """A p to three decimals: `p_value(0.0002)` is "< 0.001"."""
    if p is None:
        return "–"
    return "&lt; 0.001" if p < 0.001 else f"{p:.3f}"


def row(name: str, cells: Sequence[str], kind: str = "") -> str:
    """A row of a table; the name and the cells are HTML."""
    body = "".join(f"<td>{cell}</td>" for cell in (name, *cells))
    return f'<tr class="{kind}">{body}</tr>'


def role_row(title: str, columns: int) -> str:
    """A row that heads the clusters of a role."""
    return f'<tr class="role"><td colspan="{columns}"><span>{escape(title)}</span></td></tr>'


def table(heads: Sequence[str], rows: Iterable[str]) -> str:
    """A table that scrolls sideways where it is too wide; heads are text, rows HTML."""
    head = "".join(f'<th scope="col">{breakable(text)}</th>' for text in heads)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
