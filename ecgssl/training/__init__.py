"""Shared parts of the pretraining and fine-tuning loops."""
