"""Templates of commonsense reasoning."""

from flan_jax.data.templates import Template

COPA = (
    Template("{premise} {question}"),
    Template("Name a plausible {role} of this event: {premise}"),
    Template("Event: {premise}\nRelation sought: {role}\nOther event:"),
    Template(
        'A child is telling a story and says: "{premise}" You ask: "{question}" What is the child '
        "likely to reply?"
    ),
    Template("{options}\nUse your common sense to find the {role}. {premise}"),
    Template(
        "We know for certain that this took place: {premise} Its {role} has been lost from the "
        "record. Restore it."
    ),
    Template(
        "Everyday reasoning, item 1.\nWrite the sentence that stands to the one below as its "
        "{role}.\n{premise}"
    ),
    Template(
        "{premise}\nSome things that people tell you about this are sensible, others are not. Say "
        "the sensible thing, and keep in mind that I want to hear about the {role}."
    ),
    Template("The {role} of something was this: {answer} What was that something?", "{premise}"),
    Template('"{answer}" Think of an event that has this as its {role}.', "{premise}"),
)

PIQA = (
    Template("Goal: {goal}\nHow is it done?"),
    Template("I'd like some practical advice. What I have in mind is this: {goal}"),
    Template(
        "{goal}\n{options}\nOnly one way of going about it makes physical sense. Which way is that?"
    ),
    Template("Household tips, letters page.\nReader: {goal}\nEditor:"),
    Template(
        'A robot without any experience of the world has to deal with "{goal}". Give it an '
        "instruction that will not end in a mess."
    ),
    Template("Complete the entry of a handbook.\nTitle: {goal}\nMethod:"),
    Template(
        "Think about how real objects and materials behave before you settle on an approach. {goal}"
    ),
    Template("Someone does the following. What are they trying to achieve?\n{answer}", "{goal}"),
    Template("Give these instructions a title: {answer}", "{goal}"),
    Template('"{answer}" To which practical problem is that the solution?', "{goal}"),
)

SOCIAL_IQA = (
    Template("{context} {question}"),
    Template("{context}\nThink of how people feel and behave. {question}"),
    Template("Question: {question}\nScene: {context}\nAnswer:"),
    Template(
        "Below is a moment from somebody's life, and something that a reader wonders "
        "about.\nMoment: {context}\nReader: {question}\n{options}\nWhat is the likeliest answer?"
    ),
    Template(
        'Imagine you were there.\n\n{context}\n\nA bystander turns to you: "{question}" You answer:'
    ),
    Template(
        "Put yourself in their shoes and reply to the question that comes after the story. Story: "
        "{context} Question: {question}"
    ),
    Template("{question} To work that out, consider what went on: {context}"),
    Template('{context}\nThe reply was "{answer}". What had been asked?', "{question}"),
    Template(
        'Write a short scene with people in it, so that "{answer}" is a good reply to "{question}"',
        "{context}",
    ),
    Template(
        'For a worksheet on social skills, set an exercise on this scene whose solution is '
        '"{answer}".'
        "\n{context}",
        "{question}",
    ),
)
