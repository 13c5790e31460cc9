"""Long tails as data: pure functions that return indices of images for given labels, counts and a draw."""

from oponm.longtail.counts import exponential_counts, fit_counts, step_counts
from oponm.longtail.digest import split_digest
from oponm.longtail.draws import draw_indices, read_indices
from oponm.longtail.shots import SHOTS, THIRDS, head_to_tail, shot_groups
from oponm.longtail.split import stratified_split

__all__ = [
    "SHOTS",
    "THIRDS",
    "draw_indices",
    "exponential_counts",
    "fit_counts",
    "head_to_tail",
    "read_indices",
    "shot_groups",
    "split_digest",
    "step_counts",
    "stratified_split",
]
