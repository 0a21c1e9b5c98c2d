"""A model that is ready as soon as it listens, and tells in its answer when it began, listened and got the request.

Times are nanoseconds since the epoch. The first is taken before the interpreter starts, by the shell that becomes it:
BEGUN holds seconds with a fraction of six digits.
"""

import os
import socket
import time

begun = int(os.environ["BEGUN"].replace(".", "")) * 1000
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"

with socket.create_server((os.environ["HOST"], int(os.environ["PORT"])), backlog=100) as server:
    listening = time.time_ns()
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            received = time.time_ns()
            told = f'{{"begun": {begun}, "listening": {listening}, "received": {received}}}'
            connection.sendall((HEAD % (len(told), told)).encode())
