"""What is set before JAX starts."""

import os
import pwd
import subprocess
import sys

import jax
import pytest
from etils import epath

from sslprune_jax.runtime import environment
from sslprune_jax.runtime.errors import UserError
from sslprune_jax.study import provenance, results


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


def test_memory_is_left_alone_on_an_accelerator(kept, monkeypatch):
  monkeypatch.setattr(environment, "_is_cpu", lambda: False)
  environment.prepare()
  assert not kept


def test_malloc_is_told_to_keep_memory_where_it_can_be(monkeypatch):
  told = []

  class Libc:
    def mallopt(self, parameter, value):
      told.append((parameter, value))

  for libc in (Libc(), object()):  # The second is no glibc.
    monkeypatch.setattr(
      environment.ctypes, "CDLL", lambda name, libc=libc: libc
    )
    environment._keep_memory()
  # M_TRIM_THRESHOLD, M_MMAP_MAX and M_ARENA_MAX of glibc's malloc.h.
  assert told == [(-1, -1), (-4, 0), (-8, 1)]


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


def test_without_git_the_commit_is_not_known(monkeypatch):
  monkeypatch.setenv("PATH", "/nonexistent")
  assert provenance._commit() is None


def test_an_odd_number_of_threads_is_named(monkeypatch):
  monkeypatch.setenv("NPROC", "many")
  with pytest.raises(UserError, match="^NPROC: found 'many', expected a numb"):
    provenance._threads()


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
