"""One side of a case, started by `run.py`: answers once, then times runs."""

import json
import sys
import time


def main():
  """Reads a line for every run, and prints its seconds."""
  from cases import CASES

  answers, sys.stdout = sys.stdout, sys.stderr  # A study prints its progress.
  case, side = sys.argv[1:]
  if side == "ours" or CASES[case].both_ours:
    from sslprune_jax.runtime import environment

    environment.prepare()
  made = getattr(CASES[case], side)()
  sys.stdin.readline()
  print(json.dumps(made.answer()), file=answers, flush=True)
  for _ in sys.stdin:
    began = time.perf_counter()
    made.run()
    seconds = time.perf_counter() - began
    print(json.dumps(seconds), file=answers, flush=True)


if __name__ == "__main__":
  main()
