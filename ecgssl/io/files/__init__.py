"""General file formats: CSV, NumPy, HDF5, MATLAB, EDF."""
