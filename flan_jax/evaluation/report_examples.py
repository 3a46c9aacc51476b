"""The examples of a report: a browser of them, and a few that can be read without JavaScript."""

from collections.abc import Mapping, Sequence
from html import escape

from flan_jax.evaluation import report_html as html
from flan_jax.evaluation.comparison import label, percent
from flan_jax.evaluation.results import Summary
from flan_jax.evaluation.shown_examples import TaskExamples, to_script

DATA_ID = "examples-data"
_ABOUT = (
    "An option's score is the summed log-probability of its tokens, end of sequence included, in "
    "nats. Right means a score of 100."
)


def browser(shown: Sequence[TaskExamples], systems: Sequence[str]) -> str:
    """The browser's controls and its data; the page's script fills it.

    Args:
      shown: the examples of each task.
      systems: keys of the systems, in the order of each example's answers.
    """
    total, count = sum(task.total for task in shown), sum(len(task.examples) for task in shown)
    if count == total:
        about = f"All {total:,} scored examples. {_ABOUT}"
    else:
        about = (
            f"{count:,} of {total:,} scored examples, spread evenly over tasks and outcomes; the "
            f"journals have all. {_ABOUT}"
        )
    names = [label(key) for key in systems]
    data = {"systems": names, "tasks": [task.to_json() for task in shown]}
    tasks = "".join(
        f'<option value="{i}">{escape(task.task.name)} ({len(task.examples):,} of '
        f"{task.total:,})</option>"
        for i, task in enumerate(shown)
    )
    outcomes = "".join(
        f'<option value="{value}">{escape(text)}</option>' for value, text in _outcomes(names)
    )
    return (
        f'<h2 id="examples">Examples</h2><p class="soft">{escape(about)}</p>'
        '<noscript><p class="soft">Searching them needs JavaScript; a few of each cluster stand '
        "below.</p></noscript>"
        '<div id="browser" hidden><div class="filters" role="search">'
        '<label class="wide">Search <input type="search" id="search" autocomplete="off" '
        'placeholder="words of prompts and answers"></label>'
        f'<label>Task <select id="task"><option value="">all</option>{tasks}</select></label>'
        '<label>Template <select id="template"><option value="">all</option></select></label>'
        f'<label>Outcome <select id="outcome"><option value="">all</option>{outcomes}</select>'
        '</label></div><p id="count" class="soft" role="status"></p><div id="list"></div>'
        '<p class="pager"><button type="button" id="back">Previous</button> '
        '<button type="button" id="next">Next</button></p></div>'
        f'<script type="application/json" id="{DATA_ID}">{to_script(data)}</script>'
    )


def _outcomes(names: Sequence[str]) -> list[tuple[str, str]]:
    """Filters by outcome: by system whether it must be right (+), wrong (-) or either (.)."""
    if len(names) == 1:
        return [("+", "right"), ("-", "wrong")]
    every = len(names)
    found = [("+" * every, "all right"), ("-" * every, "all wrong")]
    if every == 2:
        found = [("++", "both right"), ("--", "both wrong")]
    first = names[0]
    for i, other in enumerate(names[1:], 1):
        blank = "." * (i - 1), "." * (every - 1 - i)
        found += [
            (f"+{blank[0]}-{blank[1]}", f"{first} right, {other} wrong"),
            (f"-{blank[0]}+{blank[1]}", f"{first} wrong, {other} right"),
            (f"differ {i}", f"{first} and {other} answer differently"),
        ]
    return found


def samples(summaries: Mapping[str, Summary]) -> str:
    """A few prompts of each cluster with what the first system answered."""
    key, subject = next(iter(summaries.items()))
    parts = []
    for _, members in html.by_role(subject):
        for cluster in members:
            shown = [
                _sample(task.scores.task, sample)
                for task in cluster.tasks
                for sample in task.scores.samples
            ]
            if shown:
                title = f"<summary>{escape(cluster.name)}</summary>"
                parts.append(f"<details>{title}{''.join(shown)}</details>")
    if not parts:
        return ""
    text = f"System: {escape(label(key))}. {_ABOUT}"
    return f'<h2>Sample prompts</h2><p class="soft">{text}</p>' + "\n".join(parts)


def _sample(task: str, sample: Mapping[str, object]) -> str:
    head = f"<h3>{escape(task)}, example {sample['example']}, template {sample['template']}</h3>"
    prompt = f"<pre>{escape(str(sample['prompt']))}</pre>"
    references = " | ".join(escape(str(text)) for text in sample["references"])
    if "option_scores" in sample:
        return head + prompt + _sample_options(sample)
    metric, value = next(iter(sample["scores"].items()))
    verdict_class = "right" if value == 1 else "wrong" if value == 0 else "soft"
    return (
        f"{head}{prompt}<p>Answer: <b>{escape(str(sample['prediction']))}</b> "
        f'<span class="{verdict_class}">{escape(metric)} {percent(value)}</span><br>'
        f"Expected: {references}</p>"
    )


def _sample_options(sample: Mapping[str, object]) -> str:
    rows = []
    for i, (option, score) in enumerate(
        zip(sample["options"], sample["option_scores"], strict=True)
    ):
        notes = []
        if i == sample["choice"]:
            right = i == sample["answer"]
            kind = "right" if right else "wrong"
            notes.append(f'<span class="{kind}">chosen, {kind}</span>')
        if i == sample["answer"]:
            notes.append("expected")
        rows.append(
            f'<tr><td class="text">{escape(str(option))}</td><td>{score:.2f}</td>'
            f'<td class="text">{", ".join(notes)}</td></tr>'
        )
    head = "<tr><th>option</th><th>score (nats)</th><th></th></tr>"
    return f'<table class="options">{head}{"".join(rows)}</table>'
