"""Local and remote paths, and staging, on fsspec's in-memory file system."""

import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import zlib

import fsspec
import pytest
from make_cache import random_examples, write_cache, write_mixture

from flan_jax import storage
from flan_jax.data import feed, store
from flan_jax.storage import RemotePath, StorageError


@pytest.fixture(autouse=True)
def memory():
    """An empty in-memory file system."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    return system


def test_local_paths(tmp_path):
    path = storage.path(tmp_path) / "a.txt"
    path.write_text("hello")
    assert storage.path(str(path)).read_text() == "hello"
    assert str(storage.path("~")) == os.path.expanduser("~")
    assert not storage.is_remote(path)


def test_remote_paths_work_like_local_ones():
    folder = storage.path("memory://bucket/folder")
    assert storage.is_remote(folder) and storage.path(folder) is folder
    assert not folder.exists()
    folder.mkdir(parents=True)
    (folder / "b.txt").write_bytes(b"B")
    (folder / "a" / "c.bin").write_bytes(b"C")
    assert folder.is_dir() and (folder / "b.txt").exists()
    files = {name: (folder / name).is_file() for name in ("b.txt", "a", "none")}
    assert files == {"b.txt": True, "a": False, "none": False}
    assert [str(path) for path in folder.iterdir()] == [
        "memory://bucket/folder/a",
        "memory://bucket/folder/b.txt",
    ]
    assert (folder / "b.txt").name == "b.txt"
    assert (folder / "b.txt").parent == folder
    with (folder / "b.txt").open() as file:
        assert file.read() == "B"
    assert (folder / "a" / "c.bin").read_bytes() == b"C"
    with pytest.raises(FileExistsError, match="memory://bucket/folder exists"):
        folder.mkdir()
    (folder / "b.txt").unlink()
    with pytest.raises(FileNotFoundError):
        (folder / "b.txt").read_text()
    folder.rmtree()
    assert not folder.exists()


def test_urls_keep_their_scheme():
    assert str(storage.path("gs://bucket/a") / "b" / "c") == "gs://bucket/a/b/c"
    assert str(storage.path("gs://bucket/a/b").parent) == "gs://bucket/a"
    assert os.fspath(RemotePath("gs://bucket//a/../b")) == "gs://bucket/b"


def test_a_missing_package_is_named():
    with pytest.raises(StorageError, match="nosuch:// paths cannot be opened"):
        storage.path("nosuch://a").exists()
    try:
        import gcsfs  # noqa: F401
    except ImportError:
        with pytest.raises(StorageError, match="install gcsfs"):
            storage.path("gs://bucket/a").exists()


def test_google_paths_never_load_tensorflow():
    program = textwrap.dedent("""
        import sys
        from etils import epath
        from flan_jax import storage
        for path in (storage.path("gs://bucket/a"), epath.Path("gs://bucket/a")):
            try:
                path.exists()
            except Exception as error:
                pass
        print("tensorflow" in sys.modules)
    """)
    # Without credentials or gcsfs nothing is reached; only what is imported matters.
    environment = os.environ | {"GCE_METADATA_HOST": "127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.stdout.strip() == "False", done.stderr


def test_writes_are_atomic(tmp_path):
    storage.write_atomically(tmp_path / "a.json", b"1")
    storage.write_atomically(tmp_path / "a.json", b"2")
    assert os.listdir(tmp_path) == ["a.json"]
    storage.write_atomically("memory://a.json", b"3")
    assert storage.path("memory://a.json").read_bytes() == b"3"


def test_other_errors_pass_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError):
        with storage.disk_full_explained(tmp_path):
            open(tmp_path / "none")


def uploaded(tmp_path, name="cache", seed=0):
    write_cache(tmp_path / name, random_examples(seed, 40))
    storage.upload(tmp_path / name, f"memory://bucket/{name}")
    return f"memory://bucket/{name}"


def test_a_remote_mixture_feeds(tmp_path):
    uploaded(tmp_path, "a", 0), uploaded(tmp_path, "b", 1)
    local = write_mixture(tmp_path / "m.json", {"a": 1.0, "b": 2.0})
    storage.path("memory://bucket/m.json").write_bytes((tmp_path / "m.json").read_bytes())
    config = feed.FeedConfig(16, 8, 4, window=30)
    here = next(feed.batches(feed.open_mixture(local), config, seed=0))[0]
    mixture = feed.open_mixture("memory://bucket/m.json", stage_dir=str(tmp_path / "stage"))
    there = next(feed.batches(mixture, config, seed=0))[0]
    assert here.decoder_targets.tolist() == there.decoder_targets.tolist()


def test_staging_copies_once(tmp_path, memory):
    remote = uploaded(tmp_path)
    first = storage.stage(remote, tmp_path / "stage")
    memory.store["/bucket/cache/data-00000.arrow"].seek(0)
    memory.rm("/bucket/cache/data-00000.arrow")  # not needed any more
    assert storage.stage(remote, tmp_path / "stage") == first
    store.open_cache(first).verify()


def test_staging_follows_a_rebuilt_cache(tmp_path):
    uploaded(tmp_path)
    first = storage.stage("memory://bucket/cache", tmp_path / "stage")
    (tmp_path / "other").mkdir()
    uploaded(tmp_path / "other", seed=5)
    second = storage.stage("memory://bucket/cache", tmp_path / "stage")
    assert first != second
    store.open_cache(second).verify()


def test_local_folders_are_used_as_they_are(tmp_path):
    assert storage.stage(tmp_path, tmp_path / "stage") == storage.path(tmp_path)


def test_damaged_remote_files_are_refused(tmp_path):
    remote = uploaded(tmp_path)
    data = storage.path(remote) / "data-00000.arrow"
    content = bytearray(data.read_bytes())
    content[200] ^= 1
    data.write_bytes(bytes(content))
    with pytest.raises(StorageError, match=r"data-00000.arrow came with .* its manifest says"):
        storage.stage(remote, tmp_path / "stage")
    assert [name for name in os.listdir(tmp_path / "stage") if not name.startswith(".")] == []


def test_a_folder_without_manifest_is_no_cache():
    storage.path("memory://bucket/half/data-00000.arrow").write_bytes(b"x")
    with pytest.raises(StorageError, match="has no manifest.json: it is no complete cache"):
        storage.stage("memory://bucket/half", "/nonexistent")


def test_leftovers_of_a_killed_staging_are_replaced(tmp_path):
    remote = uploaded(tmp_path)
    target = storage.stage(remote, tmp_path / "stage")
    target.rmtree()
    left = tmp_path / "stage" / f".{target.name}.part"
    left.mkdir()
    (left / "data-00000.arrow").write_bytes(b"half")
    assert storage.stage(remote, tmp_path / "stage") == target
    store.open_cache(target).verify()
    assert not left.exists()


def test_concurrent_stagings_end_with_one_folder(tmp_path):
    remote = uploaded(tmp_path)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(storage.stage(remote, tmp_path / "stage")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6 and len(set(map(str, found))) == 1
    store.open_cache(found[0]).verify()


def _hold(folder, ready):
    with storage.locked(folder, "x"):
        ready.set()
        threading.Event().wait()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(str(tmp_path), ready))
    process.start()
    assert ready.wait(30)
    process.kill()
    process.join()
    with storage.locked(tmp_path, "x"):
        pass


def test_the_manifest_lists_every_file(tmp_path):
    manifest = write_cache(tmp_path / "cache", random_examples(0, 4))
    for entry in manifest["files"]:
        content = (tmp_path / "cache" / entry["name"]).read_bytes()
        assert (len(content), zlib.crc32(content)) == (entry["size"], entry["crc32"])
    names = {entry["name"] for entry in manifest["files"]} | {storage.MANIFEST}
    assert names == set(os.listdir(tmp_path / "cache"))
    assert json.loads((tmp_path / "cache" / "manifest.json").read_text()) == manifest
