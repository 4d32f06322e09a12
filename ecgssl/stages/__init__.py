"""Pipeline stages: one function per stage, called by the command and by the DVC script alike."""
