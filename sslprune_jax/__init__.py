"""Finds small subnetworks in self-supervised convnets, in JAX.

A reimplementation of "Pruning Convolutional Neural Networks with
Self-Supervision" (Caron et al. 2020, arXiv 2001.03554).
"""
