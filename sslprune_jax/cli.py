"""What the commands share: flags, errors in a line, the closing words."""

import gc
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from sslprune_jax.config import flags as config_flags
from sslprune_jax.config.flags import define_config as define_config
from sslprune_jax.runtime import endings, libraries
from sslprune_jax.runtime.errors import LostFileError, UserError

_SHARED = {
  "coordinator": (
    flags.DEFINE_string,
    None,
    "Run together with other processes, on the devices of all: HOST:PORT of "
    "the first, with --process; or auto, on Cloud TPU, under SLURM, Open MPI "
    "and Kubernetes.",
  ),
  "process": (
    flags.DEFINE_string,
    None,
    "Which of the processes this is: 0/2 or 1/2.",
  ),  # fmt: skip
  "accept_numerics": (
    flags.DEFINE_bool,
    False,
    "Go on in a workdir that code of other numerics began.",
  ),
  "plugins": (
    flags.DEFINE_list,
    [],
    "Modules that register tasks or networks of your own, before the "
    "configuration is read: my_package.simclr,my_package.networks.",
  ),
}
_GARBAGE = 50_000  # objects more, before what is unreachable is looked for
# Flags that are defined here are those of the command that asks for them.
flags.disclaim_key_flags()


def define_shared(*names: str) -> None:
  """Defines flags that several commands have, by their names."""
  for name in names:
    define, default, text = _SHARED[name]
    define(name, default, text)


def start(
  main: Callable[[list[str]], None],
  required: Sequence[str],
  *,
  resumes: bool = True,
) -> None:
  """Parses the flags of a command, and runs it.

  Args:
    main: function of the name of the program, in a list.
    required: names of the flags that must be given.
    resumes: whether the same command goes on after a SIGTERM.
  """

  def parse_and_require(argv):
    argv = config_flags.parse(argv)
    for name in required:
      if flags.FLAGS[name].value is None:
        endings.refuse(f"--{name}: found none, expected it; see --help")
    return argv

  # A start makes objects by the hundred thousand, and most of them stay.
  gc.set_threshold(_GARBAGE)
  endings.watch(resumes=resumes)
  app.run(main, flags_parser=parse_and_require)


def accepts_numerics() -> bool:
  """Returns whether a workdir of other numerics is gone on with."""
  return flags.FLAGS.accept_numerics


def runs_with_others() -> bool:
  """Returns whether other processes run this command too."""
  coordinator, process = flags.FLAGS.coordinator, flags.FLAGS.process
  named = coordinator not in (None, "auto")
  if named != (process is not None):
    endings.refuse(
      "--process: expected together with --coordinator=HOST:PORT, and not "
      "without"
    )
  if named:
    share_of("process", process)
  return coordinator is not None


def join_others(children: Sequence[subprocess.Popen] = ()) -> None:
  """Joins the other processes, if there are any, and watches for signals.

  Whatever is imported before the work is imported before this.

  Args:
    children: processes from `workers.start`, which are awaited.

  Raises:
    ProcessError: see `processes.start`.
    ShareError, Preempted: see `workers.finish`.
  """
  # Imported here, so that --help and a mistyped flag answer at once.
  from sslprune_jax.runtime import environment, processes, workers

  coordinator, process = flags.FLAGS.coordinator, flags.FLAGS.process
  endings.note(hand_over=coordinator is not None)
  if coordinator == "auto":
    processes.start("auto")
  elif coordinator:
    processes.start(coordinator, *share_of("process", process))
  for line in config_flags.notes():
    _say(line)
  # A TPU is one process's, and a GPU's memory: until they end, the children's.
  workers.finish(children)
  environment.check_devices()


def share_of(flag: str, value: str) -> tuple[int, int]:
  """Returns (i, n) of a flag i/n, the i-th of n from 0."""
  match = re.fullmatch(r"(\d+)/(\d+)", value)
  if not match or int(match[1]) >= int(match[2]):
    endings.refuse(f"--{flag}: found {value!r}, expected such as 0/2 or 1/2")
  return int(match[1]), int(match[2])


def run(
  work: Callable[[], str], advice: str = "", *, reports: bool = True
) -> None:
  """Does the work of a command, and prints where its report lies.

  Args:
    work: function that writes the results, and returns their folder.
    advice: words on what to do about a damaged file that an earlier run left.
    reports: whether the results are whole, so that a page is written of them.
  """
  # Imported here, so that --help and a mistyped flag answer at once.
  from sslprune_jax.runtime import environment, files, preemption, processes

  logging.set_verbosity(logging.WARNING)
  libraries.silence()
  endings.outlive_pipe()
  started = time.monotonic()
  try:
    environment.prepare()
    workdir = work()
    page = None
    if reports:
      preemption.check()
      page = processes.from_first(lambda: _write_report(workdir))
    last = [environment.usage(time.monotonic() - started)]
    last += [f"report: {files.absolute(page)}"] if page else []
    preemption.check()
  except preemption.Preempted:
    _say(endings.farewell())
    sys.exit(endings.status())
  except UserError as error:
    lost = isinstance(error, LostFileError)
    endings.refuse(f"{error}{(error.advice or advice) if lost else ''}")
  except (OSError, MemoryError, RuntimeError) as error:
    endings.refuse_if_machine_did(error)
    raise
  for line in last:
    _say(line)


def _write_report(workdir: str) -> os.PathLike:
  # Imported here, as matplotlib takes a second, and a run ends with it.
  from sslprune_jax import report

  page, *_ = report.write_report([workdir], f"{workdir}/report.html")
  return page


def _say(text: str) -> None:
  """Prints a line, of several processes the first one's."""
  from sslprune_jax.runtime import processes

  if processes.is_first():
    print(text, flush=True)
