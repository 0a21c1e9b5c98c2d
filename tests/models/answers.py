"""Answers that no model should give: the first PROPER of them begin with a proper one, the others must never look whole
to a client."""

OK = b"HTTP/1.1 200 OK\r\n"
PROPER = 3  # so many of the answers below are proper ones, whatever follows them
ANSWERS = (
    OK + b"Content-Length: 2\r\n\r\nokEXTRA BYTES",
    OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
    OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n0\r\n\r\n",
    OK + b"Content-Length: 100\r\n\r\nonly this",
    OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nok\r\n0\r\n\r\n",
    OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    OK + b"Content-Le",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    b"HTTP/9.9 200 OK\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x16\x03\x01\x00\x00" * 9,
    b"",
    OK + b"X: " + b"y" * 1_000_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    OK + b"Content-Length: +2\r\n\r\nok",
)
