#!/usr/bin/env python3
"""delay.py HERE THERE FILE: passes on what comes to HERE, and holds every reply back for as many milliseconds as FILE says.

An address is HOST:PORT or the path of a Unix socket. However much is under way at once, a reply is late by the same time: so
the time that a statement loses is what its round trips lose which wait for each other (bench/round_trips.py).
"""

import queue
import socket
import sys
import threading
import time

CHUNK = 1 << 20


def address(text):
    """The family of an address, and what that family calls it."""
    if text.startswith("/"):
        return socket.AF_UNIX, text
    host, port = text.rsplit(":", 1)
    return socket.AF_INET, (host, int(port))


def opened(family):
    end = socket.socket(family)
    if family == socket.AF_INET:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return end


def milliseconds(file):
    with open(file) as text:
        return float(text.read() or 0)


def end_both(*ends):
    for end in ends:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def pass_on(client, server):
    try:
        while asked := client.recv(CHUNK):
            server.sendall(asked)
    except OSError:
        pass
    end_both(client, server)


def hold_back(server, late, file):
    """Puts what comes into a queue with when it is to go on; an empty reply is the end."""
    answer = b" "
    while answer:
        due = time.monotonic()
        try:
            answer = server.recv(CHUNK)
            due = time.monotonic() + milliseconds(file) / 1000
        except (OSError, ValueError):
            answer = b""
        late.put((due, answer))


def deliver(late, client, server):
    try:
        while True:
            due, answer = late.get()
            time.sleep(max(0, due - time.monotonic()))
            if not answer:
                break
            client.sendall(answer)
    except OSError:
        pass
    end_both(client, server)


def serve(client, there, file):
    family, place = address(there)
    server, late = opened(family), queue.Queue()
    try:
        server.connect(place)
    except OSError:
        client.close()
        return
    for work, *arguments in ((pass_on, client, server), (hold_back, server, late, file), (deliver, late, client, server)):
        threading.Thread(target=work, args=arguments, daemon=True).start()


def main(here, there, file):
    family, place = address(here)
    listener = opened(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(place)
    listener.listen(100)
    while True:
        client, _ = listener.accept()
        serve(client, there, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
