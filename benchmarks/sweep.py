"""Which settings of a small training learn features? A sweep on a hold-out.

  python benchmarks/sweep.py fashion_mnist rotnet
  python benchmarks/sweep.py fashion_mnist rotnet --recipe

The first trains the dense network of every setting below, one seed, on a part
of the training images, and judges its features on another part: never on test
images. The second trains three seeds by the recipe that was chosen, that of the
paper's figures on these sets (`paper.study`), and judges them and untrained
networks on 10,000 test images (all that the digits have). A line a training
goes to docs/sweeps.jsonl, and what is there is not run again; docs/sweeps.md is
written from it.

Budget: 10 minutes a setting on 2 CPU cores; 20 for RotNet.
"""

import argparse
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import features
import sweep_page
from ml_collections import ConfigDict
from sweep_settings import SETTINGS

from sslprune_jax.runtime import environment

ROOT = pathlib.Path(__file__).parent.parent
# What a sweep trains on, and its hold-out.
_SPLITS = {
  "digits": ("train[:80%]", "train[80%:]"),
  "fashion_mnist": ("train[:10000]", "train[50000:]"),
}
_SEEDS = range(3)
_RECIPE = """from sslprune_jax import paper

def get_config():
  return paper.study({!r}, {!r})
"""
_LAYERS = ("features", "stage3", "stage4")  # Of the convnet.
_COMMON = (
  "--config.prune.rounds=0",
  "--config.retrain.rounds=()",
  "--config.prune.rewind=1it",
)


def main():
  """Runs what is not in the store yet."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("dataset", choices=sorted({s for s, _ in SETTINGS}))
  parser.add_argument("task", choices=sorted({t for _, t in SETTINGS}))
  parser.add_argument(
    "--recipe", action="store_true", help="the chosen recipe, on test images"
  )
  arguments = parser.parse_args()
  environment.prepare()
  settings = SETTINGS[arguments.dataset, arguments.task]
  if arguments.recipe:
    jobs = [("recipe", seed) for seed in _SEEDS]
  elif arguments.task == "labels":  # Short, and lengths differ by little.
    jobs = itertools.product(settings, _SEEDS)
  else:
    jobs = [("untrained", 0), *((setting, 0) for setting in settings)]
  done = sweep_page.read_store()
  for setting, seed in jobs:
    key = {
      "dataset": arguments.dataset,
      "task": arguments.task,
      "setting": setting,
      "seed": seed,
    }
    if not any(key.items() <= line.items() for line in done):
      first = next(iter(settings.values()))
      flags = {"untrained": first, "recipe": (), **settings}[setting]
      sweep_page.add(_run(key, flags))
  sweep_page.write()


def _run(key, flags):
  """Trains a setting and judges it; returns its line."""
  train, hold_out = _SPLITS[key["dataset"]]
  splits = {"train": train, "test": hold_out}
  networks = ("round_00",)
  if key["setting"] == "untrained":
    networks, flags = ("random",), (*flags, "--config.train.duration=2it")
  if key["task"] == "labels":
    networks = ()  # The accuracy on labels is all that is asked.
  layers = _LAYERS
  if key["setting"] == "recipe":
    networks, splits = None, {}
    best = sweep_page.best_layer((key["dataset"], key["task"]))
    layers = tuple(dict.fromkeys((_LAYERS[0], best)))
  with tempfile.TemporaryDirectory() as folder:
    workdir = pathlib.Path(folder) / "run"
    config = f"{ROOT}/configs/{key['task']}.py:{key['dataset']}"
    if key["setting"] == "recipe":
      config = f"{folder}/recipe.py"
      pathlib.Path(config).write_text(
        _RECIPE.format(key["task"], key["dataset"])
      )
    command = [
      *(sys.executable, "-m", "sslprune_jax.main"),
      f"--config={config}",
      *(f"--workdir={workdir}", f"--config.seeds=({key['seed']},)"),
      *(f"--config.dataset.{name}={split}" for name, split in splits.items()),
      *(*_COMMON, *flags),
    ]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = round(time.monotonic() - began)
    stored = json.loads((workdir / "config.json").read_text())
    config = ConfigDict(stored["config"])
    text = (workdir / "results.jsonl").read_text()
    results = [json.loads(line) for line in text.splitlines()]
    found = features.judge(
      *(config, workdir, key["seed"], layers),
      of=networks,
      on_all=key["setting"] == "recipe",
    )
    return {
      **key,
      "flags": flags,
      "seconds": seconds,
      "updates": results[0]["updates"],
      "commit": str(stored.get("commit"))[:7],
      "pretext": {line["metric"]: round(line["value"], 4) for line in results},
      "found": [
        {name: value for name, value in line.items() if name != "task"}
        for line in found
      ],
    }


if __name__ == "__main__":
  main()
