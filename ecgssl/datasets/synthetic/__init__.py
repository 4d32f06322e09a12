"""Recordings of no patient: a vectorcardiogram model, its patients, and faults that are planted."""
