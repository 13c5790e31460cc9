"""What makes pure noise work: from the runs of the study's sweeps to ``results/*.csv`` and to ``docs/evidence.md``.

``python -m evidence`` writes the document, its figures and the README's paragraph from the committed tables;
``python -m evidence.collect SWEEP_FOLDER results/NAME.csv`` makes such a table from a sweep.
"""
