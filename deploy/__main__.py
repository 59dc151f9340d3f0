"""`python -m promptforge.deploy` is `promptforge`."""

from promptforge.deploy.cli import main

main()
