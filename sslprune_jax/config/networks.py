"""Networks by name: a row says which function or class makes the trunk.

It is called with `width`, `dtype`, `axis_name` and `remat` (`models.build`).
"""

from sslprune_jax.config.registry import Registry, Row

_MODELS = "sslprune_jax.models"

NETWORKS: Registry[Row] = Registry(
  "network",
  (
    Row("convnet", f"{_MODELS}.convnet:ConvNet"),
    Row("resnet18", f"{_MODELS}.resnet:resnet18"),
    Row("resnet34", f"{_MODELS}.resnet:resnet34"),
    Row("resnet50", f"{_MODELS}.resnet:resnet50"),
    Row("resnet101", f"{_MODELS}.resnet:resnet101"),
    Row("alexnet", f"{_MODELS}.alexnet:alexnet"),
    Row("alexnet_stages", f"{_MODELS}.alexnet:alexnet_stages"),
    Row("alexnet_rotnet", f"{_MODELS}.alexnet:alexnet_rotnet"),
    Row("alexnet_torchvision", f"{_MODELS}.alexnet:alexnet_torchvision"),
    Row("vgg19", f"{_MODELS}.vgg:vgg19"),
    Row("vgg16", f"{_MODELS}.vgg:vgg16"),
    Row("vgg19_dense", f"{_MODELS}.vgg:vgg19_dense"),
  ),
)


def register(name: str, target: str) -> None:
  """Adds a network of a user's.

  Args:
    name: its name in `config.model.name`.
    target: "module:name" of what makes its trunk.

  Raises:
    ConfigError: the name is taken.
  """
  NETWORKS.register(Row(name, target))
