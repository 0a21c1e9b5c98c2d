from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from typing import TYPE_CHECKING

import pytest

from router.ports import UpstreamTls
from router.tls import CertificateError, Certificates, UpstreamContexts, load_certificate
from tests.certificates import CA, FILES, pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_certificate_is_for_the_names_in_it() -> None:
    assert load_certificate(*pair("a")).names == {"a.example", "*.a.example"}
    assert load_certificate(*pair("local")).names == {"localhost", "127.0.0.1"}


def test_or_for_those_that_were_written() -> None:
    assert load_certificate(*pair("nameless"), ["x.example"]).names == {"x.example"}


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("a.example", True),
        ("x.a.example", True),
        ("x.y.a.example", False),
        ("b.example", False),
        ("example", False),
        ("", False),
        ("*.a.example", True),
    ],
)
def test_a_wildcard_stands_for_one_label(name: str, covered: bool) -> None:
    assert load_certificate(*pair("a")).covers(name) is covered


def test_the_time_it_is_good_for_is_known_though_it_is_over() -> None:
    expired = load_certificate(*pair("expired"))
    assert (expired.not_before, expired.not_after) == (1577836800, 1580515200)


@pytest.mark.parametrize(
    ("certificate", "key", "part", "message"),
    [
        ("none.pem", "a.key", "certificate", "cannot be read: No such file or directory"),
        ("a.pem", "none.key", "key", "cannot be read: No such file or directory"),
        ("a.key", "a.key", "certificate", "has no certificate in PEM form"),
        ("a.pem", "a.pem", "key", "has no key in PEM form"),
        ("a.pem", "b.key", "key", "does not belong to the certificate"),
        ("a.pem", "encrypted.key", "key", "is encrypted; the edge takes keys without a password"),
        ("nameless.pem", "nameless.key", "hosts", "must be written: the certificate has no subjectAltName"),
        ("client.pem", "client.key", "certificate", "cannot be used by a server: unsuitable certificate purpose"),
    ],
)
def test_what_cannot_be_used_is_named(certificate: str, key: str, part: str, message: str) -> None:
    with pytest.raises(CertificateError) as error:
        load_certificate(FILES / certificate, FILES / key)
    assert (error.value.part, error.value.message) == (part, message)


@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda text: text.replace("M", "A", 3)])
@pytest.mark.parametrize("part", ["certificate", "key"])
def test_a_damaged_file_is_an_error_and_the_right_one_is_blamed(
    tmp_path: Path, part: str, damage: Callable[[str], str]
) -> None:
    files = tmp_path / "x.pem", tmp_path / "x.key"
    for source, file in zip(pair("a"), files, strict=True):
        shutil.copy(source, file)
    damaged = files[part == "key"]
    damaged.write_text(damage(damaged.read_text()))
    with pytest.raises(CertificateError) as error:
        load_certificate(*files)
    assert error.value.part == part
    assert "ssl.c" not in error.value.message


def test_a_request_is_misdirected_if_its_host_has_another_certificate_than_was_shown() -> None:
    certificates = Certificates()
    a, b = load_certificate(*pair("a")), load_certificate(*pair("b"))
    certificates.replace([a, b])
    assert certificates.misdirected(a, "b.example")
    assert not certificates.misdirected(a, "x.a.example")
    assert not certificates.misdirected(a, "elsewhere.example"), "there is no better connection for it"
    assert not certificates.misdirected(None, "b.example"), "the client asked for no name"


def test_old_versions_of_tls_and_weak_ciphers_are_not_spoken() -> None:
    context = Certificates().context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert all(cipher["aead"] for cipher in context.get_ciphers())


def test_a_certificate_is_loaded_again_only_if_a_file_has_changed(tmp_path: Path) -> None:
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    for source, file in zip(pair("a"), files, strict=True):
        shutil.copy(source, file)
    first = load_certificate(*files)
    assert load_certificate(*files) is first
    assert load_certificate(*files, ["x.example"]).names == {"x.example"}
    files[0].unlink()
    shutil.copy(pair("renewed")[0], files[0])
    with pytest.raises(CertificateError, match="does not belong"):
        load_certificate(*files)
    shutil.copy(pair("renewed")[1], files[1])
    assert load_certificate(*files) is not first


async def test_replicas_are_verified_unless_that_is_off() -> None:
    contexts = UpstreamContexts()
    strict = await contexts.find(UpstreamTls(ca=str(CA)))
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    loose = await contexts.find(UpstreamTls(verify=False))
    assert (loose.verify_mode, loose.check_hostname) == (ssl.CERT_NONE, False)


async def test_who_connects_to_replicas_has_their_cas_read_once_and_again_only_if_they_have_changed(
    tmp_path: Path,
) -> None:
    contexts, file = UpstreamContexts(), tmp_path / "ca.pem"
    shutil.copy(CA, file)
    names = [UpstreamTls(ca=str(file), name=name) for name in ("", "a.example", "b.example")]
    first, *others = await asyncio.gather(*(contexts.find(tls) for tls in names))
    contexts.renew()
    assert [*others, await contexts.find(names[0])] == [first] * 3
    file.write_text("half of it")
    assert await contexts.find(names[0]) is first, "until somebody says that files have changed"
    contexts.renew()
    assert await contexts.find(names[0]) is first, "what cannot be used changes nothing"
    shutil.copy(CA, file)
    assert await contexts.find(names[0]) is not first


async def test_where_cas_cannot_be_used_the_last_ones_that_could_count(tmp_path: Path) -> None:
    contexts, file = UpstreamContexts(), tmp_path / "ca.pem"
    tls = UpstreamTls(ca=str(file))
    found = []
    for certificate in (CA, *(pair(name)[0] for name in ("a", "b"))):
        file.unlink(missing_ok=True)
        shutil.copy(certificate, file)
        found.append(await contexts.find(tls))
        contexts.renew()
    file.write_text("half of it")
    assert len(set(found)) == 3
    assert await contexts.find(tls) is found[-1]


async def test_cas_that_could_never_be_used_connect_nobody(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("half of it")
    with pytest.raises(ssl.SSLError):
        await UpstreamContexts().find(UpstreamTls(ca=str(file)))


async def test_the_loop_goes_on_while_cas_are_read(tmp_path: Path) -> None:
    pipe = tmp_path / "ca.pem"
    os.mkfifo(pipe)
    finding = asyncio.create_task(UpstreamContexts().find(UpstreamTls(ca=str(pipe))))
    await asyncio.to_thread(pipe.write_bytes, CA.read_bytes())  # waits for who reads
    assert (await finding).check_hostname


async def test_contexts_are_kept_of_so_many_files_of_cas_the_last_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.tls.MOST_CONTEXTS", 2)
    contexts = UpstreamContexts()
    files = [tmp_path / f"{number}.pem" for number in range(4)]
    for file in files:
        shutil.copy(CA, file)
        await contexts.find(UpstreamTls(ca=str(file)))
        contexts.renew()
    for file in files:
        file.unlink()
    for file in files[:2]:
        with pytest.raises(OSError, match="No such file"):
            await contexts.find(UpstreamTls(ca=str(file)))
    for file in files[2:]:
        assert await contexts.find(UpstreamTls(ca=str(file)))
