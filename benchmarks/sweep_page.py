"""docs/sweeps.jsonl, a line a training, and the page written from it."""

import json
import pathlib
import statistics

from sweep_settings import CHOSEN, SETTINGS

_DOCS = pathlib.Path(__file__).parent.parent / "docs"
_STORE, _PAGE = _DOCS / "sweeps.jsonl", _DOCS / "sweeps.md"
_LAYERS = ("features", "stage4", "stage3")
_SEEDS = 3
_LEAST = 3.0  # Points by which neighbours are to beat an untrained network's.
_HEAD = """# Small trainings that learn

Which settings of the small trainings learn features, on digits and on
Fashion-MNIST, and what the chosen ones are worth. Written by `python
benchmarks/sweep.py SET TASK` and, of what was chosen, `... --recipe`; flags,
seconds and all scores of each training are in [sweeps.jsonl](sweeps.jsonl).
Machine: one core of an AMD EPYC a training, two trainings side by side; JAX
0.10.2.

Settings are chosen on a hold-out, never on test images: of Fashion-MNIST,
10,000 training images are trained on and the last 10,000 are held out; of the
digits, four fifths and one fifth. One seed each. What a name leaves out is as
in the first row; the settings are in `benchmarks/sweep_settings.py`. *kNN*:
the vote of the 20 nearest training images (cosine), in percent; *linear, 10*:
a linear classifier on 10 images a class, mean of 5 draws. `features` are
averaged over space, `stage3` and `stage4` are grids.

## What was chosen, on test images

Three seeds by the recipes of the paper's figures on these sets
(`paper.study(TASK, SET)`): 10,000 training images, of the digits all 1,438.
Judged on 10,000 test images, of the digits 359. Mean ± standard error; the
layer is the one whose neighbours gained most on the hold-out. A task *learns*
where its neighbours there beat those of the same network untrained by 3
points. On Fashion-MNIST figures 1 and 2 have the tasks that do. On the digits,
whose neighbours leave an untrained network little to gain, a figure itself says
where a dense network is not shown to be better.{missing}

{chosen}
## Retraining

How long a dense network takes to learn a tenth of the labels, as masks are
retrained: accuracy on the hold-out, 3 seeds. Masks are retrained for the
length in bold, which twice as long is to gain less than a point on.

{lengths}
## Settings

{settings}"""


def read_store():
  """Returns the lines of the store."""
  if not _STORE.exists():
    return []
  return [json.loads(line) for line in _STORE.read_text().splitlines()]


def add(line):
  """Adds a line to the store, and prints it."""
  with _STORE.open("a") as file:
    file.write(json.dumps(line) + "\n")
  print(json.dumps({k: line[k] for k in ("setting", "seconds", "pretext")}))
  for found in line["found"]:
    print("  ", json.dumps(found), flush=True)


def write():
  """Writes the page."""
  by_task = {}
  for line in read_store():
    by_task.setdefault((line["dataset"], line["task"]), []).append(line)
  order = [key for key in SETTINGS if key in by_task]
  lengths = [key for key in order if key[1] == "labels"]
  swept = [key for key in order if key[1] != "labels"]
  rows = [row for key in order if (row := _judge(key, by_task[key]))]
  missing = [
    f"{t} on {s}" for s, t in order if [s, t] not in [r[:2] for r in rows]
  ]
  header = (
    "set, task, layer, kNN, kNN untrained, gain, linear, linear untrained"
  )
  header += ", linear 10, linear 10 untrained, commit, learns"
  _PAGE.write_text(
    _HEAD.format(
      missing=f" Not run: {', '.join(missing)}." if missing else "",
      chosen=_table(header.split(", "), rows),
      lengths=_table(
        ["set", "updates", "seconds", "accuracy"],
        [row for key in lengths for row in _lengths(key, by_task[key])],
      ),
      settings="\n".join(_settings(key, by_task[key]) for key in swept),
    )
  )


def _judge(key, lines):
  """Returns the row of a chosen recipe; nothing where it was not run."""
  found = {"random": [], "round_00": []}
  layer = best_layer(key)
  for line in lines:
    if line["setting"] == "recipe":
      for scores in line["found"]:
        if scores["layer"] == layer:
          found[scores["network"]].append(scores)
  if len(found["round_00"]) < _SEEDS:
    return None

  def mean(network, score):
    return _estimate([scores[score] for scores in found[network]])

  pairs = zip(found["round_00"], found["random"], strict=True)
  gains = [dense["knn"] - random["knn"] for dense, random in pairs]
  row = [*key, layer, mean("round_00", "knn"), mean("random", "knn")]
  row.append(_estimate(gains))
  for score in ("linear", "linear_few"):
    row += [mean("round_00", score), mean("random", score)]
  commits = {line["commit"] for line in lines if line["setting"] == "recipe"}
  row.append(", ".join(sorted(commits)))
  return [*row, "yes" if statistics.fmean(gains) >= _LEAST else "no"]


def best_layer(key):
  """Returns the layer whose neighbours gain most by training, held out."""
  found = {
    line["setting"]: {
      scores["layer"]: scores["knn"] for scores in line["found"]
    }
    for line in read_store()
    if (line["dataset"], line["task"]) == key
  }
  chosen, untrained = found.get(CHOSEN.get(key)), found.get("untrained")
  if not chosen or not untrained:
    return _LAYERS[0]
  return max(chosen, key=lambda layer: chosen[layer] - untrained[layer])


def _settings(key, lines):
  """Returns the section of a sweep."""
  rows = []
  for line in lines:
    if line["setting"] == "recipe":
      continue
    name = line["setting"]
    scores = {found["layer"]: found for found in line["found"]}
    best = max(scores.values(), key=lambda found: found["knn"])
    pretext = 100 * line["pretext"]["accuracy"]
    is_trained = name != "untrained"
    row = [
      f"**{name}**" if name == CHOSEN.get(key) else name,
      f"{pretext:.1f}" if is_trained else "",
      *(f"{scores[layer]['knn']:.1f}" for layer in _LAYERS),
      f"{best['linear_few']:.1f}",
      str(line["seconds"]) if is_trained else "",
    ]
    rows.append(row)
  header = ["setting", "own task", *(f"kNN, {layer}" for layer in _LAYERS)]
  header += ["linear 10, best", "seconds"]
  of = {line["commit"] for line in lines if line["setting"] != "recipe"}
  title = f"### {key[1]} on {key[0]}\n\nCommit {', '.join(sorted(of))}.\n\n"
  return title + _table(header, rows)


def _lengths(key, lines):
  """Returns a row a length of retraining."""
  rows = []
  for name in SETTINGS[key]:  # By length.
    own = [line for line in lines if line["setting"] == name]
    if own:
      row = [
        str(own[0]["updates"]),
        str(round(statistics.fmean(line["seconds"] for line in own))),
        _estimate([100 * line["pretext"]["accuracy"] for line in own]),
      ]
      is_chosen = name == CHOSEN.get(key)
      rows.append([key[0], *(f"**{x}**" if is_chosen else x for x in row)])
  return rows


def _estimate(values):
  """Writes a mean with its standard error."""
  if len(values) < 2:
    return f"{values[0]:.1f}"
  error = statistics.stdev(values) / len(values) ** 0.5
  return f"{statistics.fmean(values):.1f} ± {error:.1f}"


def _table(header, rows):
  """Writes a table of Markdown."""
  lines = [header, ["---"] * len(header), *rows]
  return "".join(f"| {' | '.join(line)} |\n" for line in lines)
