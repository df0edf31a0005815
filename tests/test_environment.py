"""What is set before JAX starts."""

import os
import pwd
import subprocess
import sys

import jax
import pytest
from etils import epath
from helpers import short

from sslprune_jax.runtime import environment
from sslprune_jax.runtime.errors import UserError
from sslprune_jax.study import made_by, results, run


@pytest.fixture
def kept(monkeypatch):
  """Times that memory was to be kept; the user has set nothing of malloc's."""
  calls = []
  monkeypatch.setattr(environment, "_keep_memory", lambda: calls.append(True))
  monkeypatch.setattr(environment, "_is_cpu", lambda: True)
  monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
  for name in list(os.environ):
    if name.startswith(environment.MALLOC):
      monkeypatch.delenv(name)
  return calls


def test_memory_is_kept_on_a_cpu(kept):
  environment.prepare()
  assert kept == [True]


@pytest.mark.parametrize(
  "name",
  ["MALLOC_ARENA_MAX", "MALLOC_PERTURB_", "GLIBC_TUNABLES", "LD_PRELOAD"],
)
def test_memory_is_the_users_where_a_variable_of_mallocs_is_set(
  name, kept, monkeypatch
):
  monkeypatch.setenv(name, "")
  environment.prepare()
  assert not kept


def test_an_accelerator_has_its_own_memory_and_barriers(kept, monkeypatch):
  monkeypatch.setattr(environment, "_is_cpu", lambda: False)
  monkeypatch.setenv("XLA_FLAGS", "")
  environment.prepare()
  assert not kept
  assert "barrier" not in os.environ["XLA_FLAGS"]


def test_barriers_are_kept_on_a_cpu_beside_the_users_flags(kept, monkeypatch):
  monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
  environment.prepare()
  environment.prepare()
  flags = os.environ["XLA_FLAGS"].split()
  assert flags.count("--xla_dump_to=x") == 1
  assert flags.count("--xla_disable_hlo_passes=cse_barrier_expander") == 1
  monkeypatch.setenv("XLA_FLAGS", "--xla_disable_hlo_passes=dce")
  environment.prepare()  # XLA takes the last of two: the user's stays alone.
  assert os.environ["XLA_FLAGS"].count("disable_hlo_passes") == 1


def test_malloc_is_told_to_keep_memory_where_it_can_be(monkeypatch):
  told = []

  class Libc:
    def mallopt(self, parameter, value):
      told.append((parameter, value))

  monkeypatch.setattr(environment, "_use_huge_pages", lambda libc: None)
  for libc in (Libc(), object()):  # The second is no glibc.
    monkeypatch.setattr(
      environment.ctypes, "CDLL", lambda name, libc=libc: libc
    )
    environment._keep_memory()
  # M_TRIM_THRESHOLD, M_MMAP_MAX and M_ARENA_MAX of glibc's malloc.h.
  assert told == [(-1, -1), (-4, 0), (-8, 1)]


_HEAP = r"""
import re, sys
from sslprune_jax.runtime import environment
environment._OVERCOMMIT = environment.pathlib.Path(sys.argv[1])
environment._keep_memory()
import numpy as np
array = np.ones(2**22)
middle = array.ctypes.data + array.nbytes // 2
maps = open("/proc/self/smaps").read()
for found in re.finditer(r"^([0-9a-f]+)-([0-9a-f]+) .*\n(?:\w+:.*\n)+", maps, re.M):
  if int(found[1], 16) <= middle < int(found[2], 16):
    print("hg" in re.search("VmFlags: (.*)", found[0])[1].split())
print(environment.peak_memory())
"""  # noqa: E501


@pytest.mark.skipif(
  not os.path.exists("/sys/kernel/mm/transparent_hugepage"),
  reason="a kernel without huge pages",
)
@pytest.mark.parametrize("kind, huge", [("0", "True"), ("2", "False")])
def test_the_heap_may_lie_on_huge_pages_and_is_not_touched(
  kind, huge, tmp_path
):
  """Not where the kernel promises no more memory than it has."""
  overcommit = tmp_path / "overcommit_memory"
  overcommit.write_text(f"{kind}\n")
  run = [sys.executable, "-c", _HEAP, overcommit]
  # NumPy asks for huge pages too.
  own = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0", "JAX_PLATFORMS": "cpu"}
  *found, peak = subprocess.check_output(run, env=own, text=True).split()
  assert found == [huge]
  assert int(peak) < 2**29


def test_programs_for_other_threads_are_kept_apart(kept, monkeypatch, tmp_path):
  """JAX would find those of `--processes=2` for a process of all cores."""
  before = jax.config.jax_compilation_cache_dir
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  folders = set()
  try:
    for cores, threads in ((2, ""), (2, "1"), (2, "0"), (1, ""), (1, "2")):
      monkeypatch.setattr(environment, "_cores", lambda cores=cores: cores)
      monkeypatch.setenv("NPROC", threads)
      jax.config.update("jax_compilation_cache_dir", None)
      environment.prepare()
      folders.add(jax.config.jax_compilation_cache_dir)
  finally:
    jax.config.update("jax_compilation_cache_dir", before)
  assert len(folders) == 4  # 0 is as many as there are.


def test_a_host_with_an_accelerator_is_told_by_its_files(monkeypatch):
  before = jax.config.jax_platforms
  try:
    jax.config.update("jax_platforms", None)
    monkeypatch.setattr(environment, "_ACCELERATORS", ("nothing", "nul*"))
    assert not environment._is_cpu()
    monkeypatch.setattr(environment, "_ACCELERATORS", ("nothing",))
    assert environment._is_cpu()
    monkeypatch.setattr(environment, "_ACCELERATORS", ("nul*",))
    jax.config.update("jax_platforms", "cpu")
    assert environment._is_cpu()
  finally:
    jax.config.update("jax_platforms", before)


def test_without_a_home_nothing_is_cached_where_others_may_write(monkeypatch):
  monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
  monkeypatch.setattr(os.path, "expanduser", lambda path: path)
  assert environment.cache_folder() is None


def test_in_a_home_that_is_no_utf8_nothing_is_cached(monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", "/home/b\udcffn")
  assert environment.cache_folder() is None


def test_without_git_the_commit_is_not_known(monkeypatch):
  monkeypatch.setenv("PATH", "/nonexistent")
  assert made_by.commit() is None


def test_an_odd_number_of_threads_is_named(monkeypatch):
  monkeypatch.setenv("NPROC", "many")
  with pytest.raises(UserError, match="^NPROC: found 'many', expected a numb"):
    environment.threads()


def test_threads_are_those_of_the_cores_that_are_left(monkeypatch):
  monkeypatch.delenv("NPROC", raising=False)
  report = (
    "import os; from sslprune_jax.runtime import environment;"
    "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
    "print(environment.threads())"
  )
  run = [sys.executable, "-c", report]
  assert subprocess.check_output(run, text=True) == "1\n"
  monkeypatch.setenv("NPROC", "3")
  assert environment.threads() == 3


def test_files_of_an_unknown_user_are_read(monkeypatch, tmp_path):
  def unknown(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")

  monkeypatch.setattr(pwd, "getpwuid", unknown)
  folder = epath.Path(tmp_path)
  (folder / "sparsity.json").write_text("{}")
  results.write(folder, [{"value": 1.0}])
  assert results.read(folder) == [{"value": 1.0}]


def test_peak_memory_is_of_this_program_alone():
  """Not of what started it: a notebook of gigabytes, a worker of pytest."""
  report = (
    "from sslprune_jax.runtime import environment;"
    "before = environment.peak_memory(); held = b'x' * 2**28;"
    "print(before, environment.peak_memory())"
  )
  held = b"x" * 2**31
  run = [sys.executable, "-c", report]
  before, after = map(int, subprocess.check_output(run).split())
  assert before < len(held) / 2
  assert 0.9 * 2**28 < after - before < 2**29


def test_programs_are_dropped_before_the_kernel_refuses_their_maps(
  monkeypatch, tmp_path
):
  double = jax.jit(lambda x: 2 * x)
  assert double(1) == 2 and double._cache_size() == 1
  environment.release_programs()
  assert double._cache_size() == 1  # So few are kept.
  monkeypatch.setattr(environment, "_MANY_MAPS", 0.0)
  environment.release_programs()
  assert double._cache_size() == 0 and double(1) == 2
  monkeypatch.setattr(environment, "_MAPS", tmp_path / "none")
  environment.release_programs()
  assert double._cache_size() == 1  # There are no such files elsewhere.


def test_a_study_drops_the_programs_of_those_before_it(monkeypatch, tmp_path):
  double = jax.jit(lambda x: 2 * x)
  assert double(1) == 2 and double._cache_size() == 1
  monkeypatch.setattr(environment, "_MANY_MAPS", 0.0)
  config = short()
  config.prune.rounds = 0
  config.retrain.rounds = ()
  config.train.duration = "4it"
  run.run(config, tmp_path)
  assert double._cache_size() == 0
