"""Makes the documentation site: the pages that are generated, the links between pages, and the drawings.

``make docs`` builds ``site/`` from ``docs/``, ``notebooks/``, ``conf/`` and the docstrings.
``python -m handbook.drawings`` draws the pictures; ``python -m handbook.screenshots`` photographs pages by a browser.
"""
