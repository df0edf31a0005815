"""What is left of a network that was brought, pruned without labels: 3 seeds.

  python benchmarks/bring_your_own.py runs/bring_your_own

A narrow ResNet-18 is trained without labels (Exemplar) on 10,000 images of
Fashion-MNIST, saved as MoCo saves it (a `.pth` of module.encoder_q), imported
by `sslprune import`, and pruned on the same images without their labels: by
half in each of four rounds with `distil`, an epoch each; to the same densities
at once; and by random masks of as many weights. All are judged on 5,000 test
images. Lines go to docs/bring_your_own.jsonl, a table of means over seeds to
the output. Killed, the same command goes on.
"""

import argparse
import collections
import json
import pathlib
import re
import statistics
import sys

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import torch_files  # noqa: E402

from sslprune_jax import config as config_lib  # noqa: E402
from sslprune_jax import paper  # noqa: E402
from sslprune_jax.config import files as config_files  # noqa: E402
from sslprune_jax.exchange import __main__ as exchange  # noqa: E402
from sslprune_jax.pruning import controls, tickets  # noqa: E402
from sslprune_jax.runtime import environment  # noqa: E402
from sslprune_jax.runtime.rng import stream_generator  # noqa: E402
from sslprune_jax.runtime.trees import named_leaves  # noqa: E402
from sslprune_jax.study import alone, run  # noqa: E402

_SEEDS = (0, 1, 2)
_DENSITIES = (0.5, 0.25, 0.125, 0.0625)
_TRAIN, _TEST = "train[:10000]", "test[:5000]"


def main():
  """Runs what is not there yet, and writes what was found."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("workdir", type=pathlib.Path)
  workdir = parser.parse_args().workdir.absolute()
  environment.prepare()
  lines = []
  for seed in _SEEDS:
    run.run(pretraining(seed), workdir / f"pretrain_{seed}")
    file = bring(workdir, seed)
    for method in ("one-shot", "distil"):
      found = run.run(study(file, method, seed), workdir / f"{method}_{seed}")
      lines += [line | {"method": method} for line in found]
    found = judge_random_masks(workdir, file, seed)
    lines += [line | {"method": "random masks"} for line in found]
    lines = [line for line in lines if line["stage"] == "transfer"]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (ROOT / "docs/bring_your_own.jsonl").write_text(text)
    print(tabulate(lines))


def pretraining(seed: int):
  """Returns the configuration that a network is trained by."""
  config = paper.study("exemplar", "fashion_mnist")
  config.model.update(name="resnet18", width=0.25)
  config.prune.update(rounds=0, rewind="1it")
  config.retrain.rounds, config.transfer.protocols = (), ()
  config.seeds = (seed,)
  return config


def bring(workdir: pathlib.Path, seed: int) -> pathlib.Path:
  """Saves a network as MoCo does, and imports it; returns the ticket's file."""
  ticket = tickets.load(
    workdir / f"pretrain_{seed}/seed_{seed}/exemplar/round_00/trained.npz"
  )
  checkpoint, out = (workdir / f"moco_{seed}{end}" for end in (".pth", ".npz"))
  if not out.exists():
    state = torchvision_state(ticket)
    wrapped = {f"module.encoder_q.{k}": v for k, v in state.items()}
    torch_files.save_zip(checkpoint, {"state_dict": wrapped})
    flags = ["--size=28", "--mean=0.286", "--std=0.353"]
    exchange.main(["import", str(checkpoint), f"--out={out}", *flags])
  return out


def torchvision_state(ticket: tickets.Ticket) -> dict[str, np.ndarray]:
  """Returns the arrays of a ResNet by torchvision's names and layout."""
  leaves = {"kernel": "weight", "scale": "weight", "bias": "bias"}
  leaves |= {"mean": "running_mean", "var": "running_var"}
  state = {}
  for tree in (ticket.params, ticket.batch_stats):
    for name, array in named_leaves({"trunk": tree["trunk"]}).items():
      _, *parts, leaf = name.split("/")
      place = "/".join(parts)
      place = re.sub(r"^stem/(conv|bn)$", r"\g<1>1", place)
      place = re.sub(
        r"^stage(\d)/block(\d+)/",
        lambda m: f"layer{m[1]}.{int(m[2]) - 1}.",
        place,
      )
      place = re.sub(r"conv(\d)/(conv|bn)$", r"\2\1", place)
      place = place.replace("shortcut/conv", "downsample.0")
      place = place.replace("shortcut/bn", "downsample.1")
      if leaf == "kernel":
        array = array.transpose(3, 2, 0, 1)
      state[f"{place}.{leaves[leaf]}"] = np.ascontiguousarray(array)
  return state


def study(file: pathlib.Path, method: str, seed: int):
  """Returns the configuration of a way to prune."""
  config = config_files.load(f"checkpoint:{file},{method}")
  judged_on(config)
  config.seeds = (seed,)
  config.train.update(duration="1ep", learning_rate=1e-3, warmup="0it")
  if method == "one-shot":
    config.prune.densities = _DENSITIES
  else:
    config.prune.update(rounds=len(_DENSITIES), rate=0.5)
  config.transfer.rounds = tuple(range(len(_DENSITIES) + 1))
  return config


def judged_on(config):
  """Sets the images, and the judges of features."""
  dataset = config_lib.dataset("fashion_mnist")
  config.dataset.update(dataset)
  config.dataset.update(train=_TRAIN, test=_TEST)
  config.transfer.update(
    protocols=tuple(
      f"{name}:fashion_mnist" for name in ("knn", "linear", "fidelity")
    ),
    held_out=0.0,
    batch_size=500,
  )
  config.transfer.fidelity.neighbours = 10
  config.transfer.targets.fashion_mnist.update(train=_TRAIN, test=_TEST)
  config.transfer.knn.neighbours = 20
  config.transfer.linear.train.update(
    duration="30ep",
    batch_size=256,
    learning_rate=0.1,
    milestones=("10ep", "20ep"),
  )


def judge_random_masks(workdir: pathlib.Path, file: pathlib.Path, seed: int):
  """Judges the dense weights under masks that keep as many, anywhere."""
  paths = []
  for index in range(1, len(_DENSITIES) + 1):
    folder = workdir / f"one-shot_{seed}/seed_{seed}/distil/round_{index:02d}"
    cut, dense = tickets.load(folder / "trained.npz"), tickets.load(file)
    masks = controls.permute(
      cut.masks, stream_generator(seed, f"random {index}"), None
    )
    meta = cut.meta | {"task": "random_masks"}
    path = workdir / f"random_{seed}_{index}.npz"
    tickets.save(
      path, tickets.Ticket(masks, dense.params, dense.batch_stats, meta)
    )
    paths.append(path)
  config = config_files.load("transfer:fashion_mnist")
  judged_on(config)
  config.start = str(file)
  config.transfer.update(layers=("features",), random=False)
  return alone.run(config, paths, workdir / f"random_{seed}")


def tabulate(lines: list[dict]) -> str:
  """Returns a table of means and deviations over seeds."""
  cells = collections.defaultdict(list)
  for line in lines:
    method = "untrained" if line["task"] == "random" else line["method"]
    key = method, round(line["density"], 3)
    cells[key, f"{line['protocol']} {line['metric']}"].append(line["value"])
  columns = ["knn accuracy", "linear accuracy", "fidelity cosine"]
  columns.append("fidelity neighbours_kept")
  rows = ["| method | weights (%) | " + " | ".join(columns) + " |"]
  rows.append("|---" * (len(columns) + 2) + "|")
  for method, density in sorted({key for key, _ in cells}):
    row = [method, f"{100 * density:.1f}"]
    for column in columns:
      values = [100 * x for x in cells[(method, density), column]]
      spread = statistics.stdev(values) if len(values) > 1 else 0
      row.append(f"{statistics.fmean(values):.1f} ± {spread:.1f}")
    rows.append("| " + " | ".join(row) + " |")
  return "\n".join(rows)


if __name__ == "__main__":
  main()
