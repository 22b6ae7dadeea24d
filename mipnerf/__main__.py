"""Entry point of `python -m mipnerf`."""

from mipnerf.cli import main
from mipnerf.console import run, setup_logging

if __name__ == "__main__":
    setup_logging()
    run(main)
