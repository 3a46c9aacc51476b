"""Templates of summarization."""

from flan_jax.data.templates import Template

XSUM = (
    Template("{document}\n\nSay in one sentence what this is about."),
    Template("Report: {document}\nWhich line, put at its top, would sum the report up?"),
    Template("A busy friend has ten seconds to spare. Tell them the gist of this: {document}"),
    Template("Article: {document}\nSummary (a single sentence):"),
    Template("What is the news here?\n\n{document}"),
    Template(
        "For the front page of our site we need one line that tells visitors why to read on. The "
        "story runs as follows. {document} The line:"
    ),
    Template(
        "Condense. Leave out names and figures that do not matter, and stop at the first full "
        "stop.\n{document}"
    ),
    Template("Write a news story that could run under this summary: {answer}", "{document}"),
    Template(
        "{answer}\n\nExpand that sentence into a full report, with quotations and background.",
        "{document}",
    ),
    Template("Lead: {answer}\nRest of the article:", "{document}"),
)
