"""Lets ``python -m oponm`` run ``oponm``."""

from oponm.cli.main import main

main()
