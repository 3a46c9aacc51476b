"""Archives are unpacked whole, inside their folder, or not at all."""

import io
import tarfile
import zipfile

import pytest

from flan_jax import archives


def _zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def _tar(path, members, **special):
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in special.items():
                setattr(info, key, value)
            file.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("make, name", [(_zip, "a.zip"), (_tar, "a.tar.gz")])
def test_files_and_folders_arrive_without_the_folder_around_them(tmp_path, make, name):
    members = {"repo-main/tasks/one.json": b"{}", "repo-main/README": b"text"}
    target = archives.unpack(make(tmp_path / name, members), tmp_path / "out" / "clone")
    assert (target / "tasks" / "one.json").read_bytes() == b"{}"
    assert (target / "README").read_bytes() == b"text"
    assert sorted(path.name for path in target.parent.iterdir()) == ["clone"]
    flat = make(tmp_path / f"flat-{name}", {"x.json": b"1", "y.json": b"2"})
    assert len(list(archives.unpack(flat, tmp_path / "flat").iterdir())) == 2
    with pytest.raises(FileExistsError, match="name another folder"):
        archives.unpack(flat, tmp_path / "flat")


@pytest.mark.parametrize("make, ending", [(_zip, "zip"), (_tar, "tar.gz")])
@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "..\\x", "C:/x"])
def test_members_that_lead_outside_are_refused(tmp_path, make, ending, name):
    bad = make(tmp_path / f"bad.{ending}", {"fine": b"1", name: b"2"})
    with pytest.raises(archives.ArchiveError, match=r"bad\.\S+: member .* outside the folder"):
        archives.unpack(bad, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == [bad.name]


def test_remote_paths_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a folder `memory:` would be made
    local = _zip(tmp_path / "a.zip", {"x.json": b"1"})
    for paths in ((local, "memory://bucket/out"), ("memory://bucket/a.zip", tmp_path / "out")):
        with pytest.raises(archives.ArchiveError, match="memory://.*: expected a local path"):
            archives.unpack(*paths)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_links_and_devices_are_refused(tmp_path):
    link = _tar(tmp_path / "link.tar.gz", {"a": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd")
    with pytest.raises(archives.ArchiveError, match="member 'a' is a link or a device"):
        archives.unpack(link, tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        info = zipfile.ZipInfo("a")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    with pytest.raises(archives.ArchiveError, match="member 'a' is a link"):
        archives.unpack(tmp_path / "link.zip", tmp_path / "out")


def test_bombs_and_broken_archives_are_refused(tmp_path):
    with pytest.raises(archives.ArchiveError, match="would become 50,000,000; nothing was"):
        archives.unpack(_zip(tmp_path / "bomb.zip", {"zeros": bytes(50_000_000)}), tmp_path / "out")
    whole = _tar(tmp_path / "whole.tar.gz", {"a": bytes(range(256)) * 400}).read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(archives.ArchiveError, match="half.tar.gz: broken archive"):
        archives.unpack(tmp_path / "half.tar.gz", tmp_path / "out")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(archives.ArchiveError, match="expected a zip or tar archive, and it is n"):
        archives.unpack(tmp_path / "text.zip", tmp_path / "out")
    with pytest.raises(archives.ArchiveError, match="does not exist"):
        archives.unpack(tmp_path / "none.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()
