"""The command line: ``oponm train | eval | report``. Hydra lives here only."""
