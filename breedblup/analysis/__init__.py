"""The calls that an analyst makes: each is the stages of the package, one a line.

`preparation` goes up to the solution, `system` is what is solved, `solution` goes from there to the result; `options` says
how, `progress` tells meanwhile.
"""

from breedblup.analysis.options import EvaluateOptions
from breedblup.analysis.preparation import Prepared, prepare
from breedblup.analysis.progress import Monitor
from breedblup.analysis.solution import evaluate, evaluate_by_factor, evaluate_prepared, solve_system
from breedblup.analysis.system import System

__all__ = [
    "EvaluateOptions",
    "Monitor",
    "Prepared",
    "System",
    "evaluate",
    "evaluate_by_factor",
    "evaluate_prepared",
    "prepare",
    "solve_system",
]
