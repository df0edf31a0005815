"""What the parts found, as a page."""

import json
import pathlib


def render(folder: pathlib.Path) -> str:
  """Returns Markdown: a table for each part that was run.

  Args:
    folder: folder of the parts' files.
  """
  found = {
    part: json.loads((folder / f"{part}.json").read_text())
    for part in _TABLES
    if (folder / f"{part}.json").exists()
  }
  lines = []
  for part, record in found.items():
    lines += ["", f"## {part}", "", _machine(record["about"], part), ""]
    lines += _TABLES[part](record["items"])
  return "\n".join(lines[1:])


def _machine(about, part):
  versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items() if v)
  short = " --short" if about["short"] else ""
  return (
    f"{about['devices']} x {about['device']}, Python {about['python']}, "
    f"{versions}, commit {about['commit']}: "
    f"`bash launch/accelerator.sh {part}{short}`"
  )


def _table(heads, rows):
  """Returns the lines of a table."""
  return [
    "| " + " | ".join(map(str, cells)) + " |"
    for cells in (heads, ["---"] * len(heads), *rows)
  ]


def _correct(items):
  rows = []
  for name, item in items.items():
    words = item.get("not_run") or item.get("error") or _differences(item)
    verdict = "yes" if item["ok"] else "no"
    rows.append((name, "not run" if "not_run" in item else verdict, words))
  return _table(("what", "holds", "found"), rows)


def _differences(item):
  """Says what a check found."""
  if "bounds" in item:
    kinds = ("loss", "median leaf", "worst leaf")
    worst = [
      max(column) for column in zip(*item["found"].values(), strict=True)
    ]
    return ", ".join(
      f"{kind} {found:.1e}" + (f" of {bound:.0e}" if bound else "")
      for kind, found, bound in zip(kinds, worst, item["bounds"], strict=True)
    )
  shown = {k: v for k, v in item.items() if k not in ("ok", "took_s")}
  return json.dumps(shown)


def _speed(items):
  rows = []
  for name, item in items.items():
    if "seconds" not in item:
      words = item.get("not_run") or item.get("error")
      rows.append((name, words or f"idle: {item['idle']}", *[""] * 5))
      continue
    estimate = max((item.get("estimate_s") or {}).values(), default=None)
    rate = f"{item['images_a_second']:,.0f}"
    share = _percent(item.get("share_of_peak"))
    used = _ms(item["seconds"]), rate, _gib(item["memory_bytes"]), share
    rows.append((name, item["batch"], *used, _ms(estimate)))
  heads = (
    "update", "batch", "ms", "images/s", "memory, GiB", "of the peak",
    "at least, ms",
  )  # fmt: skip
  return _table(heads, rows)


def _inference(items):
  rows = []
  for name, item in items.items():
    if not item["ok"]:
      rows.append((name, item["error"], "", ""))
    for found in item.values():
      if isinstance(found, dict):
        rate = f"{found['images_a_second']:,.0f}"
        rows.append((name, found["batch"], _ms(found["seconds"]), rate))
  return _table(("network", "batch", "ms", "images/s"), rows)


def _figures(items):
  rows = [
    (name, item.get("claims") or item["error"], item["took_s"])
    for name, item in items.items()
  ]
  return _table(("figure", "claims", "seconds, last command"), rows)


def _ms(seconds):
  return "" if seconds is None else f"{1000 * seconds:.3g}"


def _gib(size):
  return "" if size is None else f"{size / 2**30:.2f}"


def _percent(share):
  return "" if share is None else f"{100 * share:.0f} %"


_TABLES = {
  "correct": _correct,
  "speed": _speed,
  "inference": _inference,
  "figures": _figures,
}
