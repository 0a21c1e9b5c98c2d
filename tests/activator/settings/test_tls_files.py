"""Files that a configuration names for TLS are read with it: what is wrong with them is told like everything else."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activator.settings.places import within
from activator.settings.problems import SettingsError
from activator.settings.schema import Tls
from activator.settings.tls_checks import files_of, warnings
from tests.activator.settings.files import BASE, loaded, problems, small, written
from tests.activator.settings.test_defaults_file import FILE
from tests.certificates import CA, FILES, pair


def entry(name: str, **keys: Any) -> dict[str, Any]:
    certificate, key = pair(name)
    return {"certificate": str(certificate), "key": str(key), **keys}


def told(**keys: Any) -> list[str]:
    return [problem.partition(": ")[2] for problem in problems(written(small(**keys)))]


def test_good_files_are_taken() -> None:
    settings = loaded(written(small(tls=[entry("a"), entry("b", hosts=["*.B.example", "b.example."])])))
    assert [each.hosts for each in settings.tls] == [(), ("*.b.example", "b.example")]
    assert files_of(settings) == (*pair("a"), *pair("b"))


def test_everything_that_is_wrong_is_told_at_once() -> None:
    broken = [
        {"certificate": "none.pem"},
        entry("a", key=str(pair("b")[1])),
        entry("nameless"),
        entry("a", key=str(FILES / "encrypted.key"), hosts=["*"]),
        entry("b", key="none.key"),
    ]
    found = told(tls=broken, process={"upstream-ca": str(pair("a")[1])}, **{"trusted-hops": ["10.0.0.1/8", "x"]})
    assert [line.partition(" ")[0] for line in found] == [
        "tls[0].key:",
        "tls[1].key:",
        "tls[2].hosts:",
        "tls[3].key:",
        "tls[3].hosts[0]:",
        "tls[4].key:",
        "process.upstream-ca:",
        "trusted-hops[0]:",
        "trusted-hops[1]:",
    ]
    assert "does not belong to the certificate" in found[1]
    assert "cannot be read: No such file or directory (got '/srv/models/none.key')" in found[5]
    assert "has no certificates in PEM form" in found[6]
    assert "did you mean 10.0.0.0/8?" in found[7]


def test_a_ca_file_is_read_at_every_level() -> None:
    data = small(process={"upstream-ca": str(CA)})
    assert problems(written(data)) == []
    data["services"][0]["process"] = {"upstream-ca": "none.pem"}
    data["services"][0]["revisions"][0]["process"] = {"upstream-ca": "none.pem"}
    assert len(problems(written(data))) == 2
    assert all("cannot be read" in problem for problem in problems(written(data)))


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for file in (pipe, Path("/dev/zero")):
        (problem,) = told(process={"upstream-ca": str(file)})
        assert problem.startswith("process.upstream-ca: is no regular file")


def test_plain_http_beside_is_for_an_edge_with_tls_at_another_address() -> None:
    (problem,) = told(**{"listen-plain": "127.0.0.1:80"})
    assert problem.startswith("listen-plain: is for an edge with tls")
    (problem,) = told(tls=[entry("a")], **{"listen-plain": "localhost:8080"})
    assert problem.startswith("listen-plain: must be another address than listen: 127.0.0.1:8080")
    assert told(tls=[entry("a")], **{"listen-plain": "127.0.0.1:80"}) == []


@pytest.mark.parametrize(
    ("text", "network"),
    [("10.0.0.0/8", "10.0.0.0/8"), ("192.0.2.7", "192.0.2.7/32"), ("fd00::/8", "fd00::/8"), ("::1", "::1/128")],
)
def test_a_trusted_hop_is_a_network_or_an_address(text: str, network: str) -> None:
    assert [str(each) for each in loaded(written(small(**{"trusted-hops": [text]}))).trusted_hops] == [network]


@pytest.mark.parametrize("value", ["10.0.0.0/33", "a.example", "10.0.0", "", 7, "10.0.0.0/8/8", "fe80::1%eth0"])
def test_anything_else_is_none(value: object) -> None:
    (problem,) = told(**{"trusted-hops": [value]})
    assert problem.startswith("trusted-hops[0]: ")


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::1%eth0", True),
        ("11.1.2.3", False),
        ("fe80::1", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_a_peer_is_within_a_network_or_not(peer: str, trusted: bool) -> None:
    networks = loaded(written(small(**{"trusted-hops": ["10.0.0.0/8", "fd00::/8"]}))).trusted_hops
    assert within(networks)(peer) is trusted
    assert not within(())(peer)


def test_certificates_that_clients_will_not_like_are_warned_of() -> None:
    data = small(tls=[entry("expired"), entry("a", hosts=["m.localhost"])])
    assert warnings(loaded(written(data)), datetime(2026, 1, 1, tzinfo=UTC).timestamp()) == [
        f"the certificate {pair('expired')[0]} has expired"
    ]
    assert warnings(loaded(written(data)), datetime(2020, 1, 30, tzinfo=UTC).timestamp()) == [
        f"the certificate {pair('expired')[0]} expires in 2.0 days"
    ]
    assert "is not valid yet" in warnings(loaded(written(data)), 0)[0]


def test_hosts_that_no_certificate_is_for_are_warned_of() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert warnings(loaded(written(small(tls=[entry("a")]))), now) == [
        "no certificate is for the host m.localhost: clients that ask for it are refused"
    ]
    assert warnings(loaded(written(small())), now) == []


def test_the_defaults_file_tells_of_every_key_of_a_certificate() -> None:
    comment = FILE.read_text().partition("\ntls: []")[0]
    assert all(f"{key}: " in comment for key in Tls.fields_by_key())


def test_a_refusal_names_the_files_of_which_one_may_be_missing() -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(written(small(tls=[entry("a", key="later.key")])))
    assert list(refused.value.files) == [pair("a")[0], BASE / "later.key"]
