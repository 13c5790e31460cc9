"""The commands of ``oponm``: train, eval, predict, export, data, cache and report."""
