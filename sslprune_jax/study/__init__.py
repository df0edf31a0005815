"""A study: the stages of the paper, each run once and then read."""
