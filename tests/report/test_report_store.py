"""Every number on a page of results is that of the lines that are committed."""

import json
import pathlib

import pytest

from sslprune_jax.report.paper import page as page_lib
from sslprune_jax.report.paper import runs

PAPER = pathlib.Path(__file__).parents[2] / "docs/paper"


@pytest.fixture
def redraw(monkeypatch):
  """Gives what draws a set's page anew, all of it but its pictures."""
  for name in ("draw", "png", "pdf"):
    monkeypatch.setattr(page_lib.figures, name, lambda *_: b"drawn")

  def files(folder):
    parts = [
      page_lib.draw_part(run) for run in runs.read(sorted(folder.glob("*/*")))
    ]
    page = page_lib.render(parts, "md", linked=False)
    found = {f"{folder.name}.md": page.encode("utf-8", "backslashreplace")}
    return found | {
      f"figures/{part.name}.csv": part.files["csv"]
      for part in parts
      if part.files
    }

  return files


def _stale(paper, redraw):
  """Returns the files that are not what the lines below `runs` say."""
  return [
    name
    for folder in sorted((paper / "runs").glob("*"))
    for name, content in redraw(folder).items()
    if not (paper / name).exists() or (paper / name).read_bytes() != content
  ]


def test_pages_are_those_of_the_committed_lines(redraw):
  # What draws them: `python -m sslprune_jax.report docs/paper/runs/SET/*/*
  # --out=docs/paper/SET.md`, as launch/paper.sh does in the end.
  assert not _stale(PAPER, redraw)


def test_a_line_that_is_added_or_changed_makes_its_page_stale(
  make, redraw, tmp_path
):
  figure = {"figure": "fig7_rewind", "dataset": {"name": "cifar10"}}
  about = {"versions": {"jax": "0", "python": "3"}, "commit": "abc"}
  place = tmp_path / "runs/cifar10/fig7_rewind"
  for seed in (3, 4):
    path = place / f"seed_{seed}"
    config = {**figure, "variants": {"epochs": {}, "share": {}}}
    for variant in config["variants"]:
      own = {"dataset": figure["dataset"], "model": {"name": "convnet"}}
      own |= {"train": {"batch_size": 8}, "prune": {"rewind": "1ep"}}
      make.run(path / variant, make.results(("labels",), [seed]), config=own)
    (path / "config.json").write_text(json.dumps({**about, "config": config}))
  assert _stale(tmp_path, redraw) == [
    "cifar10.md",
    "figures/fig7_rewind_cifar10.csv",
  ]
  (tmp_path / "figures").mkdir()
  for name, content in redraw(tmp_path / "runs/cifar10").items():
    (tmp_path / name).write_bytes(content)
  assert not _stale(tmp_path, redraw)
  lines = place / "seed_4/epochs/results.jsonl"
  text = lines.read_text()
  lines.write_text(text.replace('"value": 0.9', '"value": 0.8', 30))
  assert len(_stale(tmp_path, redraw)) == 2
