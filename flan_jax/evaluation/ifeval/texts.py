"""Words, sentences and the language of a text, found without a network and always alike.

The authors' program takes NLTK's trained Punkt model for sentences, which is a download. Here
Punkt's algorithm (Kiss and Strunk, 2006) runs with that model's English abbreviations and words
that begin sentences, and without its table of how each word is capitalised. The count may differ
where a full stop behind an abbreviation or initial ("at 5 p.m. The") also ends a sentence, and
nowhere else.
"""

import functools
import re
from pathlib import Path

# The model's lists: nltk_data, tokenizers/punkt_tab/english, abbrev_types.txt and
# sent_starters.txt; trained on the Wall Street Journal.
_ABBREVIATIONS = """
a.a a.c a.d a.g a.h a.m a.m.e a.s a.t adm ala ariz aug ave b.f b.v bros c c.i.t c.o.m.b c.v calif
chg cie co col colo conn corp cos ct d d.c d.h d.w dec dr e e.f e.h e.l e.m f f.g f.j feb fla fri ft
g g.d g.f g.k ga gen h h.c h.f h.m i.m.s ill inc j.b j.c j.j j.k j.p j.r jan jr k kan ky l l.a l.f
l.p lt ltd m m.b.a m.d.c m.j maj messrs mg mich minn mr mrs ms n n.c n.d n.h n.j n.m n.v n.y nev nov
oct ok okla ore p p.a.m p.m pa ph.d prof r r.a r.h r.i r.j r.k r.t rep reps s s.a s.a.y s.c s.g
s.p.a s.s sen sep sept sr st sw t t.j tenn tues u.k u.n u.s u.s.a u.s.s.r v va vs vt w w.c w.r w.va
w.w wash wed wis yr
"""
_SENTENCE_STARTERS = """
according although among and both but despite even he however i if in indeed instead it many
meanwhile moreover most nevertheless nonetheless nor sales separately similarly since so some the
there these they this though thus under when while yet
"""
_WORD = re.compile(r"\w+")
_SEED = 0


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores: `words("It's 5.")` is `["It", "s", "5"]`."""
    return _WORD.findall(text)


def sentences(text: str) -> list[str]:
    """The sentences of a text: `sentences("Mr. Ash left. Why?")` has two."""
    return _sentence_tokenizer().tokenize(text)


@functools.cache
def _sentence_tokenizer():
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer  # takes two seconds

    parameters = PunktParameters()
    parameters.abbrev_types = set(_ABBREVIATIONS.split())
    parameters.sent_starters = set(_SENTENCE_STARTERS.split())
    return PunktSentenceTokenizer(parameters)


def tokens(text: str) -> list[str]:
    """Words and marks as the Penn Treebank cuts them: `tokens("It's 5.")` has four."""
    tokenizer = _word_tokenizer()
    return [token for sentence in sentences(text) for token in tokenizer.tokenize(sentence)]


@functools.cache
def _word_tokenizer():
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()


def language(text: str) -> str | None:
    """The code of the language that a text is most likely in, None where nothing shows it.

    Found by langdetect, as in the authors' program, but with a seed: langdetect draws at random,
    and says otherwise of one short text from one time to the next.
    """
    from langdetect.lang_detect_exception import LangDetectException

    detector = _language_detectors().create()
    detector.append(text)
    try:
        return detector.detect()
    except LangDetectException:
        return None


@functools.cache
def _language_detectors():
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory

    factory = DetectorFactory()
    factory.set_seed(_SEED)
    # In one order on every machine, which decides between languages that are equally likely.
    profiles = sorted(Path(PROFILES_DIRECTORY).iterdir())
    factory.load_json_profile([path.read_text(encoding="utf-8") for path in profiles])
    return factory
