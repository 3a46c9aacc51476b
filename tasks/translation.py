"""Translation into English, and, through turned-around templates, out of it.

FLAN's code trains each pair of languages in both directions. Here the direction into English is
scored. The captions of photographs (Multi30k) belong to another collection.
"""

from flan_jax.data.declarations import task
from flan_jax.data.sources import ApartSource, first_of, huggingface, jsonl, tfds
from tasks.splits import PUBLISHED
from tasks.templates import translation as templates
from tasks.tidy import tidy

# ParaCrawl is published as one split. FLAN's code cuts the end off as here, and begins its
# training rows at the front; `[:-1200]` keeps the two apart in a small file too.
PARACRAWL = {
    "train": "train[:-1200][:30000]",
    "validation": "train[-1200:-1000]",
    "test": "train[-1000:]",
}

METRICS = ("bleu", "chrf")
LANGUAGES = {"en": "English", "de": "German", "fr": "French"}
EXAMPLE_DE = {"en": "A dog is asleep on a sofa.", "de": "Ein Hund schläft auf einem Sofa."}
EXAMPLE_FR = {"en": "Two boys fly a kite.", "fr": "Deux garçons font voler un cerf-volant."}
# One English caption of the training files is also in the validation split.
EN_DE = ApartSource(jsonl("multi30k_en_de"), text="en")
EN_FR = ApartSource(jsonl("multi30k_en_fr"), text="en")


def sides(row):
    """Gives a row TFDS's fields: on the hub, the two sides are under `translation`."""
    return row.get("translation", row)


def wmt(name, year, pair):
    """Sources of a shared task: TFDS's version is the one that FLAN's code used.

    The hub's rows stand corpus by corpus, so that the first 30,000 are of one corpus; TFDS mixes
    them. TFDS's Czech needs files fetched by hand (CzEng), which the hub's copy leaves out.
    """
    return first_of(
        jsonl(name, PUBLISHED, adapt=sides),
        tfds(f"wmt{year}_translate/{pair}:1.0.0", PUBLISHED),
        huggingface(f"wmt/wmt{year}", pair, PUBLISHED, adapt=sides),
    )


def into_english(row, code, language):
    # A side that is empty is counted as missing.
    return {language: tidy(row[code]) or None, "answer": tidy(row["en"])}


# What is on a web site is there more than once: no English text that is scored is trained on.
@task("para_crawl_enes", cluster="translation",
      source=first_of(ApartSource(jsonl("para_crawl_enes", PARACRAWL, adapt=sides), text="en"),
                      ApartSource(tfds("para_crawl/enes:1.2.0", PARACRAWL), text="en")),
      templates=templates.PARA_CRAWL_ENES, metrics=METRICS, licence="CC0 (ParaCrawl)",
      origins=("para_crawl",), example={
          "en": "Breakfast is served on the terrace from eight o'clock.",
          "es": "El desayuno se sirve en la terraza a partir de las ocho."})  # fmt: skip
def para_crawl_enes(row):
    return into_english(row, "es", "spanish")


@task("wmt14_enfr", cluster="translation", source=wmt("wmt14_enfr", 14, "fr-en"),
      templates=templates.WMT14_ENFR, metrics=METRICS, licence="research use (WMT)",
      origins=("europarl", "news_commentary", "wmt_common_crawl", "multi_un", "giga_fren",
               "newstest"), example={
          "en": "The committee will meet again after Easter.",
          "fr": "La commission se réunira de nouveau après Pâques."})  # fmt: skip
def wmt14_enfr(row):
    return into_english(row, "fr", "french")


# Of a newstest, much of the English is the same in all pairs.
@task("wmt16_csen", cluster="translation", source=wmt("wmt16_csen", 16, "cs-en"),
      templates=templates.WMT16_CSEN, metrics=METRICS, licence="research use (WMT)",
      origins=("europarl", "news_commentary", "wmt_common_crawl", "czeng", "newstest"), example={
          "en": "The tram to the main station is late today.",
          "cs": "Tramvaj na hlavní nádraží má dnes zpoždění."})  # fmt: skip
def wmt16_csen(row):
    return into_english(row, "cs", "czech")


@task("wmt16_deen", cluster="translation", source=wmt("wmt16_deen", 16, "de-en"),
      templates=templates.WMT16_DEEN, metrics=METRICS, licence="research use (WMT)",
      origins=("europarl", "news_commentary", "wmt_common_crawl", "newstest"), example={
          "en": "The mayor wants to have the old bridge repaired.",
          "de": "Die Bürgermeisterin will die alte Brücke ausbessern lassen."})  # fmt: skip
def wmt16_deen(row):
    return into_english(row, "de", "german")


@task("wmt16_fien", cluster="translation", source=wmt("wmt16_fien", 16, "fi-en"),
      templates=templates.WMT16_FIEN, metrics=METRICS, licence="research use (WMT)",
      origins=("europarl", "wiki_headlines", "newstest"), example={
          "en": "The lake froze over earlier than last winter.",
          "fi": "Järvi jäätyi aikaisemmin kuin viime talvena."})  # fmt: skip
def wmt16_fien(row):
    return into_english(row, "fi", "finnish")


@task("wmt16_roen", cluster="translation", source=wmt("wmt16_roen", 16, "ro-en"),
      templates=templates.WMT16_ROEN, metrics=METRICS, licence="research use (WMT)",
      origins=("europarl", "setimes", "newstest"), example={
          "en": "The new library will open its doors in September.",
          "ro": "Noua bibliotecă își va deschide porțile în septembrie."})  # fmt: skip
def wmt16_roen(row):
    return into_english(row, "ro", "romanian")


@task("wmt16_ruen", cluster="translation", source=wmt("wmt16_ruen", 16, "ru-en"),
      templates=templates.WMT16_RUEN, metrics=METRICS, licence="research use (WMT)",
      origins=("news_commentary", "wmt_common_crawl", "yandex_corpus", "wiki_headlines",
               "newstest"), example={
          "en": "The train stood at the border for two hours.",
          "ru": "Поезд два часа стоял на границе."})  # fmt: skip
def wmt16_ruen(row):
    return into_english(row, "ru", "russian")


@task("wmt16_tren", cluster="translation", source=wmt("wmt16_tren", 16, "tr-en"),
      templates=templates.WMT16_TREN, metrics=METRICS, licence="research use (WMT)",
      origins=("setimes", "newstest"), example={
          "en": "The price of tea has not changed for a year.",
          "tr": "Çayın fiyatı bir yıldır değişmedi."})  # fmt: skip
def wmt16_tren(row):
    return into_english(row, "tr", "turkish")


def caption(row, source, target):
    return {"text": tidy(row[source]), "from_language": LANGUAGES[source],
            "to_language": LANGUAGES[target], "answer": tidy(row[target])}  # fmt: skip


@task("multi30k_en_de", cluster="translation", source=EN_DE, templates=templates.CAPTIONS,
      metrics=METRICS, licence="CC BY-NC-SA 4.0 (Multi30k)",
      origins=("multi30k", "flickr30k"), example=EXAMPLE_DE)  # fmt: skip
def multi30k_en_de(row):
    return caption(row, "en", "de")


@task("multi30k_de_en", cluster="translation", source=EN_DE, templates=templates.CAPTIONS,
      metrics=METRICS, licence="CC BY-NC-SA 4.0 (Multi30k)",
      origins=("multi30k", "flickr30k"), example=EXAMPLE_DE)  # fmt: skip
def multi30k_de_en(row):
    return caption(row, "de", "en")


@task("multi30k_en_fr", cluster="translation", source=EN_FR, templates=templates.CAPTIONS,
      metrics=METRICS, licence="CC BY-NC-SA 4.0 (Multi30k)",
      origins=("multi30k", "flickr30k"), example=EXAMPLE_FR)  # fmt: skip
def multi30k_en_fr(row):
    return caption(row, "en", "fr")


@task("multi30k_fr_en", cluster="translation", source=EN_FR, templates=templates.CAPTIONS,
      metrics=METRICS, licence="CC BY-NC-SA 4.0 (Multi30k)",
      origins=("multi30k", "flickr30k"), example=EXAMPLE_FR)  # fmt: skip
def multi30k_fr_en(row):
    return caption(row, "fr", "en")
