"""Damage to what a run left: named or made again, and never a wrong result.

Every kind of file of a finished and of a half-finished workdir is truncated,
zeroed, flipped in a bit, and deleted.
"""

import json
import pathlib
import re
import shutil

import jax
import numpy as np
import pytest
from helpers import TIMES, bits, die_after, short

from sslprune_jax.config import variants
from sslprune_jax.report import results as report_results
from sslprune_jax.report.paper import runs
from sslprune_jax.runtime import digests
from sslprune_jax.runtime.errors import UserError
from sslprune_jax.study import __main__ as command
from sslprune_jax.study import run as run_lib
from sslprune_jax.study.verify import verify

_RNG = np.random.default_rng(0)
# Said, but no part of a result: what a training went through.
_TUNED = "finetune_digits_0.2"
_LOGS = ("metrics.jsonl",)


def _config():
  config = short()
  config.prune.rounds = 1
  config.train.duration = "8it"
  config.retrain.rounds = (1,)
  config.retrain.inits = ("rewind", "reinit")
  config.retrain.fraction = 0.2
  config.retrain.train.update(duration="3it", batch_size=32)
  config.transfer.update(
    protocols=("svm:digits:0.2", "finetune:digits:0.2"),
    rounds=(1,),
    random=False,
  )
  config.transfer.svm.costs = (1.0,)
  config.transfer.finetune.train.update(batch_size=32, duration="3it")
  for task in ("labels", "rotnet"):
    study = config.copy_and_resolve_references()
    study.tasks = (task,)
    variants.add(config, task, study)
  return config


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("whole") / "run"
  run_lib.run(_config(), workdir)
  return workdir


@pytest.fixture(scope="module")
def half(tmp_path_factory):
  """A study that was killed in round 1 of its first variant."""
  workdir = tmp_path_factory.mktemp("half") / "run"
  with pytest.MonkeyPatch.context() as patch:
    die_after(8 + 4, patch)
    with pytest.raises(KeyboardInterrupt):
      run_lib.run(_config(), workdir)
  assert list(workdir.glob("**/round_01/checkpoint/*"))
  return workdir


@pytest.fixture
def copy(whole, tmp_path):
  """A copy of the whole study that a test may damage."""
  return pathlib.Path(shutil.copytree(whole, tmp_path / "run"))


def _kinds(workdir):
  """Returns a file of each kind by its path; of checkpoints too."""
  kinds = {}
  for path in sorted(workdir.glob("**/*")):
    name = str(path.relative_to(workdir))
    if path.is_file() and path.stat().st_size:
      stage = re.findall("/(retrain|transfer|rewind|checkpoint)/", name)
      # Orbax names files by numbers and random digits.
      kind = re.sub(r"[0-9a-f]{6,}|[0-9]+", "#", path.name)
      kinds.setdefault((*stage, kind), name)
  return list(kinds.values())


def _truncate(path):
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])


def _zero(path):
  path.write_bytes(bytes(path.stat().st_size))


def _flip(path):
  content = bytearray(path.read_bytes())
  content[_RNG.integers(len(content))] ^= 1 << _RNG.integers(8)
  path.write_bytes(bytes(content))


_DAMAGES = (_truncate, _zero, _flip, pathlib.Path.unlink)


def _sweep(workdir, expected, tmp_path, cells):
  """Returns what was neither named nor made again, and what was wrong."""
  found = []
  for number, (name, damage) in enumerate(cells):
    if number % 10 == 9:
      jax.clear_caches()  # Programs of a hundred studies outgrow a process.
    copy = tmp_path / str(number)
    shutil.copytree(workdir, copy)
    damage(copy / name)
    is_named = any(
      pathlib.Path(name).name in words
      # Of W_k, whose files are Orbax's; a retraining has a folder so called.
      or ("/round_00/rewind/" in name and "/round_00/rewind" in words)
      for words, _ in verify(copy)[0]
    )
    try:
      run_lib.run(_config(), copy)
    except UserError as error:
      words = str(error)
      assert "\n" not in words
      kept = [k for k in ("/rewind/", "/checkpoint/") if k in name]
      where = kept[0] if kept else pathlib.Path(name).name
      assert is_named or where in words, (name, damage, words)
      shutil.rmtree(copy)
      continue
    lines = {
      str(path.relative_to(copy)): path.read_text()
      for path in copy.glob("**/*.jsonl")
      if path.name not in _LOGS
    }
    wrong = {n for n, text in lines.items() if text != expected[1].get(n)}
    if wrong and not is_named:
      found.append((name, damage.__name__, "wrong", wrong))
    elif bits(copy) != expected[0] and not is_named:
      found.append((name, damage.__name__, "neither named nor made again"))
    shutil.rmtree(copy)
  return found


def _expected(whole):
  return bits(whole), {
    str(path.relative_to(whole)): path.read_text()
    for path in whole.glob("**/*.jsonl")
    if path.name not in _LOGS
  }


def _cells(workdir, every):
  kinds = _kinds(workdir)
  if every:
    return [(name, damage) for name in kinds for damage in _DAMAGES]
  # Of checkpoints, whose files are many, one.
  kinds = [n for n in kinds if "/rewind/" not in n and "/checkpoint/" not in n]
  return [(n, _DAMAGES[i % len(_DAMAGES)]) for i, n in enumerate(kinds)]


def test_damage_to_a_finished_study_is_named_or_mended(whole, tmp_path):
  cells = _cells(whole, every=False)
  assert len(cells) > 12
  assert _sweep(whole, _expected(whole), tmp_path, cells) == []


@pytest.mark.slow
# Orbax leaves tasks behind that nobody awaits.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("of", ["whole", "half"])
def test_every_damage_to_every_kind_of_file(of, whole, request, tmp_path):
  workdir = request.getfixturevalue(of)
  cells = _cells(workdir, every=True)
  assert len(cells) > 60
  cells = cells[:: max(1, 100 // TIMES)]
  assert _sweep(workdir, _expected(whole), tmp_path, cells) == []


def test_a_whole_study_is_verified_and_says_so(whole, capsys):
  assert command.main([str(whole)]) == 0
  said = capsys.readouterr().out
  assert said == f"{whole}: 12 stages done, nothing damaged\n"


def test_what_is_damaged_is_named_with_what_to_delete(whole, tmp_path, capsys):
  copy = tmp_path / "run"
  shutil.copytree(whole, copy)
  folder = copy / "labels/seed_0/labels/round_01"
  _flip(folder / "trained.npz")
  assert command.main([str(copy)]) == 1
  said = capsys.readouterr()
  assert said.err.splitlines() == [
    f"error: {folder}/trained.npz: damaged: its bytes are not those of its "
    f"digest; delete {folder} and run the command of the study again"
  ]
  assert said.out == f"{copy}: 12 stages done, 1 damaged\n"
  shutil.rmtree(folder)
  run_lib.run(_config(), copy)
  assert command.main([str(copy)]) == 0
  assert bits(copy) == bits(whole)


@pytest.mark.parametrize("damage", [_truncate, _zero, pathlib.Path.unlink])
def test_a_finished_study_misses_its_tickets(damage, whole, tmp_path):
  # 93 of 93 went unnoticed.
  copy = tmp_path / "run"
  shutil.copytree(whole, copy)
  path = copy / "rotnet/seed_0/rotnet/round_00/ticket.npz"
  damage(path)
  if damage is _zero:  # Of the same size: nothing reads it again.
    assert verify(copy)[0]
    return
  with pytest.raises(UserError, match=f"{path}: (missing|damaged: found)") as e:
    run_lib.run(_config(), copy)
  assert f"remove {path.parent} and run" in e.value.advice


def test_a_result_that_was_edited_is_refused(whole, tmp_path):
  copy = tmp_path / "run"
  shutil.copytree(whole, copy)
  path = copy / "rotnet/seed_0/rotnet/retrain/round_01/rewind/result.json"
  found = json.loads(path.read_text())
  assert set(found) == {"lines", "files", "numerics", "sha256"}
  found["lines"][0]["value"] = 0.99
  path.write_text(json.dumps(found))
  with pytest.raises(UserError, match=f"{path}: damaged: its values are not"):
    run_lib.run(_config(), copy)


def _change_a_digit(path):
  """Changes a count of the first layer, and no size."""
  content = path.read_bytes()
  place = content.index(b'"kept": ') + len(b'"kept": ')
  digit = b"%d" % ((int(content[place : place + 1]) + 1) % 10 or 1)
  path.write_bytes(content[:place] + digit + content[place + 1 :])


def test_a_page_is_drawn_from_no_count_that_was_changed(copy):
  path = copy / "rotnet/seed_0/rotnet/round_01/sparsity.json"
  _change_a_digit(path)
  (run,) = report_results.read([copy / "rotnet"])
  assert run.left_out == [
    f"{path}: damaged: its bytes are not those of its digest"
  ]
  with pytest.raises(UserError, match=f"{path}: damaged") as error:
    run_lib.run(_config(), copy)
  assert f"remove {path.parent} and run" in error.value.advice


@pytest.mark.parametrize("without", ["a digit", "a digest"])
def test_overlaps_that_were_changed_are_made_again(without, whole, copy):
  path = copy / "overlaps.jsonl"
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  if without == "a digest":  # As those of older versions.
    del lines[0]["sha256"]
  else:
    lines[0]["layers"][0]["both"] += 1
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))
  if without == "a digit":
    with pytest.raises(UserError, match="overlaps.jsonl, line 1: damaged: not"):
      runs.read([copy])
  run_lib.run(_config(), copy)
  assert path.read_bytes() == (whole / "overlaps.jsonl").read_bytes()


@pytest.mark.parametrize("content", ["[]", "[{}]", "[3]"])
def test_a_new_study_has_no_result_without_a_digest(content, copy):
  path = copy / "labels/seed_0/labels/round_01/result.json"
  path.write_text(content)
  with pytest.raises(UserError, match=f"{path}: damaged: no result"):
    run_lib.run(_config(), copy)


@pytest.mark.parametrize(
  "name, old, new",
  [
    ("config.json", '"digits"', '"fig1ts"'),
    ("rotnet/config.json", '"digits"', '"fig1ts"'),
    ("left_out.json", "{", "["),
    ("seed_0/rotnet/transfer/round_01/ticket.json", "3", "4"),
    ("seed_0/rotnet/transfer/round_01/ticket.json", "{", ""),
  ],
)
def test_what_stands_above_the_stages_is_verified_too(name, old, new, copy):
  path = copy / name
  if not path.exists():  # Of other kinds of studies.
    path.parent.mkdir(parents=True, exist_ok=True)
    value = {"ticket": {"meta": "3"}}
    path.write_text(json.dumps(digests.stamp(value)))
    assert not verify(copy)[0]
  path.write_text(path.read_text().replace(old, new, 1))
  ((words, place),) = verify(copy)[0]
  assert words.startswith(f"{path}: damaged: ") and place == path


def test_results_of_the_first_version_are_taken_and_counted(whole, tmp_path):
  copy = tmp_path / "run"
  shutil.copytree(whole, copy)
  for path in copy.glob("**/result.json"):
    path.write_text(json.dumps(json.loads(path.read_text())["lines"]))
  for path in copy.glob("**/config.json"):
    kept = json.loads(path.read_text()) | {"accepted_numerics": [0]}
    del kept["sha256"]
    path.write_text(json.dumps(kept))
  assert run_lib.run(_config(), copy)
  damages, done, unverifiable = verify(copy)
  assert (damages, done, unverifiable) == ([], 12, 12)


_DEEP = b"[" * 9000 + b"]" * 9000


@pytest.mark.parametrize(
  "name, content",
  [
    ("labels/config.json", _DEEP),
    ("labels/results.jsonl", _DEEP),
    ("labels/results.jsonl", b"\xff"),
    ("labels/seed_0/labels/round_01/result.json", _DEEP),
    ("labels/seed_0/labels/round_01/result.json", None),
    ("labels/seed_0/labels/round_01/metrics.jsonl", _DEEP),
    ("labels/seed_0/labels/round_01/metrics.jsonl", b"[3]"),
    ("labels/seed_0/labels/round_01/metrics.jsonl", b""),
    ("labels/seed_0/labels/retrain/round_01/rewind/metrics.jsonl", None),
    (f"labels/seed_0/labels/transfer/round_01/{_TUNED}/metrics.jsonl", b""),
  ],
)
def test_what_cannot_be_read_is_one_line_of_verify(name, content, copy):
  path = copy / name
  path.unlink()
  if content is None:
    path.mkdir()
  elif content:
    path.write_bytes(content)
  (words,) = (words for words, _ in verify(copy)[0])
  assert words.startswith(str(path)) and "\n" not in words
