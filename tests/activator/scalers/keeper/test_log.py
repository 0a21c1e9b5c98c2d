from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from activator.scalers.keeper.log import Log

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def both(path: Path) -> bytes:
    older = path.with_name(path.name + ".1")
    return (older.read_bytes() if older.exists() else b"") + path.read_bytes()


def test_output_is_appended(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "new" / "log"), 1000)
    log.write(b"one\n")
    log.write(b"two\n")
    assert (tmp_path / "new" / "log").read_bytes() == b"one\ntwo\n"


def test_a_full_file_becomes_the_one_before(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), 8)
    for piece in (b"aaa", b"bbb", b"ccc"):
        log.write(piece)
    assert (tmp_path / "log").read_bytes() == b"ccc"
    assert (tmp_path / "log.1").read_bytes() == b"bbb"


def test_a_piece_larger_than_a_file_keeps_its_end(tmp_path: Path) -> None:
    Log(str(tmp_path / "log"), 8).write(b"0123456789")
    assert (tmp_path / "log").read_bytes() == b"6789"


def test_a_full_disk_costs_output_only() -> None:
    log = Log("/dev/full", 1000)
    log.write(b"lost")
    log.write(b"lost too")


def test_writing_goes_on_once_there_is_room_again(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file in the way")
    log = Log(str(tmp_path / "logs" / "log"), 1000)
    log.write(b"lost")
    (tmp_path / "logs").unlink()
    log.write(b"kept")
    assert (tmp_path / "logs" / "log").read_bytes() == b"kept"


@given(limit=st.integers(2, 50), pieces=st.lists(st.binary(max_size=60), min_size=1))
def test_the_files_never_exceed_the_cap_and_end_with_the_newest_output(
    tmp_path_factory: pytest.TempPathFactory, limit: int, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("logs") / "log"
    log = Log(str(path), limit)
    for piece in pieces:
        log.write(piece)
    kept = both(path)
    assert len(kept) <= limit
    newest = pieces[-1][-(limit // 2) :]
    assert kept.endswith(newest)
    os.close(log._file or 0)
