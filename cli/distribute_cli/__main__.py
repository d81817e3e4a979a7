"""`python -m distribute_cli`: the program `distribute`."""

from distribute_cli.main import main

main()
