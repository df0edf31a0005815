"""Stages on disk: by one run at a time, run once, and then read."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence

from etils import epath

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.runtime import files, locks, preemption, processes
from sslprune_jax.runtime.errors import ConfigError, DivergedError, UserError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study import results
from sslprune_jax.study.results import Line
from sslprune_jax.training import checkpoints
from sslprune_jax.workdir import Stage, TransferStage


@contextlib.contextmanager
def hold(workdir: epath.Path, share: tuple[int, int]) -> Iterator[None]:
  """Holds a workdir, or a share of it, alone; see `locks.hold`.

  Raises:
    ConfigError: nothing can be written there.
    LockedError: another run uses it.
    UserError: its path is no UTF-8.
  """
  files.in_utf8(workdir)  # Before an hour of training ends in a checkpoint.
  # Of buckets the errors are those of several libraries.
  errors = Exception if files.in_bucket(workdir) else OSError
  with contextlib.ExitStack() as held:
    try:
      held.enter_context(locks.hold(workdir, share))
    except UserError:
      raise
    except errors as error:
      raise ConfigError(
        f"--workdir={workdir}: cannot be written ({error}), expected a folder "
        "that can or, with the extra gcs, a bucket; of a finished study, "
        f"python -m sslprune_jax.report {workdir} --out=PAGE writes the report "
        "elsewhere"
      ) from error
    yield


def run_once(
  workdir: epath.Path,
  path: str,
  images: int,
  run: Callable[[], list[Line]],
  progress: Progress,
  called: str = "",
) -> list[Line]:
  """Runs a stage, or reads the result that says that it is done.

  Args:
    workdir: folder of the study.
    path: folder of the stage below it.
    images: number of images that the stage counts.
    run: does it; returns its lines of results.
    progress: bar of the whole study.
    called: name shown in progress; defaults to the path.

  Returns:
    The lines of results, as they were written.

  Raises:
    DivergedError: a result is no finite number.
    LostFileError: the result is damaged, or what it stands for is not there.
    Preempted: it is time to end.
  """
  directory = workdir / path
  preemption.check()
  if results.exists(directory):
    progress.skip(images)
  else:
    called = called or path
    progress.title(called)
    lines = run()
    for line in lines:
      if not math.isfinite(line["value"]):
        raise DivergedError(
          f"{directory}: {line['metric']}: found {line['value']}, expected a "
          "finite number"
        )
    results.write(directory, lines)  # Last: now the stage is done.
    scores = (f"{r['metric']} {r['value']:.4f}" for r in lines)
    progress.say(
      f"{called}: {lines[0]['density']:.1%} of the weights, "
      + ", ".join(scores)
    )
  checkpoints.Checkpoints(directory / workdir_lib.CHECKPOINT).delete()
  return results.read(directory)


def write_results(
  workdir: epath.Path,
  paths: Sequence[str],
  done: dict[str, list[Line]],
) -> None:
  """Writes the lines of results of all stages that are done.

  Args:
    workdir: folder of the study.
    paths: paths of its stages, in the order of the lines.
    done: path of a stage -> its lines, as far as they are known; what else is
      done, by other processes and earlier runs, is read, once, and added.
  """
  for path in paths:
    if path not in done and results.exists(workdir / path):
      done[path] = results.read(workdir / path)
  lines = [line for path in paths for line in done.get(path, ())]
  files.write_json_lines(workdir / workdir_lib.RESULTS, lines)


class Stages:
  """The stages of a study on disk; their results are joined as each is done.

  Args:
    workdir: folder of the study.
    own: stages that this process runs, in order.
    name: name of the variant, for progress.
    progress: bar of the whole study.
  """

  def __init__(
    self,
    workdir: epath.Path,
    own: Sequence[Stage | TransferStage],
    name: str,
    progress: Progress,
  ):
    self._workdir, self._name, self._progress = workdir, name, progress
    self._own = self._paths = [stage.path for stage in own]
    self._done: dict[str, list[Line]] = {}
    self._is_joined = False

  def join_with(self, planned: Sequence[Stage | TransferStage]) -> None:
    """Joins results of other stages too, as far as they are on disk.

    Args:
      planned: all stages that the workdir was asked for, in order: those of
        other processes, and of earlier runs, among them.
    """
    self._paths = [stage.path for stage in planned]

  def once(self, path: str, images: int, run: Callable[[], list[Line]]) -> None:
    """Runs a stage, or reads its result; see `run_once`."""
    is_new = not results.exists(self._workdir / path)
    called = str(epath.Path(self._name) / path)
    self._done[path] = run_once(
      self._workdir, path, images, run, self._progress, called
    )
    if is_new:
      self._add(self._done[path])

  def join(self) -> list[Line]:
    """Writes the results of all stages; returns those of this process."""
    self._write()
    return [line for path in self._own for line in self._done[path]]

  def _add(self, lines: list[Line]) -> None:
    """Adds lines to the results that stand there; `join` puts all in order."""
    file = self._workdir / workdir_lib.RESULTS
    if not self._is_joined or files.in_bucket(file):
      self._write()
      return
    # A workdir of thousands of stages is not written anew with each.
    processes.from_first(lambda: files.append_json_lines(file, lines))

  def _write(self) -> None:
    processes.from_first(
      lambda: write_results(self._workdir, self._paths, self._done)
    )
    self._is_joined = True
