"""Loaders for public ECG datasets, one class per dataset (layout, labels, splits, known defects)."""
