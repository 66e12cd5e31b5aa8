# ClientHellos as no library sends them, to web.example at port 443: one line for each, its name and
# what came back: "hello" (a ServerHello), "whole" (a handshake to its end), "alert N", "answered"
# (by something else), "closed" or "silence". Aims at servers of a test alone.
import socket, ssl, struct, sys

HOST = sys.argv[1] if len(sys.argv) > 1 else "web.example"
ADDRESS = socket.gethostbyname(HOST)


def honest(name):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    to, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(back, to, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return tls, to, back, to.read()


def entry(name, kind=0):
    return struct.pack("!BH", kind, len(name)) + name


def with_extensions(change):
    """The honest ClientHello with its list of extensions changed: [(type, bytes)] to the same."""
    record = honest(HOST)[3]
    body = record[9:]  # past the heads of record and message
    at = 34
    at += 1 + body[at]
    at += 2 + struct.unpack_from("!H", body, at)[0]
    at += 1 + body[at]
    end = at + 2 + struct.unpack_from("!H", body, at)[0]
    extensions, rest = [], body[at + 2:end]
    while rest:
        kind, size = struct.unpack_from("!HH", rest)
        extensions.append((kind, rest[4:4 + size]))
        rest = rest[4 + size:]
    changed = b"".join(struct.pack("!HH", kind, len(data)) + data
                       for kind, data in change(extensions))
    body = body[:at] + struct.pack("!H", len(changed)) + changed
    message = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message


def names(*entries):
    joined = b"".join(entries)
    data = struct.pack("!H", len(joined)) + joined
    return with_extensions(lambda all: [(k, data if k == 0 else d) for k, d in all])


def outcome(data):
    with socket.create_connection((ADDRESS, 443), 3) as link:
        link.settimeout(3)
        try:
            link.sendall(data)
            link.shutdown(socket.SHUT_WR)
            answer = b""
            while len(answer) < 7:
                part = link.recv(4096)
                if not part:
                    break
                answer += part
        except socket.timeout:
            return "silence"
        except ConnectionError:
            return "closed"
    if answer[:1] == b"\x15":
        return "alert %d" % answer[6]
    if answer[:1] == b"\x16":
        return "hello"
    return "answered" if answer else "closed"


def in_pieces(pieces):
    """A whole handshake whose ClientHello comes as these pieces make of it."""
    tls, to, back, first = honest(HOST)
    with socket.create_connection((ADDRESS, 443), 3) as link:
        link.settimeout(5)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in pieces(first):
            link.sendall(part)
        while True:
            try:
                part = link.recv(65536)
            except (socket.timeout, ConnectionError):
                return "closed"
            if not part:
                return "closed"
            back.write(part)
            try:
                tls.do_handshake()
                link.sendall(to.read())
                return "whole"
            except ssl.SSLWantReadError:
                link.sendall(to.read())
            except ssl.SSLError as error:
                return "failed " + error.reason


def records(first, size):
    message = first[5:]
    return b"".join(b"\x16\x03\x01" + struct.pack("!H", len(message[i:i + size])) +
                    message[i:i + size] for i in range(0, len(message), size))


name = HOST.encode()
other = b"other.example"
rows = {
    "honest": lambda: outcome(names(entry(name))),
    "upper_case": lambda: outcome(names(entry(name.upper()))),
    "trailing_dot": lambda: outcome(names(entry(name + b"."))),
    "two_dots": lambda: outcome(names(entry(name + b".."))),
    "two_names": lambda: outcome(names(entry(name), entry(other))),
    "same_name_twice": lambda: outcome(names(entry(name), entry(name))),
    "other_kind_first": lambda: outcome(names(entry(b"x", 1), entry(name))),
    "address": lambda: outcome(names(entry(ADDRESS.encode()))),
    "empty_name": lambda: outcome(names(entry(b""))),
    "empty_list": lambda: outcome(names()),
    "nul": lambda: outcome(names(entry(name + b"\0." + other))),
    "space": lambda: outcome(names(entry(b" " + name))),
    "too_long": lambda: outcome(names(entry(b"a." * 200 + name))),
    "length_lies": lambda: outcome(names(entry(name)[:2] + b"\xff" + entry(name)[3:])),
    "two_extensions": lambda: outcome(with_extensions(
        lambda all: all + [(0, struct.pack("!H", len(entry(other))) + entry(other))])),
    "none": lambda: outcome(with_extensions(lambda all: [e for e in all if e[0] != 0])),
    "encrypted": lambda: outcome(with_extensions(
        lambda all: all + [(0xfe0d, b"\0\0\x01\0\x01\x07\0\x20" + b"k" * 32 + b"\0\x40" +
                            b"p" * 64)])),
    "records_of_one_byte": lambda: in_pieces(lambda first: [records(first, 1)]),
    "records_of_100_bytes": lambda: in_pieces(lambda first: [records(first, 100)]),
    "segments_of_one_byte": lambda: in_pieces(
        lambda first: [first[i:i + 1] for i in range(len(first))]),
    "empty_record_first": lambda: outcome(b"\x16\x03\x01\0\0" + names(entry(name))),
    "large": lambda: outcome(with_extensions(lambda all: all + [(0x1a1a, b"\0" * 15000)])),
    "too_large": lambda: outcome(b"\x16\x03\x01\x40\0\x01\x03\0\0" + b"\x03\x03" + b"a" * 16378),
    "half": lambda: outcome(names(entry(name))[:60]),
    "ssl2": lambda: outcome(b"\x80\x2e\x01\x03\x03\0\x15\0\0\0\x10" + b"x" * 37),
    "plain_http": lambda: outcome(b"GET / HTTP/1.1\r\nHost: " + name + b"\r\n\r\n"),
    "honest_again": lambda: in_pieces(lambda first: [first]),
}
for row, attempt in rows.items():
    try:
        print(row, attempt().replace(" ", "_"), flush=True)
    except OSError as error:
        print(row, "error_%s" % error, flush=True)
