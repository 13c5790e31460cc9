"""Sources of images: embedded, downloaded, listed, in folders, in datasets, or packed."""
