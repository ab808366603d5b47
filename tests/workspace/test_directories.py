from __future__ import annotations

import contextlib
import itertools
import os
import threading

import pytest

from claude_nb_gateway.errors import InvalidRequest
from claude_nb_gateway.workspace import directories


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a/b", ["a", "b"]),
        ("", []),
        (".", []),
        ("a//b/", ["a", "b"]),
        ("é/ü", ["é", "ü"]),
    ],
)
def test_paths_below_the_root(path, names):
    assert directories.names_in(path) == names


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "a/../b",
        "/etc",
        "~root",
        "a\0b",
        "a\nb",
        ".ssh",
        "a/.git",
        "x" * 5000,
        "\ud800",
    ],
)
def test_other_paths_are_refused(path):
    with pytest.raises(InvalidRequest) as refused:
        directories.names_in(path)
    assert refused.value.param == "path"


@pytest.mark.parametrize("path", ["/" + "x" * 5000, "\x7f" * 5000, "a/" * 3000])
def test_length_of_a_path_is_looked_at_first(path):
    with pytest.raises(InvalidRequest, match="longer than 4096 bytes"):
        directories.names_in(path)


def test_hidden_directories_can_be_allowed():
    assert directories.names_in(".config", allow_hidden=True) == [".config"]
    with pytest.raises(InvalidRequest):
        directories.names_in("..", allow_hidden=True)


def test_what_is_missing_is_not_found(tmp_path):
    assert directories.find(str(tmp_path), ["nothing", "here"]) is None


def test_directories_are_made(tmp_path):
    place = directories.make(str(tmp_path), ["a", "b"])
    assert place == directories.find(str(tmp_path), ["a", "b"])
    assert (tmp_path / "a" / "b").is_dir()
    assert place.directory == str(tmp_path / "a" / "b")


@pytest.mark.parametrize("step", [directories.find, directories.make])
def test_links_are_not_followed(tmp_path, step):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(InvalidRequest, match="is a link"):
        step(str(root), ["link", "made"])
    assert not (tmp_path / "made").exists()


def test_file_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequest, match="not a directory"):
        directories.find(str(tmp_path), ["file"])


def test_long_name_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="too long"):
        directories.make(str(tmp_path), ["x" * 300])


def test_removal_leaves_what_links_lead_to(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    inside = tmp_path / "root" / "project"
    inside.mkdir(parents=True)
    (inside / "link").symlink_to(outside)
    (inside / "file").write_text("")
    root = str(tmp_path / "root")
    assert directories.count_files(root, ["project"]) == 1
    directories.remove(root, ["project"])
    assert not inside.exists()
    assert (outside / "kept").exists()


def test_directory_that_becomes_a_link_meanwhile_leads_nowhere(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "spot").mkdir(parents=True)
    outside.mkdir()
    over = threading.Event()

    def swap():
        for number in itertools.count():
            if over.is_set():
                return
            with contextlib.suppress(OSError):  # it was made anew just now
                os.rename(root / "spot", root / f"aside-{number}")
                os.symlink(outside, root / "spot")
                os.unlink(root / "spot")

    racer = threading.Thread(target=swap)
    racer.start()
    try:
        for number in range(500):
            try:
                directories.make(str(root), ["spot", f"made-{number}"])
            except (InvalidRequest, FileNotFoundError):
                continue
    finally:
        over.set()
        racer.join()
    assert os.listdir(outside) == []


def test_links_among_the_files_of_a_directory(tmp_path):
    place = directories.make(str(tmp_path), ["p"])
    assert not directories.links_among(place, ["CLAUDE.md"])
    (tmp_path / "p" / "CLAUDE.md").symlink_to("/etc/hostname")
    assert directories.links_among(place, ["CLAUDE.md"])
