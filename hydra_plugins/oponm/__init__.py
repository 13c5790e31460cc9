"""Launchers and sweepers of oponm; Hydra takes these from the package ``hydra_plugins`` alone, and finds them in it."""
