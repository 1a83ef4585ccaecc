"""A proxy between cvm and the PostgreSQL of STORE_URL that knows where a transaction is committed, and fails there.

It listens on a socket in a folder of its own: `proxy.url(url)` is `url` by way of it. A commit is the message COMMIT, or
the end of a change outside of a transaction. At the n-th commit of a writer (or of a reader), counted from arm():

    before  the connection is cut, and the server never sees the commit
    after   the server commits, and the connection is cut instead of its reply
    hang    the server commits, and its reply does not come; the connection stays open until the client closes it
    discard the server commits, then forgets the session's statements, settings and locks, as DISCARD ALL of a pooler does
    switch  the server commits, and the next statement meets another process of the server, as with pooling by transaction

With arm(0, "trickle") nothing is lost, but replies come in small pieces. Nothing here waits for time to pass.
"""

import os
import re
import shutil
import socket
import struct
import tempfile
import threading

CHANGES = (b"INSERT", b"UPDATE", b"DELETE", b"CREATE", b"DROP", b"ALTER", b"TRUNCATE")
PIECE = 5  # bytes of a reply at once when it trickles


class Link:
    """One connection: what the client says is read message by message, and so is what the server says."""

    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client
        self.server = socket.socket(socket.AF_UNIX)
        self.server.connect(proxy.upstream)
        self.is_reader = False
        self.status = b"?"  # of the transaction, as the server said last: I idle, T inside, E failed
        self.texts = {}
        self.bound = b""
        self.start = b""  # the first message
        self.kept = None  # replies that do not go to the client, as long as this is no list
        self.is_answered = threading.Event()
        for target in (self.requests, self.replies):
            threading.Thread(target=target, daemon=True).start()

    @staticmethod
    def read(source, count):
        data = bytearray()
        while len(data) < count:
            part = source.recv(min(count - len(data), 1 << 20))
            if not part:
                raise OSError("closed")
            data += part
        return bytes(data)

    def message(self, source):
        head = self.read(source, 5)
        return head, self.read(source, struct.unpack("!I", head[1:])[0] - 4)

    def close(self):
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def is_commit(self, kind, body):
        if kind == b"Q":
            self.is_reader |= body.startswith(b"SET default_transaction_read_only = on")
            return body == b"COMMIT\0"
        if kind == b"P":
            name, text = body.split(b"\0")[:2]
            self.texts[name] = text
        elif kind == b"B":
            self.bound = self.texts.get(body.split(b"\0")[1], b"")
        elif kind == b"S":
            is_change = self.bound.lstrip().upper().startswith(CHANGES)
            self.bound = b""
            return is_change and self.status == b"I"
        return False

    def ask(self, request):
        """The replies to it, kept from the client."""
        self.kept = []
        self.is_answered.clear()
        self.server.sendall(request)
        self.is_answered.wait()
        return b"".join(self.kept)

    def fail(self, fault, request):
        """True when the connection ends."""
        if fault == "before":
            return True
        reply = self.ask(request)
        if fault == "discard":
            self.ask(b"Q" + struct.pack("!I", 16) + b"DISCARD ALL\0")
        if fault == "switch":
            self.server, old = socket.socket(socket.AF_UNIX), self.server
            self.server.connect(self.proxy.upstream)
            old.shutdown(socket.SHUT_RDWR)
            self.is_answered.clear()
            threading.Thread(target=self.replies, daemon=True).start()
            self.ask(self.start)
        self.proxy.hit.set()
        if fault in ("discard", "switch"):
            self.kept = None
            self.client.sendall(reply)
        return fault == "after"

    def requests(self):
        is_over = False
        try:
            length = self.read(self.client, 4)  # the message of the start has no kind
            self.start = length + self.read(self.client, struct.unpack("!I", length)[0] - 4)
            self.server.sendall(self.start)
            while not is_over:
                head, body = self.message(self.client)
                fault = self.proxy.fault_at(self) if self.is_commit(head[:1], body) else None
                if fault in (None, "trickle"):
                    self.server.sendall(head + body)
                else:
                    is_over = self.fail(fault, head + body)
        except OSError:
            pass
        self.proxy.hit.set()
        self.close()

    def replies(self):
        server = self.server
        try:
            while True:
                head, body = self.message(server)
                is_end = head[:1] == b"Z"
                if is_end:
                    self.status = body  # before the client knows, and goes on
                if self.kept is None:
                    self.proxy.send(self.client, head + body)
                else:
                    self.kept.append(head + body)
                    if is_end:
                        self.is_answered.set()
        except OSError:
            pass
        if server is self.server:
            self.is_answered.set()
            self.close()


class PostgresProxy:
    def __init__(self, url):
        self.host = re.search(r"[?&]host=([^&]+)", url).group(1)
        self.upstream = os.path.join(self.host, ".s.PGSQL.5432")
        self.folder = tempfile.mkdtemp(prefix="cvm-proxy-")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(self.folder, ".s.PGSQL.5432"))
        self.listener.listen(64)
        self.lock = threading.Lock()
        self.arm(0, None)
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, url):
        return url.replace(self.host, self.folder)

    def arm(self, at, fault, is_reader=False):
        """At commit number `at` from now on; 0 = never."""
        with self.lock:
            self.at, self.fault, self.is_reader, self.commits = at, fault, is_reader, 0
            self.hit = threading.Event()

    def fault_at(self, link):
        with self.lock:
            self.commits += link.is_reader == self.is_reader
            return self.fault if self.commits == self.at and link.is_reader == self.is_reader else None

    @property
    def was_hit(self):
        return 0 < self.at <= self.commits

    def send(self, client, data):
        if self.fault != "trickle":
            client.sendall(data)
            return
        for at in range(0, len(data), PIECE):
            client.sendall(data[at : at + PIECE])

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                Link(self, client)
            except OSError:  # no server: the client is told so by the end of its connection
                client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)
