"""Loading of local cohorts from a CSV or Parquet table with one row per recording."""
