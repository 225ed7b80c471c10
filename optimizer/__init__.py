"""Hyperparameter search for Stable Diffusion LoRAs."""

__version__ = "0.1.0"
