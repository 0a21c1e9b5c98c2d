"""A configuration is read again when one of its files is no longer what was read."""

import os
from pathlib import Path

import pytest

from activator.watched import Watched


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "edge.yaml"
    path.write_text("services: []\n")
    return path


def test_a_file_that_is_as_it_was_read_has_not_changed(file: Path) -> None:
    assert not Watched([file]).changed()


def test_a_file_that_was_edited_has_changed_until_it_is_read(file: Path) -> None:
    watched = Watched([file])
    file.write_text("services: [{}]\n")
    assert watched.changed()
    watched.read()
    assert not watched.changed()


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_has_changed(file: Path) -> None:
    watched = Watched([file])
    stamp = file.stat()
    other = file.with_suffix(".new")
    other.write_text("services: {}\n")
    os.utime(other, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    other.replace(file)
    assert watched.changed()


def test_a_file_that_appears_or_goes_has_changed(file: Path, tmp_path: Path) -> None:
    missing = tmp_path / "later.pem"
    watched = Watched([file, missing])
    assert not watched.changed()
    missing.write_text("now")
    assert watched.changed()
    watched.read()
    file.unlink()
    assert watched.changed()


def test_a_change_that_came_before_more_files_were_followed_is_still_seen(file: Path, tmp_path: Path) -> None:
    watched = Watched([file])
    file.write_text("services: [{}]\n")
    watched.follow([file, tmp_path / "key.pem"])
    assert watched.changed()


def test_a_file_that_is_no_longer_followed_does_not_matter(file: Path, tmp_path: Path) -> None:
    watched = Watched([file, tmp_path / "key.pem"])
    watched.follow([tmp_path / "key.pem"])
    file.unlink()
    assert not watched.changed()
