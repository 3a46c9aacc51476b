"""Every kind of source gives on a URL what it gives on a local folder."""

import gzip
import json

import benchmark_files
import fsspec
import pytest

from flan_jax.data import natural_instructions, natural_instructions_index
from flan_jax.data.chats import from_file
from flan_jax.data.promptsource import read_templates
from flan_jax.data.sources import jsonl, text_lines
from flan_jax.data.sources.big_bench_hard import BigBenchHardSource
from flan_jax.data.sources.json_files import json_file
from flan_jax.data.sources.protocol import LOCAL, MISSING
from flan_jax.data.sources.tables import csv_table
from flan_jax.data.task_modules import T5_VOCABULARY
from tasks.mini import vocabulary as mini
from tasks.vocabulary import default_vocabulary

NIV2 = "task001_sum"
MMLU = f"mmlu/data/{{split}}/{benchmark_files.MMLU_SUBJECT}_{{split}}.csv"
SOURCES = {
    "json lines": (jsonl("rows"), "train"),
    "text": (text_lines("rows", splits=("test",)), "test"),
    "csv": (csv_table(MMLU, "qabcdr", splits=("dev", "test")), "test"),
    "BIG-Bench Hard": (BigBenchHardSource(benchmark_files.BBH_TASK), "test"),
    "NIv2": (
        natural_instructions.NaturalInstructionsSource(NIV2, "train", "natural-instructions"),
        "train",
    ),
}


@pytest.fixture(scope="module", params=["memory", "file"])
def folders(request, tmp_path_factory):
    """A local folder, and the URL of its copy."""
    local = tmp_path_factory.mktemp("data")
    benchmark_files.write_mmlu(local)
    benchmark_files.write_bbh(local)
    (local / "rows").mkdir()
    lines = [json.dumps({"instruction": f"add {n}", "output": str(n)}) for n in range(5)]
    (local / "rows" / "train.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (local / "rows" / "chats.json").write_text(f"[{','.join(lines)}]")
    (local / "rows" / "test.txt").write_text("one\n\ntwo\n")
    clone = local / "natural-instructions"
    for name in ("tasks", "splits/default"):
        (clone / name).mkdir(parents=True)
    task = {"Definition": ["Add."], "Instances": [{"id": "1", "input": "1 1", "output": ["2"]}]}
    (clone / "tasks" / f"{NIV2}.json").write_text(json.dumps(task))
    (clone / "splits" / "default" / "test_tasks.txt").write_text(f"{NIV2}\n")
    templates = local / "templates" / "rte"
    templates.mkdir(parents=True)
    (templates / "templates.yaml").write_text(
        "dataset: rte\ntemplates:\n  1:\n    name: a\n    jinja: '{{premise}} ||| {{label}}'\n"
    )
    (local / "tokenizers").mkdir()
    (local / "tokenizers" / "t5_spiece.model").write_bytes(mini.PATH.read_bytes())
    if request.param == "file":
        return str(local), f"file://{local}"
    fsspec.filesystem("memory").put(f"{local}/", "memory://remote_data/", recursive=True)
    return str(local), "memory://remote_data"


@pytest.mark.parametrize("kind", SOURCES)
def test_sources_read_urls(folders, kind):
    source, split = SOURCES[kind]
    local, url = folders
    rows = list(source.rows(split, local))
    assert rows and list(source.rows(split, url)) == rows
    assert source.num_examples(split, url) == len(rows)
    assert source.fingerprint(split, url) == source.fingerprint(split, local)
    assert source.locate(split, 0, url) == source.locate(split, 0, local).replace(local, url)
    assert source.availability(url).state == LOCAL
    assert source.availability(f"{url}/none").state == MISSING
    with pytest.raises(FileNotFoundError):
        list(source.rows(split, f"{url}/none"))


def test_files_and_clones_on_urls(folders):
    local, url = folders
    rows = list(json_file(f"{local}/rows/chats.json").rows("train", None))
    assert list(json_file(f"{url}/rows/chats.json").rows("train", None)) == rows
    declared = from_file(f"{url}/rows/chats.json", name="remote_chats")
    assert declared.source.version == f"json:{url}/rows/chats.json"
    for place in folders:
        folder = natural_instructions_index.find(place)
        (entry,) = natural_instructions_index.entries(place, folder)
        assert (folder, entry.split) == ("natural-instructions", "test")
    assert read_templates(f"{url}/templates") == read_templates(f"{local}/templates")


def test_the_vocabulary_of_a_remote_data_folder_is_preferred(folders):
    for place in folders:
        assert default_vocabulary(place).path == f"{place}/tokenizers/t5_spiece.model"
    assert default_vocabulary(f"{folders[1]}/none").path == T5_VOCABULARY
