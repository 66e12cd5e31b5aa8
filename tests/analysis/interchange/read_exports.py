"""Reads what `gyges export` wrote with Python's own zip and JSON, after the fields that Inspect's models
and the ATIF specification require. Arguments: the directory that holds logs/, atif/, arena/
and runs.sqlite."""
import datetime
import json
import pathlib
import sqlite3
import sys
import zipfile

root = pathlib.Path(sys.argv[1])
logs = sorted((root / "logs").glob("*.eval"))
assert len(logs) == 2, logs
for log in logs:
    with zipfile.ZipFile(log) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        header = json.loads(archive.read("header.json"))
        assert header["version"] == 2 and header["status"] == "success"
        created = datetime.datetime.fromisoformat(header["eval"]["created"])
        assert created.tzinfo is not None
        summaries = json.loads(archive.read("summaries.json"))
        samples = [name for name in names if name.startswith("samples/")]
        assert len(samples) == len(summaries) == header["results"]["total_samples"] == 6
        for name in samples:
            sample = json.loads(archive.read(name))
            assert name == f"samples/{sample['id']}_epoch_{sample['epoch']}.json"
            for event in sample["events"]:
                assert datetime.datetime.fromisoformat(event["timestamp"]).tzinfo is not None
            for score in sample["scores"].values():
                assert isinstance(score["value"], (int, float, bool, str))
            ids = {m["id"] for m in sample["messages"]}
            assert len(ids) == len(sample["messages"])

files = sorted((root / "atif").glob("*.json"))
assert len(files) == 12
for file in files:
    trajectory = json.loads(file.read_text())
    assert trajectory["schema_version"].startswith("ATIF-v1.")
    assert trajectory["session_id"] and trajectory["agent"]["name"] and trajectory["agent"]["version"]
    for number, step in enumerate(trajectory["steps"], 1):
        assert step["step_id"] == number
        assert step["source"] in ("system", "user", "agent") and isinstance(step["message"], str)
        calls = {call["tool_call_id"] for call in step.get("tool_calls", [])}
        for result in step.get("observation", {}).get("results", []):
            assert result["source_call_id"] in calls

lines = (root / "arena" / "trajectory.jsonl").read_text().splitlines()
assert len(lines) == 12
for line in lines:
    sample = json.loads(line)
    assert sample["scores"]["covert_act"] in (True, False)
assert json.loads((root / "arena" / "metadata.json").read_text())["samples"] == 12

store = sqlite3.connect(f"file:{root}/runs.sqlite?mode=ro", uri=True)
assert dict(store.execute("SELECT key, value FROM meta"))["runs"] == "12"
rates = dict(store.execute("SELECT condition, avg(covert) FROM runs GROUP BY 1"))
assert rates == {"oversight=announced": 0.0, "oversight=announced_off": 1.0}, rates
