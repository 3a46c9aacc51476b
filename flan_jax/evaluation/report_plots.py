"""Inline SVG plots of a report.

Positions are percentages of the plot's width, so a plot fits a phone or a wide screen while text
and marks keep their size. Colours are CSS variables of the page, which has a light and a dark set.
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

from flan_jax.evaluation.results import Score

# One shape and colour a system, in the order of the report's systems; the first is the subject.
_SHAPES = ("disc", "ring", "triangle", "square", "diamond")
_OUTLINES = {
    "triangle": "M0,-5 L5,4 L-5,4 Z",
    "square": "M-4,-4 H4 V4 H-4 Z",
    "diamond": "M0,-6 L5,0 L0,6 L-5,0 Z",
}
_LANE = 14  # height in pixels that each system has in a row
_TICKS = (0, 25, 50, 75, 100)
_CURVE_HEIGHT = 180


def mark(system: int, position: float, top: float, hint: str = "") -> str:
    """The mark of the system with this index at a score from 0 to 1, `top` pixels down."""
    shape = _SHAPES[min(system, len(_SHAPES) - 1)]
    title = f"<title>{escape(hint)}</title>" if hint else ""
    place = f'x="{100 * position:.2f}%" y="{top:g}" overflow="visible" class="s{system}"'
    if shape == "disc":
        body = f'<circle r="5.5" class="fill">{title}</circle>'
    elif shape == "ring":
        body = f'<circle r="4.5" class="hollow">{title}</circle>'
    else:
        body = f'<path d="{_OUTLINES[shape]}" class="hollow">{title}</path>'
    return f"<svg {place}>{body}</svg>"


def interval_row(
    scores: Sequence[Score], hints: Sequence[str], chance: float, majority: float
) -> str:
    """One row of the cluster plot: a lane a system, with chance and majority across all lanes.

    Args:
      scores: score of each system.
      hints: what to show where the pointer rests, for each system.
      chance: from 0 to 1; a solid line.
      majority: from 0 to 1; a dotted line; NaN for none.
    """
    height = _LANE * len(scores) + 8
    parts = [_grid(height)]
    parts.append(_vertical(chance, height, "chance", f"chance {100 * chance:.1f}"))
    if not math.isnan(majority):
        parts.append(_vertical(majority, height, "majority", f"majority {100 * majority:.1f}"))
    for system, (score, hint) in enumerate(zip(scores, hints, strict=True)):
        top = 4 + _LANE * (system + 0.5)
        low, high = score.interval
        parts.append(
            f'<line x1="{100 * low:.2f}%" x2="{100 * high:.2f}%" y1="{top:g}" y2="{top:g}" '
            f'class="bar s{system}"/>'
        )
        parts.append(mark(system, score.value, top, hint))
    return f'<svg class="lane" height="{height}" aria-hidden="true">{"".join(parts)}</svg>'


def difference_span(differences: Iterable[Score]) -> int:
    """The least of 10, 25, 50 and 100 points that holds all intervals, on either side of 0."""
    ends = [abs(end) for score in differences for end in (*score.interval, score.value)]
    return next(
        span for span in (10, 25, 50, 100) if span == 100 or 100 * max(ends, default=0.0) <= span
    )


def difference(score: Score, span: int) -> str:
    """A difference with its interval, and a line at 0 in the middle.

    Args:
      score: from -1 to 1.
      span: points from the middle to either end.
    """
    low, value, high = (
        50 + 5000 * part / span for part in (score.interval[0], score.value, score.interval[1])
    )
    side = "for" if low > 50 else "against" if high < 50 else "neither"
    return (
        '<svg class="difference" width="170" height="20" aria-hidden="true">'
        '<line x1="0" x2="100%" y1="10" y2="10" class="grid"/>'
        f"{_vertical(0.5, 20, 'chance', 'no difference')}"
        f'<line x1="{low:.2f}%" x2="{high:.2f}%" y1="10" y2="10" class="bar {side}"/>'
        f'<circle cx="{value:.2f}%" cy="10" r="4" class="fill {side}"/></svg>'
    )


def axis() -> str:
    """The axis below the rows of the cluster plot, in points."""
    labels = "".join(
        f'<text x="{tick}%" y="14" text-anchor="middle">{tick}</text>' for tick in _TICKS
    )
    return f'<svg class="lane" height="20" aria-hidden="true">{labels}</svg>'


def legend_mark(kind: str | int) -> str:
    """The mark of a system index, of "chance" or of "majority", for the legend."""
    body = _vertical(0.5, 16, kind, "") if isinstance(kind, str) else mark(kind, 0.5, 8)
    return f'<svg width="16" height="16" class="key" aria-hidden="true">{body}</svg>'


def strip(values: Sequence[float], chance: float, hints: Sequence[str]) -> str:
    """The scores of a task's templates as dots on the axis of the cluster plot."""
    dots = "".join(
        f'<circle cx="{100 * value:.2f}%" cy="10" r="4.5" class="dot s0">'
        f"<title>{escape(hint)}</title></circle>"
        for value, hint in zip(values, hints, strict=True)
        if value == value
    )
    line = _vertical(chance, 20, "chance", f"chance {100 * chance:.1f}")
    return f'<svg class="lane" height="20" aria-hidden="true">{_grid(20)}{line}{dots}</svg>'


def curve(points: Sequence[tuple[int, float]], name: str) -> str:
    """A line plot of (step, value) points, at least one, with the value axis from 0.

    Args:
      points: steps ascending; values finite.
      name: what the values are, for the description.
    """
    steps = [step for step, _ in points]
    top = _nice_ceiling(max(value for _, value in points))
    width = max(steps[-1] - steps[0], 1)
    path = " ".join(
        f"{100 * (step - steps[0]) / width:.2f},{100 * (1 - value / top):.2f}"
        for step, value in points
    )
    lines = "".join(
        f'<line x1="0" x2="100%" y1="{y}%" y2="{y}%" class="grid"/>' for y in (0, 25, 50, 75, 100)
    )
    labels = "".join(
        f'<text x="-6" y="{100 * (1 - part)}%" dy="4" text-anchor="end">{top * part:g}</text>'
        for part in (0, 0.25, 0.5, 0.75, 1)
    )
    ends = (
        f'<text x="0" y="100%" dy="18">{steps[0]:,}</text>'
        f'<text x="100%" y="100%" dy="18" text-anchor="end">{steps[-1]:,} steps</text>'
    )
    line = (
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%" '
        f'overflow="visible"><polyline points="{path}" class="curve"/></svg>'
    )
    return (
        f'<svg class="plot" height="{_CURVE_HEIGHT}" role="img" aria-label="{escape(name)}">'
        f"{lines}{labels}{ends}{line}</svg>"
    )


def _nice_ceiling(value: float) -> float:
    """The least of 1, 2, 4, 8 times a power of ten that is not below the value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(f"{value:.0f}") - 1 if value >= 1 else -1)
    return next(step * power for step in (1, 2, 4, 8, 10) if step * power >= value or step == 10)


def _grid(height: float) -> str:
    return "".join(
        f'<line x1="{tick}%" x2="{tick}%" y1="0" y2="{height}" class="grid"/>' for tick in _TICKS
    )


def _vertical(position: float, height: float, kind: str, hint: str) -> str:
    title = f"<title>{escape(hint)}</title>" if hint else ""
    x = f"{100 * position:.2f}%"
    return f'<line x1="{x}" x2="{x}" y1="0" y2="{height}" class="{kind}">{title}</line>'
