"""The command line: ``oponm train | eval | report``. Only this package imports Hydra."""
