"""A module imports only from the layers above it in the design's table."""

import ast
import pathlib

import sslprune_jax

ROOT = pathlib.Path(sslprune_jax.__file__).parent

# Each line may import from itself (inside a folder) and the lines before it.
LAYERS = (
  ("runtime",),
  ("durations", "processes", "trees"),
  ("files", "preemption"),
  ("side_by_side",),
  ("masks", "optim", "parallel", "models", "data"),
  ("clustering", "controls", "magnitudes", "neighbours", "pruning"),
  ("tasks",),
  ("state",),
  ("workdir",),
  ("config", "checkpoints", "tickets", "progress", "plan"),
  (
    "extraction",
    "tracing",
    "recipes",
    "provenance",
    "recipe_setup",
    "rounds",
    "variants",
  ),
  ("paper", "stages", "study_data", "task_setup", "train", "validation"),
  ("training", "report", "platform_setup"),
  ("cli", "overlaps", "trainings"),
  ("study_trainings", "transfer"),
  ("study",),
  ("studies",),
  ("preflight",),
  ("main",),
)


def _imports(path: pathlib.Path) -> set[str]:
  """Returns the modules of this package that a file imports."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom) and node.module == "sslprune_jax":
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      parts = node.module.split(".")
      if parts[0] == "sslprune_jax":
        found.add(parts[1])
  return found


def test_modules_import_only_from_layers_above():
  layer = {name: i for i, names in enumerate(LAYERS) for name in names}
  for path in ROOT.rglob("*.py"):
    name = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if name == "__init__":
      continue
    assert name in layer, f"{path} stands in no layer"
    for other in _imports(path) - {name}:
      assert layer[other] < layer[name], f"{path} imports {other}"


def test_linen_orbax_and_pmap_each_have_one_place():
  places = {
    "import flax.linen": "models",
    "import orbax": "checkpoints.py",
    "jax.pmap(": "parallel.py",
  }
  for words, place in places.items():
    users = {
      path.relative_to(ROOT).parts[0]
      for path in ROOT.rglob("*.py")
      if words in path.read_text()
    }
    assert users == {place}
