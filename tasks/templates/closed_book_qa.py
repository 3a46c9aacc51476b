"""Templates of question answering from memory."""

from flan_jax.data.templates import Template

ARC_EASY = (
    Template("Science quiz: {question}"),
    Template("Show that you have paid attention in physics, chemistry and biology.\n\n{question}"),
    Template('A pupil raises a hand: "{question}" The teacher, who knows the subject, answers:'),
    Template("Q. {question}\nA."),
    Template(
        "{options}\nFrom what you know about nature and technology, deal with the following.\n"
        "{question}"
    ),
    Template("Without looking anything up, complete the sentence or answer it: {question}"),
    Template("My study notes have a gap after this line.\n{question}\nWhat belongs there?"),
    Template('Set a science question, of which "{answer}" is the right answer.', "{question}"),
    Template('"{answer}" was the solution. What was the problem?', "{question}"),
    Template(
        'Write a card for a learning game about the natural world. On its back it says "{answer}". '
        'On '
        "its front:",
        "{question}",
    ),
)

NQ_OPEN = (
    Template("Trivia: {question}"),
    Template("Give the short answer and no explanation. {question}"),
    Template(
        'Someone typed "{question}" into a search engine. The fact that they were looking for is'
    ),
    Template("I can't recall this, and it is bothering me: {question}"),
    Template(
        "Search your memory and respond with a name, a date, a number or whatever else is called "
        "for.\n{question}"
    ),
    Template("Pub quiz, final round.\nHost: {question}\nTeam captain:"),
    Template("{question} To the best of your knowledge, it is"),
    Template('What could one ask to be told "{answer}"?', "{question}"),
    Template(
        "Somebody looked something up and found: {answer}. What had they typed?", "{question}"
    ),
    Template("Players win this round if they say {answer}. Write the question.", "{question}"),
)
