"""A trouble that lasts is told when it begins, when its cause changes, once in a while, and when it is over."""

import pytest
from structlog.testing import capture_logs

from activator import logs
from activator.troubles import AGAIN, Trouble


@pytest.fixture
def trouble() -> Trouble:
    return Trouble(logs.logger("edge"), "it fails", over="it works again")


def told(trouble: Trouble, *causes: str) -> list[str]:
    """Return what is told of causes, one after the other; an empty one is a success."""
    with capture_logs() as lines:
        for cause in causes:
            if cause:
                trouble.met(cause)
            else:
                trouble.passed()
    return [line.get("error", line["event"]) for line in lines]


def test_it_is_told_once_until_it_is_over(trouble: Trouble) -> None:
    assert told(trouble, "full", "full", "full", "", "", "full") == ["full", "it works again", "full"]
    assert trouble.lasts


def test_another_cause_is_told_at_once(trouble: Trouble) -> None:
    assert told(trouble, "full", "full", "read-only", "full") == ["full", "read-only", "full"]


def test_it_is_told_again_when_it_has_lasted(trouble: Trouble) -> None:
    assert told(trouble, *["full"] * (2 * AGAIN)) == ["full", "full"]
    assert told(trouble, "full") == ["full"]


def test_it_is_told_again_when_that_is_asked_for(trouble: Trouble) -> None:
    told(trouble, "full")
    trouble.remind()
    assert told(trouble, "full", "full") == ["full"]


def test_what_never_failed_is_not_told(trouble: Trouble) -> None:
    assert told(trouble, "", "") == []
    assert not trouble.lasts
