"""The self-contained HTML page of a report: no external resource, readable without its script.

A content security policy lets the browser run the one script of the page and nothing else, loads
nothing and sends nothing, whatever a prompt or an answer holds.
"""

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from flan_jax.evaluation import (
    report_examples,
    report_run,
    report_scores,
    report_tasks,
    report_tests,
    shown_examples,
)
from flan_jax.evaluation.comparison import Findings, Report, first_seed
from flan_jax.evaluation.report_script import SCRIPT
from flan_jax.evaluation.report_style import STYLE
from flan_jax.evaluation.shown_examples import TaskExamples

PAGE_BYTES = 5_000_000  # a page that a phone opens, and a mail carries
_LEAST_EXAMPLES = 500_000  # bytes of examples, where the rest of the page is long itself


def render(report: Report, findings: Findings, record: Mapping) -> str:
    """The page as text, of about `PAGE_BYTES` at most.

    Args:
      report: what to show.
      findings: as `comparison.find` gives them.
      record: the content of `report.json`, for its verdict, facts and versions.

    Raises:
      JournalError: a journal is missing or damaged.
    """
    summaries = findings.summaries
    above = [
        f"<h1>{escape(report.title)}</h1>",
        _verdict(record),
        report_scores.cluster_plot(summaries, report.upper_bound),
        report_scores.table(summaries, report.upper_bound),
        report_scores.adjusted_table(summaries, report.upper_bound),
        report_scores.seeds(summaries),
        report_tests.differences(findings),
        report_tasks.table(findings),
        report_tests.option_order(findings),
        report_tasks.spread(summaries),
    ]
    samples = report_examples.samples(summaries)
    below = [
        report_run.curves(report),
        report_run.ledgers(report),
        report_run.seconds(report),
        report_run.configuration(record),
    ]
    rest = sum(len(part.encode()) for part in (*above, samples, *below, STYLE, SCRIPT))
    browser = _browser(report, max(PAGE_BYTES - rest, _LEAST_EXAMPLES))
    if browser and samples:
        samples = f"<noscript>{samples}</noscript>"
    body = "\n".join(filter(None, (*above, browser, samples, *below)))
    return _page(report.title, body, SCRIPT if browser else "")


def _verdict(record: Mapping) -> str:
    paragraphs = "".join(f"<p>{escape(sentence)}</p>" for sentence in record["verdict"])
    return f'<section class="panel" id="verdict">{paragraphs}</section>'


def _browser(report: Report, limit: int) -> str:
    """The browser of examples; empty without journals."""
    systems = {
        key: first_seed(runs) for key, runs in report.systems.items() if report.journals.get(key)
    }
    if next(iter(report.systems)) not in systems:
        return ""
    first = next(iter(systems.values()))
    nothing = [TaskExamples(task, (), 0, {}) for task in first.tasks]
    controls = report_examples.browser(nothing, list(systems))
    shown = shown_examples.choose(systems, report.journals, limit - len(controls.encode()))
    return report_examples.browser(shown, list(systems)) if shown else ""


def _page(title: str, body: str, script: str) -> str:
    allowed = _digest(script) if script else "'none'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src {_digest(STYLE)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head><body>\n{body}\n"
        + (f"<script>{script}</script>" if script else "")
        + "</body></html>\n"
    )


def _digest(text: str) -> str:
    """How a content security policy names an inline script or style (CSP level 3, 2.3.1)."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
