"""How a report's scores came about: training loss and data, time, configuration."""

import json
from collections.abc import Mapping
from html import escape

from flan_jax.evaluation import report_html as html
from flan_jax.evaluation import report_plots as plots
from flan_jax.evaluation.comparison import Report, percent


def curves(report: Report) -> str:
    """The training loss of each phase."""
    figures = [
        f"<figure><figcaption>{escape(name)}: last loss {points[-1][1]:.3f} nats a token"
        f"</figcaption>{plots.curve(points, f'loss by step of {name}')}</figure>"
        for name, points in report.curves.items()
        if points
    ]
    return "<h2>Training loss</h2>" + "".join(figures) if figures else ""


def ledgers(report: Report) -> str:
    """What each phase has seen of each task of its mixture."""
    heads = ("task", "declared %", "seen %", "examples", "epochs", "tokens")
    blocks = []
    for phase, ledger in report.ledgers.items():
        total = {"total": ledger["total"]}
        rows = [_ledger_row(*entry) for entry in (ledger["tasks"] | total).items()]
        missing = "".join(
            f'<p class="soft">missing: {escape(task)}: {escape(reason)}</p>'
            for task, reason in ledger["missing"].items()
        )
        about = f"{phase}: {ledger['total']['examples']:,} examples of {ledger['mixture']}"
        blocks.append(
            f"<details><summary>{escape(about)}</summary>{html.table(heads, rows)}{missing}"
            "</details>"
        )
    return "<h2>Training data seen</h2>" + "".join(blocks) if blocks else ""


def _ledger_row(task: str, entry: Mapping) -> str:
    shares = [percent(entry["share"]), percent(entry["examples_share"])]
    tokens = entry["inputs"] + entry["targets"]
    cells = [*shares, f"{entry['examples']:,}", f"{entry['epochs']:.2f}", f"{tokens:,}"]
    return html.row(html.breakable(task), cells, "mean" if task == "total" else "")


def seconds(report: Report) -> str:
    """The wall time of each phase."""
    if not report.seconds:
        return ""
    rows = [html.row(escape(phase), [f"{s:,.1f}"]) for phase, s in report.seconds.items()]
    rows.append(html.row("total", [f"{sum(report.seconds.values()):,.1f}"], "mean"))
    return f"<h2>Time</h2>{html.table(('phase', 'seconds'), rows)}"


def configuration(record: Mapping) -> str:
    """The texts of the configuration, the facts of each run and the versions."""
    texts = dict(record["configuration"])
    for key in ("facts", "versions"):
        texts[key] = json.dumps(record[key], indent=1, ensure_ascii=False)
    blocks = "".join(
        f"<details><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>"
        for name, text in texts.items()
    )
    return f"<h2>Configuration</h2>{blocks}"
