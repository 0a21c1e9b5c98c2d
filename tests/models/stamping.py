"""A model for tests: answers 200 to everything, and logs when it did what, in nanoseconds since the epoch.

Environment: STAMPS a file for the log (none = no log), START_SECONDS before it listens, STATUS of its answers.
"""

import os
import socket
import time

STAMPS = os.environ.get("STAMPS")


def stamp(event: str, at: int | None = None) -> None:
    if STAMPS:
        with open(STAMPS, "a") as file:  # noqa: PTH123 - pathlib would cost start-up time
            file.write(f"{event} {at or time.time_ns()}\n")


def main() -> None:
    begun = time.time_ns()
    time.sleep(float(os.environ.get("START_SECONDS", "0")))
    status = os.environ.get("STATUS", "200")
    with socket.create_server((os.environ["HOST"], int(os.environ["PORT"]))) as server:
        stamp("listening")
        stamp("begun", begun)
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                stamp("request")
                connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok".encode())


main()
