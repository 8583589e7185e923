"""What the assessment tests share: a target, a quick suite, a small forest."""

from surrogates.assessment.suite import SuiteRecipe
from surrogates.recipes import RandomForestRecipe

TARGET = "energy_per_atom"
QUICK = SuiteRecipe(
    sections=("efficacy", "calibration", "robustness", "safety"),
    refits=False,
    robustness_crystals=4,
    potential_crystals=2,
)
FOREST = RandomForestRecipe(trees=30, threads=1)
