"""A model endpoint on 127.0.0.1 that asks for one call of an MCP tool and then says that it is done.

It speaks what agents speak: Anthropic messages, OpenAI responses and chat completions, and Gemini's
generateContent, streaming or not, and is a forward proxy that lets nothing through. For
scripts/test-mcp-clients.
"""
import http.server
import json
import threading


def named_tool(tools, server, tool, within=None):
    """(name, namespace) of the server's tool among a request's declarations, whatever their shape."""
    for one in tools if isinstance(tools, list) else []:
        if not isinstance(one, dict):
            continue
        name = (one.get("function") or one).get("name") or ""
        inner = one.get("tools") or one.get("functionDeclarations")
        if inner:
            found = named_tool(inner, server, tool, name or within)
            if found:
                return found
        elif name.endswith(tool) and (server in name or (within and server in within)):
            return name, within
    return None


def events(*values):
    return "".join((f"event: {v['type']}\n" if isinstance(v, dict) and "type" in v else "") +
                   f"data: {v if isinstance(v, str) else json.dumps(v)}\n\n" for v in values)


def anthropic(call, text, model):
    block = {"type": "tool_use", "id": call["id"], "name": call["name"], "input": {}} if call else \
        {"type": "text", "text": ""}
    delta = {"type": "input_json_delta", "partial_json": json.dumps(call["arguments"])} if call else \
        {"type": "text_delta", "text": text}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
               "stop_reason": None, "stop_sequence": None,
               "usage": {"input_tokens": 9, "output_tokens": 1}}
    stop = "tool_use" if call else "end_turn"
    whole = dict(message, stop_reason=stop,
                 content=[dict(block, input=call["arguments"]) if call else dict(block, text=text)])
    return whole, events(
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None},
         "usage": {"output_tokens": 9}},
        {"type": "message_stop"})


def responses(call, text, model):
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}]}
    if call:
        item = {"type": "function_call", "id": "fc_1", "call_id": call["id"], "name": call["name"],
                "arguments": json.dumps(call["arguments"]), "status": "completed"}
        if call["namespace"]:
            item["namespace"] = call["namespace"]
    whole = {"id": "resp_1", "object": "response", "model": model, "status": "completed",
             "output": [item],
             "usage": {"input_tokens": 9, "output_tokens": 9, "total_tokens": 18,
                       "input_tokens_details": {"cached_tokens": 0},
                       "output_tokens_details": {"reasoning_tokens": 0}}}
    return whole, events(
        {"type": "response.created", "response": dict(whole, status="in_progress", output=[])},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole})


def chat(call, text, model):
    message = {"role": "assistant", "content": None if call else text}
    if call:
        message["tool_calls"] = [{"index": 0, "id": call["id"], "type": "function",
                                  "function": {"name": call["name"],
                                               "arguments": json.dumps(call["arguments"])}}]
    finish = "tool_calls" if call else "stop"
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    head = {"id": "chatcmpl-1", "created": 1, "model": model}

    def part(delta, reason):
        return dict(head, object="chat.completion.chunk",
                    choices=[{"index": 0, "delta": delta, "finish_reason": reason}])
    whole = dict(head, object="chat.completion", usage=usage,
                 choices=[{"index": 0, "message": message, "finish_reason": finish}])
    return whole, events(part(message, None), dict(part({}, finish), usage=usage), "[DONE]")


def gemini(call, text, model):
    part = {"functionCall": {"name": call["name"], "args": call["arguments"]}} if call else \
        {"text": text}
    whole = {"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]},
                             "finishReason": "STOP"}],
             "modelVersion": model,
             "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 9,
                               "totalTokenCount": 18}}
    return whole, events(whole)


DIALECTS = [("/messages", anthropic), ("/responses", responses), ("/chat/completions", chat),
            ("enerateContent", gemini)]


class ScriptedModel:
    """`call`: arguments of the tool; `expected`: what its result must hold."""

    def __init__(self, server, tool, arguments, expected):
        self.server, self.tool, self.arguments, self.expected = server, tool, arguments, expected
        self.offered = False    # the tool was among those that a request declared
        self.asked = 0          # calls asked for
        self.returned = False   # the result has come back in a request
        self.refused = set()    # other hosts that were asked for
        self.bodies = []        # of all requests
        self.lock = threading.Lock()
        model = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reply(self, status, body, kind="application/json"):
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def foreign(self):
                target = self.path
                if self.command != "CONNECT" and not target.startswith("http"):
                    return False
                host = target.split("//")[-1].split("/")[0]
                if host.split(":")[0] in ("127.0.0.1", "localhost"):
                    self.path = "/" + target.split("//")[-1].partition("/")[2]
                    return False
                model.refused.add(host)
                self.close_connection = True
                self.reply(403, "{}")
                return True

            def do_CONNECT(self):
                self.foreign()

            def do_GET(self):
                if not self.foreign():
                    self.reply(200, json.dumps({"object": "list", "data": []}))

            def do_HEAD(self):
                if not self.foreign():
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.foreign():
                    return
                try:
                    request = json.loads(body)
                except ValueError:
                    return self.reply(400, "{}")
                path = self.path.split("?")[0]
                dialect = next((d for end, d in DIALECTS if path.endswith(end)), None)
                if dialect is None:
                    return self.reply(200, json.dumps({"input_tokens": 9, "totalTokens": 9}))
                call = model.next_call(request, body.decode(errors="replace"))
                text = "The tool has been called." if not call else ""
                name = request.get("model") or "scripted"
                whole, stream = dialect(call, text, name)
                if request.get("stream") or "streamGenerateContent" in path:
                    self.reply(200, stream, "text/event-stream")
                else:
                    self.reply(200, json.dumps(whole))

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # an agent that ended meanwhile

        self.http = Server(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def next_call(self, request, body):
        with self.lock:
            self.bodies.append(body)
            if self.expected in body:
                self.returned = True
                return None
            found = named_tool(request.get("tools"), self.server, self.tool)
            if not found:
                # Some hold tools among the items of the conversation.
                for item in request.get("input") or [] if isinstance(request.get("input"), list) else []:
                    found = found or named_tool(item.get("tools"), self.server, self.tool)
            if not found:
                return None
            self.offered = True
            if self.asked >= 2:
                return None
            self.asked += 1
            return {"id": f"call_{self.asked}", "name": found[0], "namespace": found[1],
                    "arguments": self.arguments}

    def close(self):
        self.http.shutdown()
        self.http.server_close()
