"""The parts of `accelerator.py`, a module each.

`items(short)` returns what is run by name: a function of the seconds that it
has, which returns JSON values. `ok` False says that what was found is out of
bounds, `is_cut` True that the time was up before the end.
"""
