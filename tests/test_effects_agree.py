"""What marker effects give the genotyped animals, beside what the evaluation gave them; the pedigree that goes with an evaluation."""

from __future__ import annotations

import pytest
from test_marker_form import DIRECT, HERD, solved, without_groups

import breedblup as bb

BLENDED = bb.GenomicOptions(blend=0.2)
NOT_THE_SAME = "is not what the evaluation gave them: correlation"


def evaluated(relationship: bb.RelationshipInverse) -> bb.Evaluation:
    return solved(bb.as_stored(relationship), "two traits", DIRECT)


def test_effects_of_an_exact_form_need_no_remark() -> None:
    found = evaluated(bb.h_inverse(without_groups(), HERD.genotypes, form="explicit"))
    assert not any(NOT_THE_SAME in statement for statement in bb.marker_effects(found).made)


def test_effects_of_a_small_core_and_of_full_group_equations_are_told() -> None:
    core = HERD.genotypes.ids[:8].to_list()
    apy = bb.h_inverse(without_groups(), HERD.genotypes, form="apy", core=core)
    groups = bb.group_inverse(HERD.pedigree("M", "F"), ratio=1.0)
    full = bb.h_inverse(groups, HERD.genotypes, form="explicit", group_equations="full")
    for relationship in (apy, full):
        made = bb.marker_effects(evaluated(relationship)).made
        assert sum(NOT_THE_SAME in statement for statement in made) == 1


def test_the_pedigree_of_the_evaluation_is_asked_for() -> None:
    pedigree = without_groups()
    inverse = bb.h_inverse(pedigree, HERD.genotypes, BLENDED, form="explicit")
    evaluation = evaluated(inverse)
    young = HERD.genotypes.of_animals(HERD.genotypes.ids[:5])
    bb.predict_from_evaluation(evaluation, young, pedigree, unknown_alleles="as_written")
    mixed = HERD.frame.with_columns(sire=HERD.frame["sire"].reverse().replace(dict.fromkeys(HERD.frame["animal"], "M")))
    others = (inverse, bb.a_inverse(pedigree, inbreeding=False), bb.read_pedigree(mixed, missing_parents=("M", "F")))
    for other in others:
        with pytest.raises(
            bb.ModelError, match="not those that G was blended with -> give the pedigree of the evaluation"
        ):
            bb.predict_from_evaluation(evaluation, young, other, unknown_alleles="as_written")


def test_a22_of_h_is_refused() -> None:
    inverse = bb.h_inverse(without_groups(), HERD.genotypes, form="explicit")
    with pytest.raises(bb.ModelError, match="a22_inverse: the inverse rests on genotypes, so that what it has among"):
        bb.a22_inverse(inverse, HERD.genotypes.ids)
