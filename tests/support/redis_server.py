#!/usr/bin/env python3
"""A Redis server of one's own, on a free port of this machine and in a temporary folder.

For scripts: `with RedisServer() as server:`. By hand: redis_server.py COMMAND..., which runs the command with CVM_REDIS set to
the URL of a server that lives as long as it does; exit 77 (skipped) where there is no redis-server.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile


def is_there():
    return shutil.which("redis-server") is not None


class RedisServer:
    def __init__(self, *options):
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="cvm-redis-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, "--save", "",
             "--appendonly", "no", *self.options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if "Ready to accept connections" in line:
                return
        raise OSError("redis-server did not start")

    def stop(self):
        """Killed, as a machine dies."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def pause(self, is_paused=True):
        self.process.send_signal(signal.SIGSTOP if is_paused else signal.SIGCONT)

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def tell(self, *words):
        """The server's answer to one command, as text."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            parts = [f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)]
            connection.sendall("".join(parts).encode())
            with connection.makefile("rb") as answer:
                line = answer.readline().decode().rstrip()
                if line.startswith("-"):
                    raise OSError(line)
                return answer.read(int(line[1:])).decode() if line.startswith("$") else line

    def statistic(self, name):
        lines = dict(line.split(":", 1) for line in self.tell("INFO").split("\r\n") if ":" in line)
        return int(lines[name])


def main():
    if not is_there():
        print("skipped: there is no redis-server here")
        return 77
    with RedisServer() as server:
        return subprocess.run(sys.argv[1:], env=dict(os.environ, CVM_REDIS=server.url)).returncode


if __name__ == "__main__":
    sys.exit(main())
