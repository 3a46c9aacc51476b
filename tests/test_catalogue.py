"""The catalogue page: whole, escaped, self-contained, and readable without its script."""

import html.parser
import re

import browsed
import pytest

from flan_jax.data import browse, catalogue, catalogue_page, samples
from flan_jax.data.samples import Part
from flan_jax.data.tokenisation import CacheConfig

VOID = {"meta", "br", "wbr", "input"}


class Parser(html.parser.HTMLParser):
    """Checks that tags are balanced; collects them, their attributes and the text for readers."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    def values(self, name):
        return [value for _, found, value in self.attributes if found == name]


@pytest.fixture(scope="module")
def made(small_vocabulary, tmp_path_factory):
    """The page, its entries by name, and what the parser found in it."""
    folder = tmp_path_factory.mktemp("catalogue")
    with browsed.empty_registries():
        browsed.register("browsed", str(folder / "data"), small_vocabulary)
        lengths = CacheConfig(256, 512)
        said = catalogue.write("browsed", "browsed", lengths, f"file://{folder}/catalogue.html")
        entries = {one.name: one for one in catalogue.entries("browsed", "browsed", lengths)}
    assert "5 tasks, 4 of them with a row of the data" in said
    page = (folder / "catalogue.html").read_text(encoding="utf-8")
    return page, entries, Parser(page)


def text_of(parts):
    return "".join(part.text for part in parts)


def test_page_is_balanced_and_self_contained(made):
    page, _, parser = made
    assert not parser.open
    assert not re.search(r"https?://|//[\w.]+/|@import|url\(|<link|<iframe|<img", page)
    assert not parser.values("src")
    assert all(value.startswith("#") for value in parser.values("href"))
    assert parser.tags.count("script") == parser.tags.count("style") == 1


def test_everything_is_escaped(made):
    page, _, parser = made
    assert browsed.HOSTILE not in page and "<script>alert" not in page
    assert "<b>Read" not in page and "<i>first" not in page
    assert page.count("&lt;script&gt;alert") > 10
    text = "".join(parser.text)
    for shown in ("licence", "origin", "no"):  # read back as they were
        assert f"{shown} {browsed.HOSTILE}" in text
    assert "<i>first</i>" in text


def test_every_template_is_there(made):
    _, entries, parser = made
    text = "".join(parser.text)
    for declaration in browsed.DECLARATIONS:
        entry = entries[declaration.name]
        if entry.cluster == browse.DOCUMENTS:
            continue
        indices = [shown.template for shown in entry.templates]
        assert indices == list(range(len(declaration.templates)))
        for template, shown in zip(declaration.templates, entry.templates, strict=True):
            for words in re.split(r"\s*\{\w+\}\s*", template.inputs):
                assert words in text_of(shown.prompt)
            for words in re.split(r"\s*\{\w+\}\s*", template.targets):
                assert words in text_of(shown.target)
            assert text_of(shown.prompt) in text and text_of(shown.target) in text
            assert shown.turned_around == template.turned_around


def test_facts_of_a_task(made):
    _, entries, parser = made
    colors = entries["colors"]
    assert (colors.state, colors.splits) == ("local", {"train": 30, "validation": 5})
    assert colors.place.startswith("generated:color_row:seed=0 train:")
    assert colors.templates[0].answer in (0, 1, 2) and not colors.declared
    assert colors.templates[2].turned_around and not colors.templates[2].options
    text = "".join(parser.text)
    assert "train 30 · validation 5 rows" in text
    assert "zero_shot, zero_shot_no_options, few_shot, few_shot_no_options" in text
    assert "each also :rank and :generate" in text


def test_other_forms_and_solved_examples(made):
    page, entries, _ = made
    (few_shot,) = [one for one in entries["colors"].others if one.forms[0] == "few_shot"]
    solved = [part.text for part in few_shot.prompt if part.kind == samples.EXEMPLARS]
    assert len(solved) == 1 and solved[0].count("ANSWER: ") == 2
    assert f"<i>{solved[0]}</i>" in page
    plain = [one for one in entries["colors"].others if one.forms[0] == "zero_shot_no_options"]
    assert "OPTIONS" not in text_of(plain[0].prompt)


def test_a_missing_set_is_shown_by_its_declared_example(made):
    _, entries, parser = made
    absent = entries["absent"]
    assert (absent.state, absent.declared, absent.source) == ("missing", True, "")
    assert absent.splits == {"train": None, "test": None}
    assert text_of(absent.templates[0].prompt) == "Say yes:"
    assert "without solved examples" in absent.others[0].note
    assert "the declared example, not a row of the data" in "".join(parser.text)


def test_long_rows_lose_their_middle_and_what_is_cut_is_said(made):
    _, entries, _ = made
    first, second, turned = entries["hostile"].templates
    assert re.search(r" \[… [\d,]+ characters …\] ", text_of(first.prompt))
    assert len(text_of(second.prompt)) < 600 < len(text_of(first.prompt)) < 1100
    assert "tokens of the prompt are cut off" in first.note
    assert "left out of a cache" in turned.note
    short = (Part("short", samples.DATA),)
    assert catalogue._elided(short, 10) == short


def test_content_needs_no_script(made):
    page, entries, parser = made
    content = page[: page.index("<script>")]
    for entry in entries.values():
        assert f'id="{entry.name}"' in content
    assert content.count('class="shown template"') == sum(
        len(entry.templates) for entry in entries.values()
    )
    hidden = re.findall(r"<(\w+)[^>]* hidden>", content)
    assert hidden == ["p"]  # that no task fits
    assert ".filters { display: none; }" in page  # controls that would do nothing


def test_page_is_accessible(made):
    page, _, parser = made
    identifiers = parser.values("id")
    assert len(identifiers) == len(set(identifiers))
    assert {f"#{one}" for one in identifiers} >= set(parser.values("href"))
    controls = re.findall(r"<(?:select|input)\b", page)
    assert len(re.findall(r"<label[^>]*>\w+ <(?:select|input)\b", page)) == len(controls) == 5
    levels = [int(tag[1]) for tag in parser.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    assert 'name="viewport"' in page and '<html lang="en">' in page
    assert "prefers-color-scheme: dark" in page and "@media print" in page


def test_documents_show_what_counts(made):
    _, entries, _ = made
    (causal,) = [one for one in entries["weighted"].templates if "causal_lm" in one.forms]
    kinds = [part.kind for part in causal.target]
    assert kinds == [samples.DATA, samples.WORDING] and not causal.prompt


def test_script_names_only_what_the_page_has(made):
    page, _, parser = made
    script = page[page.index("<script>") :]
    named = set(re.findall(r'at\("(\w+)"\)', script))
    named |= set(re.findall(r'"(\w+)"', re.search(r"of \[(.*?)\]", script)[1]))
    assert named <= set(parser.values("id"))
    assert "eval(" not in script and "innerHTML" not in script
    data = {name for name in re.findall(r"dataset\.(\w+)", script)}
    assert data == {name[5:] for _, name, _ in parser.attributes if name.startswith("data-")}


def test_one_task_alone(small_vocabulary, tmp_path):
    with browsed.empty_registries():
        browsed.register("browsed", str(tmp_path), small_vocabulary)
        entries = catalogue.entries("colors", "browsed", CacheConfig(64, 64))
    page = catalogue_page.render("colors", entries, CacheConfig(64, 64))
    assert "1 task in 1 cluster, 3 templates (1 turned around)." in page
    assert "whose data is not here" not in page
