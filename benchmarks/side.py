"""One side of a case, started by `run.py`: answers once, then times runs."""

import json
import sys
import time


def main():
  """Reads a line for every run, and prints its seconds."""
  from cases import CASES

  case, side = sys.argv[1:]
  made = getattr(CASES[case], side)()
  sys.stdin.readline()
  print(json.dumps(made.answer()), flush=True)
  for _ in sys.stdin:
    began = time.perf_counter()
    made.run()
    print(json.dumps(time.perf_counter() - began), flush=True)


if __name__ == "__main__":
  main()
