"""What watches a run, as Lightning's callbacks."""
