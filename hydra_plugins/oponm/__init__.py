"""Launchers and sweepers of oponm; Hydra finds plugins only in the package ``hydra_plugins``."""
