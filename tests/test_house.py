"""The rules of the house: what imports what, sizes, docstrings, what loads."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

import sslprune_jax

ROOT = pathlib.Path(sslprune_jax.__file__).parent
# Each may import itself and what stands before it.
FOLDERS = (
  "workdir",
  "runtime",
  "config",
  "data",
  "models",
  "pruning",
  "exchange",
  "features",
  "tasks",
  "training",
  "transfer",
  "study",
  "report",
  "preflight",
)
# They stand outside: what people start or import.
OUTSIDE = ("__init__", "main", "cli")


def _name(path: pathlib.Path) -> str:
  parts = (ROOT.name, *path.relative_to(ROOT).with_suffix("").parts)
  return ".".join(parts).removesuffix(".__init__")


PATHS = {_name(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in PATHS.items()}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _module_of(name: str) -> str | None:
  """Returns the module of the package that a dotted name lies in."""
  while name and name not in PATHS:
    name = name.rpartition(".")[0]
  return name or None


def _imports(nodes) -> set[str]:
  """Returns the modules of the package that nodes import."""
  found = set()
  for node in nodes:
    if isinstance(node, ast.ImportFrom):
      assert not node.level, "imports are absolute"
      found |= {_module_of(f"{node.module}.{a.name}") for a in node.names}
    elif isinstance(node, ast.Import):
      found |= {_module_of(alias.name) for alias in node.names}
  return found - {None}


def _at_once(body):
  """Yields the statements that run when a module is imported."""
  for node in body:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
      continue
    yield node
    if not isinstance(node, FUNCTIONS):
      for part in ("body", "orelse", "finalbody"):
        yield from _at_once(getattr(node, part, ()))


def test_folders_import_only_what_stands_above_them():
  for name, path in PATHS.items():
    place = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if place in OUTSIDE or path.name == "__main__.py":
      continue
    assert place in FOLDERS, f"{name} stands in no folder of the list"
    for other in _imports(ast.walk(TREES[name])) - {ROOT.name}:
      other_place = other.split(".")[1]
      assert other_place in FOLDERS, f"{name} imports {other}"
      assert FOLDERS.index(other_place) <= FOLDERS.index(place), (
        f"{name} imports {other}"
      )


def test_no_modules_import_each_other_in_a_circle():
  arrows = {n: _imports(_at_once(tree.body)) for n, tree in TREES.items()}
  while arrows:
    done = {name for name, others in arrows.items() if not others - {name}}
    assert done, f"in a circle, or above one: {sorted(arrows)}"
    arrows = {
      name: others - done for name, others in arrows.items() if name not in done
    }


def test_linen_orbax_and_pmap_each_have_their_place():
  places = {
    r"^ *import flax.linen": ("models", "tasks"),  # And heads of tasks.
    r"^ *import orbax": ("training/checkpoints.py", "exchange/flax_files.py"),
    r"jax\.pmap\(": ("runtime/devices.py",),
  }
  for words, place in places.items():
    users = {
      str(path.relative_to(ROOT))
      for path in PATHS.values()
      if re.search(words, path.read_text(), re.MULTILINE)
    }
    assert users and all(user.startswith(place) for user in users)


def test_nothing_that_is_read_can_be_code():
  for name, tree in TREES.items():
    for node in ast.walk(tree):
      if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = {alias.name for alias in node.names}
        for module in names | {getattr(node, "module", "") or ""}:
          top = module.split(".")[0]
          if name != "sslprune_jax.exchange.unpickle":  # Which imports none.
            assert top not in ("pickle", "dill", "cloudpickle", "marshal"), name
      if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        assert called not in ("eval", "exec", "compile"), f"{name}: {called}"
        for keyword in node.keywords:
          said = keyword.arg, ast.unparse(keyword.value)
          assert said != ("allow_pickle", "True"), name
          assert said != ("shell", "True"), name


def test_what_is_read_at_once_fits_a_screen():
  entries = [path for path in ROOT.iterdir() if path.name != "__pycache__"]
  assert len(entries) <= 19
  longer = set()
  for name, tree in TREES.items():
    lines = len(PATHS[name].read_text().splitlines())
    assert lines <= 260, f"{name}: found {lines} lines, expected at most 260"
    longer |= {
      f"{name}.{node.name}"
      for node in ast.walk(tree)
      if isinstance(node, FUNCTIONS) and node.end_lineno - node.lineno >= 60
    }
  assert not longer


def _public(node, name: str):
  """Yields a module, class or function and what is public in it, by name."""
  yield name, node
  for child in () if isinstance(node, FUNCTIONS) else node.body:
    is_definition = isinstance(child, (*FUNCTIONS, ast.ClassDef))
    if is_definition and not child.name.startswith("_"):
      yield from _public(child, f"{name}.{child.name}")


_NO_NOUNS = (
  "of that to whose from how which where see over by in under with without "
  "between at"
).split()


def _entries(docstring: str):
  """Yields the arguments and attributes of a docstring: name, what it is."""
  section = ""
  for line in docstring.splitlines():
    heading = re.fullmatch(r"(\w+):", line)
    entry = re.fullmatch(r"  (\*{0,2}\w+(?:, \w+)*): (.+)", line)
    if heading:
      section = heading[1]
    elif entry and section in ("Args", "Attributes"):
      yield entry[1], entry[2]


def test_what_is_public_has_a_docstring():
  missing = [
    name
    for module, tree in TREES.items()
    for name, node in _public(tree, module)
    if not ast.get_docstring(node)
  ]
  assert not missing


def test_what_a_docstring_says_of_an_argument_begins_with_a_noun():
  wrong = [
    f"{module}: {name}: {text}"
    for module, tree in TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, (*FUNCTIONS, ast.ClassDef))
    for name, text in _entries(ast.get_docstring(node) or "")
    if re.search(r"[\w-]+", text)[0].lower() in _NO_NOUNS
  ]
  assert not wrong


def test_a_function_says_what_it_does_and_not_what_was_done():
  names = {
    node.name
    for tree in TREES.values()
    for node in ast.walk(tree)
    if isinstance(node, FUNCTIONS)
  }
  assert not [n for n in names if re.fullmatch(r"_?[a-z]*[^e]ed", n)]


_HEAVY = ("jax", "jaxlib", "flax", "optax", "sklearn", "scipy", "matplotlib")
_LOADS = """
import runpy, sys
words, heavy = sys.argv[1], sys.argv[2].split()
sys.argv = words.split()
try:
  if words.startswith(("import ", "from ")):
    exec(words)
  else:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as end:
  print(end.code, file=sys.stderr)
print("loaded:", *(name for name in heavy if name in sys.modules))
"""


@pytest.mark.parametrize(
  "words, more",
  [
    # What a configuration file or a page of another tool imports.
    ("import sslprune_jax", ""),
    ("import sslprune_jax.config", ""),
    ("from sslprune_jax import paper, recipes, report, variants", ""),
    ("from sslprune_jax import ConfigError, write_report", ""),
    ("import sslprune_jax.workdir", ""),
    ("import sslprune_jax.report", ""),
    # What answers at once.
    ("sslprune_jax.main --help", ""),
    ("sslprune_jax.transfer --help", ""),
    ("sslprune_jax.report --help", "numpy jinja2"),
    ("sslprune_jax.study --help", "numpy jinja2"),
    ("sslprune_jax.preflight --help", ""),
    ("sslprune_jax --help", "numpy jinja2"),
    ("sslprune_jax fields", ""),
    ("sslprune_jax run --help", ""),
    ("sslprune_jax run --config=missing.py", ""),
    ("sslprune_jax run --config=rotnet:nosuch", ""),
    ("sslprune_jax run --config=rotnet:cifar10 --config.prune.rte=1", ""),
    ("sslprune_jax transfer --config=transfer:digits --config.tasks.0=x", ""),
    ("sslprune_jax preflight --config=paper/fig4_depth:nosuch", ""),
  ],
)
def test_what_is_not_used_is_not_loaded(words, more):
  heavy = f"{' '.join(_HEAVY)} tensorflow {more}"
  run = subprocess.run(
    [sys.executable, "-c", _LOADS, words, heavy],
    capture_output=True,
    text=True,
    check=True,
  )
  assert run.stdout.splitlines()[-1].strip() == "loaded:"
  assert "Traceback" not in run.stderr, run.stderr


_LATER = "joblib matplotlib orbax scipy sklearn tensorflow_datasets"


def test_no_study_waits_for_libraries_that_it_needs_later():
  words = "import sslprune_jax.study.run, sslprune_jax.study.alone, "
  words += "sslprune_jax.preflight.costs"
  run = subprocess.run(
    [sys.executable, "-c", _LOADS, words, _LATER],
    capture_output=True,
    text=True,
    check=True,
  )
  assert run.stdout.splitlines()[-1].strip() == "loaded:", run.stdout
