"""Simulation of 12-lead ECGs: vectorcardiogram model, patients, heart rhythm and electrode noise."""
