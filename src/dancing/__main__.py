"""`python -m dancing` is the command line."""

from dancing.cli import main

main()
