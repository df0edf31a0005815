"""How long devices did nothing in a trace of JAX's profiler."""

import collections
import gzip
import json
import pathlib

# Lanes of a device that hold what it ran, by the beginnings of their names: a
# GPU's streams, a TPU's operations. Others sum these up, and hide the gaps.
_LANES = ("Stream #", "XLA Ops")
# Copies from and to the host, beside which nothing is computed.
_COPIES = ("MemcpyH2D", "MemcpyD2H")
# Left out at both ends, where the profiler starts and stops.
_ENDS = 0.1


def idle_shares(folder: pathlib.Path) -> dict[str, float]:
  """Returns the share of time in which each device was idle, by its name.

  Args:
    folder: folder of one trace, as `training.tracing` writes it.

  Returns:
    Shares; none for devices without lanes of their own, as CPUs are.
  """
  (path,) = folder.rglob("perfetto_trace.json.gz")
  return idle_of_events(json.loads(gzip.decompress(path.read_bytes())))


def idle_of_events(trace: dict) -> dict[str, float]:
  """Returns the same of a trace in Chrome's format.

  Args:
    trace: its JSON; times are in microseconds.
  """
  names, lanes, runs = {}, {}, collections.defaultdict(list)
  for event in trace["traceEvents"]:
    if event.get("name") == "process_name":
      names[event["pid"]] = event["args"]["name"]
    elif event.get("name") == "thread_name":
      lanes[event["pid"], event["tid"]] = event["args"]["name"]
  for event in trace["traceEvents"]:
    lane = lanes.get((event.get("pid"), event.get("tid")), "")
    is_run = event.get("ph") == "X" and lane.startswith(_LANES)
    if is_run and not event["name"].startswith(_COPIES):
      begin = event["ts"]
      runs[names[event["pid"]]].append((begin, begin + event["dur"]))
  return {
    name: _idle(of_device)
    for name, of_device in sorted(runs.items())
    if name.startswith("/device:")
  }


def _idle(runs: list[tuple[float, float]]) -> float:
  """Returns what no run covers, in the middle of their time."""
  first, last = min(runs)[0], max(end for _, end in runs)
  trimmed = _ENDS * (last - first)
  first, last = first + trimmed, last - trimmed
  idle, until = 0.0, first
  for begin, end in sorted(runs):
    idle += max(0.0, min(begin, last) - until)
    until = max(until, min(end, last))
  idle += max(0.0, last - until)
  return idle / (last - first)
