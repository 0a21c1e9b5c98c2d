"""One connection between two edges: who is there, that it lives, and its messages on our clock."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from activator.peers import handshake
from activator.peers import messages as m
from activator.peers.clocks import Offset
from activator.peers.pacts import NONCE_BYTES, VERSION, Challenge, Greet, Proof, Pulse, ToPeer
from activator.peers.wire import LARGEST, Wire

if TYPE_CHECKING:
    from router.ports import Clock

DECODER: msgspec.msgpack.Decoder[list[ToPeer]] = msgspec.msgpack.Decoder(list[ToPeer])
STRANGERS = 1024  # bytes that one may send who has not proved anything
GREETING_SECONDS = 1.0
SILENCE_SECONDS = 1.5


class Self(NamedTuple):
    """An edge, as its own links need it. `name` is the address at which others reach it."""

    name: str
    secret: bytes
    clock: Clock


class Hears(Protocol):
    """Who uses links."""

    def opened(self, link: Link) -> None:
        """The other side has proved itself, as `link.peer`."""

    def heard(self, link: Link, message: ToPeer) -> None:
        """Take a message of a peer, with times of our clock."""

    def closed(self, link: Link) -> None:
        """It is over, for whatever reason; `link.problem` may tell."""

    def accepted(self, nonce: bytes) -> bool:
        """Tell whether a link that this edge accepted goes by this nonce."""


class Link:
    """A connection to `peer`: to `dial`, if that is named, else one that was accepted and has yet to say who it is.
    `leads` is what the peer last said of itself, `problem` why it was cut off; `ours` = it led to this edge itself.
    `dials` = this edge began it, `began` when, `nonce` what it goes by in the handshake."""

    def __init__(self, me: Self, hears: Hears, dial: str = "") -> None:
        self.peer = dial
        self.open = False
        self.problem = ""
        self.leads = False
        self.ours = False
        self.known = asyncio.Event()  # open, or over
        self.over = asyncio.Event()
        self.wire: Wire[ToPeer] = Wire(DECODER, lambda _, messages: self._hear_all(messages), self._lost)
        self.wire.largest = STRANGERS
        self._me = me
        self._hears = hears
        self.dials = bool(dial)
        self._offset = Offset()
        self.began = self._heard_at = me.clock()
        self._pulse: float | None = None  # `at` of the last one that was heard
        self._says = False  # whether we lead, as we last said
        self._expected = b""
        self.nonce = os.urandom(NONCE_BYTES)
        self._greet = Greet(VERSION, me.name, self.nonce, self.began)
        if self.dials:
            self.wire.send(self._greet)

    def send(self, message: m.Message) -> None:
        """Send a message in the order of sending."""
        self.wire.send(message)

    def beat(self, now: float, *, leads: bool) -> None:
        """Tell the other side that we live; cut it off when it does not."""
        self._says = leads
        patience = SILENCE_SECONDS if self.open else GREETING_SECONDS
        if now - self._heard_at > patience:
            self.refuse(f"it was silent for {now - self._heard_at:.1f} s")
        elif self.open:
            after = now - self._heard_at
            self.send(Pulse(now, self._pulse, after if self._pulse is not None else 0.0, leads))

    def excuse(self, now: float) -> None:
        """Count its silence from now on: it was we who did not listen."""
        self._heard_at = now

    def refuse(self, problem: str) -> None:
        """Cut the other side off."""
        self.problem = problem
        self.wire.abort()

    def _hear_all(self, messages: list[ToPeer]) -> None:
        for message in messages:
            if self.over.is_set() or self.problem:
                return
            if self.open:
                self._hear(message)
            else:
                self._get_to_know(message)

    def _hear(self, message: ToPeer) -> None:
        now = self._me.clock()
        if isinstance(message, Pulse):
            first, self._heard_at, self._pulse = self._pulse is None, now, message.at
            if first:  # answered at once: it may have been stopped in the handshake, which tells little of its clock
                self.beat(now, leads=self._says)
            self._offset.learn(message, now)
            self.leads = message.leads
        self._hears.heard(self, self._offset.translate(message))

    def _get_to_know(self, message: ToPeer) -> None:
        match message:
            case Greet() if not self.dials and not self.peer:
                self._answer(message)
            case Challenge() if self.dials:
                self._prove(message)
            case Proof() if not self.dials and self.peer:
                if handshake.same(message.proof, self._expected):
                    self._offset = Offset(message.ahead)
                    self._open()
                else:
                    self.refuse("it does not have our secret")
            case _:
                self.refuse(f"it sent {type(message).__name__} before it had proved anything")

    def _answer(self, greet: Greet) -> None:
        if problem := handshake.problem_with(greet):
            self.refuse(problem)
            return
        self.peer = greet.name
        proof = handshake.answered(self._me.secret, greet, self._me.name, self.nonce)
        challenge = Challenge(VERSION, self._me.name, self.nonce, proof, self._me.clock())
        self._expected = handshake.dialled(self._me.secret, greet, challenge)
        self.send(challenge)

    def _prove(self, challenge: Challenge) -> None:
        problem, now = handshake.problem_with(challenge), self._me.clock()
        expected = handshake.answered(self._me.secret, self._greet, challenge.name, challenge.nonce)
        if not problem and not handshake.same(challenge.proof, expected):
            problem = "it does not have our secret"
        if not problem and challenge.name != self.peer:
            problem = f"it is {challenge.name}"
            self.ours = challenge.name == self._me.name and self._hears.accepted(challenge.nonce)
            if challenge.name == self._me.name and not self.ours:
                problem += " by its own word, as this edge is: each needs a peers.advertise of its own"
        if problem:
            self.refuse(problem)
            return
        self._offset.sample(self.began, challenge.at, challenge.at, now)
        self.send(Proof(handshake.dialled(self._me.secret, self._greet, challenge), -self._offset.ahead))
        self.wire.flush()  # in a frame of its own: what follows may be larger than strangers are allowed
        self._open()

    def _open(self) -> None:
        self.open = True
        self.wire.largest = LARGEST
        self._heard_at = self._me.clock()
        self.known.set()
        self._hears.opened(self)

    def _lost(self) -> None:
        self.known.set()
        self.over.set()
        self._hears.closed(self)
