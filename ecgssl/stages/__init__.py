"""Pipeline stages: one function per stage, used by the command line and the DVC pipeline."""
