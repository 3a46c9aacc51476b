"""The scores of a report: bars and table of clusters, chance taken out, each seed."""

import math
from collections.abc import Mapping
from html import escape

import numpy as np

from flan_jax.evaluation import averages, chance_adjusted
from flan_jax.evaluation import report_html as html
from flan_jax.evaluation import report_plots as plots
from flan_jax.evaluation.comparison import ROLE_TITLES, label, percent
from flan_jax.evaluation.results import Summary

_CAPTION = (
    "Scores in points (0 to 100): mean over templates, then tasks. Bars are 95% bootstrap "
    "intervals over source examples. The number on the right is the first system's."
)
_ADJUSTED = (
    "(score − chance) / (1 − chance), task by task, then averaged over tasks and clusters: 0 is "
    "what picking an option at random scores and 100 is perfect, whatever the number of options."
)


def cluster_plot(summaries: Mapping[str, Summary], upper_bound: str) -> str:
    """A row a cluster: the score of each system with its interval, and lines to compare with.

    Args:
      summaries: of each system.
      upper_bound: key of the system that is an upper bound, or empty.
    """
    parts = ["<h2>Clusters</h2>", _legend(summaries, upper_bound)]
    for role, members in html.by_role(html.subject(summaries)):
        parts.append(f"<h3>{ROLE_TITLES[role]}</h3>")
        parts += [_plot_row(cluster.name, summaries, upper_bound) for cluster in members]
        parts.append(f'<div class="row axis"><span></span>{plots.axis()}<span></span></div>')
    return "\n".join([*parts, f'<p class="soft">{_CAPTION}</p>'])


def _legend(summaries: Mapping[str, Summary], upper_bound: str) -> str:
    entries = [(plots.legend_mark(i), _column(key, upper_bound)) for i, key in enumerate(summaries)]
    entries.append((plots.legend_mark("chance"), "chance"))
    if not all(math.isnan(one.majority) for one in html.subject(summaries).clusters.values()):
        entries.append((plots.legend_mark("majority"), "majority (most frequent answer)"))
    items = "".join(f"<li>{symbol}{escape(text)}</li>" for symbol, text in entries)
    return f'<ul class="legend">{items}</ul>'


def _column(key: str, upper_bound: str) -> str:
    return f"{label(key)} (upper bound)" if key == upper_bound else label(key)


def _plot_row(name: str, summaries: Mapping[str, Summary], upper_bound: str) -> str:
    cluster = html.subject(summaries).clusters[name]
    scores = [summary.clusters[name].score for summary in summaries.values()]
    hints = [
        f"{name}, {_column(key, upper_bound)}: {html.with_interval(score)}"
        for key, score in zip(summaries, scores, strict=True)
    ]
    svg = plots.interval_row(scores, hints, cluster.chance, cluster.majority)
    return (
        f'<div class="row"><span class="name">{html.breakable(name)}'
        f"<small>n = {cluster.n:,}</small></span>"
        f'{svg}<span class="value">{percent(cluster.score.value)}</span></div>'
    )


def table(summaries: Mapping[str, Summary], upper_bound: str) -> str:
    """The main table: a row a cluster, and the mean of each role."""
    columns = [_column(key, upper_bound) for key in summaries]
    heads = ["cluster", *columns, "chance", "majority", "n"]
    rows = []
    for role, members in html.by_role(html.subject(summaries)):
        rows.append(html.role_row(ROLE_TITLES[role], len(heads)))
        for cluster in members:
            clusters = [summary.clusters[cluster.name] for summary in summaries.values()]
            cells = [html.score_cell(c.score) for c in clusters]
            cells += [percent(cluster.chance), percent(cluster.majority), f"{cluster.n:,}"]
            rows.append(html.row(html.breakable(cluster.name), cells))
        cells = [html.score_cell(summary.mean(role=role)) for summary in summaries.values()]
        cells += [
            percent(float(np.mean([c.chance for c in members]))),
            percent(float(np.mean([c.majority for c in members]))),
            f"{sum(c.n for c in members):,}",
        ]
        rows.append(html.row("mean", cells, "mean"))
    for title, scores in averages.rows(summaries):
        rows.append(html.row(title, [*map(html.score_cell, scores), "", "", ""], "mean"))
    return f"<h2>Table</h2>{html.table(heads, rows)}"


def adjusted_table(summaries: Mapping[str, Summary], upper_bound: str) -> str:
    """The same table with chance taken out of the scores."""
    heads = ["cluster", *(_column(key, upper_bound) for key in summaries)]
    rows, means = [], []
    for role, members in html.by_role(html.subject(summaries)):
        rows.append(html.role_row(ROLE_TITLES[role], len(heads)))
        for cluster in members:
            clusters = [summary.clusters[cluster.name] for summary in summaries.values()]
            cells = [html.score_cell(chance_adjusted.cluster_score(c)) for c in clusters]
            rows.append(html.row(html.breakable(cluster.name), cells))
        scores = [chance_adjusted.role_score(summary, role) for summary in summaries.values()]
        rows.append(html.row("mean", list(map(html.score_cell, scores)), "mean"))
        if scores[0] is not None:
            means.append(f"{role} mean {percent(scores[0].value)}")
    return (
        f'<h2>Chance taken out</h2><p class="soft">{_ADJUSTED}</p>'
        f"<details><summary>Adjusted: {', '.join(means)}</summary>{html.table(heads, rows)}"
        "</details>"
    )


def seeds(summaries: Mapping[str, Summary]) -> str:
    """The score of each seed, where a system has several."""
    columns = [summary.clusters for summary in summaries.values()]
    if all(len(cluster.seeds) == 1 for column in columns for cluster in column.values()):
        return ""
    rows = [
        html.row(
            html.breakable(name),
            [", ".join(map(percent, column[name].seeds)) for column in columns],
        )
        for name in html.subject(summaries).clusters
    ]
    heads = ("cluster", *map(label, summaries))
    return f"<details><summary>Each training seed</summary>{html.table(heads, rows)}</details>"
