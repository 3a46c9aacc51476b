"""Each task of a report: its row in the table, and its spread over templates."""

from collections.abc import Mapping
from html import escape

import numpy as np

from flan_jax.evaluation import chance_adjusted
from flan_jax.evaluation import report_html as html
from flan_jax.evaluation import report_plots as plots
from flan_jax.evaluation.comparison import Findings, label, percent
from flan_jax.evaluation.results import Summary, TaskSummary
from flan_jax.evaluation.significance import PairedTest

_SHOWN_AT_ONCE = 12  # tasks whose table needs no opening


def table(findings: Findings) -> str:
    """A row a task: the score of each system, what to hold it against, spread, differences."""
    summaries = findings.summaries
    heads = ["task", *map(label, summaries), "adjusted", "chance", "majority", "spread", "n"]
    heads += [f"less {label(key)}" for key in findings.tests]
    rows = []
    for _, members in html.by_role(html.subject(summaries)):
        for cluster in members:
            rows.append(html.role_row(cluster.name, len(heads)))
            columns = [summary.clusters[cluster.name].tasks for summary in summaries.values()]
            rows += [
                _task_row([column[i] for column in columns], findings)
                for i in range(len(cluster.tasks))
            ]
    text = (
        "Adjusted: the first system's score with chance taken out. Spread: its standard deviation "
        "over templates."
    )
    if findings.tests:
        text += (
            " Differences are the first system less the other; p is of the permutation test, "
            "after Holm's correction over all tasks."
        )
    count = sum(len(cluster.tasks) for cluster in html.subject(summaries).clusters.values())
    opened = " open" if count <= _SHOWN_AT_ONCE else ""
    title = "1 task" if count == 1 else f"{count:,} tasks"
    return (
        f'<h2>Tasks</h2><p class="soft">{text}</p><details{opened}><summary>{title}</summary>'
        f'<div class="tasks">{html.table(heads, rows)}</div></details>'
    )


def _task_row(columns: list[TaskSummary], findings: Findings) -> str:
    first = columns[0]
    cells = [html.score_cell(task.score) for task in columns]
    cells += [
        html.score_cell(chance_adjusted.task_score(first)),
        percent(first.scores.chance),
        percent(first.scores.majority),
        percent(first.spread),
        f"{first.n:,}",
    ]
    cells += [_difference(tests.tasks.get(first.scores.name)) for tests in findings.tests.values()]
    form = first.scores.name.partition(":")[2]
    about = ", ".join(filter(None, (form, first.scores.metrics[0])))
    name = f"{html.breakable(first.scores.task)}<small>{html.breakable(about)}</small>"
    return html.row(name, cells)


def _difference(test: PairedTest | None) -> str:
    if test is None:
        return "–"
    p = html.p_value(test.adjusted_p)
    return f"{html.difference_cell(test.difference)}<small>p {p}</small>"


def spread(summaries: Mapping[str, Summary]) -> str:
    """The score of every template of every task of the first system."""
    key, subject = next(iter(summaries.items()))
    parts = ["<h2>Spread over templates</h2>"]
    text = (
        f"Each dot is one template of the task; the line is chance. System: {escape(label(key))}. "
        "A wide spread means that the wording of the prompt decides the score."
    )
    parts.append(f'<p class="soft">{text}</p>')
    for _, members in html.by_role(subject):
        for cluster in members:
            tasks = "".join(map(_task_spread, cluster.tasks))
            span = np.mean([task.spread for task in cluster.tasks])
            parts.append(
                f"<details><summary>{escape(cluster.name)}: {percent(cluster.score.value)}, "
                f"standard deviation over templates {percent(float(span))}</summary>{tasks}"
                "</details>"
            )
    return "\n".join(parts)


def _task_spread(task: TaskSummary) -> str:
    values, texts = task.templates, task.scores.templates
    hints = [f"{percent(value)}: {text}" for value, text in zip(values, texts, strict=True)]
    strip = (
        f'<div class="row"><span class="name">{html.breakable(task.scores.task)}'
        f"<small>n = {task.n:,}</small></span>{plots.strip(values, task.scores.chance, hints)}"
        f'<span class="value">{percent(task.score.value)}</span></div>'
    )
    order = sorted(range(len(values)), key=lambda i: -np.nan_to_num(values[i], nan=-1.0))
    cells = "".join(
        f'<tr><td class="text">{escape(texts[i])}</td><td>{percent(values[i])}</td></tr>'
        for i in order
    )
    metric = escape(task.scores.metrics[0])
    notes = [f"{name} {percent(value)}" for name, value in task.others.items()]
    notes += [f"{count:,} {kind.replace('_', ' ')}" for kind, count in task.scores.left_out.items()]
    if task.scores.prompts:
        notes.append(f"SHA-256 of the prompts {task.scores.prompts[:16]}")
    others = "".join(f"; {escape(note)}" for note in notes)
    caption = (
        f'<p class="soft">{escape(task.scores.name)}, {metric}; spread {percent(task.spread)}, '
        f"best {percent(values[task.best])}, worst {percent(values[task.worst])}{others}</p>"
    )
    return f"{strip}{caption}<table><tr><th>template</th><th>{metric}</th></tr>{cells}</table>"
