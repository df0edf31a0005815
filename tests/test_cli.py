"""The command `sslprune`: its commands, its errors, and how it ends."""

import errno
import os
import pathlib
import runpy
import shlex
import subprocess
import sys
import types

import pytest

from sslprune_jax import __main__ as command
from sslprune_jax import cli
from sslprune_jax.config import base, every_field
from sslprune_jax.config import files as config_files
from sslprune_jax.config import flags as config_flags
from sslprune_jax.runtime import endings, environment
from sslprune_jax.runtime.errors import UserError

ROOT = pathlib.Path(__file__).parent.parent
_QUICKSTART = "--config=quickstart"


def _run(*words, module="sslprune_jax", cwd=None):
  return subprocess.run(
    [sys.executable, "-m", module, *words],
    capture_output=True,
    text=True,
    cwd=cwd,
  )


@pytest.mark.parametrize(
  "words, status, said",
  [
    ("rnu", 2, "found the command 'rnu', expected one of run, transfer"),
    ("fields --nosuch", 2, "--nosuch"),
    ("report run --nosuch", 2, "--nosuch"),
    ("report nosuch", 1, "nosuch"),
    ("report", 1, "the following arguments are required: RUN"),
    ("verify", 1, "the following arguments are required: RUN"),
    ("import nosuch --size=x", 1, "argument --size: found 'x'"),
    ("fields nosuch", 1, "begins with 'nosuch'"),
    (f"run {_QUICKSTART} --nosuch=1", 2, "found no flag --nosuch"),
    (f"run {_QUICKSTART} word", 1, "found the argument 'word'"),
    (f"run {_QUICKSTART} --processes=0", 1, "--processes: found '0', expected"),
    (f"run {_QUICKSTART} --share=2/2", 1, "--share: found '2/2', expected"),
    (f"run {_QUICKSTART} --process=0/2", 1, "--process: expected together"),
    (f"run {_QUICKSTART} --flagfile=nosuch", 1, "nosuch"),
    (f"run {_QUICKSTART} --config.tasks.0=x", 1, "config.tasks: found a part"),
    (f"run {_QUICKSTART} --config.seeds[5]=1", 1, '--config.seeds="(0, 1)"'),
    (f"run {_QUICKSTART} --config.model.name.x=1", 1, "config.model.name: "),
    (f"run {_QUICKSTART} --config.prune={{}}", 1, "config.prune: found a sect"),
    (
      f"run {_QUICKSTART} --config.prune.rounds=2.5",
      1,
      "config.prune.rounds: found '2.5', expected a whole number from 0 to 999",
    ),
    (
      f"run {_QUICKSTART} --config.model.sobel=x",
      1,
      "config.model.sobel: found 'x', expected true or false",
    ),
    (f"run {_QUICKSTART} --config.prune.rate", 1, "--config.prune.rate"),
    (f"run --config.prune.rate=1 {_QUICKSTART}", 1, "--config.prune.rate"),
    ("run --config.prune.rate=1", 1, "--config: found none, expected it"),
    ("run", 1, "--config: found none"),
    ("transfer --config=transfer", 1, "--ticket: found none"),
    ("preflight --config=rotnet --coordinator=auto", 2, "--coordinator"),
  ],
)
def test_a_mistake_is_one_line_and_says_its_kind_by_the_status(
  words, status, said, tmp_path
):
  run = _run(*words.split(), cwd=tmp_path)
  assert run.returncode == status, run.stderr
  assert run.stderr.startswith("error: ") and said in run.stderr
  assert len(run.stderr.splitlines()) == 1, run.stderr
  assert not run.stdout and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  "words, said",
  [
    ([], "Usage: sslprune COMMAND"),
    (["--help"], "  fields     Lists what"),
    (["run", "--help"], "--workdir: Where everything is written"),
    (["transfer", "--help"], "--plugins: "),
    (["preflight", "--help"], "--topology: "),
    (["report", "--help"], "workdir of a run"),
    (["fields", "--help"], "only those that begin so"),
  ],
)
def test_help_is_no_error(words, said):
  run = _run(*words)
  assert run.returncode == 0, run.stderr
  assert said in run.stdout and not run.stderr


def test_a_command_is_the_main_of_its_module(monkeypatch, tmp_path):
  started = []

  def run_module(module, run_name, alter_sys):
    started.append((module, run_name, alter_sys, sys.argv[1:], sys.path[0]))

  monkeypatch.setattr(runpy, "run_module", run_module)
  monkeypatch.setattr(sys, "path", ["/usr/bin", *sys.path])
  monkeypatch.chdir(tmp_path)
  for name, module in {
    "run": "sslprune_jax.main",
    "transfer": "sslprune_jax.transfer",
    "report": "sslprune_jax.report",
    "verify": "sslprune_jax.study",
    "preflight": "sslprune_jax.preflight",
  }.items():
    monkeypatch.setattr(sys, "argv", ["sslprune", name, "--a=run", "run"])
    assert command.main() == 0
    # Processes are started with what is left: the word is taken out once.
    expected = (module, "__main__", True, ["--a=run", "run"], str(tmp_path))
    assert started.pop() == expected


def test_every_field_is_listed_in_a_line(capsys, monkeypatch):
  monkeypatch.setattr(sys, "argv", ["sslprune", "fields"])
  command.main()
  said = capsys.readouterr().out
  lines = [line for line in said.splitlines() if line]
  for line, (name, field) in zip(lines, every_field().items(), strict=True):
    assert line.startswith(f"--config.{name} ")
    assert line.endswith(field.sentence) and f"{field.unit} " in line
  rate = "--config.prune.rate          0.2         share of the remaining"
  assert rate in said
  assert "--config.transfer.svm.costs" in said and "('fair',)" in said


@pytest.mark.parametrize("prefix", ["prune", "--config.prune", "config.prune"])
def test_fields_are_chosen_by_how_they_begin(prefix, capsys, monkeypatch):
  monkeypatch.setattr(sys, "argv", ["sslprune", "fields", prefix])
  command.main()
  lines = capsys.readouterr().out.splitlines()
  assert lines
  assert all(line.startswith("--config.prune.") for line in lines)


def test_fields_may_be_read_in_part():
  code = f"{sys.executable} -m sslprune_jax fields | head -n 1"
  run = subprocess.run(
    ["bash", "-o", "pipefail", "-c", code], capture_output=True, text=True
  )
  assert (run.returncode, run.stderr) == (0, "")
  assert run.stdout.startswith("--config.name ")


def test_the_package_carries_the_configurations_of_configs():
  known = config_files.own_configs()
  assert set(known) == {
    str(path.relative_to(ROOT / "configs").with_suffix(""))
    for path in (ROOT / "configs").rglob("*.py")
  }
  assert {"quickstart", "paper/fig4_depth"} <= set(known)


def test_a_wheel_carries_its_own(monkeypatch, tmp_path):
  for folder in ("configs", "sslprune_jax/configs/paper"):
    (tmp_path / folder).mkdir(parents=True)
  (tmp_path / "configs/beside.py").write_text("")
  inside = tmp_path / "sslprune_jax/configs/paper/figure.py"
  inside.write_text("")
  monkeypatch.setattr(config_files, "_PACKAGE", tmp_path / "sslprune_jax")
  assert config_files.own_configs() == {"paper/figure": inside}


def test_a_configuration_is_found_by_name_or_path(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert config_files.load("quickstart").name == "quickstart"
  assert config_files.load("rotnet:digits").name == "rotnet_digits"
  named = config_files.load("paper/fig4_depth:digits")
  path = f"{ROOT}/configs/paper/fig4_depth.py:digits"
  assert named.to_dict() == config_files.load(path).to_dict()
  # A file that is there comes first.
  pathlib.Path("quickstart").write_text(
    "from sslprune_jax.config import base as get_config"
  )
  assert config_files.load("quickstart").name == "study"


@pytest.mark.parametrize(
  "code, said",
  [
    ("", "my.py: found no get_config"),
    ("def get_config(:", r"my.py:1: SyntaxError: invalid syntax"),
    ("import nosuch", "my.py:1: ModuleNotFoundError: .*nosuch"),
    ("def get_config():\n  return {}['a']", "my.py:2: KeyError: 'a'"),
    ("def get_config():\n  raise SystemExit('no')", "my.py:2: SystemExit: no"),
    ("def get_config():\n  return {}", "found dict .*expected a ConfigDict"),
    ("def get_config(name):\n  pass", "found nothing after a colon"),
    (
      "from ml_collections import ConfigDict as get_config",
      "my.py: config.[a-z]*: found none, expected the fields of .*base()",
    ),
    (
      "from sslprune_jax.config import base\n"
      "def get_config():\n"
      "  config = base().unlock()\n"
      "  config.variants.a = 3\n"
      "  return config",
      "my.py: config.variants.a: found 3, expected a ConfigDict",
    ),
    (
      "from sslprune_jax.config import base\n"
      "def get_config():\n"
      "  config = base().unlock()\n"
      "  del config.variants\n"
      "  config.variants = 3\n"
      "  return config",
      "my.py: config.variants: found 3, expected a ConfigDict",
    ),
    (
      "from sslprune_jax.config import base\n"
      "def get_config():\n"
      "  config = base()\n"
      "  config.prune.rte = 1\n",
      'my.py:4: AttributeError: .*"rate"',
    ),
    (
      "from sslprune_jax.config import ConfigError\n"
      "def get_config():\n"
      "  raise ConfigError('config.x: found 1')",
      "^config.x: found 1$",
    ),
  ],
)
def test_an_error_of_a_configuration_names_its_line(code, said, tmp_path):
  path = tmp_path / "my.py"
  path.write_text(code)
  # Of no kind that absl takes for a flag's and wraps.
  with pytest.raises(UserError, match=said) as raised:
    config_files.load(str(path))
  assert not isinstance(raised.value, (ValueError, KeyError, AttributeError))
  assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
  "text, said",
  [
    ("missing.py", "--config: found no file 'missing.py', expected a file, or"),
    ("x" * 300, "--config: found no file 'xxx"),
    ("nosuch", "a name among .*checkpoint, .*quickstart"),
    ("rotnet:nosuch", "found 'nosuch' after the colon, expected one of"),
    ("paper/fig4_depth:nosuch", "found 'nosuch' after the colon, expected one"),
    ("quickstart:digits", "quickstart.py:digits: found 'digits' after the"),
  ],
)
def test_a_configuration_that_is_not_there_is_one_line(text, said):
  with pytest.raises(UserError, match=said) as raised:
    config_files.load(text)
  assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
  "field, said",
  [
    ("nosuch", "config.nosuch: found no field 'nosuch', .*`sslprune fields`"),
    ("rate", "expected one such as config.prune.rate$"),
    ("prune.rte", "expected one such as config.prune.rate$"),
    ("trian.duration", "expected one such as config.train.duration"),
    ("", "found no field ''"),
    ("variants.a.x", "found no field 'x'"),
    ("seeds[0]", "config.seeds: found a part of it, .*--config.seeds="),
    ("seeds.upper", "config.seeds: found a part of it"),
    ("model.name.upper", "config.model.name: found a part of it"),
    ("transfer.svm", "config.transfer.svm: found a section, .*svm.costs"),
  ],
)
def test_a_field_that_cannot_be_set_is_refused(field, said):
  with pytest.raises(UserError, match=said):
    config_files.check_field(base(), field)


def test_every_field_can_be_set():
  for name in every_field():
    config_files.check_field(base(), name)


def test_plugins_are_loaded_before_the_configuration(monkeypatch):
  loaded = []
  plugins = types.SimpleNamespace(load=loaded.extend)
  monkeypatch.setitem(sys.modules, "sslprune_jax.config.plugins", plugins)
  monkeypatch.setattr("sslprune_jax.config.plugins", plugins, raising=False)
  words = ["transfer", "--config", "rotnet", "--config.tasks=a"]
  config_flags._load_plugins(words)
  assert not loaded
  config_flags._load_plugins([*words, "--plugins=simclr,my.moco", "--ticket=a"])
  assert loaded == ["simclr", "my.moco"]


_ENDS = """
import os, signal
from sslprune_jax import cli
from sslprune_jax.runtime import endings
# What started the tests may ignore it, as a shell does in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.{hang_up})
def main(argv):
  try:
    {begin}
  except BaseException:
    print("raised")
    raise
def kill():
  os.kill(os.getpid(), signal.{name})
  print("went on")
cli.start(main, [], resumes={resumes})
"""


@pytest.mark.parametrize(
  "name, hang_up, resumes, status, said",
  [
    ("SIGINT", "SIG_DFL", True, 130, "\nstopped\n"),
    ("SIGHUP", "SIG_DFL", True, 129, "\nstopped\n"),
    ("SIGHUP", "SIG_IGN", True, 0, "went on\n"),  # By nohup.
    ("SIGTERM", "SIG_DFL", True, 0, f"{endings.farewell()}\n"),
    ("SIGTERM", "SIG_DFL", False, -15, ""),
  ],
)
def test_signals_end_a_command_with_their_status(
  name, hang_up, resumes, status, said
):
  # A library that is imported may catch whatever is raised.
  run = _ends(name, hang_up, resumes, "kill()")
  assert run.returncode == status
  assert run.stdout + run.stderr == said


def _ends(name, hang_up, resumes, begin):
  code = _ENDS.format(name=name, hang_up=hang_up, resumes=resumes, begin=begin)
  return subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True
  )


_STARTS = """
import os, signal
from sslprune_jax.runtime import endings
signal.signal(signal.SIGINT, signal.default_int_handler)
def main():
  {work}
  return 3
endings.start(main)
"""


def test_a_command_without_a_configuration_ends_as_the_others_do():
  def start(work, pipe=""):
    code = shlex.quote(_STARTS.format(work=work))
    return subprocess.run(
      ["bash", "-o", "pipefail", "-c", f"{sys.executable} -c {code}{pipe}"],
      capture_output=True,
      text=True,
    )

  run = start("os.kill(os.getpid(), signal.SIGINT)")
  assert (run.returncode, run.stderr) == (130, "\nstopped\n")
  run = start("[print('x' * 99) for _ in range(2000)]", " | true")
  assert (run.returncode, run.stderr) == (3, "")
  run = start("print('\\udcff')")
  assert (run.returncode, run.stdout) == (3, "\\udcff\n")


@pytest.mark.parametrize("module", ["report", "study", "exchange"])
def test_commands_without_a_configuration_are_started_so(module, monkeypatch):
  started = []
  monkeypatch.setattr(endings, "start", started.append)
  module = f"sslprune_jax.{module}.__main__"
  monkeypatch.delitem(sys.modules, module, raising=False)
  runpy.run_module(module, run_name="__main__")
  assert [main.__name__ for main in started] == ["main"]


_WORKS = """
import os, signal, sys, time, tqdm
from sslprune_jax import cli
from sslprune_jax.runtime import endings, preemption
# What started the tests may ignore it, as a shell does in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
def send(name):
  os.kill(os.getpid(), getattr(signal, name))
  while endings.ending_signal() is None:
    time.sleep(0.01)
def work():
  endings.watch(resumes=True)
  endings.note(hand_over=False)
  tqdm.tqdm.write("a stage")
  {last}
cli.run(work)
"""


def _works(last, **more):
  return subprocess.run(
    [sys.executable, "-c", _WORKS.format(last=last)],
    capture_output=True,
    text=True,
    **more,
  )


def test_a_line_is_in_the_log_once_it_is_printed():
  run = _works("os._exit(0)")  # What waits in a buffer is lost.
  assert (run.returncode, run.stdout) == (0, "a stage\n"), run.stderr


@pytest.mark.parametrize(
  "name, status", [("SIGINT", 130), ("SIGHUP", 129), ("SIGTERM", 0)]
)
def test_a_signal_is_noted_until_the_work_can_save(name, status):
  # JAX calls back, and catches what is raised there: nothing is raised.
  last = f"""try: send("{name}")
  except BaseException: print("raised")
  print("saved")
  preemption.check()"""
  run = _works(last)
  assert run.returncode == status, run.stderr
  assert run.stdout == (
    f"a stage\nsaved\nstopped by {name}; resume with the same command\n"
  )
  again = "\nstopping: saving first; Ctrl-C again ends at once\n"
  assert run.stderr == (again if name == "SIGINT" else "")


def test_a_second_ctrl_c_ends_at_once_wherever_it_is():
  last = """send("SIGINT")
  import threading
  def later():
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)
  threading.Thread(target=later).start()
  lock = threading.Lock()
  lock.acquire()
  lock.acquire(timeout=60)
  print("went on")"""
  run = _works(last)
  assert (run.returncode, run.stdout) == (130, "a stage\n")
  assert run.stderr.endswith("\nstopped\n")


def test_a_reader_that_ends_does_not_end_the_command(tmp_path):
  last = """for i in range(2000): tqdm.tqdm.write("x" * 99)
  open(sys.argv[1], "w").write("done")"""
  code = _WORKS.format(last=last + "\n  sys.exit(0)")
  first = subprocess.run(
    f"set -o pipefail; {sys.executable} -c {shlex.quote(code)} "
    f"{tmp_path}/end | head -n 1",
    shell=True,
    executable="/bin/bash",
    capture_output=True,
    text=True,
  )
  assert first.stdout == "a stage\n" and first.returncode == 0, first.stderr
  assert (tmp_path / "end").read_text() == "done"


def test_a_name_that_is_no_utf8_is_printed_with_escapes():
  run = _works("""print("runs/\\udcff"); print("\\udcff", file=sys.stderr)
  sys.exit(0)""")
  assert (run.returncode, run.stdout) == (0, "a stage\nruns/\\udcff\n")
  assert run.stderr == "\\udcff\n"


@pytest.mark.parametrize(
  "error, words",
  [
    ("MemoryError()", "out of memory"),
    ("RuntimeError('RESOURCE_EXHAUSTED: 9 GB')", "out of memory (RESOURCE_EXH"),
    ("OSError(24, 'Too many open files', 'a')", "a: Too many open files"),
    ("OSError(30, 'Read-only file system', 'b')", "b: Read-only file system"),
  ],
)
def test_what_the_machine_lacks_is_one_line_and_resumable(error, words):
  run = _works(f"raise {error}")
  assert run.returncode == 1
  (line,) = run.stderr.splitlines()
  assert line.startswith(f"error: {words}")
  assert line.endswith("the same command goes on from there")


def test_no_device_is_one_line_and_names_what_jax_was_told():
  run = subprocess.run(
    [sys.executable, "-m", "sslprune_jax", "run", "--config=quickstart"],
    capture_output=True,
    text=True,
    env={**os.environ, "JAX_PLATFORMS": "nosuch"},
  )
  assert run.returncode == 1
  assert run.stderr.splitlines()[-1].startswith("error: JAX_PLATFORMS=nosuch: ")
  assert "Traceback" not in run.stderr


def test_what_the_machine_refuses_is_one_line(monkeypatch):
  monkeypatch.setattr(environment, "prepare", lambda: None)

  def work(error):
    def fail():
      raise error

    return fail

  full = OSError(errno.ENOSPC, "No space left on device", "runs/a")
  with pytest.raises(SystemExit, match="^error: runs/a: No space left"):
    cli.run(work(full))
  with pytest.raises(OSError, match="defect"):
    cli.run(work(OSError(errno.EBADF, "defect")))
