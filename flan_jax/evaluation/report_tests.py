"""Whether differences could be chance, and what another order of the options changes."""

from collections.abc import Mapping, Sequence
from html import escape

from flan_jax.evaluation import report_html as html
from flan_jax.evaluation import report_plots as plots
from flan_jax.evaluation.comparison import ROLE_TITLES, Findings, label
from flan_jax.evaluation.option_order import Consistency
from flan_jax.evaluation.paired import PairedTests
from flan_jax.evaluation.results import Summary
from flan_jax.evaluation.significance import PairedTest

_ABOUT = (
    "Paired over the source examples that both were scored on. p is two-sided, of the permutation "
    "test: how often swapping the two systems' answers at random makes a difference as large. "
    "Beside it stand the paired bootstrap's p, and the examples that only one system has right "
    "(under more templates) with McNemar's exact test of them, in which every example counts alike."
)
_ORDER = (
    "The same questions with their options in another order. Same choice is the share of questions "
    "to which the model then gives the same answer: 100 for a model that goes by what the options "
    "say."
)


def differences(findings: Findings) -> str:
    """The tests of the first system against each other one."""
    if not findings.tests:
        return ""
    blocks = [
        _tests_block(other, tests, findings.summaries, len(findings.tests) == 1)
        for other, tests in findings.tests.items()
    ]
    return f'<h2>Differences</h2><p class="soft">{_ABOUT}</p>{"".join(blocks)}'


def _tests_block(
    other: str, tests: PairedTests, summaries: Mapping[str, Summary], alone: bool
) -> str:
    title = f"{escape(label(next(iter(summaries))))} less {escape(label(other))}"
    if tests.roles:
        role, mean = next(iter(tests.roles.items()))
        value = 100 * mean.difference.value
        title += f": {role} mean {value:+.1f}, p {html.p_value(mean.p)}"
    table = _tests_table(tests, html.subject(summaries))
    opened = " open" if alone else ""
    return f'<details class="differences"{opened}><summary>{title}</summary>{table}</details>'


def _tests_table(tests: PairedTests, subject: Summary) -> str:
    differences = [test.difference for test in (*tests.clusters.values(), *tests.roles.values())]
    span = plots.difference_span(differences)
    heads = (
        "cluster",
        f"−{span} to +{span}",
        "difference",
        "p",
        "bootstrap p",
        "won, lost",
        "McNemar p",
        "n",
    )
    rows = []
    for role, members in html.by_role(subject):
        rows.append(html.role_row(ROLE_TITLES[role], len(heads)))
        rows += [
            html.row(html.breakable(cluster.name), _cells(tests.clusters.get(cluster.name), span))
            for cluster in members
        ]
        rows.append(html.row("mean", _cells(tests.roles.get(role), span), "mean"))
    left_out = "".join(
        f'<p class="soft">no test: {escape(reason)}</p>' for reason in tests.unpaired.values()
    )
    return html.table(heads, rows) + left_out


def _cells(test: PairedTest | None, span: int) -> Sequence[str]:
    if test is None:
        return ["–"] * 7
    won = "–" if test.wins is None else f"{test.wins:,}, {test.losses:,}"
    return [
        plots.difference(test.difference, span),
        html.difference_cell(test.difference),
        f"<b>{html.p_value(test.p)}</b>",
        html.p_value(test.bootstrap_p),
        won,
        html.p_value(test.mcnemar_p),
        f"{test.n:,}",
    ]


def option_order(findings: Findings) -> str:
    """Option-order consistency, where a task was scored with its options in two orders."""
    blocks = [
        f"<h3>{escape(label(key))}</h3>{_order_table(found)}"
        for key, found in findings.option_order.items()
        if found
    ]
    if not blocks:
        return ""
    return f'<h2>Option order</h2><p class="soft">{_ORDER}</p>{"".join(blocks)}'


def _order_table(found: Sequence[Consistency]) -> str:
    heads = ("task", "same choice", "at random", "score", "score, permuted", "n")
    rows = [
        html.row(
            html.breakable(one.plain.name),
            [
                html.score_cell(one.same),
                f"{100 * one.chance:.1f}",
                html.score_cell(one.scores[0]),
                html.score_cell(one.scores[1]),
                f"{one.n:,}",
            ],
        )
        for one in found
    ]
    return html.table(heads, rows)
