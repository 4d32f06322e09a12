"""``python -m ecgssl``: the command line as a module, for launchers such as ``torchrun -m ecgssl pretrain ...``."""

from __future__ import annotations

from ecgssl.cli import main

if __name__ == "__main__":
    main()
