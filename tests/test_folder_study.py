"""Studies of a folder of photos, by configs/folder.py and one flag."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from image_files import encode, photo

ROOT = pathlib.Path(__file__).parent.parent
_SHORT = (
  "--config.train.duration=2it",
  "--config.prune.rounds=1",
  "--config.prune.rewind=1it",
  "--config.retrain.train.duration=2it",
  "--config.transfer.linear.train.duration=2it",
  "--config.transfer.rounds=(1,)",
  "--config.transfer.random=False",
  "--config.retrain.inits=('rewind',)",
  "--config.model.width=0.125",
  "--config.train.batch_size=16",
  "--config.retrain.train.batch_size=16",
  "--config.transfer.linear.train.batch_size=16",
)


def _photos(root, names, count=20):
  for label, name in enumerate(names):
    (root / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
      data = encode(photo(70, 90, 100 * label + i), "JPEG")
      (root / name / f"IMG_{label}{i:03d}.JPG").write_bytes(data)


def _run(command, *flags, cwd):
  return subprocess.run(
    [sys.executable, "-m", f"sslprune_jax.{command}", *flags],
    cwd=cwd,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
  )


@pytest.mark.slow
def test_photos_without_labels_end_in_networks_that_labels_can_judge(tmp_path):
  _photos(tmp_path / "photos", [""], count=40)
  (tmp_path / "photos" / "IMG_9999.JPG").write_bytes(b"broken")
  flags = (
    "--config=folder",
    "--config.dataset.data_dir=photos",
    "--config.retrain.rounds=(1,)",
  )
  said = _run("main", *flags, *_SHORT, cwd=tmp_path)
  assert said.returncode == 1
  (line,) = said.stderr.splitlines()
  assert line.startswith("error: photos/IMG_9999.JPG: cannot be decoded: ")
  assert not (tmp_path / "runs").exists()
  skip = "--config.dataset.broken=skip"
  said = _run("main", *flags, *_SHORT, skip, cwd=tmp_path)
  assert said.returncode == 0, said.stderr
  assert (
    "photos: found 40 images of no class; left out: 1 broken" in said.stdout
  )
  assert "photos: found no labels: masks are not retrained." in said.stdout
  workdir = tmp_path / "runs/rotnet_folder"
  left_out = json.loads((workdir / "left_out.json").read_text())
  assert list(left_out) == ["photos/IMG_9999.JPG", "sha256"]
  lines = (workdir / "results.jsonl").read_text().splitlines()
  assert {json.loads(line)["stage"] for line in lines} == {"pretext"}
  # The command that it says, with the blanks filled in.
  _photos(tmp_path / "labelled", ["cat", "dog"])
  advice = said.stdout.split("sslprune transfer ")[1].split("\n")[0]
  words = advice.replace("=FOLDER", "=labelled").replace(
    "WORKDIR", str(workdir)
  )
  said = _run(
    "transfer",
    *words.split(),
    "--config.transfer.linear.train.duration=2it",
    "--config.transfer.linear.train.batch_size=16",
    cwd=tmp_path,
  )
  assert said.returncode == 0, said.stderr
  assert "rotnet/transfer/round_01/knn_folder: 80.0% of the w" in said.stdout


def test_photos_with_labels_are_retrained_on_and_judged(tmp_path):
  _photos(tmp_path / "photos", ["cat", "dog"])
  said = _run(
    "main",
    "--config=folder:npid",
    "--config.dataset.data_dir=photos",
    "--config.retrain.rounds=(1,)",
    *_SHORT,
    *("--config.model.name=convnet", "--config.model.stem="),
    cwd=tmp_path,
  )
  assert said.returncode == 0, said.stderr
  assert "photos: found 40 images of 2 classes\n" in said.stdout
  text = (tmp_path / "runs/npid_folder/results.jsonl").read_text()
  lines = [json.loads(line) for line in text.splitlines()]
  judged = {line["protocol"] for line in lines if line["stage"] == "transfer"}
  assert judged == {"knn", "linear"}
  assert any(line["stage"] == "retrain" for line in lines)
  assert not (tmp_path / "runs/npid_folder/left_out.json").exists()
