"""How messages travel between two processes of one machine: frames over a stream, one for all messages of a loop turn,
and for those before them that may wait a moment.

A frame is its length (4 bytes, big endian) and a MessagePack array of messages. A side that breaks these rules, speaks
another version, or takes nothing for so long that 128 MiB wait for it, is cut off.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from activator.peers.messages import Message

    Hear = Callable[["Wire[Heard]", list["Heard"]], None]

Heard = TypeVar("Heard")
LENGTH = struct.Struct(">I")
LARGEST = 64 << 20  # bytes of one frame
PATIENCE_SECONDS = 0.002
UNSENT = 2 * LARGEST  # bytes that are kept for a side that takes none: it has stopped
MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # the latter two msgspec does not translate


class Wire(asyncio.Protocol, Generic[Heard]):
    """One side's end. `hear` is called with each frame's messages, `lost` once when the other side is gone."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[list[Heard]], hear: Hear[Heard], lost: Callable[[], None]):
        self._decode = decoder.decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._hear = hear
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[Message | None] = []  # None = taken back
        self._places: dict[int, int] = {}  # there, of what may wait, by its id
        self._hurries = self._timed = False
        self._read = b""
        self.largest = LARGEST
        self.patience = PATIENCE_SECONDS

    def send(self, message: Message) -> None:
        """Send a message at the end of this loop turn, or to nobody if the other side is gone."""
        if not self._hurries:
            self._hurries = True
            self._loop.call_soon(self.flush)
        self._unsent.append(message)

    def put(self, message: Message) -> None:
        """Send a message with the next one that is sent, or a moment later: a frame costs more than what is in it."""
        if not self._timed:
            self._timed = True
            self._loop.call_later(self.patience, self._lose_patience)
        self._places[id(message)] = len(self._unsent)
        self._unsent.append(message)

    def take_back(self, message: Message) -> bool:
        """Do not send a message that was put; False when it has left already. Thousands may be, in one turn."""
        place = self._places.pop(id(message), None)
        if place is not None:
            self._unsent[place] = None
        return place is not None

    def _lose_patience(self) -> None:
        self._timed = False
        self.flush()

    def flush(self) -> None:
        """Send now what was to be sent at the end of the turn, or a moment later."""
        self._hurries = False
        if not self._unsent or self._transport is None:
            return
        messages = [each for each in self._unsent if each is not None]
        self._unsent.clear()
        self._places.clear()
        if messages and not self._transport.is_closing():
            frame = self._encode(messages)
            self._transport.write(LENGTH.pack(len(frame)) + frame)
            if self._transport.get_write_buffer_size() > UNSENT:
                self.abort()

    def abort(self) -> None:
        """Close at once: the other side breaks the rules, or does not answer."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Send what is unsent, and close."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the stream."""
        self._transport = cast("asyncio.Transport", transport)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Take what came, and hand on the frames that are whole."""
        read = self._read + data if self._read else data
        at, end = 0, len(read)
        while end - at >= LENGTH.size:
            (size,) = LENGTH.unpack_from(read, at)
            if size > self.largest:
                self.abort()
                return
            if end - at - LENGTH.size < size:
                break
            at += LENGTH.size
            try:
                messages = self._decode(memoryview(read)[at : at + size])
            except MALFORMED:
                self.abort()
                return
            at += size
            self._hear(self, messages)
        self._read = read[at:]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell that the other side is gone."""
        self._lost()
