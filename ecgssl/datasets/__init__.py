"""Datasets: public datasets, simulated recordings and local cohorts."""
