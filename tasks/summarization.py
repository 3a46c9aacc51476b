"""Summarization: the gist of a text."""

from flan_jax.data.declarations import task
from flan_jax.data.sources import jsonl
from tasks.splits import LAST_200
from tasks.templates import summarization as templates
from tasks.tidy import tidy


@task("xsum", cluster="summarization", source=jsonl("xsum", LAST_200), templates=templates.XSUM,
      metrics=("rouge_l",), example={
          "document": "The bridge at Oss was shut on Tuesday.\nEngineers had found cracks in a "
                      "pillar.\nRepairs may last until May, the town said.",
          "summary": "Cracks in a pillar have closed a bridge for months."})  # fmt: skip
def xsum(row):
    """The file `validation` holds the test examples again, and is not used."""
    return {"document": row["document"].strip(), "answer": tidy(row["summary"])}
