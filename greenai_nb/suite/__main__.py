"""The command line as a module: ``python -m greenai_nb.suite``."""

from greenai_nb.suite.cli import main

main()
