"""Pipeline stages: one function per stage, called by the command line and by the DVC scripts."""
