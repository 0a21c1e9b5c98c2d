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


def changed(watched: Watched) -> bool:
    """Look twice: a change counts when it has settled."""
    watched.changed()
    return watched.changed()


def test_a_file_that_is_as_it_was_read_has_not_changed(file: Path) -> None:
    assert not changed(Watched([file]))


def test_a_file_that_was_edited_has_changed_until_it_is_read(file: Path) -> None:
    watched = Watched([file])
    file.write_text("services: [{}]\n")
    assert changed(watched)
    watched.read()
    assert not changed(watched)


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_has_changed(file: Path) -> None:
    watched = Watched([file])
    stamp = file.stat()
    other = file.with_suffix(".new")
    other.write_text("services: {}\n")
    os.utime(other, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    other.replace(file)
    assert changed(watched)


def test_a_file_that_appears_or_goes_has_changed(file: Path, tmp_path: Path) -> None:
    missing = tmp_path / "later.pem"
    watched = Watched([file, missing])
    assert not changed(watched)
    missing.write_text("now")
    assert changed(watched)
    watched.read()
    file.unlink()
    assert changed(watched)


def test_a_change_that_came_before_more_files_were_followed_is_still_seen(file: Path, tmp_path: Path) -> None:
    watched = Watched([file])
    file.write_text("services: [{}]\n")
    watched.follow([file, tmp_path / "key.pem"])
    assert changed(watched)


def test_a_file_that_is_no_longer_followed_does_not_matter(file: Path, tmp_path: Path) -> None:
    watched = Watched([file, tmp_path / "key.pem"])
    watched.follow([tmp_path / "key.pem"])
    file.unlink()
    assert not changed(watched)


def test_a_file_that_is_being_written_is_left_alone_until_that_is_done(file: Path) -> None:
    watched = Watched([file])
    for part in ("services:", "services: [{}", "services: [{}]\n"):
        file.write_text(part)
        assert not watched.changed()
    assert watched.changed()


def test_more_files_may_be_watched_beside_those_that_are(file: Path, tmp_path: Path) -> None:
    missing = tmp_path / "named.pem"
    watched = Watched([file])
    watched.follow_also([missing])
    assert not changed(watched)
    missing.write_text("now")
    assert changed(watched)
    watched.read()
    file.write_text("services: [{}]\n")
    assert changed(watched)
