"""Which settings of a small training learn features? A sweep on a hold-out.

  python benchmarks/sweep.py fashion_mnist rotnet
  python benchmarks/sweep.py fashion_mnist rotnet --judge='crops, 4 angles'

Trains the dense network of every setting below, one seed, on a part of the
training images, and judges its features on another part: never on test images.
A line a setting goes to docs/sweeps.jsonl, and what is there is not run again.
With --judge the setting that is named is trained with three seeds on the whole
of the training images of the sweep, and judged on 10,000 test images (all that
digits have) beside an untrained network.

Budget: 10 minutes a setting on 2 CPU cores; 20 for RotNet.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import features
from ml_collections import ConfigDict

from sslprune_jax.runtime import environment

ROOT = pathlib.Path(__file__).parent.parent
STORE = ROOT / "docs/sweeps.jsonl"
_SPLITS = {
  "digits": ("train[:80%]", "train[80%:]"),
  "fashion_mnist": ("train[:10000]", "train[50000:]"),
}
_LAYERS = {"convnet": ("features", "stage3", "stage4")}
_COMMON = (
  "--config.prune.rounds=0",
  "--config.retrain.rounds=()",
  "--config.prune.rewind=1it",
)
_CROPS = ("--config.dataset.crop_scale=(0.3,1.0)", "--config.dataset.padding=0")
_WIDE = ("--config.model.width=2.0",)


def _train(epochs, batch_size=128, rate=2e-3):
  return (
    f"--config.train.duration={epochs}ep",
    f"--config.train.batch_size={batch_size}",
    f"--config.train.learning_rate={rate}",
  )


_ONE, _FOUR = ("--config.rotnet.copies=1",), ("--config.rotnet.copies=4",)
# (set, task) -> setting -> flags.
SETTINGS = {
  ("fashion_mnist", "rotnet"): {
    "4 angles": (*_train(10), *_FOUR),
    "1 angle": (*_train(40), *_ONE),
    "crops, 4 angles": (*_train(10), *_FOUR, *_CROPS),
    "crops, 1 angle": (*_train(40), *_ONE, *_CROPS),
    "crops, 4 angles, wide": (*_train(5), *_FOUR, *_CROPS, *_WIDE),
    "crops, 4 angles, long": (*_train(20), *_FOUR, *_CROPS),
    "crops, 4 angles, batch 32": (*_train(10, 32, 1e-3), *_FOUR, *_CROPS),
    "crops, 4 angles, decay 1e-3": (
      *(*_train(10), *_FOUR, *_CROPS),
      "--config.train.weight_decay=1e-3",
    ),
  },
}


def main():
  """Runs the settings that are not in the store, or judges one of them."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("dataset", choices=sorted({s for s, _ in SETTINGS}))
  parser.add_argument("task", choices=sorted({t for _, t in SETTINGS}))
  parser.add_argument("--judge", help="a setting, to be judged on test images")
  arguments = parser.parse_args()
  environment.prepare()
  settings = SETTINGS[arguments.dataset, arguments.task]
  if arguments.judge:
    jobs = [(arguments.judge, seed, "test") for seed in range(3)]
  else:
    jobs = [(setting, 0, "hold-out") for setting in settings]
  done = _done()
  for setting, seed, on in jobs:
    key = {
      "dataset": arguments.dataset,
      "task": arguments.task,
      "setting": setting,
      "seed": seed,
      "on": on,
    }
    if not any(key.items() <= line.items() for line in done):
      _run(key, settings[setting])


def _done():
  if not STORE.exists():
    return []
  return [json.loads(line) for line in STORE.read_text().splitlines()]


def _run(key, flags):
  """Trains a setting and judges it; adds its lines to the store."""
  train, test = _SPLITS[key["dataset"]]
  test = "test" if key["on"] == "test" else test
  with tempfile.TemporaryDirectory() as workdir:
    command = [
      *(sys.executable, "-m", "sslprune_jax.main"),
      f"--config={ROOT}/configs/{key['task']}.py:{key['dataset']}",
      *(f"--workdir={workdir}", f"--config.seeds=({key['seed']},)"),
      *(f"--config.dataset.train={train}", f"--config.dataset.test={test}"),
      *(*_COMMON, *flags),
    ]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = round(time.monotonic() - began)
    text = (pathlib.Path(workdir) / "config.json").read_text()
    stored = json.loads(text)
    config = ConfigDict(stored["config"])
    text = (pathlib.Path(workdir) / "results.jsonl").read_text()
    pretext = {
      line["metric"]: round(line["value"], 4)
      for line in map(json.loads, text.splitlines())
    }
    layers = _LAYERS[config.model.name]
    judged = features.judge(config, pathlib.Path(workdir), key["seed"], layers)
    line = {
      **key,
      "flags": flags,
      "seconds": seconds,
      "pretext": pretext,
      "found": list(judged),
      "commit": stored.get("commit"),
    }
  with STORE.open("a") as file:
    file.write(json.dumps(line) + "\n")
  print(json.dumps({k: line[k] for k in ("setting", "seconds", "pretext")}))
  for found in line["found"]:
    print("  ", json.dumps(found), flush=True)


if __name__ == "__main__":
  main()
