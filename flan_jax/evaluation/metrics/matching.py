"""Whether a prediction is one of the right answers, and how many of its words are right."""

import collections
import re
import string
import unicodedata
from collections.abc import Callable, Sequence

from flan_jax.evaluation.metrics.metric import mean_of

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
# TriviaQA's script has four more quotes, and puts a blank for each mark and for an underscore.
_BLANKS_FOR_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))
# What ReCoRD's queries have in the place of the answer.
GAP = "@placeholder"

Normalise = Callable[[str], str]


def accuracy(prediction: str, references: Sequence[str]) -> float:
    """1.0 where the prediction is one of the references, surrounding blanks aside, else 0.0.

    Args:
      prediction: a generated answer or the text of the option that was chosen.
      references: the acceptable answers.
    """
    return float(prediction.strip() in {reference.strip() for reference in references})


def answered(prediction: str, references: Sequence[str]) -> float:
    """1.0 where there is any text, whatever the references are: `answered("Gladly!", [])` is 1."""
    return float(bool(prediction.strip()))


def normalise_answer(text: str) -> str:
    """The text in lower case without punctuation, English articles and repeated blanks.

    This is the normalisation of the SQuAD evaluation (Rajpurkar et al., 2016, section 6.1).
    `normalise_answer("The  Cat's hat.")` is `"cats hat"`.
    """
    return _without_articles(text.lower().translate(_WITHOUT_PUNCTUATION))


def normalise_trivia_qa(text: str) -> str:
    """As `normalise_answer`, with a blank in the place of each mark: TriviaQA's script's rule.

    `normalise_trivia_qa("The_Cat’s hat.")` is `"cat s hat"` (mandarjoshi90/triviaqa,
    evaluation/triviaqa_evaluation.py).
    """
    return _without_articles(text.lower().translate(_BLANKS_FOR_PUNCTUATION))


def normalise_natural_questions(text: str) -> str:
    """As `normalise_answer`, with letters and their accents taken apart first.

    `normalise_natural_questions("Café")` has five characters, however the é was written: the rule
    of the open-domain Natural Questions (Lee et al., 2019; google-research/language,
    language/orqa/utils/eval_utils.py).
    """
    return normalise_answer(unicodedata.normalize("NFD", text))


def _without_articles(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text).split())


def _without_punctuation(text: str) -> str:
    return " ".join(text.lower().translate(_WITHOUT_PUNCTUATION).split())


def _matches(prediction: str, references: Sequence[str], normalise: Normalise) -> float:
    normalised = normalise(prediction)
    return float(any(normalised == normalise(reference) for reference in references))


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1.0 where the normalised prediction equals a normalised reference, else 0.0.

    `exact_match("The cat.", ["a cat", "dog"])` is 1.0.
    """
    return _matches(prediction, references, normalise_answer)


def exact_match_articles(prediction: str, references: Sequence[str]) -> float:
    """As `exact_match`, but articles stay: the rule of Super-NaturalInstructions.

    `exact_match_articles("The cat.", ["a cat"])` is 0.0 (Wang et al., 2022; eval/automatic/
    evaluation.py of allenai/natural-instructions).
    """
    return _matches(prediction, references, _without_punctuation)


def trivia_qa_exact_match(prediction: str, references: Sequence[str]) -> float:
    """As `exact_match` under TriviaQA's normalisation (Joshi et al., 2017); references are aliases.

    `trivia_qa_exact_match("Hong-Kong", ["hong kong"])` is 1.0.
    """
    return _matches(prediction, references, normalise_trivia_qa)


def natural_questions_exact_match(prediction: str, references: Sequence[str]) -> float:
    """As `exact_match` under the normalisation of the open-domain Natural Questions.

    `natural_questions_exact_match("Cafe\\u0301", ["café"])` is 1.0.
    """
    return _matches(prediction, references, normalise_natural_questions)


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """The best F1 over references of the bags of normalised words (Rajpurkar et al., 2016).

    `token_f1("a red cat", ["the red dog", "bird"])` is 0.5: one of two words is shared. Where one
    side has no words left, the score is 1.0 if neither has any and 0.0 otherwise (SQuAD 2.0).
    """
    pairs = ((normalise_answer(prediction), normalise_answer(one)) for one in references)
    return max((_words_f1(*pair) for pair in pairs), default=0.0)


def trivia_qa_f1(prediction: str, references: Sequence[str]) -> float:
    """As `token_f1` under TriviaQA's normalisation; without words the score is 0.0, as there.

    `trivia_qa_f1("Hong-Kong island", ["hong kong"])` is 0.8.
    """
    pairs = ((normalise_trivia_qa(prediction), normalise_trivia_qa(one)) for one in references)
    return max((_words_f1(*pair) for pair in pairs if pair[0]), default=0.0)


def _words_f1(prediction: str, reference: str) -> float:
    predicted, expected = prediction.split(), reference.split()
    if not predicted or not expected:
        return float(predicted == expected)
    shared = (collections.Counter(predicted) & collections.Counter(expected)).total()
    return 2.0 * shared / (len(predicted) + len(expected))


def record_exact_match(prediction: str, references: Sequence[str]) -> float:
    """As `exact_match` of what fills ReCoRD's gap (Zhang et al., 2018, section 5).

    Args:
      prediction: the entity, or the sentence that a template put it into.
      references: right answers put into the same words, and among them those words around
        `@placeholder`: `record_exact_match("Ida said so.", ["Ida said so.", "@placeholder said
        so."])` is 1.0.
    """
    return exact_match(*_fillings(prediction, references))


def record_f1(prediction: str, references: Sequence[str]) -> float:
    """As `token_f1` of what fills ReCoRD's gap; arguments as of `record_exact_match`.

    `record_f1("Ida Holm said so.", ["Ida said so.", "@placeholder said so."])` is 2/3: the words
    around the gap do not count.
    """
    return token_f1(*_fillings(prediction, references))


def _fillings(prediction: str, references: Sequence[str]) -> tuple[str, list[str]]:
    frame = next((one for one in references if GAP in one), GAP)
    before, _, after = frame.partition(GAP)
    answers = [one for one in references if GAP not in one]
    texts = [one.removeprefix(before).removesuffix(after) for one in (prediction, *answers)]
    return texts[0], texts[1:]


METRICS = tuple(
    map(
        mean_of,
        (
            accuracy,
            answered,
            exact_match,
            exact_match_articles,
            trivia_qa_exact_match,
            natural_questions_exact_match,
            token_f1,
            trivia_qa_f1,
            record_exact_match,
            record_f1,
        ),
    )
)
