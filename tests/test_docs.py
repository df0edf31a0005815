"""What the pages say is there is there, and docs/extending.md runs."""

import ast
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from absl import flags
from ml_collections import config_flags

from sslprune_jax import config as config_lib
from sslprune_jax.config import every_field, rounds, variants
from sslprune_jax.config import files as config_files
from sslprune_jax.study import validation

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "launch/README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))


def _prose(page: pathlib.Path) -> str:
  """Returns a page without its blocks of code."""
  return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.M)


def _anchors(page: pathlib.Path) -> set[str]:
  """Returns the anchors of a page's headings, as GitHub makes them."""
  headings = re.findall(r"^#+ (.+)$", _prose(page), flags=re.MULTILINE)
  words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
  return {word.replace(" ", "-") for word in words}


def test_every_link_within_the_checkout_leads_somewhere():
  lost = []
  for page in PAGES:
    for link in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", _prose(page)):
      address, _, anchor = "".join(link).partition("#")
      if re.match(r"[a-z]+:", address):
        continue  # Of the web.
      target = (page.parent / address) if address else page
      if not target.exists() or (anchor and anchor not in _anchors(target)):
        lost.append(f"{page.relative_to(ROOT)}: {''.join(link)}")
  assert not lost


def _commands():
  """Yields every command with a configuration: where it stands, its words."""
  texts = {page: page.read_text() for page in PAGES}
  for path in sorted((ROOT / "configs").rglob("*.py")):
    texts[path] = ast.get_docstring(ast.parse(path.read_text())) or ""
  for path in sorted((ROOT / "sslprune_jax").rglob("*.py")):
    texts[path] = ast.get_docstring(ast.parse(path.read_text())) or ""
  start = r"(?:python -m sslprune_jax\.\w+|sslprune \w+|bash launch/\w+\.sh)"
  command = re.compile(rf"({start}[^`#\n]*--config=[^`#\n]*)")
  for path, text in texts.items():
    for words in command.findall(re.sub(r"\\\n *", " ", text)):
      if not re.search(r"FIGURE|\.\.\.|my_configs", words):
        yield f"{path.relative_to(ROOT)}: {words}", shlex.split(words)


class _Loader(flags.ArgumentParser):
  def parse(self, argument):
    return config_files.load(argument)


def _with_a_network(study):
  """Fills in what a study takes from the checkpoint of a command."""
  study = study.copy_and_resolve_references()
  if study.start:
    study.model.name = study.model.name or "resnet50"
    preset = config_lib.dataset("imagenet2012")
    for name in ("image_size", "channels", "mean", "std"):
      study.dataset[name] = study.dataset[name] or preset[name]
  return study


def test_every_command_is_of_a_configuration_that_is_possible(monkeypatch):
  monkeypatch.chdir(ROOT)
  commands = list(_commands())
  assert len(commands) > 30
  for where, words in commands:
    words = [word for word in words if word.startswith("--config")]
    monkeypatch.setattr(sys, "argv", ["main", *words])  # Read for fields.
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values)
    values["config"].parser = _Loader()
    try:
      values(sys.argv)
      config = values.config
      given = [re.match(r"--config\.([^=]*)", word)[1] for word in words[1:]]
      rounds.leave_out(config, given)
      for study in variants.expand(config).values():
        validation.validate(_with_a_network(study))
    except (ValueError, flags.Error) as error:
      raise AssertionError(where) from error


def test_the_readme_is_short():
  assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def _run(folder, *words):
  run = subprocess.run(
    [sys.executable, "-m", *words],
    capture_output=True,
    text=True,
    cwd=folder,
    # The folder first, as `python -m` has it from a shell there.
    env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
  )
  assert run.returncode == 0, run.stderr
  return run.stdout


@pytest.mark.slow
def test_the_package_of_the_page_on_extending_runs_to_the_report(tmp_path):
  page = (ROOT / "docs/extending.md").read_text()
  whole_lines = page.replace("\\\n", " ")
  blocks = re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", page, re.S | re.M)
  assert len(blocks) == 5
  for path, text in blocks:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(text)
  commands = re.findall(r"^python -m (sslprune_jax\..+)$", whole_lines, re.M)
  study, report, transfer = (command.split() for command in commands)
  _run(
    tmp_path,
    *study,
    "--workdir=runs/simclr",
    "--config.train.duration=6it",
    "--config.prune.rewind=2it",
    "--config.prune.rounds=1",
    "--config.retrain.rounds=(1,)",
    "--config.retrain.train.duration=4it",
    "--config.transfer.rounds=(0, 1)",
  )
  _run(tmp_path, *report)
  lines = (tmp_path / "runs/simclr/results.jsonl").read_text().splitlines()
  found = [json.loads(line) for line in lines]
  assert {line["stage"] for line in found} == {"pretext", "retrain", "transfer"}
  assert {line["task"] for line in found} >= {"simclr"}
  html = (tmp_path / "simclr.html").read_text()
  assert "SimCLR" in html and "the other view of the same image" in html
  recorded = json.loads((tmp_path / "runs/simclr/config.json").read_text())
  assert sorted(recorded["plugins"]) == [
    "network plain",
    "protocol centroids",
    "task simclr",
  ]
  _run(
    tmp_path,
    *(word.replace("round_02", "round_01") for word in transfer),
    "--config.transfer.protocols=('knn:digits',)",
  )
  assert "knn" in (tmp_path / "runs/simclr_transfer/results.jsonl").read_text()


def test_choices_name_fields_and_values_that_there_are():
  text = (ROOT / "docs/choices.md").read_text()
  fields = every_field()
  sections = {name.partition(".")[0] for name in fields if "." in name}
  named = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?:=([^`]+))?`", text)
  named = [pair for pair in named if pair[0].split(".")[0] in sections]
  assert len(named) > 40
  for name, value in named:
    parts = [field for field in fields if field.startswith(f"{name}.")]
    assert name in fields or parts, name
    if value:
      try:
        value = ast.literal_eval(value)
      except ValueError:  # As on the command line: costs=fair.
        value = (value,)
      fields[name].rule.check(name, value)
