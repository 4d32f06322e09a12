"""Simulated recordings: vectorcardiogram model, patients, heart rhythm and electrode noise."""
