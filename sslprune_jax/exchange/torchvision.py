"""Our layers under torchvision's names, of every network that is read so."""

from collections.abc import Sequence

from sslprune_jax.exchange.layouts import Builder

# Blocks of each stage, and whether they are bottlenecks.
RESNETS = {
  ((2, 2, 2, 2), False): "resnet18",
  ((3, 4, 6, 3), False): "resnet34",
  ((3, 4, 6, 3), True): "resnet50",
  ((3, 4, 23, 3), True): "resnet101",
}
# Convolutions before each pool.
VGGS = {(2, 2, 3, 3, 3): "vgg16", (2, 2, 4, 4, 4): "vgg19"}
ALEXNETS = {
  (64, 192, 384, 256, 256): "alexnet_torchvision",
  (96, 256, 384, 384, 256): "alexnet",
}
WITHOUT_DENSE = ("vgg19", "alexnet_stages")
BARE_HEAD = "top_layer"  # The head of those, as DeepCluster names it.
_ALEXNET_CONVS = (1, 1, 3)
# Places of the dense layers in `classifier`; the last one is the head.
_VGG_DENSE, _ALEXNET_DENSE = (0, 3, 6), (1, 4, 6)


def add_resnet(build: Builder, counts: Sequence[int], bottleneck: bool) -> None:
  """Adds the layers of a ResNet but for its head.

  Args:
    build: layout to be.
    counts: blocks of each stage.
    bottleneck: kind of the blocks.
  """
  build.conv("stem", "conv1")
  build.norm("stem", "bn1")
  for stage, count in enumerate(counts, start=1):
    for block in range(count):
      ours, theirs = f"stage{stage}/block{block + 1}", f"layer{stage}.{block}"
      for n in (1, 2, 3) if bottleneck else (1, 2):
        build.conv(f"{ours}/conv{n}", f"{theirs}.conv{n}")
        build.norm(f"{ours}/conv{n}", f"{theirs}.bn{n}")
      if block == 0 and (stage > 1 or bottleneck):
        build.conv(f"{ours}/shortcut", f"{theirs}.downsample.0")
        build.norm(f"{ours}/shortcut", f"{theirs}.downsample.1")


def add_row(
  build: Builder,
  convs: Sequence[int],
  places: Sequence[int],
  batch_norm: bool,
) -> None:
  """Adds the convolutions of a VGG or an AlexNet.

  Args:
    build: layout to be.
    convs: convolutions before each pool of a VGG; none of an AlexNet.
    places: places of the convolutions in `features`.
    batch_norm: whether a batch norm follows each.
  """
  layers = [
    f"stage{i}_conv{j}"
    for i, count in enumerate(convs, start=1)
    for j in range(1, count + 1)
  ] or [f"stage{i}" for i in range(1, len(places) + 1)]
  for layer, place in zip(layers, places, strict=True):
    build.conv(layer, f"features.{place}", bias=True)
    if batch_norm:
      build.norm(layer, f"features.{place + 1}")


def add_dense(build: Builder, places: Sequence[int], grid: int) -> None:
  """Adds the two dense layers of a VGG or an AlexNet.

  Args:
    build: layout to be.
    places: their places in `classifier`; what follows is left out.
    grid: side of what the first one reads, flattened.
  """
  for number, place in zip((6, 7), places, strict=False):
    build.dense(f"trunk/fc{number}", f"classifier.{place}", grid)
    grid = 0  # The second reads no grid.


def add_network(
  build: Builder, name: str, *, batch_norm: bool, grid: int, head: bool
) -> bool:
  """Adds the layers of a network of ours.

  Args:
    build: layout to be.
    name: name of the network.
    batch_norm: whether it has batch norm.
    grid: side of what its first dense layer reads; 0 where it has none.
    head: whether it has a linear head.

  Returns:
    Whether torchvision's names have it.
  """
  resnets = {known: key for key, known in RESNETS.items()}
  vggs = {known: convs for convs, known in VGGS.items()}
  if name in resnets:
    add_resnet(build, *resnets[name])
    last = "fc"
  elif name in (*vggs, "vgg19_dense"):
    convs = vggs[name.removesuffix("_dense")]
    add_row(build, convs, _places(convs, batch_norm), batch_norm)
    last = _add_dense_part(build, name, _VGG_DENSE, grid)
  elif name in (*ALEXNETS.values(), "alexnet_stages"):
    add_row(build, (), _places(_ALEXNET_CONVS, batch_norm), batch_norm)
    last = _add_dense_part(build, name, _ALEXNET_DENSE, grid)
  else:
    return False
  if head:
    build.dense("head", last)
  return True


def known() -> list[str]:
  """Returns the names of the networks that `add_network` has."""
  more = ("vgg19_dense", "alexnet_stages")
  return [*RESNETS.values(), *VGGS.values(), *ALEXNETS.values(), *more]


def _add_dense_part(
  build: Builder, name: str, places: Sequence[int], grid: int
) -> str:
  """Adds the dense layers that there are; returns the name of the head."""
  if name in WITHOUT_DENSE:
    return BARE_HEAD
  add_dense(build, places[:2], grid)
  return f"classifier.{places[2]}"


def _places(convs: Sequence[int], batch_norm: bool) -> list[int]:
  """Returns the places of convolutions: ReLU, norms and pools take one too."""
  places, place = [], 0
  for count in convs:
    for _ in range(count):
      places.append(place)
      place += 3 if batch_norm else 2
    place += 1
  return places
