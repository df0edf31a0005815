"""The model card of an export: what is known of a network, and no more."""

from collections.abc import Mapping, Sequence
from typing import Any

from sslprune_jax.exchange.written import Reference
from sslprune_jax.runtime.errors import printable

_TAGS = ("pruning", "sslprune_jax")


def write(
  config: Mapping[str, Any], said: Sequence[str], reference: Reference
) -> str:
  """Writes a card in Markdown, as the Hugging Face hub shows one.

  Args:
    config: what `config.json` says.
    said: sentences on the files.
    reference: ticket, and what the files were held against.

  Returns:
    The text.
  """
  height, width = config["image_size"]
  tags = "".join(f"- {tag}\n" for tag in _TAGS)
  head = (
    f"{config['classes']} outputs"
    if config["classes"]
    else "no head: it gives out features"
  )
  lines = [
    f"---\ntags:\n{tags}---",
    f"# {config['network']}, pruned",
    f"A {_name(config)}, {_weights(config)}; {head}.",
    "## Where it comes from",
    _origin(config["ticket"]),
    _quality(reference),
    "## How it sees images",
    f"{height} x {width} pixels, {config['channels']} "
    f"{'channel' if config['channels'] == 1 else 'channels'}, in [0, 1]; "
    f"from each channel the mean {config['mean']} is taken, and the rest is "
    f"divided by {config['std']}. "
    + (
      f"{', '.join(config['take_pixels'])} do that themselves, no other."
      if config["take_pixels"]
      else "No file does that itself."
    )
    + (" Fixed Sobel filters come next." if config["sobel"] else ""),
    "## Files",
    "\n".join(f"- {words}" for words in said),
    f"{reference.say()} `config.json` has their SHA-256.",
  ]
  return "\n\n".join(lines) + "\n"


def _weights(config: Mapping[str, Any]) -> str:
  count = f"{config['weights']:,} numbers in all"
  if config["density"] == 1:
    return count
  return (
    f"of which {100 * config['density']:.3g} % of the weights that can be "
    f"pruned remain, {count}, zeros included"
  )


def _name(config: Mapping[str, Any]) -> str:
  times = "" if config["width"] == 1 else f" x {config['width']:g}"
  sliced = " with channels sliced out" if config["shrunk"] else ""
  return f"{config['network']}{times}{sliced}"


def _quality(reference: Reference) -> str:
  """Returns how good it is, where this is known."""
  if reference.labels is None:
    return "Its quality was not measured with this export."
  count, name = len(reference.labels), reference.test.name
  right = reference.say_accuracy(reference.logits)
  return f"On the {count:,} test images of {name} {right} are right."


def _origin(ticket: Mapping[str, Any]) -> str:
  """Returns what the ticket says of itself, and its digest."""
  known = [
    f"{name} {ticket[name]}"
    for name in ("task", "kind", "seed", "round")
    if name in ticket
  ]
  source = ticket.get("source")
  # Of what was imported itself, or of a study that started from a file.
  sha256 = source.get("sha256") if isinstance(source, dict) else None
  sha256 = sha256 or ticket.get("start")
  return printable(
    f"A ticket of sslprune_jax, SHA-256 `{ticket['sha256']}`"
    + "".join(f", {words}" for words in known)
    + (
      f"; made of a checkpoint of SHA-256 `{sha256}`, whose licence holds for "
      "it."
      if sha256
      else "."
    )
  )
