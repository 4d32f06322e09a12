"""Readers for general file formats: CSV, NumPy, HDF5, MATLAB and EDF."""
