"""Templates of reading comprehension."""

from flan_jax.data.templates import Template

BOOLQ = (
    Template("{passage}\n\nAccording to that, {question}"),
    Template("Question: {question}\nEncyclopedia entry: {passage}\nYes or no?"),
    Template(
        "You may use nothing but the article.\nArticle: {passage}\n{options}\nReader's query: "
        "{question}"
    ),
    Template("{question} I looked it up and found this: {passage} So which is it, yes or no?"),
    Template(
        "Settle a bet between two friends. They disagree on this: {question}\nHere is what the "
        "reference book says. {passage}"
    ),
    Template("Text for study: {passage}\nOne-word answer wanted: {question}"),
    Template(
        "An assistant reads a paragraph before it speaks.\nParagraph: {passage}\nUser: {question}\n"
        "Assistant:"
    ),
    Template(
        "{passage}\n\nAsk something about this paragraph that must be answered with {answer}.",
        "{question}",
    ),
    Template(
        "For a reading test, draft an item on the article below. The key will say "
        '"{answer}".\n{passage}',
        "{question}",
    ),
    Template(
        'Write an encyclopedia paragraph that lets its reader answer "{question}" with {answer}.',
        "{passage}",
    ),
)

MULTIRC = (
    Template(
        "{paragraph}\n\nQuestion: {question}\nProposed answer: {candidate}\nIs the proposal "
        "correct?"
    ),
    Template(
        "Mark a pupil's work. The text was: {paragraph} The task was: {question} The pupil wrote: "
        "{candidate} Does that earn the mark?"
    ),
    Template(
        'Does "{candidate}" answer the question "{question}"? Base your judgement on what you read '
        "here.\n{paragraph}"
    ),
    Template(
        "(question) {question}\n(answer) {candidate}\n(text) {paragraph}\n{options}\nDoes the text "
        "bear the answer out?"
    ),
    Template(
        "{question} Someone tells me: {candidate}\nLook into the source, and say whether I should "
        "believe it.\nSource: {paragraph}"
    ),
    Template(
        'A question can have several good answers. I only want to know about one of them, '
        '"{candidate}"'
        ".\nWhat was asked: {question}\nWhat it is about: {paragraph}\nGood answer?"
    ),
    Template(
        "Passage: {paragraph}\nAsked: {question}\nAnswered: {candidate}\nWrite yes to accept this, "
        "no to turn it down."
    ),
    Template("{paragraph}\n\n{question} Give an answer that is {judgement}.", "{candidate}"),
    Template(
        'Write a question about the text to which "{candidate}" would be a {judgement} answer.\n'
        "{paragraph}",
        "{question}",
    ),
    Template(
        'An exam item needs right and wrong answers. Add one that is {judgement} to "{question}", '
        "which comes with this reading: {paragraph}",
        "{candidate}",
    ),
)
