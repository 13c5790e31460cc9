"""Where images come from: embedded, downloaded, listed, in folders, in datasets, or packed."""
