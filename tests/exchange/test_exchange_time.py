"""Tests of timing: what is timed, by whom, and what is kept of it."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from test_exchange_shrink import draw_ticket, prune

from sslprune_jax import models
from sslprune_jax.exchange import engines, measuring, timing, turns
from sslprune_jax.pruning import channels, tickets
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime.trees import named_leaves


@pytest.fixture(scope="module")
def pruned():
  """Channels of it are 0."""
  ticket, groups = draw_ticket("convnet", 8, width=0.5)
  ticket = prune(ticket, groups)[0]
  said = {"task": "labels", "seed": 0, "round": 3, "kind": "trained"}
  ticket.meta.update(said)
  ticket.meta["config"]["dataset"] = {"mean": (0.5,) * 3, "std": (0.2,) * 3}
  return ticket


@pytest.fixture(scope="module")
def networks(pruned):
  return measuring.list_networks(pruned)


def test_a_ticket_is_timed_beside_the_network_it_was_pruned_from(
  pruned, networks
):
  assert list(networks) == ["dense", "masked", "shrunk"]
  dense, masked, shrunk = networks.values()
  assert masked is pruned
  assert masks_lib.density(dense.masks) == 1
  shapes = {k: v.shape for k, v in named_leaves(masked.params).items()}
  drawn = named_leaves(dense.params)
  assert {k: v.shape for k, v in drawn.items()} == shapes
  assert np.count_nonzero(drawn["trunk/stage2/conv/kernel"] == 0) == 0
  again = measuring.list_networks(shrunk)
  assert list(again) == ["dense", "shrunk"]
  drawn = named_leaves(again["dense"].params)
  assert {k: v.shape for k, v in drawn.items()} == shapes


def test_a_shrunk_ticket_that_was_pruned_on_is_masked_and_shrunk(networks):
  ticket = networks["shrunk"]
  network = ticket.network()
  groups = channels.of_network(
    network, ticket.variables, ticket.image_shape
  ).groups
  pruned = prune(ticket, groups)[0]
  again = measuring.list_networks(pruned)
  assert list(again) == ["dense", "masked", "shrunk"]
  assert again["masked"] is pruned
  assert masks_lib.density(again["shrunk"].masks) == 1


def test_a_ticket_that_does_not_say_its_network_is_refused(pruned):
  with pytest.raises(tickets.TicketError, match="meta.config: found no model"):
    measuring.list_networks(dataclasses.replace(pruned, meta={}))


def test_weights_alone_are_masked_and_nothing_is_sliced(pruned):
  masks = masks_lib.dense(pruned.params)
  kernel = masks["trunk"]["stage1"]["conv"]["kernel"].copy()
  kernel[0] = False
  masks["trunk"]["stage1"]["conv"]["kernel"] = kernel
  dense = measuring.draw_dense(pruned)
  params = masks_lib.apply(masks, dense.params)
  ticket = dataclasses.replace(dense, masks=masks, params=params)
  assert list(measuring.list_networks(ticket)) == ["dense", "masked"]
  assert list(measuring.list_networks(dense)) == ["dense"]


def test_multiply_adds_are_those_of_weights_that_remain(pruned, networks):
  dense, masked, shrunk = map(measuring.count_multiply_adds, networks.values())
  # What is 0 in a masked network is what a shrunk one does not have.
  assert masked == shrunk < 0.6 * dense
  uses = models.uses(pruned.network(), (8, 8, 3))
  sizes = {k: v.size for k, v in named_leaves(pruned.params).items()}
  assert dense == sum(number * sizes[name] for name, number in uses.items())


def lines_of(device="cpu", seconds=0.5):
  about = {"sha256": "0", "engine": "xla", "threads": 1, "batch": 1}
  times = {"seconds": seconds, "lower": 0.4, "upper": 0.6}
  more = {"processor_seconds": 0.5, "memory": None, "device": device}
  counts = {"of_dense_multiply_adds": 1.0, "file_bytes": 10}
  return [
    about | {"network": network} | times | more | counts
    for network in ("dense", "masked")
  ]


def test_times_are_kept_with_the_study_in_place_of_earlier_ones(tmp_path):
  path = tmp_path / "seed_0/labels/round_03/trained.npz"
  timing.save(path, lines_of())
  assert not list(tmp_path.iterdir())  # It is no study.
  (tmp_path / "config.json").write_text("{}")
  timing.save(path, lines_of())
  timing.save(path, lines_of("gpu"))
  timing.save(path, lines_of(seconds=0.25))
  kept = (tmp_path / "times.jsonl").read_text().splitlines()
  seconds = [
    (line["device"], line["seconds"]) for line in map(json.loads, kept)
  ]
  assert seconds == [("cpu", 0.25)] * 2 + [("gpu", 0.5)] * 2


def test_the_table_has_ratios_to_the_dense_network(capsys):
  lines = lines_of()
  lines[1]["seconds"] = 0.125
  title, header, dense, masked = timing.tabulate("x.npz", lines)
  assert title == "x.npz: on cpu"
  assert header.startswith("network  engine  threads  batch  ms (quartiles)")
  assert "500 (400 to 600)" in dense and " 1.00 " in dense
  assert "125 (400 to 600)" in masked and " 0.25 " in masked


@pytest.mark.parametrize(
  "flags, words",
  [
    (["--engine=tflite"], "found 'tflite', expected some of xla, onnxruntime"),
    (["--batch=0"], "found '0', expected numbers from 1 to 99999, such as"),
    (["--threads=1,x"], "found '1,x', expected numbers from 1 to 99999"),
    (["--threads=9999"], "--threads: found 9999, expected at most "),
    ([], "no such ticket"),
  ],
)
def test_what_cannot_be_timed_is_said_in_a_line(flags, words, tmp_path, capsys):
  with pytest.raises(SystemExit) as error:
    timing.main([str(tmp_path / "x.npz"), *flags])
  assert words in f"{error.value}{capsys.readouterr().err}"


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch):
  def find_spec(name):
    return None if name == "onnx" else real(name)

  real = importlib.util.find_spec
  monkeypatch.setattr(importlib.util, "find_spec", find_spec)
  words = "engine=onnxruntime: found no onnx.*, expected it: pip install "
  with pytest.raises(SystemExit, match=words):
    timing.main(["x.npz", "--engine=onnxruntime"])


def test_a_process_that_ends_is_one_line(tmp_path):
  side = turns.Side("xla", tmp_path / "lost.jax_export", 1)
  with pytest.raises(turns.TimingError, match="lost.jax_export: its process "):
    turns.take_turns([side], [1])


def test_a_process_that_ends_between_turns_says_why(tmp_path, monkeypatch):
  ends = tmp_path / "ends.py"
  ends.write_text(
    "import json, os, sys\n"
    "print(json.dumps({'device': 'cpu', 'is_alone': False}), flush=True)\n"
    "sys.stdin.readline()\n"
    "os.close(0)\n"
    "answer = {'seconds': [1.0, 1.0], 'processor_seconds': 1.0}\n"
    "print(json.dumps(answer), flush=True)\n"
    "sys.exit('ran out of luck')\n"
  )
  monkeypatch.setattr(turns.engines, "__name__", "ends")
  monkeypatch.setenv("PYTHONPATH", str(tmp_path))
  side = turns.Side("xla", tmp_path / "x.jax_export", 1)
  with pytest.raises(turns.TimingError, match="ran out of luck"):
    turns.take_turns([side], [1])


@pytest.mark.slow
def test_the_command_times_all_networks_by_turns(pruned, tmp_path):
  path = tmp_path / "seed_0/labels/round_03/trained.npz"
  path.parent.mkdir(parents=True)
  tickets.save(path, pruned)
  (tmp_path / "config.json").write_text("{}")
  command = [sys.executable, "-m", "sslprune_jax", "time", str(path)]
  run = subprocess.run(
    [*command, "--batch=2,1"], capture_output=True, text=True, check=True
  )
  assert len(run.stdout.splitlines()) == 2 + 3 * 2
  lines = (tmp_path / "times.jsonl").read_text().splitlines()
  lines = [json.loads(line) for line in lines]
  assert [line["batch"] for line in lines] == [1] * 3 + [2] * 3
  for line in lines:
    assert 0 < line["lower"] <= line["seconds"] <= line["upper"]
    assert 0 < line["processor_seconds"] and 10**7 < line["memory"] < 2**31
    assert line["device"].startswith("cpu, JAX ")
  sizes = {line["network"]: line["file_bytes"] for line in lines}
  assert sizes["shrunk"] < 0.7 * sizes["dense"]


def test_engines_hold_what_is_handed_over_and_no_more():
  run = subprocess.run(
    [sys.executable, "-X", "importtime", "-c", f"import {engines.__name__}"],
    capture_output=True,
    text=True,
    check=True,
  )
  loaded = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
  assert engines.__name__ in loaded and not {"jax", "flax"} & loaded


def test_of_onnx_the_smallest_is_written_in_int8_too(networks, tmp_path):
  pytest.importorskip("onnxruntime")
  two = {name: networks[name] for name in ("dense", "shrunk")}
  written = measuring.write(two, ["onnxruntime"], tmp_path)
  assert [name for _, name, _ in written] == ["dense", "shrunk", "int8"]
  dense, shrunk, int8 = [path.stat().st_size for _, _, path in written]
  assert shrunk < 0.7 * dense and int8 != shrunk
