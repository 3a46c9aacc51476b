"""Templates of paraphrase detection."""

from flan_jax.data.templates import Template

MRPC = (
    Template("{sentence1}\n{sentence2}\n\nDo these two lines report the same thing?"),
    Template(
        "Two papers covered one story.\nPaper A: {sentence1}\nPaper B: {sentence2}\nIs B merely A "
        "in other words?"
    ),
    Template("Duplicate detection. One: {sentence1} Other: {sentence2} Equivalent?"),
    Template(
        "As a newsroom archivist you throw a sentence out when another already tells readers "
        "everything that it does.\nKept: {sentence1}\nNew arrival: {sentence2}\nShould the new one "
        "go?"
    ),
    Template(
        'Could I swap "{sentence1}" for "{sentence2}" without changing what my readers learn?'
    ),
    Template(
        "{options}\nSay whether the meaning stays put from the first version to the second.\nFirst "
        "version: {sentence1}\nSecond version: {sentence2}"
    ),
    Template(
        "(a) {sentence1}\n(b) {sentence2}\nA student claims that (a) and (b) are paraphrases of "
        "each other. Is the student right?"
    ),
    Template(
        "Here is a sentence from the news: {sentence1}\nWrite another that {sameness} it.",
        "{sentence2}",
    ),
    Template("Produce a wire-service line which {sameness} this one.\n{sentence2}", "{sentence1}"),
    Template(
        "For a test I need two sentences on current affairs, of which the second {sameness} the "
        "first.",
        "First: {sentence1}\nSecond: {sentence2}",
    ),
)

QQP = (
    Template("Would one good answer settle both of these?\n1) {question1}\n2) {question2}"),
    Template("{question1}\n{question2}\nSame question, asked twice?"),
    Template(
        "A forum merges threads that want the same information.\nTitle already there: {question1}\n"
        "Title just posted: {question2}\nShould a moderator merge them?"
    ),
    Template(
        'My search for "{question1}" brought up "{question2}". Are the two interchangeable?'
    ),
    Template("Question A: {question1}\nQuestion B: {question2}\n{options}\nIs B a rewording of A?"),
    Template(
        'Somebody who asks "{question2}" is sent to the replies to "{question1}". Will they find '
        "exactly what they were after?"
    ),
    Template("Intent match for a pair of questions. Left: {question1} Right: {question2} Match:"),
    Template("Write a question that {overlap} this one: {question1}", "{question2}"),
    Template(
        "Here is a post from an advice site. Make up another user's post that {overlap} it.\n"
        "{question2}",
        "{question1}",
    ),
    Template(
        "Think of two questions that people might ask online. The second {overlap} the first.",
        "1) {question1}\n2) {question2}",
    ),
)
