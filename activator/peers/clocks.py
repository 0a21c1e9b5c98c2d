"""The times of another machine, put on our clock.

Monotonic clocks of two machines have nothing in common but their speed, and that not exactly. Each pulse tells when it
was sent and what of ours it answers, so its time on the way is known, and half of that is taken for one direction: the
error is less than half the time both ways. The fastest of the last pulses counts (NTP's clock filter, RFC 5905 10).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from activator.peers import messages as m

if TYPE_CHECKING:
    from activator.peers.pacts import Pulse, ToPeer

KEPT = 16


class Offset:
    """How far the peer's clock is `ahead` of ours, in seconds."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead
        self._samples: deque[tuple[float, float]] = deque(maxlen=KEPT)  # (time both ways, ahead)

    def learn(self, pulse: Pulse, now: float) -> None:
        """Take a pulse that came now."""
        if pulse.heard is not None:
            self.sample(pulse.heard, pulse.at - pulse.after, pulse.at, now)

    def sample(self, sent: float, came: float, left: float, now: float) -> None:
        """Take four times: we `sent` by our clock, it `came` and the answer `left` by theirs, which is here `now`."""
        way = max(0.0, (now - sent) - (left - came))
        self._samples.append((way, left + way / 2 - now))
        self.ahead = min(self._samples)[1]

    def ours(self, at: float | None) -> float | None:
        """Return a time of the peer on our clock."""
        return None if at is None else at - self.ahead

    def translate(self, message: ToPeer) -> ToPeer:
        """Return a message with its times on our clock."""
        match message:
            case m.Claim():
                return replace(message, arrived=message.arrived - self.ahead)
            case m.Count():
                idle, tagged = self.ours(message.idle_since), self.ours(message.tagged_since)
                return replace(message, at=message.at - self.ahead, idle_since=idle, tagged_since=tagged)
            case _:
                return message
