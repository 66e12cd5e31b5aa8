"""Opens what `gyges export` wrote with the packages that own the formats.

    read_with_python.py inspect LOGS...        inspect_ai: every log, every sample, every event
    read_with_python.py harbor TRAJECTORIES... harbor: every ATIF file

Ends with 1 at the first thing that a reader refuses or reads otherwise than it was written. A log with
an event of an unknown kind, and a trajectory of an unknown version, have to be refused.
"""
import json
import pathlib
import sys
import tempfile
import zipfile


def refuses(read, what):
    try:
        read()
    except Exception as refused:  # each reader has its own
        print(f"refused, as it must be: {what}: {type(refused).__name__}")
        return
    sys.exit(f"FAILED  {what} was read")


def inspect(files):
    from inspect_ai.log import read_eval_log, read_eval_log_sample, read_eval_log_sample_summaries

    for file in files:
        log = read_eval_log(file)
        assert log.status == "success" and log.samples, file
        assert len(log.samples) == log.results.total_samples, file
        assert len(read_eval_log_sample_summaries(file)) == len(log.samples), file
        with zipfile.ZipFile(file) as archive:
            for sample in log.samples:
                alone = read_eval_log_sample(file, id=sample.id, epoch=sample.epoch)
                written = json.loads(archive.read(f"samples/{sample.id}_epoch_{sample.epoch}.json"))
                assert len(alone.messages) == len(written["messages"]), (file, sample.id)
                assert [e.event for e in alone.events] == [e["event"] for e in written["events"]]
                assert set(alone.scores) == set(written["scores"]), (file, sample.id)
        print(f"ok      {file}: {len(log.samples)} samples, {sum(len(s.events) for s in log.samples)} events")
    with tempfile.TemporaryDirectory() as directory:
        bad = pathlib.Path(directory) / pathlib.Path(files[0]).name
        with zipfile.ZipFile(files[0]) as good, zipfile.ZipFile(bad, "w") as made:
            for name in good.namelist():
                text = good.read(name)
                if name.startswith("samples/"):
                    sample = json.loads(text)
                    sample["events"][0]["event"] = "no_such_event"
                    text = json.dumps(sample).encode()
                made.writestr(name, text)
        refuses(lambda: read_eval_log(str(bad)), "a log with an unknown event")


def harbor(files):
    from harbor.models.trajectories import Trajectory

    for file in files:
        written = json.loads(pathlib.Path(file).read_text())
        read = Trajectory.model_validate(written)
        assert len(read.steps) == len(written["steps"]), file
    print(f"ok      {len(files)} trajectories")
    written["schema_version"] = "ATIF-v99.0"
    refuses(lambda: Trajectory.model_validate(written), "a trajectory of an unknown version")


{"inspect": inspect, "harbor": harbor}[sys.argv[1]](sys.argv[2:])
