"""A folder imports only what stands above it in the design's list."""

import ast
import pathlib

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


def _imports(path: pathlib.Path) -> set[str]:
  """Returns the folders and root modules that a file imports."""
  found = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom) and node.module == "sslprune_jax":
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      names = [node.module]
    elif isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    else:
      continue
    if not (isinstance(node, ast.ImportFrom) and node.module == "sslprune_jax"):
      parts = [name.split(".") for name in names]
      found |= {p[1] for p in parts if p[0] == "sslprune_jax" and len(p) > 1}
  return found


def test_folders_import_only_what_stands_above_them():
  for path in ROOT.rglob("*.py"):
    name = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if name in OUTSIDE or path.name == "__main__.py":
      continue
    assert name in FOLDERS, f"{path} stands in no folder of the list"
    for other in _imports(path) - {name}:
      assert other in FOLDERS, f"{path} imports {other}"
      assert FOLDERS.index(other) < FOLDERS.index(name), (
        f"{path} imports {other}"
      )


def test_linen_orbax_and_pmap_each_have_their_place():
  places = {
    "import flax.linen": ("models", "tasks"),  # Trunks, and heads of tasks.
    "import orbax": ("training/checkpoints.py",),
    "jax.pmap(": ("runtime/devices.py",),
  }
  for words, place in places.items():
    users = {
      str(path.relative_to(ROOT))
      for path in ROOT.rglob("*.py")
      if words in path.read_text()
    }
    assert users and all(user.startswith(place) for user in users)
