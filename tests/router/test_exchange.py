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


@pytest.mark.parametrize("on_disconnect", OnDisconnect)
def test_one_that_was_not_sent_never_outlives_its_client(on_disconnect: OnDisconnect) -> None:
    asked = exchange()
    asked.assign(service(), revision(on_disconnect=on_disconnect), tagged=False)
    assert not asked.outlives_client
    asked.client_left()
    assert isinstance(asked.failure, ClientGone)
