"""Stages on disk: run once, and then read."""

from collections.abc import Callable, Sequence
from typing import Any

from etils import epath

from sslprune_jax.runtime import files, preemption
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.training import checkpoints


def run_once(
  workdir: epath.Path,
  path: str,
  images: int,
  run: Callable[[], list[dict[str, Any]]],
  progress: Progress,
  called: str = "",
) -> list[dict[str, Any]]:
  """Runs a stage, or reads the result that says that it is done.

  Args:
    workdir: of the study.
    path: of the stage below it.
    images: that the stage counts.
    run: does it; returns its lines of results.
    progress: the study's.
    called: what progress calls the stage; its path by default.

  Returns:
    The lines of results, as they were written.

  Raises:
    Preempted: it is time to end.
  """
  directory = workdir / path
  done = directory / "result.json"
  preemption.check()
  if files.exists(done):
    progress.skip(images)
  else:
    called = called or path
    progress.title(called)
    results = run()
    files.write_json(done, results)  # Last: now the stage is done.
    scores = (f"{r['metric']} {r['value']:.4f}" for r in results)
    progress.say(
      f"{called}: {results[0]['density']:.1%} of the weights, "
      + ", ".join(scores)
    )
  checkpoints.Checkpoints(directory / "checkpoint").delete()
  return files.read_json(done)


def write_results(
  workdir: epath.Path,
  paths: Sequence[str],
  done: dict[str, list[dict[str, Any]]],
  others: Sequence[str],
) -> None:
  """Writes the lines of results of all stages that are done.

  Args:
    workdir: of the study.
    paths: of its stages, in the order of the lines.
    done: path of a stage -> its lines, as far as they are known.
    others: paths of the stages that other processes run; what they have done
      since is read, once, and added to `done`.
  """
  for path in others:
    result = workdir / path / "result.json"
    if path not in done and result.exists():
      done[path] = files.read_json(result)
  lines = [line for path in paths for line in done.get(path, ())]
  files.write_json_lines(workdir / "results.jsonl", lines)
