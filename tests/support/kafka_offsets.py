"""What consumer groups have committed to a Kafka of one node, asked in its own protocol."""

import socket
import struct

OFFSET_FETCH = 9
LIST_GROUPS = 16


def ask(address, api, version, body):
    """The body of the answer."""
    head = struct.pack(">hhih", api, version, 1, 3) + b"cvm"
    with socket.create_connection(address, 30) as link:
        link.sendall(struct.pack(">i", len(head + body)) + head + body)
        answer = b""
        while len(answer) < 4 or len(answer) < 4 + struct.unpack(">i", answer[:4])[0]:
            more = link.recv(65536)
            if not more:
                raise AssertionError("Kafka hung up")
            answer += more
    return answer[8:]


def text_at(data, at):
    length = struct.unpack_from(">h", data, at)[0]
    return data[at + 2 : at + 2 + length].decode(), at + 2 + length


def groups(address):
    answer = ask(address, LIST_GROUPS, 0, b"")
    error, count = struct.unpack_from(">hi", answer)
    assert error == 0, f"ListGroups: error {error}"
    found, at = [], 6
    for _ in range(count):
        name, at = text_at(answer, at)
        _, at = text_at(answer, at)
        found.append(name)
    return found


def committed_topics(address, group):
    """How many topics the group has committed offsets of."""
    name = group.encode()
    answer = ask(address, OFFSET_FETCH, 2, struct.pack(">h", len(name)) + name + struct.pack(">i", -1))
    error = struct.unpack(">h", answer[-2:])[0]
    assert error == 0, f"OffsetFetch of {group}: error {error}"
    return struct.unpack_from(">i", answer)[0]


def address_of(url):
    """Of kafka://host:port."""
    host, port = url.split("//")[1].split("?")[0].rsplit(":", 1)
    return host, int(port)
