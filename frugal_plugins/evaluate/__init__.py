"""How good answers are, on rows whose right answer is known: compared, scored with a range, set side by side.

from frugal_plugins.evaluate import compare, score
compare("The total is $1,200.00", 1200).right   # True
score([True, True, False]).percent              # 66.7, between 20.8 and 93.9 with 95 % confidence
"""

from frugal_plugins.evaluate.comparing import COMPARISONS, Comparison, Verdict, compare
from frugal_plugins.evaluate.scoring import Difference, Score, difference, score

__all__ = ["COMPARISONS", "Comparison", "Difference", "Score", "Verdict", "compare", "difference", "score"]
