"""``python -m oponm`` is ``oponm``."""

from oponm.cli.main import main

main()
