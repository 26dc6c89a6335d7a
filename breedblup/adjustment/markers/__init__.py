"""Markers and the young: effects of markers, predictions for animals that were genotyped since, tests of association.

`effects` solves back for the markers, `prediction` applies them to new genotypes, `association` adds their errors, `windows` sums
them by stretches of a chromosome, `reliability` keeps what the reliability of a prediction is computed from.
"""

from breedblup.adjustment.markers.association import (
    MarkerInference,
    infer_markers,
    marker_inference,
    prepare_inference,
)
from breedblup.adjustment.markers.effects import MarkerEffects, list_digest, marker_effects
from breedblup.adjustment.markers.prediction import predict_from_evaluation, predict_genomic, predict_matched
from breedblup.adjustment.markers.reliability import ReliabilityFactor
from breedblup.adjustment.markers.windows import window_variances

__all__ = [
    "MarkerEffects",
    "MarkerInference",
    "ReliabilityFactor",
    "infer_markers",
    "list_digest",
    "marker_effects",
    "marker_inference",
    "predict_from_evaluation",
    "predict_genomic",
    "predict_matched",
    "prepare_inference",
    "window_variances",
]
