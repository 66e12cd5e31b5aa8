# Reads one streamed answer and says for each chunk how long it was on its way; chunks carry the time
# at which the provider wrote them. usage: chunk_client.py HOST PORT KEY WORDS...
import json, re, socket, sys, time

host, port, key = sys.argv[1], int(sys.argv[2]), sys.argv[3]
body = json.dumps({"model": "large", "stream": True,
                   "messages": [{"role": "user", "content": " ".join(sys.argv[4:])}]})
connection = socket.create_connection((host, port))
connection.sendall(("POST /v1/chat/completions HTTP/1.1\r\nHost: %s:%d\r\n"
                    "Authorization: Bearer %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                    % (host, port, key, len(body), body)).encode())
stamp = re.compile(rb"@(\d+)@")
took, rest, first, last = [], b"", 0, 0
while True:
    got = connection.recv(65536)
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    if not got:
        break
    rest += got
    end = 0
    for found in stamp.finditer(rest):
        took.append(now - int(found.group(1)))
        first, last = first or now, now
        end = found.end()
    rest = rest[max(end, len(rest) - 64):] if end else rest
print(json.dumps({"took_ns": took, "span_ns": last - first}))
