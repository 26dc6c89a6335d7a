"""Groups of unknown parents and metafounders: K⁻¹ against published matrices and dense definitions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse
from conftest import REFS
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import group_shares_by_recursion, random_pedigree, tabular_a, tabular_a_with_classes

import breedblup as bb

SEEDS = st.integers(0, 2**32 - 1)


def expected(case: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((REFS / case / "expected.json").read_text(encoding="utf-8"))["expected"]
    return values


def mrode_upg() -> bb.Pedigree:
    return bb.read_pedigree(REFS / "mrode_upg" / "pedigree.csv", groups=("G1", "G2"))


def fikse() -> bb.Pedigree:
    folder = REFS / "upg_fikse09"
    phantoms = bb.read_phantom_parents(folder / "phantom_groups.csv")
    return bb.read_pedigree(folder / "pedigree.csv", groups=phantoms)


def in_order(relationship: bb.RelationshipInverse, names: list[str]) -> np.ndarray:
    """K⁻¹ with its rows in the order of some names."""
    place = [relationship.ids.to_list().index(name) for name in names]
    return relationship.matrix.toarray()[np.ix_(place, place)]


# --- published --------------------------------------------------------------------------------------------------------


def test_mrode_upg_relationships() -> None:
    case, pedigree = expected("mrode_upg"), mrode_upg()
    names = [*(str(k) for k in range(1, 9)), "G1", "G2"]
    np.testing.assert_allclose(in_order(bb.group_inverse(pedigree), names), case["Astar_inverse"], atol=1e-11)
    q = bb.group_shares(pedigree, names[:8])
    assert q["id"].to_list() == names[:8]
    np.testing.assert_allclose(q.select("G1", "G2").to_numpy(), case["Q"], atol=1e-15)


def test_upg_fikse09() -> None:
    case, pedigree = expected("upg_fikse09"), fikse()
    inverse = in_order(bb.group_inverse(pedigree), case["order"])
    np.testing.assert_allclose(inverse, case["Astar_inverse"], atol=1e-11)
    q = bb.group_shares(pedigree, case["order"][:6])
    np.testing.assert_allclose(q.drop("id").to_numpy(), case["Q"], atol=1e-15)
    members = dict(pedigree.groups.table().iter_rows())
    assert members == pytest.approx({"g1": 1 + 1 + 0.2, "g2": 1 + 0.6 + 0.3 + 0.4, "g3": 0.4 + 1 + 0.7 + 0.4})


def test_twin_metafounder() -> None:
    folder = REFS / "twin_metafounder"
    case = expected("twin_metafounder")
    gamma = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["inputs"]["Gamma"]
    pedigree = bb.read_pedigree(folder / "pedigree.csv", groups=("M1", "M2", "M3"))
    relationship = bb.metafounder_inverse(pedigree, gamma)
    names = ["M1", "M2", "M3", *"bacdefgh"]
    place = [relationship.ids.to_list().index(name) for name in names]
    np.testing.assert_allclose(in_order(relationship, names), case["inverse"], atol=1e-10)
    a_gamma = relationship.multiply(np.eye(11))[np.ix_(place, place)]
    np.testing.assert_allclose(a_gamma, case["A_gamma"], atol=1e-14)
    np.testing.assert_allclose(relationship.diagonal[place], np.diag(case["A_gamma"]), atol=1e-14)
    found = dict(zip(pedigree.ids, relationship.inbreeding, strict=True))
    assert found == pytest.approx(case["inbreeding"], abs=1e-14)
    assert relationship.logdet == pytest.approx(np.linalg.slogdet(np.array(case["A_gamma"]))[1], abs=1e-12)
    among_animals = np.linalg.inv(a_gamma[3:, 3:])
    np.testing.assert_allclose(among_animals, case["inverse_animals_only"], atol=1e-10)
    shuffled = bb.metafounder_inverse(pedigree, np.array(gamma)[np.ix_([2, 0, 1], [2, 0, 1])], names=["M3", "M1", "M2"])
    np.testing.assert_array_equal(shuffled.matrix.toarray(), relationship.matrix.toarray())


@pytest.mark.parametrize("method", ["cholesky", "pcg"])
def test_mrode_upg_evaluation(method: str) -> None:
    case, folder = expected("mrode_upg"), REFS / "mrode_upg"
    model = bb.Model.from_formula("wwg ~ sex + (1 | animal)")
    variances = bb.VarianceComponents({"animal": 20.0}, residual=40.0)
    options = bb.EvaluateOptions(method=method, pcg=bb.PcgOptions(tolerance=1e-12))  # type: ignore[arg-type]
    records = bb.read_records(folder / "data.csv")
    fixed = bb.evaluate(model, records, variances, {"animal": mrode_upg()}, options=options)
    ebv = dict(fixed.ebv.select("id", "ebv").iter_rows())
    contrasts = case["contrasts"]
    assert {k: v - ebv["1"] for k, v in ebv.items()} == pytest.approx(contrasts["ebv_minus_animal1"], abs=1e-9)
    groups = dict(fixed.groups.select("group", "solution").iter_rows())
    assert groups["G2"] - groups["G1"] == pytest.approx(contrasts["G2_minus_G1"], abs=1e-9)
    random = bb.evaluate(
        model, records, variances, {"animal": bb.group_inverse(mrode_upg(), ratio=1.0)}, options=options
    )
    wanted = case["random_groups"]
    found = dict(random.ebv.select("id", "ebv").iter_rows())
    assert [found[str(k)] for k in range(1, 9)] == pytest.approx(wanted["total_ebv"], abs=1e-9)
    assert random.groups["solution"].to_list() == pytest.approx(wanted["group"], abs=1e-9)


# --- against definitions ----------------------------------------------------------------------------------------------


class Grouped:
    """A random pedigree with unknown parents in groups, as arrays and as a `Pedigree`."""

    def __init__(self, seed: int, *, fuzzy: bool) -> None:
        rng = np.random.default_rng(seed)
        self.n, self.g = int(rng.integers(1, 16)), int(rng.integers(1, 4))
        self.sire, self.dam = random_pedigree(rng, self.n, 6)
        classes = self.g + 2 if fuzzy else self.g
        self.shares = rng.dirichlet(np.full(self.g, 0.5), classes) if fuzzy else np.eye(self.g)
        self.sire_class, self.dam_class = (rng.integers(0, classes, self.n) for _ in range(2))
        ids, codes = [f"a{i}" for i in range(self.n)], [f"u{k}" for k in range(classes)]
        frame = pl.DataFrame(
            {"animal": ids}
            | {
                role: [ids[p] if p >= 0 else codes[c] for p, c in zip(parent, own, strict=True)]
                for role, parent, own in (("sire", self.sire, self.sire_class), ("dam", self.dam, self.dam_class))
            }
        )
        used = sorted({code for column in ("sire", "dam") for code in frame[column] if code[0] == "u"})
        if fuzzy:
            self.shares = self.shares[[codes.index(code) for code in used]]
            table = {"phantom": used} | {f"g{k}": self.shares[:, k] for k in range(self.g)}
            self.pedigree = bb.read_pedigree(frame, groups=bb.read_phantom_parents(pl.DataFrame(table)))
        else:
            self.g, self.shares = len(used), np.eye(len(used))
            self.pedigree = bb.read_pedigree(frame, groups=used)
        code = {name: k for k, name in enumerate(used)}
        self.sire_class, self.dam_class = (
            np.array([code.get(codes[c], -1) for c in own]) for own in (self.sire_class, self.dam_class)
        )
        self.sire_class[self.sire >= 0] = -1
        self.dam_class[self.dam >= 0] = -1
        self.place = [self.pedigree.ids.to_list().index(name) for name in ids]
        self.place += [self.n + k for k in range(self.g)]

    def shown(self, matrix: np.ndarray) -> np.ndarray:
        """A matrix of animals and groups in the order of the arrays."""
        return matrix[np.ix_(self.place, self.place)]

    def q(self) -> np.ndarray:
        return group_shares_by_recursion(self.sire, self.dam, self.sire_class, self.dam_class, self.shares)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.booleans(), st.booleans())
def test_fixed_groups_are_the_block_form(seed: int, fuzzy: bool, inbreeding: bool) -> None:
    one = Grouped(seed, fuzzy=fuzzy)
    relationship = bb.group_inverse(one.pedigree, inbreeding=inbreeding)
    a = bb.a_inverse(bb.read_pedigree(one.pedigree.to_frame()), inbreeding=inbreeding)
    order = [a.ids.to_list().index(f"a{i}") for i in range(one.n)]
    a_inverse = a.matrix.toarray()[np.ix_(order, order)]
    q = one.q()
    block = np.block([[a_inverse, -a_inverse @ q], [-q.T @ a_inverse, q.T @ a_inverse @ q]])
    np.testing.assert_allclose(one.shown(relationship.matrix.toarray()), block, atol=1e-10)
    vectors = np.random.default_rng(seed).standard_normal((one.n + one.g, 3))
    np.testing.assert_allclose(relationship.multiply_inverse(vectors), relationship.matrix @ vectors, atol=1e-10)
    only_animals = relationship.multiply(vectors)
    assert not only_animals[one.n :].any()
    np.testing.assert_allclose(a.matrix @ only_animals[: one.n], vectors[: one.n], atol=1e-9)
    assert relationship.logdet == pytest.approx(a.logdet, abs=1e-10)
    assert relationship.animals == one.n
    shares = bb.group_shares(one.pedigree, [f"a{i}" for i in range(one.n)])
    np.testing.assert_allclose(shares.drop("id").to_numpy(), q, atol=1e-14)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.booleans(), st.floats(0.1, 10.0))
def test_random_groups_are_the_inverse_of_their_variance(seed: int, fuzzy: bool, ratio: float) -> None:
    one = Grouped(seed, fuzzy=fuzzy)
    relationship = bb.group_inverse(one.pedigree, ratio=ratio)
    q, a = one.q(), tabular_a(one.sire.tolist(), one.dam.tolist())
    k = np.block([[a + q @ q.T / ratio, q / ratio], [q.T / ratio, np.eye(one.g) / ratio]])
    check_inverse(one, relationship, k)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.booleans())
def test_metafounders_are_the_tabular_method(seed: int, fuzzy: bool) -> None:
    one = Grouped(seed, fuzzy=fuzzy)
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((one.g, one.g)) / np.sqrt(one.g)
    gamma = 0.4 * root @ root.T / max(1.0, np.diag(root @ root.T).max()) + 0.1 * np.eye(one.g)
    relationship = bb.metafounder_inverse(one.pedigree, gamma)
    sire, dam = (
        np.where(parent >= 0, parent, one.n + own).tolist()
        for parent, own in ((one.sire, one.sire_class), (one.dam, one.dam_class))
    )
    whole = tabular_a_with_classes(sire, dam, one.shares @ gamma @ one.shares.T)
    q = one.q()
    a = whole[: one.n, : one.n]
    k = np.block([[a, q @ gamma], [gamma @ q.T, gamma]])
    check_inverse(one, relationship, k)
    np.testing.assert_allclose(relationship.inbreeding[one.place[: one.n]], np.diag(a) - 1.0, atol=1e-12)


def check_inverse(one: Grouped, relationship: bb.RelationshipInverse, k: np.ndarray) -> None:
    """Entries, products, diagonal and log-determinant are those of a dense K."""
    inverse = relationship.matrix
    np.testing.assert_allclose(one.shown(inverse.toarray()) @ k, np.eye(one.n + one.g), atol=1e-8)
    np.testing.assert_allclose(one.shown(relationship.multiply(np.eye(one.n + one.g))), k, atol=1e-12)
    vectors = np.random.default_rng(7).standard_normal((one.n + one.g, 2))
    np.testing.assert_allclose(relationship.multiply_inverse(vectors), inverse @ vectors, atol=1e-8)
    np.testing.assert_allclose(relationship.diagonal[one.place], np.diag(k), atol=1e-12)
    assert relationship.logdet == pytest.approx(np.linalg.slogdet(k)[1], abs=1e-8)
    assert scipy.sparse.csr_array(inverse).has_sorted_indices


def test_metafounders_without_relationships_are_a() -> None:
    """Γ near zero gives A among animals."""
    one = Grouped(5, fuzzy=False)
    relationship = bb.metafounder_inverse(one.pedigree, 1e-12 * np.eye(one.g))
    a = tabular_a(one.sire.tolist(), one.dam.tolist())
    np.testing.assert_allclose(one.shown(relationship.multiply(np.eye(one.n + one.g)))[: one.n, : one.n], a, atol=1e-10)


def test_variance_scaling() -> None:
    """1 + mean(diag Γ)/2 - mean(Γ) (Legarra et al. 2015), and one metafounder with γ: 1 - γ/2."""
    assert bb.variance_scaling(np.array([[0.6, 0.1], [0.1, 0.4]])) == pytest.approx(1 + 0.25 - 0.3)
    assert bb.variance_scaling(np.array([[0.5]])) == pytest.approx(0.75)
    pedigree = mrode_upg()
    said = "; ".join(bb.metafounder_inverse(pedigree, [[0.6, 0.1], [0.1, 0.4]]).made)
    assert "metafounders, variance scaling 0.95" in said
    assert "2 groups of unknown parents by codes in the pedigree: 'G1', 'G2'" in said or "G1" in said


def test_a_pedigree_with_groups_keeps_them_among_ancestors() -> None:
    pedigree = mrode_upg()
    line = pedigree.ancestors_of(["5"])
    assert line.ids.to_list() == ["2", "3", "5"]
    assert line.groups.names.to_list() == ["G1", "G2"]
    np.testing.assert_allclose(bb.group_shares(line, ["5"]).drop("id").to_numpy(), [[0.5, 0.5]])
    one_group = bb.read_pedigree(
        pl.DataFrame({"animal": ["a", "b"], "sire": ["G1", "G2"], "dam": ["G1", "G2"]}), groups=("G1", "G2")
    )
    assert one_group.ancestors_of(["b"]).groups.names.to_list() == ["G2"]
    assert bb.group_shares(one_group, ["b", "a"]).rows() == [("b", 0.0, 1.0), ("a", 1.0, 0.0)]


def test_parents_without_a_row_that_look_like_codes() -> None:
    rows = pl.DataFrame({"animal": [f"a{i}" for i in range(60)], "sire": ["G1"] * 60, "dam": ["0"] * 60})
    report = bb.read_pedigree(rows).report
    assert (
        "'G1' (60 offspring) in the parent columns without a row, taken as an animal each; if these are codes"
        in "".join(report.warnings)
    )
    assert not bb.read_pedigree(rows.head(40)).report.warnings
    with pytest.raises(
        bb.PedigreeError,
        match="no row and no declared group for 'G1', which the parent columns hold -> declare it as a group",
    ):
        bb.read_pedigree(rows.with_columns(dam=pl.lit("G2")), groups=("G2",))
    with pytest.raises(
        bb.PedigreeError, match=r"pedigree: groups is the text 'G1' -> give a list of codes, such as \['G1'\]"
    ):
        bb.read_pedigree(rows, groups="G1")


def test_sources_of_relationships_without_a_variance_of_groups() -> None:
    """Relationships on demand take A^Γ, not groups whose variance is none of a relationship."""
    for ratio in (None, 2.0):
        with pytest.raises(bb.ModelError, match="(fixed|random) groups, whose variance is no relationship -> give the"):
            bb.relationships(bb.group_inverse(mrode_upg(), ratio=ratio), ["7"])
    inverse = bb.metafounder_inverse(mrode_upg(), [[0.6, 0.1], [0.1, 0.4]])
    found = bb.relationships(inverse, ["7"])["relationship"][0]
    assert found == pytest.approx(inverse.diagonal[inverse.ids.to_list().index("7")])


def test_dominance_takes_no_notice_of_groups() -> None:
    plain = bb.read_pedigree(REFS / "mrode_upg" / "pedigree.csv", missing_parents=("G1", "G2"))
    grouped, ungrouped = bb.dominance_inverse(mrode_upg()), bb.dominance_inverse(plain)
    np.testing.assert_array_equal(grouped.matrix.toarray(), ungrouped.matrix.toarray())


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_pedigrees_that_cannot_have_these_groups() -> None:
    frame = pl.DataFrame({"animal": ["a", "b"], "sire": ["G1", "a"], "dam": ["G1", "0"]})
    with pytest.raises(bb.PedigreeError, match="unknown parents without a group: dam of 'b' -> give every unknown"):
        bb.read_pedigree(frame, groups=("G1",))
    plain = bb.read_pedigree(pl.DataFrame({"animal": ["a"], "sire": ["0"], "dam": ["0"]}))
    with pytest.raises(
        bb.ModelError, match=r"group_inverse: pedigree has no groups of unknown parents -> read it with"
    ):
        bb.group_inverse(plain)
    with pytest.raises(bb.ModelError, match="metafounder_inverse: pedigree has no groups"):
        bb.metafounder_inverse(plain, np.eye(1))
    with pytest.raises(
        bb.ModelError, match="inbreeding is 'contemporaries'; it can be True, False, or what inbreeding_of"
    ):
        bb.group_inverse(mrode_upg(), inbreeding="contemporaries")
    with pytest.raises(bb.ModelError, match="the ratio of variances is '2'; it has to be a positive number"):
        bb.group_inverse(mrode_upg(), ratio="2")
    pedigree = mrode_upg()
    with pytest.raises(bb.ModelError, match="the ratio of variances is -1; it has to be a positive number"):
        bb.group_inverse(pedigree, ratio=-1)
    closest = bb.closest_relatives(bb.metafounder_inverse(pedigree, [[0.6, 0.1], [0.1, 0.4]]), "8")
    assert not set(closest["animal"]) & {"G1", "G2"}
    with pytest.raises(bb.PedigreeError, match="nothing says to which 'new' belong -> add these animals"):
        pedigree.with_founders(pl.Series(["new"]))
    with pytest.raises(bb.PedigreeError, match="which relationships among sires do not take -> read it without groups"):
        pedigree.male_ancestors_of(["1"])
    named = bb.read_pedigree(pl.DataFrame({"animal": ["5 years old"], "sire": ["0"], "dam": ["0"]}))
    with pytest.raises(
        bb.PedigreeError, match="'unknown parents' is an animal and a group of unknown parents -> rename"
    ):
        bb.group_unknown_parents(
            bb.read_pedigree(pl.DataFrame({"animal": ["unknown parents"], "sire": ["0"], "dam": ["0"]})),
            bb.GroupRule(years=0, path=False),
        )
    assert bb.group_unknown_parents(named, bb.GroupRule(years=0)).groups.names.to_list() == ["unknown parents"]


@pytest.mark.parametrize(
    ("gamma", "names", "message"),
    [
        ([[1.0]], None, r"Γ is 1 x 1, for 2 metafounders \('G1', 'G2'\)"),
        (np.eye(2), ["G1", "G3"], r"Γ is of metafounders 'G1', 'G3', the groups of the pedigree are 'G1', 'G2'"),
        (None, None, "Γ has to be a square table of numbers, one row and column for each metafounder"),
        ([[1.0, 0.5], [0.4]], None, "Γ has to be a square table of numbers, one row and column for each metafounder"),
        ([[1.0, 0.5], [0.4, 1.0]], None, "Γ has to be symmetric, without missing values"),
        (np.diag([2.0, 1.0]), None, "Γ has 2 on its diagonal; a relationship of a metafounder is below 2"),
        (np.ones((2, 2)), None, "Γ is not positive definite, noticed at metafounder 'G2' -> correct it"),
    ],
)
def test_gammas_that_are_refused(gamma: Any, names: Any, message: str) -> None:
    with pytest.raises(bb.BreedblupError, match=message):
        bb.metafounder_inverse(mrode_upg(), gamma, names=names)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"phantom": ["a"]}, "one for each group, and a row for each parent; found 1 column, 1 row"),
        ({"phantom": ["a", None], "g": [1.0, 1.0]}, "phantom parents row 1: the phantom parent has no name"),
        (
            {"phantom": ["a", "a"], "g": [1.0, 1.0]},
            "phantom parents row 0: phantom parent 'a' has several rows -> keep",
        ),
        ({"phantom": ["a"], "g": [-0.5], "h": [1.5]}, "phantom parents row 0: phantom parent 'a' has a negative share"),
        ({"phantom": ["a"], "g": [0.5], "h": [0.4]}, "shares of phantom parent 'a' add up to 0.9 -> they have to add"),
    ],
)
def test_phantom_parents_that_are_refused(frame: dict[str, Any], message: str) -> None:
    with pytest.raises(bb.PedigreeError, match=message):
        bb.read_phantom_parents(pl.DataFrame(frame))
