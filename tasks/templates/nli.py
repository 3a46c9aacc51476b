"""Templates of natural language inference."""

from flan_jax.data.templates import Template

RTE = (
    Template(
        "{premise}\n\nGoing by this text alone, does the claim below hold?\nClaim: {hypothesis}"
    ),
    Template("Suppose I told you: {premise}\nWould you then be sure of this? {hypothesis}"),
    Template("Text: {premise}\nStatement: {hypothesis}\n{options}\nStatement supported by text?"),
    Template(
        "An editor may print a claim only if her source backs it.\nSource: {premise}\n"
        "Claim: {hypothesis}\nMay she print it?"
    ),
    Template(
        "{hypothesis}\n\nSomeone drew this conclusion after reading a single report. Here is the "
        "report.\n{premise}\nWas the conclusion justified?"
    ),
    Template(
        'Yes or no: a careful reader of "{premise}" comes away knowing what is said next. '
        '"{hypothesis}"'
    ),
    Template("Entailment check. Passage: {premise} Conclusion: {hypothesis} Result:"),
    Template("Give me one sentence that {relation} this passage.\n{premise}", "{hypothesis}"),
    Template(
        'Make up a news item. The sentence "{hypothesis}" should be one that {relation} it.',
        "{premise}",
    ),
    Template(
        "Invent an exercise for a logic class: first a passage, then a statement that {relation} "
        "it.",
        "Passage: {premise}\nStatement: {hypothesis}",
    ),
)

CB = (
    Template("{premise}\n\nJudging from what was said, is it so that {hypothesis}?"),
    Template(
        "Here is a bit of talk or writing.\n{premise}\nDoes the author believe that {hypothesis}?"
    ),
    Template(
        "Claim: {hypothesis}\nExtract: {premise}\nAnswer yes if the extract bears the claim out, "
        "no if it rules the claim out, and unclear if it does neither."
    ),
    Template(
        "You overhear this: {premise}\nA friend wants to know whether {hypothesis}. What do you "
        "tell the friend?"
    ),
    Template(
        "{options}\nReply in a word. Would the last person to speak agree that {hypothesis}?\n"
        "{premise}"
    ),
    Template(
        'Context: "{premise}" Would it be fair to report the speaker as saying "{hypothesis}"?'
    ),
    Template("True? {hypothesis}\nEvidence: {premise}"),
    Template(
        "From the desk of a fact checker.\nQuoted material: {premise}\nPoint in question: "
        "{hypothesis}\nVerdict:"
    ),
    Template("Write a few lines in which somebody {stance} {hypothesis}.", "{premise}"),
    Template(
        "{premise}\n\nFinish this sentence about the lines above: the person talking {stance} ...",
        "{hypothesis}",
    ),
)

MNLI = (
    Template("Take this as given: {premise}\nIs the following then true as well? {hypothesis}"),
    Template(
        "First sentence: {premise}\nSecond sentence: {hypothesis}\nCan the second be inferred from "
        "the first?"
    ),
    Template(
        "{hypothesis}\n\nCould you say that with certainty if all you knew was this?\n{premise}"
    ),
    Template(
        "Two witnesses were heard.\nA: {premise}\nB: {hypothesis}\n{options}\nDoes A's account "
        "bear out B's?"
    ),
    Template('I was told: "{premise}" So I said: "{hypothesis}" Was I right?'),
    Template("Inference puzzle. Known: {premise} Asked: {hypothesis} Answer:"),
    Template(
        'A colleague who has seen nothing but the line "{premise}" puts in her summary: '
        '"{hypothesis}" Tell me whether the summary is faithful, or whether one simply cannot know.'
    ),
    Template(
        "Assume that the sentence below is true. Now write one that {status}.\n{premise}",
        "{hypothesis}",
    ),
    Template(
        'Supply some background that makes "{hypothesis}" a statement that {status}.', "{premise}"
    ),
    Template(
        "Write a pair of sentences. The second, given the first, {status}.",
        "1. {premise} 2. {hypothesis}",
    ),
)
