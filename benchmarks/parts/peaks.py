"""What makers publish of accelerators, by the `device_kind` that JAX gives.

Without sparsity, in bfloat16 with sums in float32. TPUs are those of
`preflight`; an accelerator that is not listed has no share of a peak.
"""

import math

from sslprune_jax.preflight.chips import CHIPS, Chip


def _gpu(memory: float, tera: float, bandwidth: float, links: float) -> Chip:
  """Returns a row: GB, TFLOP/s, TB/s, GB/s of NVLink in one direction."""
  # The compiler counts cycles on TPUs alone.
  return Chip(
    round(memory * 1e9), tera * 1e12, bandwidth * 1e12, links * 1e9, math.inf, 0
  )


# NVIDIA's data sheets: H100 (2023), H200 (2024), A100 (2021), L4 (2023); those
# that give TFLOP/s with sparsity give twice as many as stand here.
PEAKS = {
  "NVIDIA H100 80GB HBM3": _gpu(80, 989.5, 3.35, 450),
  "NVIDIA H100 PCIe": _gpu(80, 756.5, 2.0, 300),
  "NVIDIA H200": _gpu(141, 989.5, 4.8, 450),
  "NVIDIA A100-SXM4-40GB": _gpu(40, 312, 1.555, 300),
  "NVIDIA A100-SXM4-80GB": _gpu(80, 312, 2.039, 300),
  "NVIDIA A100-PCIE-40GB": _gpu(40, 312, 1.555, 300),
  "NVIDIA A100 80GB PCIe": _gpu(80, 312, 1.935, 300),
  "NVIDIA L4": _gpu(24, 121, 0.3, 32),
  "TPU v4": CHIPS["v4"],
  "TPU v5 lite": CHIPS["v5e"],
  "TPU v5": CHIPS["v5p"],
  "TPU v6 lite": CHIPS["v6e"],
}


def find(device_kind: str) -> Chip | None:
  """Returns what is published of a device; None where it is not listed."""
  return PEAKS.get(device_kind)
