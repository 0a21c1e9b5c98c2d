from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from activator import state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any


def save(directory: Path, revisions: Mapping[str, Any], wall: float) -> None:
    state.write_json(directory / state.FILE, state.written(revisions, wall))


def test_what_was_saved_is_loaded_with_its_age(tmp_path: Path) -> None:
    save(tmp_path, {"m-1": {"desired": 2}}, wall=100.0)
    assert state.load(tmp_path, wall=107.5) == state.Saved({"m-1": {"desired": 2}}, 7.5)


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert state.load(tmp_path, wall=100.0) == state.Saved({}, 0.0)


def test_the_directory_is_made(tmp_path: Path) -> None:
    save(tmp_path / "a" / "b", {}, wall=0.0)
    assert (tmp_path / "a" / "b" / state.FILE).exists()


def test_a_clock_that_was_set_back_gives_no_negative_age(tmp_path: Path) -> None:
    save(tmp_path, {}, wall=100.0)
    assert state.load(tmp_path, wall=40.0).age == 0.0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read"),
        (b'{"version": 1, "saved_at"', "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"[]", "damaged"),
        (b'{"version": 1, "revisions": {}}', "damaged"),
        (b'{"version": 1, "revisions": 3, "saved_at": 1}', "damaged"),
        (b'{"version": 1, "revisions": {}, "saved_at": "noon"}', "damaged"),
        (b'{"version": 1, "revisions": {}, "saved_at": NaN}', "damaged"),
        (b'{"version": 2, "revisions": {}, "saved_at": 1}', "version 2 is not 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_that_names_it(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / state.FILE
    path.write_bytes(content)
    with pytest.raises(state.StateError, match=words) as error:
        state.load(tmp_path, wall=100.0)
    assert str(path) in str(error.value)


def test_a_file_that_cannot_be_used_is_set_aside_and_kept(tmp_path: Path) -> None:
    path = tmp_path / state.FILE
    path.write_text("broken")
    aside = state.set_aside(path)
    assert aside is not None
    assert aside.read_text() == "broken"
    assert state.load(tmp_path, wall=1.0) == state.Saved({}, 0.0)
    assert state.set_aside(path) is None


def test_one_that_is_set_aside_takes_the_place_of_no_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / state.FILE
    for content in ("one", "two", "three"):
        path.write_text(content)
        state.set_aside(path)
    assert {each.read_text() for each in tmp_path.iterdir()} == {"one", "two", "three"}


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    state.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        state.write_json(path, {"a": ["x" * 100_000, object()]})
    assert state.read_json(path) == {"a": 1}


def test_a_reader_sees_the_old_or_the_new_file_never_a_part(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    state.write_json(path, {"values": [0] * 5000})
    done = threading.Event()

    def write() -> None:
        for number in range(30):
            state.write_json(path, {"values": [number] * 5000})
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set() or reads == 0:
        values = json.loads(path.read_text())["values"]
        assert len(values) == 5000
        assert len(set(values)) == 1
        reads += 1
    writer.join()


def test_a_directory_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        save(tmp_path / "file", {}, wall=0.0)
