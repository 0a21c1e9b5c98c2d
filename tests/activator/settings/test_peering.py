from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from activator.settings.peering import SECRET, Peers, name_of, read_secret
from activator.settings.places import Address

if TYPE_CHECKING:
    from pathlib import Path

LONG = "0123456789abcdef"


def test_the_secret_of_a_file_is_its_text_without_the_line_end(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(LONG + "\n")
    assert read_secret(file) == LONG.encode()


def test_without_a_file_the_secret_is_in_the_environment() -> None:
    assert read_secret(None, {SECRET: LONG}) == LONG.encode()


def test_a_file_goes_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("f" + LONG)
    assert read_secret(file, {SECRET: LONG}) == b"f" + LONG.encode()


def test_no_secret_at_all_is_an_error_that_says_where_it_may_be() -> None:
    with pytest.raises(OSError, match=f"^peers: there is no secret: set the variable {SECRET}, or peers.secret-file$"):
        read_secret(None, {})


def test_a_secret_that_can_be_guessed_is_an_error_that_names_its_place(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("short")
    with pytest.raises(OSError, match=f"{file} has 5 bytes, and must have 16 or more"):
        read_secret(file)
    with pytest.raises(OSError, match=f"the variable {SECRET} has 5 bytes, and must have 16 or more"):
        read_secret(None, {SECRET: "short"})


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"^peers.secret-file: cannot read {tmp_path}: "):
        read_secret(tmp_path, os.environ)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "[::]"])
def test_an_edge_that_listens_everywhere_and_is_told_no_address_of_its_own_does_not_start(host: str) -> None:
    peers = Peers.model_validate({"listen": f"{host}:9091"})
    with pytest.raises(
        OSError, match=r"^peers: nobody can reach this edge at .*:9091: set peers\.advertise, or .* POD_IP"
    ):
        name_of(peers, {})
    assert name_of(peers, {"POD_IP": "10.0.0.1"}) == "10.0.0.1:9091"
    assert name_of(peers.model_copy(update={"advertise": Address("edge-0", 9091)}), {}) == "edge-0:9091"
