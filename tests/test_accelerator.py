"""What `launch/accelerator.sh` runs, as far as a CPU can tell."""

import importlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys

import pytest

from sslprune_jax.preflight import chips

ROOT = pathlib.Path(__file__).parent.parent
_PARTS = ("correct", "speed", "inference", "figures")
_ABOUT = {
  "platform": "gpu", "device": "NVIDIA H200", "devices": 1, "python": "3.12.3",
  "versions": {"jax": "0.11.2", "torch": None}, "commit": "4bc914b",
  "short": False,
}  # fmt: skip


@pytest.fixture
def load(monkeypatch):
  """Imports modules of the benchmarks."""
  monkeypatch.syspath_prepend(ROOT / "benchmarks")
  return importlib.import_module


@pytest.fixture
def run_part(load, monkeypatch, tmp_path):
  """Returns a function that runs a part whose items answer what they are."""
  accelerator = load("accelerator")

  def run(answers, limit=450, **about):
    ran = []

    def run_item(part, name, short, seconds):
      if part == "about":
        return {"ok": True, **_ABOUT, **about}
      ran.append(name)
      return dict(answers[name])

    monkeypatch.setattr(accelerator, "run_item", run_item)
    monkeypatch.setattr(accelerator, "_LIMIT", limit)
    monkeypatch.setattr(load("parts.speed"), "items", lambda short: answers)
    return ran, accelerator.run_part("speed", tmp_path, short=False)

  return run


def test_a_part_goes_on_with_what_is_missing_and_what_failed(
  run_part, tmp_path, capsys
):
  good, bad = {"ok": True}, {"ok": False, "error": "exit status 1"}
  assert run_part({"a": good, "b": bad, "c": good}) == (["a", "b", "c"], False)
  assert "speed: 2 of 3 done; the same command" in capsys.readouterr().out
  assert run_part({"a": bad, "b": good, "c": good}) == (["b"], True)
  assert [path.name for path in tmp_path.iterdir()] == ["speed.json"]
  items = json.loads((tmp_path / "speed.json").read_text())["items"]
  assert items["b"].pop("took_s") >= 0 and items["b"] == good


def test_a_part_ends_when_its_time_is_up(run_part):
  good = {"ok": True}
  assert run_part({"a": good}, limit=1) == ([], True)
  cut = {"a": good, "b": {"ok": True, "is_cut": True}, "c": good}
  assert run_part(cut) == (["a", "b"], True)
  assert run_part(cut) == (["b"], True), "what was cut is not done"


def test_what_another_machine_found_is_not_gone_on_with(run_part):
  run_part({"a": {"ok": True}})
  with pytest.raises(SystemExit, match="about.device: found 'NVIDIA H200'"):
    run_part({"a": {"ok": True}}, device="NVIDIA L4")


def test_a_cpu_alone_is_refused(run_part):
  with pytest.raises(SystemExit, match="found cpu alone, expected an accel"):
    run_part({}, platform="cpu", device="cpu")


def test_missing_wheels_are_named(load, monkeypatch, capsys):
  accelerator = load("accelerator")
  missing = {"array-record", "ml-collections", "tqdm"}

  def version(name):
    if name in missing:
      raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.setattr(importlib.metadata, "version", version)
  with pytest.raises(SystemExit, match="no ml-collections, tqdm, expected"):
    accelerator.check_wheels()
  assert "for TFDS sets alone: array-record\n" in capsys.readouterr().err
  missing.difference_update(("ml-collections", "tqdm"))
  accelerator.check_wheels()


def test_peaks_are_known_by_kind_or_not_at_all(load):
  peaks = load("parts.peaks")
  known = list(peaks.PEAKS.values())
  assert all(chip in known for chip in chips.CHIPS.values())
  assert peaks.find("NVIDIA H100 80GB HBM3").peak == 989.5e12
  assert peaks.find("cpu") is None


def _lane(pid, tid, name):
  of = {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name"}
  return of | {"args": {"name": name}}


def _run(pid, tid, begin, end, name="fusion"):
  times = {"ts": begin, "dur": end - begin}
  return {"ph": "X", "pid": pid, "tid": tid, "name": name} | times


def test_idle_is_what_no_operation_of_a_device_covers(load):
  names = {1: "/device:GPU:0", 2: "/device:TPU:1", 3: "/host:CPU"}
  events = [
    {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": name}}
    for pid, name in names.items()
  ]
  events += [
    _lane(1, 13, "Stream #13(Compute)"), _lane(1, 14, "Stream #14(Memcpy)"),
    _lane(1, 1, "XLA Modules"), _lane(2, 5, "XLA Ops"), _lane(3, 7, "main"),
    # The ends count as little as what lies over them.
    _run(1, 13, 0, 1), _run(1, 13, 10, 40), _run(1, 14, 30, 50, "add"),
    _run(1, 13, 60, 99), _run(1, 13, 99, 100), _run(1, 1, 0, 100),
    _run(1, 14, 50, 60, "MemcpyH2D"), _run(3, 7, 0, 100),
    _run(2, 5, 0, 1000),
  ]  # fmt: skip
  found = load("parts.idle").idle_of_events({"traceEvents": events})
  assert found == {
    "/device:GPU:0": pytest.approx(10 / 80), "/device:TPU:1": 0.0
  }  # fmt: skip


def test_a_difference_counts_by_the_size_of_what_differs(load):
  correct = load("parts.correct")
  stored = {"loss": 2.0, "norms": {"a": 1.0, "b": 4.0, "nothing": 1e-9}}
  found = {"loss": 2.02, "norms": {"a": 1.1, "b": 4.0, "nothing": 2e-9}}
  differences = correct.differences(found, stored)
  assert differences == pytest.approx([0.01, 2.5e-7, 0.1], rel=0.1)
  assert correct.are_within(differences, (0.1, 0.1, None))
  assert not correct.are_within(differences, (0.1, 0.1, 0.01))
  assert not correct.are_within([0, 0, float("nan")], (1, 1, None))


def test_what_was_found_becomes_a_page(load, tmp_path):
  update = {
    "batch": 256, "seconds": 0.1, "images_a_second": 2560,
    "memory_bytes": 2**31, "share_of_peak": 0.34,
    "estimate_s": {"compute": 0.03, "traffic": 0.05},
  }  # fmt: skip
  compared = {"bounds": [0.1, 0.2, None], "found": {"npid": [1e-3, 2e-3, 0.5]}}
  found = {
    "correct": {"a": compared, "b": {"not_run": "one device"}},
    "speed": {"x": update, "idle": {"idle": {"/device:GPU:0": 0.01}}},
    "inference": {
      "y": {"32": {**update, "batch": 32}},
      "z": {"ok": False, "error": "died"},
    },
    "figures": {"fig7": {"claims": "1 undecided"}},
  }
  for part, items in found.items():
    items = {k: {"ok": True, "took_s": 1, **v} for k, v in items.items()}
    record = {"about": _ABOUT, "items": items}
    (tmp_path / f"{part}.json").write_text(json.dumps(record))
  lines = load("parts.page").render(tmp_path).splitlines()
  assert [x[3:] for x in lines if x.startswith("## ")] == [*_PARTS]
  assert "| x | 256 | 100 | 2,560 | 2.00 | 34 % | 50 |" in lines
  found = "loss 1.0e-03 of 1e-01, median leaf 2.0e-03 of 2e-01, worst leaf"
  assert f"| a | yes | {found} 5.0e-01 |" in lines
  assert "| b | not run | one device |" in lines
  assert "| y | 32 | 100 | 2,560 |" in lines
  assert "| z | died |  |  |" in lines


@pytest.mark.slow
@pytest.mark.parametrize("part", _PARTS)
def test_parts_run_in_short_form(part, tmp_path):
  command = ["bash", ROOT / "launch/accelerator.sh", part, "--short"]
  for _ in range(3):  # On a slow machine, more than eight minutes.
    run = subprocess.run(
      [*command, f"--out={tmp_path}"],
      capture_output=True,
      text=True,
      env={**os.environ, "PYTHON": sys.executable},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    if "goes on" not in run.stdout:
      break
  items = json.loads((tmp_path / f"{part}.json").read_text())["items"]
  assert items and all(item["ok"] for item in items.values())
  assert len([*tmp_path.iterdir()]) == 1
