from __future__ import annotations

import pytest

from router.body import Body
from router.errors import EdgeError
from router.exchange import ClientGone
from router.table import OnDisconnect
from tests.router.fakes import Client, exchange, request, revision, service


def test_a_declared_body_over_the_limit_is_refused_before_it_comes() -> None:
    made = request("POST / HTTP/1.1", "Content-Length: 11")
    made.body = Body(Client())
    asked = exchange(made)
    with pytest.raises(EdgeError) as refusal:
        asked.assign(service(), revision(max_body=10), tagged=False)
    assert refusal.value.status == 413
    asked.assign(service(), revision(max_body=0), tagged=False)


@pytest.mark.parametrize(("former", "limit", "fails"), [(10, 0, False), (10, 30, False), (0, 10, True), (30, 10, True)])
def test_the_limit_of_a_body_that_comes_is_that_of_the_revision_which_is_to_answer(
    former: int, limit: int, fails: bool
) -> None:
    made = request("POST / HTTP/1.1", "Transfer-Encoding: chunked")
    made.body = Body(Client())
    asked = exchange(made)
    for most in (former, limit):
        asked.assign(service(), revision(max_body=most), tagged=False)
    made.body.feed(b"x" * 20)
    assert (asked.failure is not None) == fails


@pytest.mark.parametrize("on_disconnect", OnDisconnect)
def test_one_that_was_not_sent_never_outlives_its_client(on_disconnect: OnDisconnect) -> None:
    asked = exchange()
    asked.assign(service(), revision(on_disconnect=on_disconnect), tagged=False)
    assert not asked.outlives_client
    asked.client_left()
    assert isinstance(asked.failure, ClientGone)
