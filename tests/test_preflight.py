"""What preflight says of a step, by the TPU's own compiler."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from sslprune_jax import models, preflight, tasks
from sslprune_jax.config import recipes
from sslprune_jax.data import DataError, Spec
from sslprune_jax.preflight import chips, compiled, costs, outlines, table
from sslprune_jax.pruning import masks
from sslprune_jax.runtime import environment
from sslprune_jax.training import state as state_lib

ROOT = pathlib.Path(__file__).parent.parent
_MODULE = """
  %fusion.1 = bf16[8,4]{1,0} fusion(%a), backend_config={"estimated_cycles":"7"}
  %fusion.2 = bf16[8,4]{1,0} fusion(%b), backend_config={"estimated_cycles":"35"}
  %all-reduce = (f32[3,3,64]{2,1,0:T(8,128)}, /*index=1*/f32[]{:T(128)}) all-reduce(%c, %d), channel_id=1
  %all-reduce.1 = bf16[10]{0} all-reduce-start(%e), channel_id=2
  %user = f32[] get-tuple-element(%all-reduce), index=1
"""  # noqa: E501


def test_cycles_and_all_reduces_are_read_from_the_compiled_text():
  assert compiled.count_cycles(_MODULE) == 42
  assert compiled.exchange_sizes(_MODULE) == (4 * (3 * 3 * 64 + 1), 2 * 10)


def test_an_update_takes_what_each_measure_says():
  chip = chips.Chip(
    memory=100, peak=1e3, bandwidth=1e2, links=10, clock=50, axes=2
  )
  step = compiled.Compiled(
    fits=True, seconds=1, flops=4e3, traffic=300, cycles=25, exchanged=(30, 10)
  )
  assert costs.estimate_times(step, chip, count=4) == {
    "cycles": 0.5,
    "compute": 4,
    "traffic": 3,
    "exchange": 2 * 40 * 3 / 4 / 10,
  }
  alone = costs.estimate_times(step, chip, count=1)
  assert alone["exchange"] == 0


@pytest.mark.parametrize(
  "split, count",
  [
    ("train", 60_000),
    ("train[:10000]", 10_000),
    ("train[10%:]", 54_000),
    ("test[-5:]", 5),
    ("train+test[:50%]", 65_000),
  ],
)
def test_known_sets_are_counted_whole_and_in_part(split, count):
  spec = Spec("fashion_mnist", split, image_size=28, channels=1)
  assert len(outlines.Outline(spec)) == count


@pytest.mark.parametrize(
  "name, size, resident, crops",
  [
    ("imagenet2012", 224, False, True),
    ("imagenet2012", 64, True, False),
    ("cifar10", 32, False, False),
    ("cifar10", 40, False, True),
  ],
)
def test_what_is_streamed_crops_where_it_is_decoded(
  name, size, resident, crops
):
  spec = Spec(name, "train", image_size=size, channels=3, resident=resident)
  assert outlines.Outline(spec).crops == crops
  config = recipes.study("npid", name)
  config.dataset.update(resident=resident, crop_scale=(0.2, 1.0))
  task = tasks.make(config, "npid", outlines.Outline(spec))
  # No step of it crops again.
  assert bool(task.augment.crop_scale) == (not crops)


@pytest.mark.parametrize(
  "split, words",
  [
    ("train[x]", "found train.x., expected one of train, test of cifar10"),
    ("validation", "found validation, expected one of"),
    ("train[5:2]", "which is empty"),
  ],
)
def test_a_split_that_is_not_known_is_named(split, words):
  with pytest.raises(DataError, match=words):
    outlines.Outline(Spec("cifar10", split, image_size=32, channels=3))


def test_the_largest_batch_fills_what_is_left_with_activations():
  step = compiled.Compiled(fits=True, seconds=1, temporary=60, needed=80)
  # 20 bytes stay; 16 images a chip take 60: 48 a chip take 180 of 200.
  assert costs.largest_batch(step, 64, 200, count=4) == 4 * 48


@pytest.mark.parametrize(
  "topology, words",
  [
    ("v5e", "expected a kind among"),
    ("v9:2x2", "expected a kind among"),
    ("v5e:2x2x2", "8 chips along 3 axes, expected 1 to 256 chips along 2"),
    ("v4:4x4", "such as v4:4x4x4"),
    ("v6e:32x32", "1024 chips"),
  ],
)
def test_a_topology_that_does_not_exist_is_named(topology, words):
  with pytest.raises(preflight.TopologyError, match=words):
    chips.devices(topology)


def test_a_missing_compiler_is_named_with_what_installs_it(monkeypatch):
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  with pytest.raises(preflight.TopologyError, match=r"pip install .*\[tpu\]"):
    chips.devices("v5e:2x4")


def _preflight(*flags, **environment):
  return subprocess.run(
    [sys.executable, "-m", "sslprune_jax.preflight", *flags],
    capture_output=True,
    text=True,
    env={**os.environ, **environment},
  )


@pytest.fixture
def compiler(monkeypatch):
  pytest.importorskip("libtpu", reason="no libtpu: the extra tpu")
  # What is measured is the program that a user runs.
  monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
  before = jax.config.values["jax_disable_most_optimizations"]
  jax.config.update("jax_disable_most_optimizations", False)
  yield
  jax.config.update("jax_disable_most_optimizations", before)


_NPID = f"--config={ROOT}/configs/npid.py:fashion_mnist"


def test_the_table_and_its_json_agree_and_the_second_time_is_at_once(
  compiler, tmp_path
):
  flags = [_NPID, "--topology=v5e:2x4"]
  cache = {"XDG_CACHE_HOME": str(tmp_path)}
  first = _preflight(*flags, **cache)
  assert first.returncode == 0, first.stderr
  assert "(an earlier time)" not in first.stdout
  again = _preflight(*flags, "--json", **cache)
  found = json.loads(again.stdout)
  assert found["was_cached"] and found["fits"]
  # All but whether it was compiled now is the same.
  shown = table.lines({**found, "was_cached": False})
  assert shown == first.stdout.splitlines()
  assert sum(found["memory"].values()) == found["needed"]

  config = recipes.study("npid", "fashion_mnist")
  network = models.build("convnet", config.npid.embedding)
  variables = state_lib.initialize(network, (28, 28, 1), jax.random.key(0))
  parameters = sum(x.size for x in jax.tree.leaves(variables["params"]))
  statistics = sum(x.size for x in jax.tree.leaves(variables["batch_stats"]))
  assert found["memory"]["weights"] == 4 * (parameters + statistics)
  assert found["memory"]["optimizer"] == 4 * (2 * parameters + 1)
  dense = masks.dense(variables["params"])
  prunable = sum(x.size for x in jax.tree.leaves(dense))
  assert found["memory"]["masks"] == prunable
  # The bank: 60,000 rows over 8 chips, of 128 numbers, a label and a flag. The
  # softmax over all of it needs no normaliser.
  assert config.npid.objective == "softmax"
  assert found["memory"]["task"] == 7500 * (4 * 128 + 4 + 1)
  # Gradients, statistics and metrics are averaged over the chips.
  assert sum(found["exchanged"]) >= 4 * (parameters + statistics)
  images = found["study"]["images"]
  hours = images / found["images_per_second"] / 3600
  assert found["study"]["hours"] == pytest.approx(hours)
  assert found["study"]["chip_hours"] == pytest.approx(8 * hours)
  per_round = 5 * (60_000 // 128) * 128
  # Rounds 0 to 3; of round 0 the random mask is that of re-init.
  assert found["study"]["trainings"] == 4 + 2 + 3
  assert images > 4 * 0.9 * per_round


def test_the_flags_of_a_run_on_a_cpu_are_not_the_compilers(compiler, tmp_path):
  """Nor are barriers, which it does not know: those of `remat`."""
  run = _preflight(
    f"--config={ROOT}/configs/rotnet.py:digits",
    "--config.model.remat=True",
    "--topology=v5e:2x2",
    XDG_CACHE_HOME=str(tmp_path),
    XLA_FLAGS=environment._KEEP_BARRIERS,
  )
  assert run.returncode == 0, run.stderr


def test_what_does_not_fit_says_so_and_fails(compiler, tmp_path):
  run = _preflight(
    f"--config={ROOT}/configs/labels.py:imagenet2012",
    "--config.model.name=convnet",
    "--config.train.batch_size=1000000",
    "--topology=v5e:2x4",
    XDG_CACHE_HOME=str(tmp_path),
  )
  assert run.returncode == 1, run.stderr
  assert "DOES NOT FIT: needs at least" in run.stdout
  assert "of 15.75 GiB a chip" in run.stdout


def test_every_kind_compiles_and_more_chips_run_the_same_program(
  compiler, tmp_path, monkeypatch
):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  config = recipes.study("rotnet", "digits")
  found = {}
  for topology in ("v4:2x2x1", "v5e:2x2", "v5e:4x4", "v5p:2x2x1", "v6e:1x1"):
    config.train.batch_size = 32 * {"4x4": 16, "1x1": 1}.get(
      topology.split(":")[1], 4
    )
    found[topology] = preflight.estimate_cost(config, topology)
    assert found[topology]["fits"]
    assert found[topology]["cycles"] > 0
  few, many = found["v5e:2x2"], found["v5e:4x4"]
  assert (few["chips"], many["chips"]) == (4, 16)
  assert many["flops"] == pytest.approx(few["flops"], rel=1e-3)
  assert many["exchanged"] == few["exchanged"]
  assert len(few["exchanged"]) <= 2


@pytest.mark.parametrize(
  "flags, words",
  [
    (
      ["--config.train.batch_size=100"],
      "config.train.batch_size: found 100, expected a multiple of the 8 chips "
      "of v5e:2x4",
    ),
    (
      ["--task=retrain", "--config.retrain.train.batch_size=100"],
      "config.retrain.train.batch_size: found 100",
    ),
    (["--task=labels"], "--task: found 'labels', expected one of"),
    (["--config.dataset.name=mnist"], "mnist"),
    (["--topology=v5e:3x3"], "--topology=v5e:3x3: INVALID_ARGUMENT"),
  ],
)
def test_what_makes_no_sense_is_one_line(compiler, flags, words, tmp_path):
  run = _preflight(
    _NPID, "--topology=v5e:2x4", *flags, TFDS_DATA_DIR=str(tmp_path)
  )
  assert run.returncode == 1
  assert run.stderr.startswith("error: ") and words in run.stderr
  assert len(run.stderr.splitlines()) == 1
