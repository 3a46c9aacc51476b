"""Templates of sentiment analysis."""

from flan_jax.data.templates import Template

SST2 = (
    Template("{sentence}\n\nIs the writer's opinion of the film positive or negative?"),
    Template('Mood of this snippet from a critic: "{sentence}"'),
    Template(
        'A cinema may print "{sentence}" on its posters only where that flatters the picture. How '
        'does '
        "it come across?"
    ),
    Template("Label the tone.\nPhrase: {sentence}\nTone:"),
    Template(
        "After the show somebody remarked: {sentence}\n{options}\nWhich way does the remark lean?"
    ),
    Template('Thumbs up means positive, thumbs down means negative. What is "{sentence}"?'),
    Template(
        "Suppose you had to sort scraps of film criticism into praise (positive) and complaint "
        "(negative). Where would you put this scrap? {sentence}"
    ),
    Template("Write a fragment of criticism about a movie; its tone is {answer}.", "{sentence}"),
    Template(
        "What might a critic whose impression is {answer} jot down in the dark of the theatre?",
        "{sentence}",
    ),
    Template("One line about a film, {answer}:", "{sentence}"),
)

IMDB = (
    Template(
        "{text}\n\nDid the person who posted this find the film worth seeing (positive) or not "
        "(negative)?"
    ),
    Template("Read a viewer's comments and tell me what they add up to.\nComments: {text}"),
    Template("Review: {text}\nOverall sentiment:"),
    Template(
        "On a site where every rating is either positive or negative, which one went with the "
        "following write-up?\n\n{text}"
    ),
    Template("The verdict on this film has been cut off.\n{text}\n{options}\nRestore it."),
    Template(
        "I am deciding what to watch tonight. Someone wrote: {text}\nIn short, what did they think "
        "of it?"
    ),
    Template("Never mind the plot; attend to the attitude. {text} That attitude is"),
    Template("Compose a {answer} review of a movie, as a viewer would post it online.", "{text}"),
    Template(
        "You have just left the cinema, and your impression is {answer}. Tell the readers of a fan "
        "site about it at some length.",
        "{text}",
    ),
    Template("Rating chosen: {answer}. Text of the review:", "{text}"),
)
