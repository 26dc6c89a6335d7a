"""Evaluations of random problems against V⁻¹, properties of the answers, and what is said about them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import EXACT, ITERATIVE, REFS
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import blup_by_v, full_rank_columns, indicator, positive_definite, random_pedigree, tabular_a

import breedblup as bb
from breedblup.evaluation.tables import accuracy_from_reliability, parent_average, progeny_with_records
from breedblup.frames import Table
from breedblup.mme import EnergyBound, FixedSpace
from breedblup.mme.incidence import _patterns
from breedblup.solvers.operators import CsrOperator

SEEDS = st.integers(0, 2**32 - 1)
DIRECT = bb.EvaluateOptions(method="cholesky", pev="exact")
ITERATED = bb.EvaluateOptions(method="pcg", pev="exact", pcg=bb.PcgOptions(tolerance=ITERATIVE * 1e-3))


class Problem:
    """A small pedigree, its records, and the model milk ~ herd + age + animal + ide(animal) with weights."""

    def __init__(self, seed: int, animals: int = 14, records: int = 30) -> None:
        rng = np.random.default_rng(seed)
        sire, dam = random_pedigree(rng, animals, 8)
        names = np.array([f"id {i:02d}" for i in range(animals)])
        self.pedigree = pl.DataFrame(
            {"animal": names, "sire": np.where(sire >= 0, names[sire], ""), "dam": np.where(dam >= 0, names[dam], "")}
        )
        codes = rng.integers(0, animals, records)
        self.records = pl.DataFrame(
            {
                "animal": names[codes],
                "herd": np.array(["A", "B", "C"])[rng.integers(0, 3, records)],
                "age": rng.normal(30, 4, records),
                "w": rng.uniform(0.5, 2, records),
                "milk": rng.normal(100, 10, records),
            }
        )
        self.variances = bb.VarianceComponents(
            {"animal": float(rng.uniform(0.5, 9)), "ide(animal)": float(rng.uniform(0.5, 5))},
            residual=float(rng.uniform(1, 9)),
        )
        self.names = names
        self.a = tabular_a(sire.tolist(), dam.tolist())
        self.model = bb.Model.from_formula("milk ~ herd + age + (1 | animal) + (1 | ide(animal))", weights="w")

    def evaluate(self, options: bb.EvaluateOptions = DIRECT) -> bb.Evaluation:
        relationships = {"animal": bb.Pedigree.from_frame(self.pedigree)}
        return bb.evaluate(self.model, self.records, self.variances, relationships, options=options)

    def by_definition(self) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
        z = (self.records["animal"].to_numpy()[:, None] == self.names).astype(float)
        recorded = z.any(axis=0)
        herds, _ = indicator(self.records["herd"].to_list())
        x = full_rank_columns(np.column_stack([np.ones(len(z)), herds[:, 1:], self.records["age"]]))
        effects = {
            "animal": (z, float(self.variances["animal"]) * self.a),
            "ide(animal)": (z[:, recorded], float(self.variances["ide(animal)"]) * np.eye(recorded.sum())),
        }
        residual = np.diag(float(self.variances.residual) / self.records["w"].to_numpy())
        b, solutions, pev = blup_by_v(self.records["milk"].to_numpy(), x, effects, residual)
        return x @ b, solutions, pev, x


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([DIRECT, ITERATED]))
def test_against_v_inverse(seed: int, options: bb.EvaluateOptions) -> None:
    problem = Problem(seed)
    evaluation = problem.evaluate(options)
    fitted, solutions, pev, x = problem.by_definition()
    for term in ("animal", "ide(animal)"):
        table = evaluation.random(term)
        np.testing.assert_allclose(table["solution"], solutions[term], rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(table["pev"], pev[term], rtol=1e-8)
    ebv = evaluation.ebv
    np.testing.assert_allclose(
        ebv["reliability"], 1 - pev["animal"] / (np.diag(problem.a) * float(problem.variances["animal"])), atol=1e-8
    )
    effect = {(t, lv): e for t, lv, e in evaluation.fixed.select("term", "level", "estimate").iter_rows()}
    found = [
        effect["(Intercept)", ""] + effect["herd", herd] + effect["age", ""] * age
        for herd, age in problem.records.select("herd", "age").iter_rows()
    ]
    np.testing.assert_allclose(found, fitted, rtol=1e-7)
    assert evaluation.fixed["constrained"].sum() == evaluation.fixed.height - x.shape[1]


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_permuting_rows_permutes_the_answers(seed: int) -> None:
    problem = Problem(seed)
    before = problem.evaluate().ebv
    rng = np.random.default_rng(seed)
    problem.pedigree = problem.pedigree[rng.permutation(problem.pedigree.height)]
    problem.records = problem.records[rng.permutation(problem.records.height)]
    after = problem.evaluate().ebv
    assert after["id"].to_list() == problem.pedigree["animal"].to_list()
    joined = before.join(after, on="id", suffix="_after")
    for column in ("ebv", "pev", "reliability", "parent_average", "inbreeding", "records", "progeny_records"):
        np.testing.assert_allclose(joined[column], joined[f"{column}_after"], rtol=1e-8, atol=1e-9)


def test_an_unconnected_animal_changes_nothing() -> None:
    problem = Problem(7)
    before = problem.evaluate().ebv
    stranger = pl.DataFrame({"animal": ["stranger"], "sire": [""], "dam": [""]})
    problem.pedigree = pl.concat([stranger, problem.pedigree])
    after = problem.evaluate().ebv
    assert after.row(0, named=True)["ebv"] == pytest.approx(0.0, abs=EXACT)
    assert after.row(0, named=True)["reliability"] == pytest.approx(0.0, abs=EXACT)
    np.testing.assert_allclose(after["ebv"][1:], before["ebv"], rtol=1e-9, atol=1e-10)


def test_coding_of_fixed_effects_does_not_matter_to_random_ones() -> None:
    problem = Problem(11)
    first = problem.evaluate().ebv["ebv"]
    for formula in ("milk ~ 0 + herd + age", "milk ~ age + herd:w2 + herd", "milk ~ poly(age, 1) + herd"):
        problem.records = problem.records.with_columns(w2=pl.lit("one"))
        problem.model = bb.Model.from_formula(f"{formula} + (1 | animal) + (1 | ide(animal))", weights="w")
        np.testing.assert_allclose(problem.evaluate().ebv["ebv"], first, rtol=1e-7, atol=1e-8)


def test_the_bound_is_a_bound() -> None:
    """On 100 random problems and at every kind of iterate: never below the true error, nor below any animal's."""
    tightest = np.inf
    for seed in range(100):
        problem = Problem(seed, animals=10, records=16)
        relationships = {"animal": bb.Pedigree.from_frame(problem.pedigree)}
        prepared = bb.prepare(problem.model, problem.records, problem.variances, relationships)
        equations = prepared.pattern.equations(problem.variances)
        c = equations.lhs.toarray()
        exact = np.linalg.solve(c, equations.rhs)
        operator = CsrOperator(equations.lhs)
        bound = EnergyBound(operator, prepared.layout, problem.variances, FixedSpace.of(equations))
        rng = np.random.default_rng(seed)
        free = np.ones(exact.size)
        free[prepared.constraints.equations] = 0.0
        for error in (
            exact,
            rng.standard_normal(exact.size),
            np.eye(exact.size)[-1],
            c @ rng.standard_normal(exact.size),
        ):
            error = error * free
            norm = float(np.sqrt(error @ c @ error))
            found = bound(exact - error, c @ error)
            assert found >= norm * (1 - 1e-9)
            tightest = min(tightest, found / norm)
            at = prepared.layout.slice_of("animal")
            genetic = np.sqrt(np.diag(problem.a) * float(problem.variances["animal"]))
            positions = [problem.names.tolist().index(name) for name in prepared.layout.terms[-2].levels]
            assert (np.abs(error[at]) / genetic[positions] <= found * (1 + 1e-9)).all()
    assert tightest < 2.0  # it is not a bound by being useless


def test_pcg_reports_every_criterion_every_round() -> None:
    evaluation = Problem(3).evaluate(bb.EvaluateOptions(method="pcg"))
    solution = evaluation.solution
    assert solution.converged
    assert [record.round for record in solution.rounds] == list(range(1, len(solution.rounds) + 1))
    for record in solution.rounds:
        assert record.squared_relative_residual == pytest.approx(record.relative_residual**2)
        assert record.relative_change >= 0
        assert record.error_estimate is not None
    assert solution.rounds[-1].error_bound is not None
    assert solution.rounds[-1].error_bound <= solution.tolerance
    assert evaluation.ebv["pev"].is_null().all()
    assert evaluation.ebv["reliability"].is_null().all()
    assert evaluation.fixed["se"].is_null().all()
    assert "no error above" in str(evaluation)
    assert "reliability not computed: " in str(evaluation)


def test_not_converging_is_an_error_that_carries_the_solution() -> None:
    options = bb.EvaluateOptions(method="pcg", pcg=bb.PcgOptions(maximum_rounds=2))
    with pytest.raises(
        bb.NotConverged, match="PCG stopped after 2 rounds with error at .*, above 1e-06 -> allow more"
    ) as stopped:
        Problem(3).evaluate(options)
    assert isinstance(stopped.value.solution, bb.Solution)


def test_frames_come_back_in_the_library_that_they_came_in() -> None:
    problem = Problem(4)
    problem.records = problem.records.to_pandas()
    evaluation = problem.evaluate()
    assert isinstance(evaluation.ebv, pd.DataFrame)
    assert isinstance(evaluation.fixed, pd.DataFrame)
    assert isinstance(evaluation.random("ide(animal)"), pd.DataFrame)


def test_unknown_random_term() -> None:
    with pytest.raises(bb.ModelError, match=r"no random term 'animl'; did you mean 'animal'\?"):
        Problem(4).evaluate().random("animl")


def test_accuracy_scales() -> None:
    reliability = np.array([0.0, 0.36, 0.75, 1.0])
    np.testing.assert_allclose(accuracy_from_reliability(reliability, "r"), [0, 0.6, np.sqrt(0.75), 1])
    np.testing.assert_allclose(accuracy_from_reliability(reliability, "r2"), reliability)
    np.testing.assert_allclose(accuracy_from_reliability(reliability, "bif"), [0, 0.2, 0.5, 1])
    assert Problem(1).evaluate(bb.EvaluateOptions(accuracy="bif")).accuracy_scale == "bif"


def test_family_columns() -> None:
    sire, dam = np.array([-1, -1, 0, 0, 3]), np.array([-1, -1, 1, -1, 3])
    np.testing.assert_allclose(parent_average(np.arange(5.0) + 2, ((sire, 0.5), (dam, 0.5))), [0, 0, 2.5, 1, 5])
    assert progeny_with_records(np.array([True, True, True, True, True]), ((sire, 0.5), (dam, 0.5))).tolist() == [
        2,
        1,
        0,
        1,
        0,
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "qr"}, "method is 'qr'; it can be 'auto', 'cholesky', 'pcg'"),
        ({"pev": True}, "pev is True; it can be 'auto', 'exact', 'none'"),
        ({"accuracy": "R"}, "accuracy is 'R'; it can be 'r', 'r2', 'bif'"),
    ],
)
def test_options_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(bb.ModelError, match=message):
        bb.EvaluateOptions(**options)


@pytest.mark.parametrize("options", [DIRECT, ITERATED])
def test_a_variance_of_zero_is_the_model_without_the_term(options: bb.EvaluateOptions) -> None:
    problem = Problem(2)
    problem.variances = bb.VarianceComponents({"animal": 0.0, "ide(animal)": 1.0}, residual=1.0)
    evaluation = problem.evaluate(options)
    assert (evaluation.ebv["ebv"] == 0).all()
    assert (evaluation.ebv["pev"] == 0).all()
    assert evaluation.ebv["reliability"].is_null().all()
    assert any(
        note.startswith("animal: covariance matrix of order 1 and rank 0, fitted by") for note in evaluation.notes
    )
    without = bb.evaluate(
        bb.Model.from_formula("milk ~ herd + age + (1 | animal)", weights="w"),
        problem.records,
        bb.VarianceComponents({"animal": 1.0}, residual=1.0),
        options=options,
    )
    np.testing.assert_allclose(
        evaluation.random("ide(animal)")["solution"], without.random("animal")["solution"], rtol=1e-7, atol=1e-9
    )


def test_relationship_of_the_wrong_kind() -> None:
    problem = Problem(2)
    with pytest.raises(
        bb.ModelError, match=r"relationships\['animal'\] is a ndarray; give a Pedigree or a Relationship"
    ):
        bb.evaluate(problem.model, problem.records, problem.variances, {"animal": np.eye(3)})  # type: ignore[dict-item]


def test_animals_that_the_pedigree_lacks() -> None:
    problem = Problem(2)
    pedigree = bb.Pedigree.from_frame(problem.pedigree)
    problem.records[0, "animal"] = "unheard of"
    relationships = {"animal": pedigree}
    with pytest.raises(
        bb.RecordError, match="records row 0: animal 'unheard of' is not in the relationship given for 'animal'"
    ):
        bb.evaluate(problem.model, problem.records, problem.variances, relationships)
    options = bb.EvaluateOptions(unknown_animals="founder")
    evaluation = bb.evaluate(problem.model, problem.records, problem.variances, relationships, options=options)
    assert evaluation.ebv["id"][-1] == "unheard of"
    assert any(
        "1 animal of the records added to the pedigree as unrelated: 'unheard of'" in n for n in evaluation.notes
    )


def test_a_matrix_of_the_users_as_relationship() -> None:
    problem = Problem(9)
    k = positive_definite(np.random.default_rng(1), 14)
    made = bb.inverse_from(k, problem.names.tolist(), kind="relationship")
    for options in (DIRECT, ITERATED):
        evaluation = bb.evaluate(problem.model, problem.records, problem.variances, {"animal": made}, options=options)
        problem.a = k
        _, solutions, pev, _ = problem.by_definition()
        np.testing.assert_allclose(evaluation.ebv["ebv"], solutions["animal"], rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(evaluation.ebv["pev"], pev["animal"], rtol=1e-7)
        assert evaluation.ebv["inbreeding"].is_null().all()


def test_refresh_for_other_variances_equals_a_new_assembly() -> None:
    problem = Problem(5)
    relationships = {"animal": bb.Pedigree.from_frame(problem.pedigree)}
    pattern = bb.prepare(problem.model, problem.records, problem.variances, relationships).pattern
    buffer = pattern.equations(problem.variances).lhs.data
    other = bb.VarianceComponents({"animal": 3.0, "ide(animal)": 2.0}, residual=7.0)
    refreshed = pattern.equations(other)
    assert np.shares_memory(refreshed.lhs.data, buffer)
    fresh = bb.prepare(problem.model, problem.records, other, relationships).pattern.equations(other)
    np.testing.assert_array_equal(refreshed.lhs.toarray(), fresh.lhs.toarray())
    np.testing.assert_array_equal(refreshed.rhs, fresh.rhs)


def test_layout_names_equations() -> None:
    problem = Problem(5)
    layout = bb.prepare(
        problem.model, problem.records, problem.variances, {"animal": bb.Pedigree.from_frame(problem.pedigree)}
    ).layout
    assert layout.describe(0) == "equation 0 ((Intercept))"
    assert layout.describe(layout.slice_of("herd").start + 1) == "equation 2 (herd 'B')"
    first = layout.slice_of("animal").start
    term, level, coefficient = layout.locate(first + 3)
    assert (term.name, level, coefficient) == ("animal", 3, 0)
    with pytest.raises(bb.ModelError, match="no term 'hrd' in the equations; there are"):
        layout.slice_of("hrd")


def test_memory_is_planned() -> None:
    problem = Problem(5)
    with pytest.raises(
        bb.ResourceError, match="coding the records for the equations would take .* may be used -> give more memory"
    ):
        problem.evaluate(bb.EvaluateOptions(memory_bytes=1000))


def test_printed() -> None:
    text = str(Problem(6).evaluate())
    assert "Evaluation of milk: 14 animals, 30 records" in text
    assert "by Cholesky factor" in text
    assert "note: fixed effects set to zero, reference levels: herd 'A'" in text
    assert "note: rank of the fixed part 4 of 5" in text
    html = Problem(6).evaluate()._repr_html_()
    assert html.startswith("<pre>Evaluation of milk")
    assert "<table" in html


BASE = pl.DataFrame(
    {"animal": list("abcde"), "sire": [None, None, "a", "a", "c"], "dam": [None, None, "b", "b", "d"],
     "born": ["2001", "2001", "2003", "2004", "2006"]}
)  # fmt: skip
BASE_RECORDS = pl.DataFrame({"animal": ["c", "d", "e", "e"], "y": [3.0, 5.0, 9.0, 8.0]})


def base_evaluation(pedigree: pl.DataFrame = BASE) -> bb.Evaluation:
    return bb.evaluate(
        bb.Model.from_formula("y ~ 1 + (1 | animal)"),
        BASE_RECORDS,
        bb.VarianceComponents({"animal": 4.0}, residual=6.0),
        {"animal": bb.Pedigree.from_frame(pedigree)},
    )


@pytest.mark.parametrize(
    ("base", "members"),
    [
        (bb.BaseFounders(), "ab"),
        (bb.BaseBirthYears(2003, 2006), "cde"),
        (bb.BaseBirthYears(2001, 2003, recorded_only=True), "c"),
        (bb.BaseIds.of(["a", "e"]), "ae"),
    ],
)
def test_base(base: Any, members: str) -> None:
    before = base_evaluation()
    after = bb.rebase(before, base)
    ebv = after.ebv
    assert ebv.filter(pl.col("id").is_in(list(members)))["ebv"].mean() == pytest.approx(0, abs=EXACT)
    shift = before.ebv["ebv"] - ebv["ebv"]
    np.testing.assert_allclose(shift, shift[0], atol=EXACT)
    np.testing.assert_allclose(ebv["ebv"], ebv["parent_average"] + ebv["mendelian_sampling"], atol=EXACT)
    np.testing.assert_array_equal(before.ebv["reliability"], ebv["reliability"])
    assert f"over {len(members)} animals" in after.base
    assert any(note.startswith("base: mean of") for note in after.notes)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (bb.BaseIds(("a", "zz")), "base animals that are not evaluated: 'zz'"),
        (bb.BaseIds(()), "the base is empty: no ids are given"),
        (bb.BaseBirthYears(1990, 1991), "the base is empty: no animals born 1990 to 1991 among the animals evaluated"),
    ],
)
def test_base_refused(base: Any, message: str) -> None:
    with pytest.raises(bb.ModelError, match=message):
        bb.rebase(base_evaluation(), base)


def test_base_needs_births_and_a_pedigree() -> None:
    with pytest.raises(bb.ModelError, match="pedigree has no births, which a base of birth years needs"):
        bb.rebase(base_evaluation(BASE.drop("born")), bb.BaseBirthYears(2001, 2002))
    problem = Problem(9)
    made = bb.inverse_from(np.eye(14), problem.names.tolist(), kind="relationship")
    evaluation = bb.evaluate(problem.model, problem.records, problem.variances, {"animal": made})
    with pytest.raises(bb.ModelError, match="a base of animals without known parents needs a pedigree"):
        bb.rebase(evaluation, bb.BaseFounders())


def test_a_model_without_random_terms() -> None:
    records = pl.DataFrame({"y": [1.0, 2.0, 4.0], "h": ["a", "a", "b"]})
    for options in (DIRECT, ITERATED):
        evaluation = bb.evaluate(
            bb.Model.from_formula("y ~ h"), records, bb.VarianceComponents({}, residual=2.0), options=options
        )
        np.testing.assert_allclose(evaluation.fixed["estimate"], [1.5, 0, 2.5], atol=1e-9)
        assert evaluation.ebv.height == 0
        assert evaluation.ebv.columns[:5] == ["id", "term", "trait", "effect", "ebv"]


def test_a_model_without_fixed_terms() -> None:
    records = pl.DataFrame({"y": [1.0, 2.0, 4.0], "h": ["a", "a", "b"]})
    for options in (DIRECT, ITERATED):
        evaluation = bb.evaluate(
            bb.Model.from_formula("y ~ 0 + (1 | h)"),
            records,
            bb.VarianceComponents({"h": 1.0}, residual=2.0),
            options=options,
        )
        np.testing.assert_allclose(evaluation.random("h")["solution"], [1.5 / 2, 2 / 1.5], rtol=1e-8)


def test_mrode_from_the_stages() -> None:
    """Every stage can be called alone."""
    pedigree = bb.read_pedigree(REFS / "mrode_animal" / "pedigree.csv")
    records = bb.read_records(REFS / "mrode_animal" / "data.csv")
    model = bb.Model.from_formula("wwg ~ 0 + sex + (1 | animal)")
    variances = bb.VarianceComponents({"animal": 20.0}, residual=40.0)
    design = bb.build_design(model, records, {"animal": bb.a_inverse(pedigree)})
    layout = bb.EquationLayout.of(design.terms)
    incidence = bb.build_incidence(design, layout)
    constraints = bb.constrain(design, layout)
    equations = bb.assemble_equations(incidence, layout, constraints).equations(variances)
    x = np.linalg.solve(equations.lhs.toarray(), equations.rhs)
    whole = bb.evaluate(model, records, variances, {"animal": pedigree})
    np.testing.assert_allclose(
        x, np.concatenate([whole.fixed["estimate"], whole.random("animal")["solution"]]), rtol=1e-9
    )


def test_base_without_relationships() -> None:
    records = pl.DataFrame({"y": [1.0, 2.0, 4.0], "h": ["a", "a", "b"]})
    evaluation = bb.evaluate(bb.Model.from_formula("y ~ h"), records, bb.VarianceComponents({}, residual=2.0))
    with pytest.raises(
        bb.ModelError, match="a base is asked for, but no random term has a relationship -> leave the base out"
    ):
        bb.rebase(evaluation, bb.BaseFounders())


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"model": "milk ~ herd"}, r"the model is a str; make one with Model.from_formula\(...\)"),
        (
            {"variances": {"animal": 2.0}},
            r"the variances are a dict; make them with VarianceComponents\(\{...\}, residual=",
        ),
        ({"relationships": "pedigree"}, r"relationships is a str; give a dictionary, such as \{'animal': pedigree\}"),
        (
            {"relationships": {}},
            r"ide\(animal\) asks for independent levels beside those of a relationship, but none is given",
        ),
        (
            {"records": "r.csv"},
            "records: a data frame is needed, not str; files are read by read_pedigree and read_records",
        ),
    ],
)
def test_arguments_of_the_wrong_kind(replaced: dict[str, Any], message: str) -> None:
    problem = Problem(2)
    arguments = {
        "model": problem.model,
        "records": problem.records,
        "variances": problem.variances,
        "relationships": {"animal": bb.Pedigree.from_frame(problem.pedigree)},
    }
    with pytest.raises(bb.BreedblupError, match=message):
        bb.evaluate(**(arguments | replaced))


def exact_error(lhs: np.ndarray, rhs: np.ndarray, x: np.ndarray) -> float:
    """√((x* - x)'C(x* - x)) with x* by Gauss elimination in rational numbers."""
    n = rhs.size
    rows = [[Fraction(float(v)) for v in row] + [Fraction(float(b))] for row, b in zip(lhs, rhs, strict=True)]
    matrix = [row[:n] for row in rows]
    for k in range(n):
        rows[k] = [v / rows[k][k] for v in rows[k]]
        for i in range(n):
            if i != k and rows[i][k]:
                rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k], strict=True)]
    error = [rows[k][n] - Fraction(float(x[k])) for k in range(n)]
    square = sum(error[i] * matrix[i][j] * error[j] for i in range(n) for j in range(n))
    return float(square) ** 0.5


@pytest.mark.parametrize("mean", [0.0, 1e4, 1e8])
@pytest.mark.parametrize("variances", [(1.0, 1.0), (1e4, 0.01), (1e-3, 1e3)])
def test_the_bound_holds_in_floating_point(mean: float, variances: tuple[float, float]) -> None:
    """True errors by rational arithmetic, where rounding of b - Cx is as large as the error."""
    genetic, residual = variances
    records = pl.DataFrame({"animal": list("aabbc"), "y": [mean + v for v in (1.0, 2.5, -1.0, 0.25, 3.0)]})
    pedigree = bb.Pedigree.from_frame(pl.DataFrame({"id": list("abc"), "sire": ["", "", "a"], "dam": ["", "", "b"]}))
    model = bb.Model.from_formula("y ~ 1 + (1 | animal)")
    given = bb.VarianceComponents({"animal": genetic}, residual=residual)
    prepared = bb.prepare(model, records, given, {"animal": pedigree}, options=bb.EvaluateOptions(method="pcg"))
    equations = prepared.pattern.equations(given)
    try:
        solution = bb.solve_system(bb.System.of(equations, None), prepared, None)
    except bb.NotConverged as stopped:
        solution = cast(bb.Solution, stopped.solution)
    bound = solution.rounds[-1].error_bound
    assert bound is not None
    assert bound * (1 + 1e-9) >= exact_error(equations.lhs.toarray(), equations.rhs, solution.x)


@pytest.mark.parametrize("years", [(2010, 2020), (2015, 2018), (2000, 2020)])
@pytest.mark.parametrize("method", ["cholesky", "pcg"])
def test_powers_of_years_are_refused_never_dropped(years: tuple[int, int], method: str) -> None:
    problem = Problem(3, records=60)
    year = np.random.default_rng(1).integers(years[0], years[1] + 1, 60).astype(float)
    problem.records = problem.records.with_columns(year=year, square=year**2, small=year - 2010)
    problem.model = bb.Model.from_formula(
        "milk ~ covariate(year) + covariate(square) + (1 | animal) + (1 | ide(animal))"
    )
    options = bb.EvaluateOptions(method=method)  # type: ignore[arg-type]
    with pytest.raises(
        bb.ModelError, match=r"'square': a covariate that is nearly a combination of the effects before it .* centre it"
    ):
        problem.evaluate(options)
    problem.model = bb.Model.from_formula("milk ~ poly(year, 2) + (1 | animal) + (1 | ide(animal))")
    by_poly = problem.evaluate(options).ebv["ebv"]
    problem.records = problem.records.with_columns(square=problem.records["small"] ** 2)
    problem.model = bb.Model.from_formula(
        "milk ~ covariate(small) + covariate(square) + (1 | animal) + (1 | ide(animal))"
    )
    np.testing.assert_allclose(problem.evaluate(options).ebv["ebv"], by_poly, atol=1e-5)


def test_a_covariate_far_from_zero_is_refused_never_dropped() -> None:
    problem = Problem(3)
    problem.records = problem.records.with_columns(far=pl.col("age") + 1e8)
    for formula in ("milk ~ far", "milk ~ herd + herd:covariate(far)"):
        problem.model = bb.Model.from_formula(f"{formula} + (1 | animal) + (1 | ide(animal))")
        with pytest.raises(bb.ModelError, match="a covariate that is nearly a combination of the effects before it"):
            problem.evaluate()


def test_a_covariate_that_repeats_others_is_named() -> None:
    problem = Problem(3)
    problem.records = problem.records.with_columns(again=pl.col("age") * 2 + 1)
    problem.model = bb.Model.from_formula("milk ~ age + again + (1 | animal) + (1 | ide(animal))")
    evaluation = problem.evaluate()
    assert any(
        note.startswith("look at again: a covariate is among the effects set to zero") for note in evaluation.notes
    )
    intercept, age, again = evaluation.fixed["constrained"]
    assert (intercept, age, again) == (False, False, True)


@pytest.mark.parametrize(
    ("fixed", "routine"),
    [
        ("age * herd", True),
        ("herd + herd:age + age", True),
        ("poly(age, 2) * herd", True),
        ("age + twice + herd:age", False),
        ("age + twice + herd", False),
    ],
)
def test_a_covariate_with_slopes_by_class_is_no_cause_for_alarm(fixed: str, routine: bool) -> None:
    """Its common slope is set to zero as a matter of course; one that repeats another is not."""
    problem = Problem(3)
    problem.records = problem.records.with_columns(twice=2 * pl.col("age"))
    problem.model = bb.Model.from_formula(f"milk ~ {fixed} + (1 | animal) + (1 | ide(animal))")
    evaluation = problem.evaluate()
    assert any("dependent on others" in note for note in evaluation.notes)
    assert any(note.startswith("look at ") for note in evaluation.notes) != routine


def test_a_trait_of_zeros() -> None:
    problem = Problem(3)
    problem.records = problem.records.with_columns(milk=pl.lit(0.0))
    for options in (DIRECT, bb.EvaluateOptions(method="pcg")):
        evaluation = problem.evaluate(options)
        assert evaluation.ebv["ebv"].to_list() == [0.0] * 14
    assert "by PCG in 0 rounds" in str(evaluation)


def test_values_too_large_to_solve() -> None:
    problem = Problem(3)
    problem.records = problem.records.with_columns(milk=pl.col("milk") * 1e306)
    with (
        np.errstate(all="ignore"),
        pytest.raises(bb.NumericalError, match="leaves a relative residual of nan: .* centre and scale"),
    ):
        problem.evaluate()


@pytest.mark.parametrize("code", [" ", " NA", "NA "])
def test_padded_missing_codes(code: str) -> None:
    text = f"animal,herd,milk,age\nid 01,A,3,2.5\nid 02,{code},4,2.5\nid 03,B,5,{code}\nid 04,B,6,4.5\n{code},B,6,3.5\n"
    records = Table(pl.read_csv(text.encode(), infer_schema=False), "r.csv", 2)
    model = bb.Model.from_formula("milk ~ herd + covariate(age) + (1 | animal)")
    given = bb.VarianceComponents({"animal": 1.0}, residual=2.0)
    relationships = {"animal": bb.Pedigree.from_frame(Problem(3).pedigree)}
    with pytest.raises(bb.RecordError, match="r.csv line 3: 'herd' is missing where 'milk' is known"):
        bb.evaluate(model, records, given, relationships)
    options = bb.EvaluateOptions(missing_effects="drop", unknown_animals="founder")
    evaluation = bb.evaluate(model, records, given, relationships, options=options)
    assert evaluation.counts["records_used"] == 2
    assert evaluation.ebv.height == 14


def test_founders_come_from_records_of_the_trait() -> None:
    problem = Problem(3)
    extra = pl.DataFrame(
        {"animal": ["x", "y"], "herd": ["A", "A"], "age": [30.0, 30], "w": [1.0, 1], "milk": [None, 9.0]}
    )
    problem.records = pl.concat([problem.records, extra])
    evaluation = problem.evaluate(bb.EvaluateOptions(unknown_animals="founder"))
    assert evaluation.ebv["id"].to_list()[14:] == ["y"]
    problem.records = problem.records.with_columns(animal=pl.col("animal").replace("y", "0"))
    with pytest.raises(bb.RecordError, match="records: animal '0' of the records bears the code of a missing parent"):
        problem.evaluate(bb.EvaluateOptions(unknown_animals="founder"))


@pytest.mark.parametrize("count", [0, -5, "a"])
def test_memory_has_to_be_positive(count: Any) -> None:
    with pytest.raises(bb.ModelError, match=f"memory_bytes is {count!r}; it has to be a whole number above 0, or None"):
        bb.EvaluateOptions(memory_bytes=count)


def test_base_of_the_wrong_kind() -> None:
    with pytest.raises(bb.ModelError, match=r"the base is a int; give BaseFounders\(\), BaseBirthYears"):
        bb.rebase(base_evaluation(), 2010)  # type: ignore[arg-type]


def test_codes_of_missing_parents_are_those_of_the_pedigree() -> None:
    """An animal called 0 is one like others where 0 was not declared; a new one called by the declared code is refused."""
    frame = pl.DataFrame({"id": ["0", "b"], "sire": ["-9", "0"], "dam": ["-9", "-9"]})
    relationships = {"animal": bb.Pedigree.from_frame(frame, missing_parents=["-9"])}
    model, given = bb.Model.from_formula("y ~ 1 + (1 | animal)"), bb.VarianceComponents({"animal": 1.0}, residual=1.0)
    options = bb.EvaluateOptions(unknown_animals="founder")
    records = pl.DataFrame({"animal": ["0", "b", "c"], "y": [1.0, 2.0, 3.0]})
    assert bb.evaluate(model, records, given, relationships, options=options).ebv["id"].to_list() == ["0", "b", "c"]
    records = records.with_columns(animal=pl.col("animal").replace("c", "-9"))
    with pytest.raises(bb.RecordError, match="records: animal '-9' of the records bears the code of a missing parent"):
        bb.evaluate(model, records, given, relationships, options=options)


def test_reduce_is_refused_where_nothing_knows_parents() -> None:
    records = pl.DataFrame({"y": [1.0, 2.0, 4.0], "h": ["a", "a", "b"]})
    variances = bb.VarianceComponents({"h": 1.0}, residual=2.0)
    with pytest.raises(
        bb.ModelError,
        match="a reduced animal model is asked for, but no random term has a pedigree -> leave reduce out",
    ):
        bb.evaluate(
            bb.Model.from_formula("y ~ 1 + (1 | h)"), records, variances, options=bb.EvaluateOptions(reduce=True)
        )
    with pytest.raises(bb.ModelError, match="reduce is 'yes'; it can be True, False or None"):
        bb.EvaluateOptions(reduce="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [DIRECT, ITERATED])
def test_reduced_equations_are_fewer_and_say_so(options: bb.EvaluateOptions) -> None:
    problem = Problem(8)
    whole = problem.evaluate(options)
    reduced = problem.evaluate(replace(options, reduce=True))
    assert any(note.startswith("reduced animal model: ") for note in reduced.notes)
    assert reduced.plan.equations < whole.plan.equations == reduced.counts["equations"]
    assert reduced.plan.bytes["elimination"] > 12 * reduced.counts["nonzeros"]  # the whole equations stay beside them
    for column in ("ebv", "pev", "reliability", "mendelian_sampling"):
        np.testing.assert_allclose(reduced.ebv[column], whole.ebv[column], rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(reduced.fixed["estimate"], whole.fixed["estimate"], rtol=1e-7, atol=1e-8)
    bound = reduced.solution.rounds[-1].error_bound
    assert (bound is None) == (options.method == "cholesky")


def test_a_base_moves_breeding_values_and_leaves_dominance_alone() -> None:
    pedigree = bb.Pedigree.from_frame(BASE)
    evaluation = bb.evaluate(
        bb.Model.from_formula("y ~ 1 + (1 | animal) + (1 | vm(animal, D))"),
        BASE_RECORDS,
        bb.VarianceComponents({"animal": 2.0, "vm(animal, D)": 1.0}, residual=3.0),
        {"animal": pedigree, "D": bb.dominance_inverse(pedigree, ["c", "d", "e"])},
    )
    for base in (bb.BaseBirthYears(2003, 2006), bb.BaseIds.of(["a", "e"])):
        moved = bb.rebase(evaluation, base)
        assert "D" not in moved.base
        before, after = (table.partition_by("term", as_dict=True) for table in (evaluation.ebv, moved.ebv))
        assert after["vm(animal, D)",].equals(before["vm(animal, D)",])
        difference = (before["animal",]["ebv"] - after["animal",]["ebv"]).to_numpy()
        np.testing.assert_allclose(difference, difference[0], rtol=EXACT)
        assert abs(difference[0]) > 1e-3


def test_dams_that_the_pedigree_lacks_become_founders_too() -> None:
    records = BASE_RECORDS.with_columns(dam=pl.Series(["b", "b", "d", "foster"]))
    model = bb.Model.from_formula("y ~ 1 + (1 | animal + dam)")
    variances = bb.VarianceComponents({"animal + dam": [[2.0, -0.5], [-0.5, 1.0]]}, residual=3.0)
    relationships = {"animal": bb.Pedigree.from_frame(BASE)}
    with pytest.raises(
        bb.RecordError, match="records row 3: dam 'foster' is not in the relationship given for 'animal'"
    ):
        bb.evaluate(model, records, variances, relationships)
    options = bb.EvaluateOptions(unknown_animals="founder")
    evaluation = bb.evaluate(model, records, variances, relationships, options=options)
    foster = evaluation.ebv.filter(id="foster", effect="maternal")
    assert foster["records"].to_list() == [1]
    assert foster["ebv"][0] != 0


SINGULAR = [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("later", [[[4.0, 2.0], [2.0, 1.0]], [[4.0, 4.0], [4.0, 4.0]], [[1.0, -1.0], [-1.0, 1.0]]])
def test_refresh_at_another_singular_matrix(later: list[list[float]]) -> None:
    """What REML does at a correlation of 1: other values on the same equations."""
    problem = Problem(3)
    rng = np.random.default_rng(3)
    records = problem.records.with_columns(fat=pl.Series(rng.normal(4, 1, 30)))
    model = bb.Model.from_formula("(milk, fat) ~ herd + (1 | animal)")
    relationships = {"animal": bb.Pedigree.from_frame(problem.pedigree)}
    residual = [[3.0, 1.0], [1.0, 2.0]]
    first = bb.VarianceComponents({"animal": SINGULAR}, residual=residual)
    second = bb.VarianceComponents({"animal": later}, residual=residual)
    prepared = bb.prepare(model, records, first, relationships, options=DIRECT)
    bb.evaluate_prepared(prepared)
    refreshed = bb.evaluate_prepared(replace(prepared, variances=second))
    anew = bb.evaluate(model, records, second, relationships, options=DIRECT)
    for column in ("ebv", "pev", "reliability"):
        np.testing.assert_allclose(refreshed.ebv[column], anew.ebv[column], rtol=1e-9, atol=1e-10)
    regular = bb.VarianceComponents({"animal": [[2.0, 0.5], [0.5, 1.0]]}, residual=residual)
    with pytest.raises(
        bb.ModelError,
        match="covariance matrix of 'animal' has rank 2 now, and 1 when the equations were laid out -> prepare",
    ):
        prepared.pattern.equations(regular)
    from_regular = bb.prepare(model, records, regular, relationships).pattern
    with pytest.raises(bb.ModelError, match="covariance matrix of 'animal' has rank 1 now, and 2 when"):
        from_regular.equations(first)


@pytest.mark.parametrize("gap", [1e-4, 1e-6, 1e-8, 3e-9, 1e-9, 3e-10, 1e-10, 1e-12, 0.0])
def test_no_gap_between_regular_and_singular(gap: float) -> None:
    """The same answers, whichever way a nearly singular matrix is fitted."""
    problem = Problem(4)
    records = problem.records.with_columns(fat=pl.Series(np.random.default_rng(4).normal(4, 1, 30)))
    model = bb.Model.from_formula("(milk, fat) ~ herd + (1 | animal)")
    variances = bb.VarianceComponents(
        {"animal": [[1.0, 1.0 - gap], [1.0 - gap, 1.0]]}, residual=[[3.0, 1.0], [1.0, 2.0]]
    )
    relationships = {"animal": bb.Pedigree.from_frame(problem.pedigree)}
    g0 = variances.matrix("animal")
    names = problem.names
    z = (records["animal"].to_numpy()[:, None] == names).astype(float)
    herds, _ = indicator(records["herd"].to_list())
    v = np.kron(g0, z @ problem.a @ z.T) + np.kron(variances.residual_matrix(), np.eye(30))
    x = np.kron(np.eye(2), herds)
    y = np.concatenate([records["milk"].to_numpy(), records["fat"].to_numpy()])
    weights = np.linalg.inv(v)
    b = np.linalg.solve(x.T @ weights @ x, x.T @ weights @ y)
    expected = np.kron(g0, problem.a @ z.T) @ weights @ (y - x @ b)
    for options in (DIRECT, ITERATED):
        ebv = bb.evaluate(model, records, variances, relationships, options=options).ebv
        order = [names.tolist().index(name) for name in ebv["id"][:14]]
        np.testing.assert_allclose(ebv["ebv"], expected.reshape(2, 14)[:, order].ravel(), rtol=1e-7, atol=1e-7)


def test_everything_eliminated_leaves_something_to_solve() -> None:
    founders = bb.Pedigree.from_frame(pl.DataFrame({"id": ["a", "b"], "sire": ["", ""], "dam": ["", ""]}))
    records = pl.DataFrame({"animal": ["a", "b", "b"], "y": [1.0, 2.0, 4.0]})
    model, variances = (
        bb.Model.from_formula("y ~ 0 + (1 | animal)"),
        bb.VarianceComponents({"animal": 1.0}, residual=2.0),
    )
    for options in (DIRECT, ITERATED, bb.EvaluateOptions()):
        reduced = bb.evaluate(model, records, variances, {"animal": founders}, options=replace(options, reduce=True))
        np.testing.assert_allclose(reduced.ebv["ebv"], [1 / 3, 3 / 2], rtol=1e-8)
    with pytest.raises(
        bb.ModelError, match="no equations are left: the model has no fixed effects, and every variance is 0"
    ):
        bb.evaluate(model, records, bb.VarianceComponents({"animal": 0.0}, residual=2.0), {"animal": founders})


def test_many_traits_and_classes_keep_their_patterns_apart() -> None:
    """More combinations than an int64 can number by its bits."""
    rng = np.random.default_rng(5)
    n, levels = 12, 2**26
    observed = rng.random((n, 40)) < 0.7
    observed[:, 0] = True
    classes = rng.integers(0, levels, n).astype(np.int32)
    twice = np.concatenate([np.arange(n), np.arange(n)])
    first, pattern = _patterns(observed[twice], classes[twice])
    assert first.size == n
    np.testing.assert_array_equal(observed[twice][first][pattern], observed[twice])
    np.testing.assert_array_equal(classes[twice][first][pattern], classes[twice])


def test_an_unknown_level_of_a_matrix_is_not_looked_for_in_a_pedigree() -> None:
    made = bb.inverse_from(np.eye(2), ["a", "b"], kind="relationship")
    records = pl.DataFrame({"line": ["a", "c"], "y": [1.0, 2.0]})
    with pytest.raises(
        bb.RecordError,
        match="records row 1: line 'c' is not in the relationship given for 'line' -> correct the records, or give a relationship",
    ):
        bb.evaluate(
            bb.Model.from_formula("y ~ 1 + (1 | line)"),
            records,
            bb.VarianceComponents({"line": 1.0}, residual=1.0),
            {"line": made},
        )


def test_a_second_base_takes_the_place_of_the_first() -> None:
    evaluation = base_evaluation()
    twice = bb.rebase(bb.rebase(evaluation, bb.BaseIds.of(["a"])), bb.BaseIds.of(["e"]))
    once = bb.rebase(evaluation, bb.BaseIds.of(["e"]))
    np.testing.assert_allclose(twice.ebv["ebv"], once.ebv["ebv"], atol=EXACT)
    assert twice.base == once.base
    assert twice.notes == once.notes


def test_options_of_the_wrong_kind() -> None:
    problem = Problem(2)
    relationships = {"animal": bb.Pedigree.from_frame(problem.pedigree)}
    with pytest.raises(bb.ModelError, match=r"the options are a dict; make them with EvaluateOptions\(\.\.\.\)"):
        bb.evaluate(problem.model, problem.records, problem.variances, relationships, options={"reduce": True})  # type: ignore[arg-type]


def test_pcg_eliminates_by_itself_where_it_gains_and_fits() -> None:
    problem = Problem(8, animals=60, records=120)
    own = problem.evaluate(bb.EvaluateOptions(method="pcg", pev="none"))
    whole = problem.evaluate(bb.EvaluateOptions(method="pcg", pev="none", reduce=False))
    assert own.plan.equations < whole.plan.equations == own.counts["equations"]
    assert own.plan.nonzeros < whole.plan.nonzeros == own.counts["nonzeros"]
    assert "elimination" in own.plan.bytes
    assert any(note.startswith("reduced animal model: ") for note in own.notes)
    assert any(note.startswith("animals without progeny eliminated: PCG has fewer equations") for note in own.notes)
    assert not any("eliminated" in note for note in whole.notes)
    np.testing.assert_allclose(own.ebv["ebv"], whole.ebv["ebv"], atol=1e-5)
    tight = 45_000  # the equations fit, what elimination takes beside them does not
    fits = problem.evaluate(bb.EvaluateOptions(method="pcg", pev="none", memory_bytes=tight))
    assert fits.plan.equations == whole.plan.equations
    without_parents = bb.evaluate(
        bb.Model.from_formula("milk ~ herd + (1 | animal)"),
        problem.records,
        bb.VarianceComponents({"animal": 2.0}, residual=3.0),
        options=bb.EvaluateOptions(method="pcg", pev="none"),
    )
    assert not any("eliminated" in note for note in without_parents.notes)


def test_another_base_keeps_the_order_of_the_rows() -> None:
    """Rows of a combination of the first term stand behind those of the second, before and after."""
    pedigree = bb.Pedigree.from_frame(BASE)
    evaluation = bb.evaluate(
        bb.Model.from_formula("y ~ 1 + (1 | animal) + (1 | dam)"),
        BASE_RECORDS.with_columns(dam=pl.Series(["b", "b", "d", "d"])),
        bb.VarianceComponents({"animal": 2.0, "dam": 1.0}, residual=3.0),
        {"animal": pedigree, "dam": pedigree},
    )
    combined = bb.combine(evaluation, bb.Combination("double", {"direct": 2}, term="animal"))
    assert combined.genetic["term"].unique(maintain_order=True).to_list() == ["animal", "dam"]
    assert combined.genetic["term"][-1] == "animal"
    moved = bb.rebase(combined, bb.BaseIds.of(["a", "e"]))
    keys = ["id", "term", "trait", "effect"]
    assert moved.genetic.select(keys).equals(combined.genetic.select(keys))
    assert "animal y direct" in moved.base
    assert "; dam " in moved.base
