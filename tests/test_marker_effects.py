"""Effects of markers: solved back, stored, read again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse
from conftest import EXACT, REFS, expected
from numpy.typing import NDArray

import breedblup as bb
from breedblup.adjustment.markers import MarkerEffects, ReliabilityFactor, list_digest, marker_effects
from breedblup.errors import InputError, ModelError, PublishError, ResourceError
from breedblup.genotypes import CentredGenotypes, Genotypes
from breedblup.io.marker_effects import KEY, read_marker_effects, write_marker_effects, write_marker_table
from breedblup.relationship.blending import IdentityBlend, PedigreeBlend
from breedblup.relationship.genomic_matrix import GenomicMatrix, GenomicPart

Array = NDArray[np.float64]

ALONE = bb.Model.from_formula("y ~ 1 + (1 | animal)")
ONE = bb.VarianceComponents({"animal": 2.0}, residual=3.0)
TWO_TRAITS = bb.Model.from_formula("(y, x) ~ 1 + (1 | animal)")
BOTH = bb.VarianceComponents({"animal": [[2.0, 0.7], [0.7, 1.0]]}, residual=[[3.0, 0.5], [0.5, 2.0]])


def table_of_markers(m: int) -> pl.DataFrame:
    """Markers on chromosomes 1, 2 and X."""
    third = -(-m // 3)
    return pl.DataFrame(
        {
            "marker": [f"s{j}" for j in range(m)],
            "chromosome": [("1", "2", "X")[j // third] for j in range(m)],
            "position": [1000 * (j % third + 1) for j in range(m)],
            "allele1": ["A"] * m,
            "allele2": ["G"] * m,
        }
    )


def some_genotypes(n: int, m: int, seed: int = 1, *, missing: float = 0.0) -> Genotypes:
    rng = np.random.default_rng(seed)
    calls = rng.binomial(2, rng.uniform(0.1, 0.9, m), (n, m))
    calls = np.where(rng.random((n, m)) < missing, -1, calls)
    return Genotypes.from_calls(calls.astype(np.int8), [f"a{i}" for i in range(n)], table_of_markers(m))


def matrix_of(
    genotypes: Genotypes, like: CentredGenotypes | None = None, *, constant: float = 0.0, share: float = 0.0,
    blended: Any = None, added: float = 0.0,
) -> GenomicMatrix:  # fmt: skip
    """G with centres of its own, or those of another Z."""
    if like is None:
        rng = np.random.default_rng(5)
        centre = rng.uniform(0.3, 1.7, genotypes.shape[1])
        scale = rng.uniform(0.5, 1.5, genotypes.shape[1]) / np.sqrt(genotypes.shape[1])
    else:
        centre, scale = like.centre.copy(), like.scale.copy()
    z = CentredGenotypes(genotypes, centre, scale)
    diagonal = np.full(len(genotypes), added) if added else None
    return GenomicMatrix(z, constant, share, blended, diagonal, ("G of a test",))


def gblup(matrix: GenomicMatrix, tau: float = 1.0) -> bb.RelationshipInverse:
    """G⁻¹, with what it rests on."""
    inverse = bb.inverse_from(matrix.dense() / tau, matrix.ids, kind="relationship")
    part = GenomicPart(matrix, np.arange(len(matrix), dtype=np.int32), tau, "explicit")
    return replace(inverse, genomic=part)


@dataclass(frozen=True)
class SingleStep:
    """H and its inverse, dense."""

    direct: Array
    inverse: scipy.sparse.csr_array
    g: Array
    rows: NDArray[np.int32]

    def multiply(self, vectors: Array) -> Array:
        return self.direct @ vectors

    def multiply_inverse(self, vectors: Array) -> Array:
        return self.inverse @ vectors

    def entries(self) -> scipy.sparse.csr_array:
        return self.inverse

    def genomic_duals(self, solutions: Array) -> Array:
        return np.linalg.solve(self.g, solutions[self.rows])


def single_step(pedigree: bb.Pedigree, matrix: GenomicMatrix) -> bb.RelationshipInverse:
    """H, dense, as the joint distribution has it: u₁ given u₂ by pedigree."""
    a = bb.relationship_block(pedigree, pedigree.ids, pedigree.ids)
    rows = np.array([pedigree.ids.to_list().index(name) for name in matrix.ids], dtype=np.int32)
    g, regression = matrix.dense(), a[:, rows] @ np.linalg.inv(a[np.ix_(rows, rows)])
    h = a + regression @ (g - a[np.ix_(rows, rows)]) @ regression.T
    inverse = bb.inverse_from(0.5 * (h + h.T), pedigree.ids, kind="relationship")
    operator = SingleStep(h, scipy.sparse.csr_array(np.linalg.inv(h)), g, rows)
    return replace(inverse, operator=operator, genomic=GenomicPart(matrix, rows, 1.0, "explicit"))


def some_records(ids: Sequence[str], seed: int = 2, repeated: int = 2) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    animals = list(ids) * repeated
    y, x = rng.normal(10.0, 2.0, (2, len(animals)))
    return pl.DataFrame({"animal": animals, "y": y, "x": np.where(rng.random(x.size) < 0.3, np.nan, x)}).fill_nan(None)


def family(n: int = 12, genotyped: Sequence[int] = (2, 3, 5, 6, 7, 9)) -> tuple[bb.Pedigree, list[str]]:
    """Four founders, then offspring of earlier animals, sires even and dams odd; some are genotyped."""
    rng = np.random.default_rng(3)
    ids = [f"p{i}" for i in range(n)]
    parents = [
        ("", "") if i < 4 else (ids[2 * rng.integers(i // 2)], ids[2 * rng.integers(i // 2) + 1]) for i in range(n)
    ]
    frame = pl.DataFrame({"animal": ids, "sire": [p[0] for p in parents], "dam": [p[1] for p in parents]})
    return bb.read_pedigree(frame), [ids[k] for k in genotyped]


def blended_pedigree(pedigree: bb.Pedigree, ids: Sequence[str]) -> PedigreeBlend:
    block = bb.relationship_block(pedigree, list(ids), list(ids))
    return PedigreeBlend(bb.inverse_from(block, list(ids), kind="relationship"))


def centred(effects: MarkerEffects, genotypes: Genotypes) -> Array:
    calls = genotypes.calls()
    return np.where(calls < 0, 0.0, calls - effects.centre)


# --- effects ----------------------------------------------------------------------------------------------------------


def test_breeding_values_are_the_sum_of_their_parts() -> None:
    genotypes = some_genotypes(20, 33, missing=0.05)
    matrix = matrix_of(genotypes, constant=0.3, share=0.2, blended=IdentityBlend(20), added=0.15)
    evaluation = bb.evaluate(TWO_TRAITS, some_records(genotypes.ids), BOTH, {"animal": gblup(matrix)})
    effects = marker_effects(evaluation)
    assert effects.coordinates == (("y", "direct"), ("x", "direct"))
    dual = np.linalg.solve(matrix.dense(), evaluation.effects["animal"].solutions)
    of_markers = centred(effects, genotypes) @ effects.estimates + effects.intercept
    np.testing.assert_allclose(of_markers + 0.35 * dual, evaluation.effects["animal"].solutions, rtol=EXACT, atol=EXACT)
    assert effects.unexplained == pytest.approx(0.35)
    np.testing.assert_array_equal(effects.variances, [2.0, 1.0])
    assert effects.made[0] == "G of a test"
    assert "0.35 of the genetic variance is not of the markers" in effects.made[-1]


def test_back_solving_is_snp_blup() -> None:
    """With G = ZZ' regular, effects solved back are those of ridge regression (VanRaden 2008)."""
    genotypes = some_genotypes(12, 40)
    matrix = matrix_of(genotypes)
    records = some_records(genotypes.ids)
    effects = marker_effects(bb.evaluate(ALONE, records, ONE, {"animal": gblup(matrix)}))
    rows = np.array([int(name[1:]) for name in records["animal"]])
    w = (genotypes.calls() - matrix.z.centre)[rows]
    x = np.hstack([np.ones((len(rows), 1)), w])
    ridge = np.diag(np.append(0.0, 3.0 / (2.0 * matrix.z.scale**2)))
    direct = np.linalg.solve(x.T @ x + ridge, x.T @ records["y"].to_numpy())[1:]
    np.testing.assert_allclose(effects.estimates[:, 0], direct, rtol=1e-8, atol=1e-10)


def test_published_effects() -> None:
    """Mrode (2014), example 11.3: G + 0.01 I of 14 bulls, back-solved effects."""
    folder, wanted = REFS / "mrode_gblup", expected("mrode_gblup")["expected"]["gblup"]
    frame = pl.read_csv(folder / "genotypes.csv", schema_overrides={"animal": pl.String})
    genotypes = Genotypes.from_calls(frame.drop("animal").to_numpy(), frame["animal"])
    p = genotypes.frequencies
    scale = np.full(p.size, 1.0 / np.sqrt(2.0 * (p * (1.0 - p)).sum()))
    matrix = matrix_of(genotypes, CentredGenotypes(genotypes, 2.0 * p, scale), added=0.01)
    records = pl.read_csv(folder / "data.csv", schema_overrides={"animal": pl.String}).filter(set="reference")
    variances = bb.VarianceComponents({"animal": 35.241}, residual=245.0)
    model = bb.Model.from_formula("dyd ~ 1 + (1 | animal)")
    effects = marker_effects(bb.evaluate(model, records, variances, {"animal": gblup(matrix)}))
    np.testing.assert_allclose(effects.estimates[:, 0], wanted["snp_backsolved"], rtol=0, atol=1e-8)


def test_single_step_effects() -> None:
    pedigree, young = family()
    genotypes = some_genotypes(6, 30).of_animals([f"a{i}" for i in range(6)])
    genotypes = replace(genotypes, ids=pl.Series("id", young))
    matrix = matrix_of(genotypes, constant=0.1, share=0.25, blended=blended_pedigree(pedigree, young))
    evaluation = bb.evaluate(ALONE, some_records(pedigree.ids), ONE, {"animal": single_step(pedigree, matrix)})
    effects, solutions = marker_effects(evaluation, "animal"), evaluation.effects["animal"].solutions
    dual = np.linalg.solve(matrix.dense(), solutions[[int(name[1:]) for name in young]])
    a22 = bb.relationship_block(pedigree, young, young)
    of_markers = centred(effects, genotypes) @ effects.estimates + effects.intercept
    rows = [int(name[1:]) for name in young]
    np.testing.assert_allclose(effects.intercept, 0.1 * dual.sum(axis=0), rtol=1e-9)
    assert abs(effects.intercept[0]) > 1e-3
    np.testing.assert_allclose(of_markers + 0.25 * a22 @ dual, solutions[rows], rtol=EXACT, atol=EXACT)


def test_another_base_and_tau_are_told() -> None:
    genotypes = some_genotypes(10, 20)
    matrix = matrix_of(genotypes, added=0.1)
    evaluation = bb.evaluate(ALONE, some_records(genotypes.ids), ONE, {"animal": gblup(matrix, tau=0.9)})
    rebased = bb.rebase(evaluation, bb.BaseIds.of(["a1", "a4"]))
    effects = marker_effects(rebased)
    assert effects.base[0] == rebased.subtracted["animal", "y", "direct"]
    assert effects.base[0] != 0.0
    assert any("K⁻¹ holds τG⁻¹, τ = 0.9" in said for said in effects.made)


def test_tables() -> None:
    effects = small_effects()
    table = effects.table
    assert table.height == 2 * len(effects)
    assert table["trait"].to_list() == ["y"] * 9 + ["x"] * 9
    p = effects.frequency
    np.testing.assert_allclose(table["variance"][:9], 2 * p * (1 - p) * effects.estimates[:, 0] ** 2)
    assert repr(effects).splitlines()[0] == "Effects of 9 markers on y, x (animal)"
    assert "reliability  exact, from 4 vectors" in repr(effects)
    maternal = replace(effects, coordinates=(("y", "direct"), ("y", "maternal")))
    assert repr(maternal).splitlines()[0] == "Effects of 9 markers on y direct, y maternal (animal)"
    bounds = replace(effects, factor=replace(effects.factor, shares=(0.9, 1.0)))
    assert "reliability  lower bounds, 90 % of the variance kept, from 4 vectors" in repr(bounds)
    assert "reliability  none" in repr(replace(effects, factor=None))
    few, many = replace(effects, made=("one",)), replace(effects, made=("one", "two", "three"))
    assert repr(few).splitlines()[3:] == ["  made         one"]
    assert repr(many).splitlines()[3:] == ["  made         one", "  and 2 more statements in .made"]


def test_digest_tells_names_alleles_and_order() -> None:
    markers = table_of_markers(3)
    digests = {
        list_digest(one)
        for one in (
            markers,
            markers.reverse(),
            markers.with_columns(allele1=pl.lit("C")),
            markers.with_columns(pl.col("marker") + "x"),
        )
    }
    assert len(digests) == 4
    assert list_digest(markers.with_columns(position=pl.lit(7))) == list_digest(markers)


def test_terms_that_have_no_markers() -> None:
    genotypes = some_genotypes(10, 20)
    inverse = gblup(matrix_of(genotypes, added=0.1))
    records = some_records(genotypes.ids).with_columns(other=pl.col("animal"))
    model = bb.Model.from_formula("y ~ 1 + (1 | animal) + (1 | other)")
    variances = bb.VarianceComponents({"animal": 2.0, "other": 1.0}, residual=3.0)
    evaluation = bb.evaluate(model, records, variances, {"animal": inverse, "other": inverse})
    with pytest.raises(
        ModelError, match=r"^several random terms rest on genotypes: 'animal', 'other' -> name one, term"
    ):
        marker_effects(evaluation)
    assert marker_effects(evaluation, "other").term == "other"
    with pytest.raises(
        ModelError,
        match=r"^no random term 'animl'; did you mean 'animal'\? rests on genotypes \(those that do: 'animal', 'other'\) -> ev",
    ):
        marker_effects(evaluation, "animl")
    plain = bb.evaluate(ALONE, records, ONE)
    with pytest.raises(
        ModelError,
        match=r"^no random term rests on genotypes \(those that do: none\) -> evaluate with g_inverse or h_inverse$",
    ):
        marker_effects(plain)


class Heterozygotes(CentredGenotypes):
    """Stands for a Z that is not made of copies."""


def test_a_matrix_that_is_not_of_copies() -> None:
    genotypes = some_genotypes(10, 20)
    matrix = matrix_of(genotypes, added=0.1)
    matrix = replace(matrix, z=Heterozygotes(genotypes, matrix.z.centre, matrix.z.scale))
    evaluation = bb.evaluate(ALONE, some_records(genotypes.ids), ONE, {"animal": gblup(matrix)})
    with pytest.raises(
        ModelError, match=r"^the G of 'animal' is not made of copies of an allele -> its markers have no"
    ):
        marker_effects(evaluation)


# --- the file ---------------------------------------------------------------------------------------------------------


def small_effects() -> MarkerEffects:
    """Effects of nine markers on two traits, with a factor of unlike numbers of vectors."""
    rng = np.random.default_rng(8)
    markers = table_of_markers(9).with_columns(allele2=pl.Series(["G"] * 8 + [None]))
    factor = ReliabilityFactor(
        (rng.normal(size=(9, 4)), rng.normal(size=(9, 2))), (rng.normal(size=4), rng.normal(size=2)), (1.0, 1.0)
    )
    return MarkerEffects(
        markers, rng.uniform(0.2, 1.8, 9), rng.uniform(0.1, 0.3, 9), rng.uniform(0.1, 0.9, 9), rng.normal(size=(9, 2)),
        (("y", "direct"), ("x", "direct")), "animal", rng.normal(size=2), np.array([0.0, 0.1]), np.array([2.0, 1 / 3]), 0.1 + 0.2,
        0.05, factor, ("G of a test", "β = 0,05"),
    )  # fmt: skip


def same(one: Any, other: Any) -> None:
    """The same bits, in whatever they are held."""
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, strict=True)
    elif isinstance(one, pl.DataFrame):
        assert one.equals(other)
        assert one.schema == other.schema
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, MarkerEffects | ReliabilityFactor):
        for name in one.__dataclass_fields__:
            same(getattr(one, name), getattr(other, name))
    else:
        assert one == other


def test_written_and_read(tmp_path: Path) -> None:
    effects = small_effects()
    write_marker_effects(effects, tmp_path / "effects.parquet")
    same(read_marker_effects(tmp_path / "effects.parquet"), effects)
    unknown = replace(effects, factor=None, frequency=np.full(9, np.nan))
    write_marker_effects(unknown, tmp_path / "effects.parquet")  # in the place of the other
    same(read_marker_effects(tmp_path / "effects.parquet"), unknown)
    empty = replace(effects, factor=ReliabilityFactor((np.empty((9, 0)),) * 2, (np.empty(0),) * 2, (1.0, 1.0)))
    write_marker_effects(empty, str(tmp_path / "empty.parquet"))
    same(read_marker_effects(tmp_path / "empty.parquet"), empty)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["effects.parquet", "empty.parquet"]


def test_table_for_people(tmp_path: Path) -> None:
    effects = small_effects()
    write_marker_table(effects, tmp_path / "effects.csv")
    found = pl.read_csv(tmp_path / "effects.csv", schema_overrides={"chromosome": pl.String})
    assert found["estimate"].to_list() == effects.estimates.T.ravel().tolist()
    with pytest.raises(
        InputError, match=r"^effects\.csv: there are no effects of markers in it -> give a file that write_m"
    ):
        read_marker_effects(tmp_path / "effects.csv")


def test_files_that_are_no_effects(tmp_path: Path) -> None:
    place = tmp_path / "effects.parquet"
    pl.DataFrame({"marker": ["a"]}).write_parquet(place)
    with pytest.raises(
        InputError, match=r"^effects\.parquet: there are no effects of markers in it -> give a file that"
    ):
        read_marker_effects(place)
    write_marker_effects(small_effects(), place)
    said = json.loads(pl.read_parquet_metadata(place)[KEY])
    frame = pl.read_parquet(place)
    frame.write_parquet(place, metadata={KEY: json.dumps(said | {"version": 2})})
    with pytest.raises(
        InputError, match=r"effects of markers in layout 2, and this breedblup reads up to 1 -> update it"
    ):
        read_marker_effects(place)
    for other in (frame.reverse(), frame.head(8), frame.with_columns(allele1=pl.lit("T"))):
        other.write_parquet(place, metadata={KEY: json.dumps(said)})
        with pytest.raises(
            InputError, match=r"markers or alleles are not those that the effects were written with -> write"
        ):
            read_marker_effects(place)
    place.write_bytes(place.read_bytes()[:-200])
    with pytest.raises(InputError, match="not a whole Parquet file"):
        read_marker_effects(place)
    with pytest.raises(InputError, match="there is no such file"):
        read_marker_effects(tmp_path / "none.parquet")


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    effects = small_effects()
    with pytest.raises(
        PublishError, match=r"e\.parquet: cannot be written \(.*\) -> name a file in a folder that is there$"
    ):
        write_marker_effects(effects, tmp_path / "none" / "e.parquet")

    def full(*given: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    with pytest.raises(ResourceError, match=r"e\.csv: the disk is full -> make room$"):
        write_marker_table(effects, tmp_path / "e.csv")
    assert list(tmp_path.iterdir()) == []
