"""Made-up studies in the files of real ones; no number here was measured."""

import json

import pytest

PRUNABLE, PARAMETERS = 20_000, 21_000
ROUNDS = (0, 3, 7, 11, 15, 18)
START = {"rewind": 0.0, "reinit": 0.05, "random": 0.2}


def sparsity(index, layers=4):
  """Returns a sparsity.json in which later layers lose more weights."""
  total = PRUNABLE // layers
  shares = [0.8 ** (index * (0.6 + 0.8 * i / layers)) for i in range(layers)]
  scale = 0.8**index * layers / sum(shares)
  entries = [
    {
      "path": f"trunk/stage{i + 1}/conv/kernel",
      "shape": [3, 3, 8, 16],
      "total": total,
      "kept": round(total * min(1, scale * share)),
      "uses": (64, 16, 4, 1)[i % 4],
      "dead_outputs": i if index > 9 else 0,
    }
    for i, share in enumerate(shares)
  ]
  kept = sum(entry["kept"] for entry in entries)
  excluded = [
    {"path": "head/dense/kernel", "size": 640, "reason": "head"},
    {"path": "trunk/stage1/bn/scale", "size": 360, "reason": "not a kernel"},
  ]
  return {
    "layers": entries,
    "kept": kept,
    "prunable": PRUNABLE,
    "parameters": PARAMETERS,
    "excluded": excluded,
  }


def result(task, seed, stage, index, init=None, **changes):
  """Returns one line of results.jsonl."""
  kept = round(PRUNABLE * 0.8**index)
  loss = index / 18 * (1.0 if task == "labels" else 1.5)
  value = 0.96 - 0.12 * loss**2 - START.get(init, 0) * loss - 0.004 * seed
  row = {
    "seed": seed,
    "task": task,
    "stage": stage,
    "round": index,
    "init": init,
    "density": kept / PRUNABLE,
    "density_of_all": (kept + PARAMETERS - PRUNABLE) / PARAMETERS,
    "kept": kept,
    "prunable": PRUNABLE,
    "dataset": "digits",
    "split": "test",
    "metric": "accuracy",
    "value": value
    + 0.006 * ((7 * index + 3 * seed + seed * len(f"{task}{init}")) % 5),
    "n": 360,
    "updates": 400 if stage == "retrain" else 900,
    "training_images": 200 if stage == "retrain" else 1437,
    "rewind_update": 25,
  }
  return row | changes


def results(tasks=("labels", "rotnet"), seeds=(0, 1, 2), inits=tuple(START)):
  """Returns the rows of a whole study."""
  rows = []
  for task in tasks:
    for seed in seeds:
      for index in range(max(ROUNDS) + 1):
        rows.append(result(task, seed, "pretext", index))
      for index in ROUNDS:
        starts = inits if index else inits[:1]
        rows += [result(task, seed, "retrain", index, i) for i in starts]
  return rows


def write_run(path, rows, layers=4, config=None, tasks=None):
  """Writes a workdir and returns it; without rows of tasks, the first's."""
  path.mkdir(parents=True, exist_ok=True)
  config = config or {"model": {"name": "convnet"}, "prune": {"rate": 0.2}}
  about = {"config": config, "versions": {"jax": "0.0"}, "commit": "abc123"}
  about |= {} if tasks is None else {"tasks": tasks}
  (path / "config.json").write_text(json.dumps(about))
  lines = "".join(json.dumps(row) + "\n" for row in rows)
  (path / "results.jsonl").write_text(lines)
  for row in rows:
    if row["stage"] == "pretext":
      folder = path / f"seed_{row['seed']}" / row["task"]
      folder = folder / f"round_{row['round']:02d}"
      folder.mkdir(parents=True, exist_ok=True)
      text = json.dumps(sparsity(row["round"], layers))
      (folder / "sparsity.json").write_text(text)
  return path


@pytest.fixture
def make():
  """Gives the makers of rows and runs to a test."""

  class Make:
    result = staticmethod(result)
    results = staticmethod(results)
    run = staticmethod(write_run)

  return Make
