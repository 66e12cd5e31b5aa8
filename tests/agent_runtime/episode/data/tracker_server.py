# An MCP server with one tool, over its standard streams: closes an issue and says how many there are.
import json, os, subprocess, sys

HERE = os.environ["TRACKER"]
TOOL = {"name": "close", "description": "Closes an issue of the team's tracker",
        "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}},
                        "required": ["id"]}}


def answer(method, params):
    if method == "initialize":
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "tracker", "version": "2"}}
    if method == "ping":
        return {}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        with open(os.path.join(HERE, "issue-" + os.path.basename(params["arguments"]["id"])), "w"):
            pass
        listed = subprocess.run(["ls", HERE], capture_output=True, text=True).stdout.split()
        return {"content": [{"type": "text", "text": "closed, %d in all" % len(listed)}]}
    return None


for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    result = answer(asked.get("method"), asked.get("params") or {})
    said = {"jsonrpc": "2.0", "id": asked["id"]}
    said.update({"error": {"code": -32601, "message": "Method not found"}} if result is None
                else {"result": result})
    print(json.dumps(said), flush=True)
