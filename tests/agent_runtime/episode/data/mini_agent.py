# The smallest agent that speaks Anthropic Messages: one shell tool, the MCP servers that its file
# names, a loop, standard library only.
import json, os, select, socket, subprocess, sys, time, urllib.error, urllib.parse, urllib.request

BASE = os.environ["ANTHROPIC_BASE_URL"]
KEY = os.environ["ANTHROPIC_API_KEY"]
TOOL = {"name": "bash", "description": "Runs a command",
        "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}


def ask(path, body=None, method="POST", key=KEY):
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01",
               "content-type": "application/json"}
    request = urllib.request.Request(BASE + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Server:
    """An MCP server over its standard streams."""

    def __init__(self, name, entry):
        self.prefix, self.last = "mcp__%s__" % name, 0
        self.process = subprocess.Popen([entry["command"], *entry["args"]], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env={**os.environ, **entry["env"]})
        self.ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {},
                                "clientInfo": {"name": "mini", "version": "1"}})
        self.tools = [tool for tool in self.ask("tools/list", {})["tools"]
                      if tool["name"] in entry.get("only", [tool["name"]])]

    def ask(self, method, params):
        self.last += 1
        print(json.dumps({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}),
              file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())["result"]


class Remote:
    """An MCP server over HTTP."""

    def __init__(self, name, entry):
        self.prefix, self.url, self.last, self.session = "mcp__%s__" % name, entry["url"], 0, None
        self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {},
                                "clientInfo": {"name": "mini", "version": "1"}})
        self.ask("notifications/initialized", None)
        self.tools = self.ask("tools/list", {})["tools"]

    def post(self, body, method="POST"):
        headers = {"content-type": "application/json",
                   "accept": "application/json, text/event-stream"}
        if self.session:
            headers["mcp-session-id"] = self.session
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, body, headers,
                                                               method=method)) as reply:
                self.session = reply.headers.get("mcp-session-id") or self.session
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def ask(self, method, params):
        self.last += 1
        asked = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            asked.update(id=self.last, params=params)
        status, body = self.post(json.dumps(asked).encode())
        if params is None:
            return None
        said = json.loads(body)
        return said["result"] if "result" in said else {
            "content": [{"type": "text", "text": said["error"]["message"]}], "isError": True}


SERVERS = []
if os.path.exists(os.path.expanduser("~/.mini/servers.json")):
    for named, described in json.load(
            open(os.path.expanduser("~/.mini/servers.json")))["servers"].items():
        SERVERS.append(Remote(named, described) if "url" in described else Server(named, described))


def run_tool(call):
    for server in SERVERS:
        if call["name"].startswith(server.prefix):
            result = server.ask("tools/call", {"name": call["name"][len(server.prefix):],
                                               "arguments": call["input"]})
            return int(result.get("isError", False)), "".join(
                piece["text"] for piece in result["content"])
    done = subprocess.run(["bash", "-c", call["input"]["command"]], capture_output=True)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def reply_of(stream):
    """The blocks of a streamed message."""
    blocks = {}
    for line in stream.decode().splitlines():
        if not line.startswith("data: "):
            continue
        event = json.loads(line[6:])
        if event["type"] == "content_block_start":
            blocks[event["index"]] = dict(event["content_block"], partial="")
        elif event["type"] == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            if delta["type"] == "text_delta":
                block["text"] += delta["text"]
            else:
                block["partial"] += delta.get("partial_json", "")
    content = []
    for _, block in sorted(blocks.items()):
        partial = block.pop("partial")
        if block["type"] == "tool_use":
            block["input"] = json.loads(partial or "{}")
        content.append(block)
    return content


def run(prompt):
    messages = [{"role": "user", "content": prompt}]
    for _ in range(20):
        status, body = ask("/v1/messages", {
            "model": "large", "max_tokens": 999, "stream": True, "system": "You are an agent.",
            "messages": messages, "tools": [TOOL] + [
                {"name": server.prefix + tool["name"], "input_schema": tool["inputSchema"]}
                for server in SERVERS for tool in server.tools]})
        if status != 200:
            sys.exit("model says %d: %s" % (status, body.decode()))
        content = reply_of(body)
        messages.append({"role": "assistant", "content": content})
        results = []
        for call in content:
            if call["type"] != "tool_use":
                continue
            status, output = run_tool(call)
            results.append({"type": "tool_result", "tool_use_id": call["id"],
                            "is_error": status != 0, "content": output})
        if not results:
            print("".join(block.get("text", "") for block in content))
            return
        messages.append({"role": "user", "content": results})


def ask_and_not_read():
    """A request whose answer has begun to come, and is left where it is."""
    at = urllib.parse.urlparse(BASE)
    open_socket = socket.socket()
    open_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    open_socket.connect((at.hostname, at.port))
    body = json.dumps({"model": "large", "max_tokens": 9, "messages": [
        {"role": "user", "content": "Talk for long."}]})
    open_socket.sendall(("POST /v1/messages HTTP/1.1\r\nHost: %s\r\nx-api-key: %s\r\n"
                         "Content-Length: %d\r\n\r\n%s" % (at.netloc, KEY, len(body), body)).encode())
    select.select([open_socket], [], [])
    return open_socket


mode = sys.argv[2] if len(sys.argv) > 2 else ""
if mode == "stall":
    stalled = [ask_and_not_read() for _ in range(3)]
if mode == "work":
    time.sleep(600)  # and ask nobody
if mode == "undeclared":
    subprocess.run(["bash", "-c", "uname -a"])
if mode == "by_itself":  # calls that its model never made
    for arguments in ({"id": "8"}, {"id": "9"}, {"id": "no number"}):
        result = SERVERS[0].ask("tools/call", {"name": "close_ticket", "arguments": arguments})
        print(result["content"][0]["text"])
if mode == "hostile_server":
    at = SERVERS[0]
    seen = [at.post(body)[0] for body in (b"", b"{", b"[" * 100000, b"\0\xff\x1b[2J", b"[]")]
    seen += [at.post(None, method=method)[0] for method in ("GET", "PUT")]
    seen.append(at.post(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                                    "params": {"name": "nothing"}}).encode())[0])
    known, at.session = at.session, "guess"
    seen.append(at.post(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}')[0])
    at.session = None
    seen.append(at.post(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}')[0])
    at.url += "/other"
    seen.append(at.post(b"{}")[0])
    at.url, at.session = at.url[:-6], known
    print(seen)
    for _ in range(100):  # more sessions than are kept
        Remote("more", {"url": at.url})
    seen = at.ask("tools/list", {})
    ended = Remote("ended", {"url": at.url})
    print([ended.post(None, method="DELETE")[0] for _ in range(2)])
    SERVERS[0] = Remote("tools", {"url": at.url})
if mode == "hostile":
    seen = []
    for body in (b"", b"{", b"[" * 100000, b"\0\xff\x1b[2J", b"A" * (3 << 20)):
        seen.append(ask("/v1/messages", body)[0])
    seen.append(ask("/v1/messages", {"messages": []}, key="guess")[0])
    seen.append(ask("/nothing")[0])
    seen.append(ask("/v1/models", method="GET")[0])
    print(seen)
    subprocess.run(["bash", "-c", "uname -a"])  # nobody declared it
run(sys.argv[1] + " and on" * (2000 if mode == "long" else 0))
