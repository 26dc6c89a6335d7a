"""Random small problems of every kind of model against V⁻¹ of the whole, by CHOLMOD and by PCG, and what must hold of any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference import (
    DenseBlup,
    DenseTerm,
    blup_dense,
    bspline_by_recursion,
    legendre_by_recursion,
    loads_of,
    positive_definite,
    random_pedigree,
    tabular_a,
)

import breedblup as bb

Array = NDArray[np.float64]

DIRECT = bb.EvaluateOptions(method="cholesky", pev="exact")
ITERATED = bb.EvaluateOptions(method="pcg", pev="exact", pcg=bb.PcgOptions(tolerance=1e-11))

TRAITS = ("y1", "y2", "y3")
HERDS, YEARS, SUBJECTS, CLASSES = ("A", "B", "C"), ("2020", "2021"), ("s1", "s2", "s3", "s4", "s5"), ("low", "high")
RANGE = "range=(0, 10)"
ALL = (0, 1, 2)


# --- data -------------------------------------------------------------------------------------------------------------


class Data:
    """A small pedigree and records in which each trait is missing here and there."""

    def __init__(self, rng: np.random.Generator, traits: int, separate: bool) -> None:
        animals, n = int(rng.integers(8, 15)), int(rng.integers(22, 36))
        self.sire, self.dam = (parents.tolist() for parents in random_pedigree(rng, animals, 8))
        self.ids = [f"id {i:02d}" for i in range(animals)]
        self.a = tabular_a(self.sire, self.dam)
        named = [*self.ids, ""]
        self.pedigree = pl.DataFrame(
            {"animal": self.ids, "sire": [named[s] for s in self.sire], "dam": [named[d] for d in self.dam]}
        )
        columns: dict[str, Any] = {name: rng.choice(self.ids, n).tolist() for name in ("animal", "dam", "sire")}
        for name, empty in (("p1", 0.1), ("p2", 0.4), ("mate1", 0.1), ("mate2", 0.4)):
            chosen = rng.choice(self.ids, n)
            columns[name] = [
                None if gone else str(one) for one, gone in zip(chosen, rng.random(n) < empty, strict=True)
            ]
        for name, levels in (("herd", HERDS), ("year", YEARS), ("litter", SUBJECTS), ("subject", SUBJECTS)):
            columns[name] = rng.choice(levels, n).tolist()
        columns["class"] = [*CLASSES, *rng.choice(CLASSES, n - 2).tolist()]
        columns |= {"day": rng.uniform(0, 10, n), "x": rng.normal(2, 1, n)}
        columns |= {name: rng.standard_normal(n) for name in ("c1", "c2")}
        columns |= {name: rng.uniform(0.2, 1, n) for name in ("q1", "q2")}
        columns |= {name: rng.uniform(0.5, 2, n) for name in ("w", "w1", "w2")}
        columns["day"][:2] = (0.0, 10.0)
        self.y = 10 + 3 * rng.standard_normal((n, traits))
        for i in range(n):
            for t in range(traits):
                if (separate and i % traits != t) or (i >= 8 and rng.random() < 0.25):
                    self.y[i, t] = np.nan
        columns |= {TRAITS[t]: [None if np.isnan(v) else float(v) for v in self.y[:, t]] for t in range(traits)}
        self.columns = columns
        self.frame = pl.DataFrame(columns)
        root = rng.standard_normal((animals, animals))
        self.d = np.eye(animals) + 0.05 * root @ root.T

    def loads(self, column: str, levels: Sequence[str], factors: Sequence[float] | None = None) -> Array:
        return loads_of(self.columns[column], levels, factors)

    def of_levels(self, *columns: str) -> list[str]:
        """One text a record."""
        return [":".join(parts) for parts in zip(*(self.columns[name] for name in columns), strict=True)]


# --- random terms -----------------------------------------------------------------------------------------------------


class Load(NamedTuple):
    """What one level of a record contributes through an effect, n x levels, and the traits that it affects."""

    values: Array
    traits: Sequence[int] = ALL


@dataclass(frozen=True)
class Piece:
    """A random term: its text for the first trait, for the others where that differs, and what it is by definition."""

    text: str
    levels: Sequence[str]
    k: Array
    effects: dict[str, Load]
    relationship: str | None = None
    others: str = ""
    correlated: bool = True

    def text_of(self, trait: int) -> str:
        return self.others if self.others and trait > 0 else self.text

    @property
    def right(self) -> str:
        return self.text.split("|")[-1].strip()

    def coordinates(self, traits: Sequence[int]) -> list[tuple[str, int]]:
        return [(label, t) for label, load in self.effects.items() for t in traits if t in load.traits]


def genetic(data: Data, text: str, effects: dict[str, Load], name: str = "animal", others: str = "") -> Piece:
    return Piece(text, data.ids, data.a, effects, name, others, correlated="||" not in text)


def unrelated(data: Data, text: str, column: str, effects: dict[str, Sequence[float] | None]) -> Piece:
    """A term whose levels are independent; each effect has factors, or None for 1."""
    levels = sorted(set(data.columns[column]))
    loads = {label: Load(data.loads(column, levels, factors)) for label, factors in effects.items()}
    return Piece(text, levels, np.eye(len(levels)), loads, correlated="||" not in text)


def curve(data: Data, degree: int, names: str = "") -> dict[str, Sequence[float]]:
    """Legendre functions of the day."""
    values = legendre_by_recursion(data.columns["day"], degree, 0, 10)
    return {f"{names}{k}": values[:, k] for k in range(degree + 1)}


def splines(data: Data) -> dict[str, Sequence[float]]:
    values = bspline_by_recursion(data.columns["day"], 2, (4.0,), 0, 10)
    return {str(k): values[:, k] for k in range(4)}


def along(data: Data, column: str, functions: dict[str, Sequence[float]]) -> dict[str, Load]:
    """An effect of a related level for each function."""
    return {label: Load(data.loads(column, data.ids, factors)) for label, factors in functions.items()}


def plain(data: Data, column: str) -> Array:
    return data.loads(column, data.ids)


def members(data: Data, columns: Sequence[str], weights: Sequence[Any]) -> Array:
    """Sum of the members' loads; a weight is a number or a column."""
    total = np.zeros((len(data.y), len(data.ids)))
    for column, weight in zip(columns, weights, strict=True):
        factors = data.columns[weight] if isinstance(weight, str) else np.full(len(data.y), float(weight))
        total += data.loads(column, data.ids, factors)
    return total


def interaction(data: Data) -> Piece:
    labels = data.of_levels("litter", "year")
    levels = sorted(set(labels))
    return Piece("1 | litter:year", levels, np.eye(len(levels)), {"direct": Load(loads_of(labels, levels))})


PIECES: dict[str, Callable[[Data], Piece]] = {
    "animal": lambda d: genetic(d, "1 | animal", {"direct": Load(plain(d, "animal"))}),
    "sire": lambda d: genetic(d, "1 | sire", {"direct": Load(plain(d, "sire"))}, "sire"),
    "ide": lambda d: unrelated(d, "1 | ide(animal)", "animal", {"direct": None}),
    "ide dam": lambda d: unrelated(d, "1 | ide(dam)", "dam", {"direct": None}),
    "dam": lambda d: unrelated(d, "1 | dam", "dam", {"direct": None}),
    "litter": lambda d: unrelated(d, "1 | litter", "litter", {"direct": None}),
    "interaction": interaction,
    "maternal": lambda d: genetic(
        d, "1 | animal + dam", {"direct": Load(plain(d, "animal")), "maternal": Load(plain(d, "dam"))}
    ),
    "maternal for one trait": lambda d: genetic(
        d,
        "1 | animal + dam",
        {"direct": Load(plain(d, "animal")), "maternal": Load(plain(d, "dam"), (0,))},
        others="1 | animal",
    ),
    "curve": lambda d: genetic(d, f"leg(day, 2, {RANGE}) | animal", along(d, "animal", curve(d, 2))),
    "curve of pe": lambda d: unrelated(d, f"leg(day, 1, {RANGE}) | ide(animal)", "animal", {**curve(d, 1)}),
    "curve without pedigree": lambda d: unrelated(d, f"leg(day, 2, {RANGE}) | subject", "subject", {**curve(d, 2)}),
    "uncorrelated curve": lambda d: genetic(d, f"leg(day, 1, {RANGE}) || animal", along(d, "animal", curve(d, 1))),
    "maternal curve": lambda d: genetic(
        d,
        f"leg(day, 1, {RANGE}) | animal + dam",
        along(d, "animal", curve(d, 1, "direct ")) | along(d, "dam", curve(d, 1, "maternal ")),
    ),
    "curve for one trait": lambda d: genetic(
        d,
        f"leg(day, 1, {RANGE}) | animal",
        {label: Load(load.values, (0,)) for label, load in along(d, "animal", curve(d, 1)).items()}
        | {"intercept": Load(plain(d, "animal"), (1, 2))},
        others="1 | animal",
    ),
    "splines": lambda d: genetic(
        d, f"bspline(day, 2, knots=4, {RANGE}) | animal", along(d, "animal", splines(d))
    ),
    "splines without pedigree": lambda d: unrelated(
        d, f"bspline(day, 2, knots=4, {RANGE}) | subject", "subject", {**splines(d)}
    ),
    "slope": lambda d: unrelated(d, "1 + x | subject", "subject", {"intercept": None, "x": d.columns["x"]}),
    "uncorrelated slope": lambda d: unrelated(
        d, "1 + x || subject", "subject", {"intercept": None, "x": d.columns["x"]}
    ),
    "second slope": lambda d: genetic(d, "0 + x | animal", along(d, "animal", {"x": d.columns["x"]})),
    "columns": lambda d: genetic(
        d, "0 + c1 + c2 | animal", along(d, "animal", {name: d.columns[name] for name in ("c1", "c2")})
    ),
    "columns without pedigree": lambda d: unrelated(
        d, "0 + c1 + c2 | subject", "subject", {name: d.columns[name] for name in ("c1", "c2")}
    ),
    "members": lambda d: genetic(d, "1 | mm(p1, p2)", {"direct": Load(members(d, ("p1", "p2"), (1, 1)))}, "p1"),
    "members with numbers": lambda d: genetic(
        d, "1 | mm(p1, p2, weights=(1, 0.5))", {"direct": Load(members(d, ("p1", "p2"), (1, 0.5)))}, "p1"
    ),
    "members with columns": lambda d: genetic(
        d, "1 | mm(p1, p2, weights=(q1, q2))", {"direct": Load(members(d, ("p1", "p2"), ("q1", "q2")))}, "p1"
    ),
    "curve of members": lambda d: genetic(
        d,
        "0 + x | mm(p1, p2, weights=(q1, q2))",
        {"x": Load(members(d, ("p1", "p2"), ("q1", "q2")) * np.array(d.columns["x"])[:, None])},
        "p1",
    ),
    "pen mates": lambda d: genetic(
        d,
        "1 | animal + mm(mate1, mate2)",
        {"direct": Load(plain(d, "animal")), "associative": Load(members(d, ("mate1", "mate2"), (1, 1)))},
    ),
    "dominance": lambda d: Piece("1 | vm(animal, D)", d.ids, d.d, {"direct": Load(plain(d, "animal"))}, "D"),
}  # fmt: skip

KINDS: dict[str, tuple[str, ...]] = {
    "animal": ("animal",),
    "sire": ("sire", "litter"),
    "repeatability": ("animal", "ide"),
    "maternal": ("maternal", "ide dam"),
    "maternal for one trait": ("maternal for one trait", "ide dam"),
    "maternal with litter": ("maternal", "litter"),
    "random regression": ("curve", "curve of pe"),
    "random regression without pedigree": ("curve without pedigree",),
    "random regression, uncorrelated": ("uncorrelated curve",),
    "random regression, direct and maternal": ("maternal curve",),
    "random regression for one trait": ("curve for one trait", "ide"),
    "splines": ("splines",),
    "splines without pedigree": ("splines without pedigree",),
    "slope": ("slope",),
    "slope, uncorrelated": ("uncorrelated slope",),
    "columns": ("columns",),
    "columns without pedigree": ("columns without pedigree", "animal"),
    "two terms of one factor": ("animal", "second slope"),
    "members": ("members",),
    "members with numbers": ("members with numbers",),
    "members with columns": ("members with columns", "litter"),
    "curve of members": ("curve of members",),
    "pen mates": ("pen mates", "interaction"),
    "dominance": ("animal", "dominance"),
}

FIRST = ("animal", "maternal", "maternal for one trait", "curve", "splines", "pen mates", "columns", "maternal curve",
         "curve for one trait")  # fmt: skip
FURTHER = ("ide", "dam", "litter", "interaction", "dominance", "members with columns", "slope", "second slope",
           "curve of pe", "curve without pedigree", "columns without pedigree", "sire")  # fmt: skip


# --- fixed parts ------------------------------------------------------------------------------------------------------

FIXED = (
    "1",
    "herd",
    "0 + herd",
    "herd + x",
    "herd + year + herd:year",
    "0 + herd + herd:covariate(x)",
    f"herd + leg(day, 2, {RANGE})",
)


def fixed_columns(text: str, data: Data) -> dict[tuple[str, str], Array]:
    """The columns of a fixed part by term and level."""
    columns: dict[tuple[str, str], Array] = {}
    x = np.array(data.columns["x"])
    if "0 +" not in text and "leg" not in text:
        columns["(Intercept)", ""] = np.ones(len(data.y))
    for part in text.removeprefix("0 + ").split(" + "):
        if part == "x":
            columns["x", ""] = x
        elif part.startswith("leg"):
            values = legendre_by_recursion(data.columns["day"], 2, 0, 10)
            columns |= {("leg(day, 2)", str(k)): values[:, k] for k in range(3)}
        elif part != "1":
            nested = "covariate" in part
            labels = data.columns["herd"] if nested else data.of_levels(*part.split(":"))
            for level in sorted(set(labels)):
                mine = np.array([float(label == level) for label in labels])
                columns["herd:x" if nested else part, level] = mine * x if nested else mine
    return columns


# --- problems ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """What a problem has beside its random terms."""

    traits: int = 1
    own_fixed: bool = False
    weights: str = ""
    classes: bool = False
    deficient: bool = False
    separate: bool = False


SHAPES = st.builds(
    Shape,
    traits=st.integers(1, 3),
    own_fixed=st.booleans(),
    weights=st.sampled_from(["", "w", "own"]),
    classes=st.booleans(),
    deficient=st.booleans(),
    separate=st.booleans(),
)
SEEDS = st.integers(0, 2**32 - 1)


def covariance(rng: np.random.Generator, c: int, deficient: bool) -> Array:
    """A covariance matrix; a deficient one has a variance of zero, a correlation of ±1 or rank 1."""
    g0 = positive_definite(rng, c)
    if not deficient:
        return g0
    how = rng.integers(3)
    if how == 0 or c == 1:
        g0[0] = g0[:, 0] = 0.0
    elif how == 1:
        change = np.eye(c)
        change[1, :2] = (rng.choice([-0.7, 0.7]), 0.0)
        g0 = change @ g0 @ change.T
    else:
        root = rng.standard_normal(c)
        g0 = np.outer(root, root)
    return (g0 + g0.T) / 2


@dataclass(frozen=True)
class Problem:
    """Data, model and variances; ``pieces`` by their keys, matrices in the order of all traits."""

    data: Data
    pieces: dict[str, Piece]
    fixed: tuple[str, ...]
    shape: Shape
    g0: dict[str, Array]
    residual: dict[str, Array]
    weights: dict[int, str] = field(default_factory=dict)

    @classmethod
    def draw(cls, seed: int, names: Sequence[str], shape: Shape = Shape()) -> Problem:
        rng = np.random.default_rng(seed)
        data = Data(rng, shape.traits, shape.separate)
        made = [PIECES[name](data) for name in names]
        rights = [piece.right for piece in made]
        pieces = {p.right if rights.count(p.right) == 1 else p.text: p for p in made}
        traits = range(shape.traits)
        common = str(rng.choice(FIXED))
        fixed = tuple(str(rng.choice(FIXED)) if shape.own_fixed else common for _ in traits)
        g0 = {}
        for key, piece in pieces.items():
            rows = piece.coordinates(traits)
            g0[key] = 3 * covariance(rng, len(rows), shape.deficient)
            if not piece.correlated:
                g0[key] *= np.array([[float(a[0] == b[0]) for b in rows] for a in rows])
        residual = {name: 4 * positive_definite(rng, shape.traits) for name in CLASSES[: 1 + shape.classes]}
        weights = dict.fromkeys(traits, "w") if shape.weights == "w" else {}
        if shape.weights == "own":
            weights = {t: ("w1", "w2")[t] for t in traits if t < 2}
        return cls(data, pieces, fixed, shape, g0, residual, weights)

    def formulas(self, traits: Sequence[int]) -> str | list[str]:
        """One formula, or one for each trait where they differ."""
        right = [
            " + ".join([self.fixed[t], *(f"({piece.text_of(t)})" for piece in self.pieces.values())]) for t in traits
        ]
        if len(set(right)) > 1:
            return [f"{TRAITS[t]} ~ {text}" for t, text in zip(traits, right, strict=True)]
        left = ", ".join(TRAITS[t] for t in traits)
        return f"({left}) ~ {right[0]}" if len(traits) > 1 else f"{left} ~ {right[0]}"

    def rows(self, key: str, traits: Sequence[int]) -> list[int]:
        """Where the coordinates for these traits stand in the matrix for all."""
        everything = self.pieces[key].coordinates(range(self.shape.traits))
        return [everything.index(row) for row in self.pieces[key].coordinates(traits)]

    def evaluate(self, options: bb.EvaluateOptions = DIRECT, traits: Sequence[int] | None = None) -> bb.Evaluation:
        traits = range(self.shape.traits) if traits is None else traits
        weights = {TRAITS[t]: column for t, column in self.weights.items() if t in traits}
        model = bb.Model.from_formula(
            self.formulas(traits),
            weights="w" if self.shape.weights == "w" else weights or None,
            residual_classes="class" if self.shape.classes else (),
        )
        components = {key: g0[np.ix_(self.rows(key, traits), self.rows(key, traits))] for key, g0 in self.g0.items()}
        residual = {name: matrix[np.ix_(traits, traits)] for name, matrix in self.residual.items()}
        variances = bb.VarianceComponents(components, residual=residual if self.shape.classes else residual[CLASSES[0]])
        known = {
            name: bb.inverse_from(self.data.d, self.data.ids, kind="relationship")
            if name == "D" else bb.Pedigree.from_frame(self.data.pedigree)
            for name in {piece.relationship for piece in self.pieces.values()} - {None}
        }  # fmt: skip
        return bb.evaluate(model, self.data.frame, variances, known, options=options)

    @cached_property
    def dense(self) -> DenseBlup:
        data, traits = self.data, range(self.shape.traits)
        terms = {
            key: DenseTerm(
                piece.k,
                self.g0[key],
                [(t, piece.effects[label].values) for label, t in piece.coordinates(traits)],
            )
            for key, piece in self.pieces.items()
        }
        x = [np.column_stack(list(fixed_columns(text, data).values())) for text in self.fixed]
        residual = []
        for i, name in enumerate(data.columns["class"]):
            r = self.residual[name if self.shape.classes else CLASSES[0]].copy()
            for t in traits:
                for s in traits:
                    w_t, w_s = (data.columns[self.weights[k]][i] if k in self.weights else 1.0 for k in (t, s))
                    r[t, s] /= np.sqrt(w_t * w_s)
            residual.append(r)
        return blup_dense(data.y, x, terms, residual)


# --- comparing --------------------------------------------------------------------------------------------------------


def check_random(problem: Problem, evaluation: bb.Evaluation, key: str) -> None:
    """Solutions and prediction error covariances of every level, as arrays and as the tables show them."""
    piece, dense, found = problem.pieces[key], problem.dense, evaluation.effects[key]
    rows = piece.coordinates(range(problem.shape.traits))
    levels = found.term.levels.to_list()
    at = [list(piece.levels).index(level) for level in levels]
    variance = problem.g0[key].diagonal()
    largest = max(float(variance.max()), 1e-6)
    np.testing.assert_allclose(found.covariance, problem.g0[key], rtol=1e-14)
    assert [(c.effect, c.trait) for c in found.term.coordinates] == [(label, TRAITS[t]) for label, t in rows]
    wanted, pev = dense.solutions[key][at], dense.pev(key)[at]
    np.testing.assert_allclose(found.solutions, wanted, rtol=1e-7, atol=1e-7 * np.sqrt(largest))
    np.testing.assert_allclose(found.pev, pev, rtol=1e-8, atol=1e-8 * largest)
    informed = {
        level
        for j, level in enumerate(piece.levels)
        for label, t in rows
        if (piece.effects[label].values[~np.isnan(problem.data.y[:, t]), j] != 0).any()
    }
    assert informed <= set(levels) <= set(piece.levels)
    if piece.relationship is not None:
        assert len(levels) == len(piece.levels)
    table = {(level, trait, effect): rest for level, trait, effect, *rest in evaluation.random(key).iter_rows()}
    assert len(table) == wanted.size == evaluation.random(key).height
    for i, level in enumerate(levels):
        for c, (label, t) in enumerate(rows):
            solution, error = table[level, TRAITS[t], label]
            assert solution == found.solutions[i, c]
            assert error == pytest.approx(found.pev[i, c, c], rel=1e-12)


def check_genetic(problem: Problem, evaluation: bb.Evaluation, key: str) -> None:
    """Reliability, parent average and Mendelian sampling of a term with a relationship."""
    piece, dense, data = problem.pieces[key], problem.dense, problem.data
    if piece.relationship is None:
        return
    rows = piece.coordinates(range(problem.shape.traits))
    table = evaluation.ebv.filter(pl.col("term") == key)
    assert table.height == len(rows) * len(data.ids)
    for c, (label, t) in enumerate(rows):
        mine = table.filter((pl.col("effect") == label) & (pl.col("trait") == TRAITS[t]))
        assert mine["id"].to_list() == data.ids
        ebv, prior = dense.solutions[key][:, c], problem.g0[key][c, c] * piece.k.diagonal()
        scale = np.sqrt(problem.g0[key].diagonal().max()) + 1e-3
        np.testing.assert_allclose(mine["ebv"], ebv, rtol=1e-7, atol=1e-7 * scale)
        if problem.g0[key][c, c] > 0:
            np.testing.assert_allclose(mine["reliability"], 1 - dense.pev(key)[:, c, c] / prior, atol=1e-7)
        if piece.relationship == "D":
            assert mine["parent_average"].is_null().all()
        else:
            padded = np.append(ebv, 0.0)
            average = (padded[data.sire] + padded[data.dam]) / 2
            np.testing.assert_allclose(mine["parent_average"], average, rtol=1e-7, atol=1e-7 * scale)
            np.testing.assert_allclose(mine["mendelian_sampling"], ebv - average, rtol=1e-7, atol=2e-7 * scale)


def check_fixed(problem: Problem, evaluation: bb.Evaluation) -> None:
    """Xb of every record and trait that was observed, which no choice of constraints changes."""
    effects = {
        (term, level, trait): estimate
        for term, level, trait, estimate in evaluation.fixed.select("term", "level", "trait", "estimate").iter_rows()
    }
    for t, text in enumerate(problem.fixed):
        observed = ~np.isnan(problem.data.y[:, t])
        found = np.zeros(observed.sum())
        for (term, level), column in fixed_columns(text, problem.data).items():
            if (column[observed] != 0).any():
                found += column[observed] * effects[term, level, TRAITS[t]]
        np.testing.assert_allclose(found, problem.dense.fitted[observed, t], rtol=1e-7, atol=1e-6)
    assert (~evaluation.fixed["constrained"]).sum() == problem.dense.rank


def check(problem: Problem, options: bb.EvaluateOptions) -> None:
    evaluation = problem.evaluate(options)
    check_fixed(problem, evaluation)
    for key in problem.pieces:
        check_random(problem, evaluation, key)
        check_genetic(problem, evaluation, key)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None)
@given(SEEDS, SHAPES)
def test_against_v_inverse(kind: str, seed: int, shape: Shape) -> None:
    problem = Problem.draw(seed, KINDS[kind], shape)
    check(problem, DIRECT)
    check(problem, ITERATED)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from(FIRST), st.lists(st.sampled_from(FURTHER), unique=True, min_size=1, max_size=3), SHAPES)
def test_combinations_against_v_inverse(seed: int, first: str, further: list[str], shape: Shape) -> None:
    problem = Problem.draw(seed, (first, *further), shape)
    check(problem, DIRECT)
    check(problem, ITERATED)


REDUCED = ("animal", "repeatability", "maternal", "maternal for one trait", "random regression", "splines", "pen mates",
           "members with columns", "dominance", "two terms of one factor")  # fmt: skip


@pytest.mark.parametrize("kind", REDUCED)
@settings(max_examples=8, deadline=None)
@given(SEEDS, SHAPES)
@example(0, Shape(deficient=True))  # a single effect whose variance is zero: nothing is left to eliminate
def test_the_reduced_animal_model_against_v_inverse(kind: str, seed: int, shape: Shape) -> None:
    problem = Problem.draw(seed, KINDS[kind], shape)
    check(problem, replace(DIRECT, reduce=True))
    check(problem, replace(ITERATED, reduce=True))


# --- what must hold of any problem ------------------------------------------------------------------------------------

ROW = ["level", "trait", "effect"]


def assert_same_tables(left: bb.Evaluation, right: bb.Evaluation, key: str, tolerance: float = 1e-8) -> None:
    """Rows that both have, whatever their order; all of them for a term with a relationship."""
    both = left.random(key).join(right.random(key), on=ROW, suffix="_right")
    assert both.height == min(left.random(key).height, right.random(key).height)
    for column in ("solution", "pev"):
        np.testing.assert_allclose(both[column], both[f"{column}_right"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["maternal", "random regression", "pen mates", "columns without pedigree"])
@settings(max_examples=5, deadline=None)
@given(SEEDS, SHAPES)
def test_order_of_traits_records_and_animals_does_not_matter(kind: str, seed: int, shape: Shape) -> None:
    problem = Problem.draw(seed, KINDS[kind], shape)
    before = problem.evaluate()
    rng = np.random.default_rng(seed)
    order = rng.permutation(shape.traits).tolist()
    problem.data.frame = problem.data.frame[rng.permutation(problem.data.frame.height)]
    problem.data.pedigree = problem.data.pedigree[rng.permutation(problem.data.pedigree.height)]
    after = problem.evaluate(traits=order)
    assert after.model.traits == tuple(TRAITS[t] for t in order)
    for key in problem.pieces:
        assert before.random(key).height == after.random(key).height
        assert_same_tables(before, after, key)


@pytest.mark.parametrize("kind", ["repeatability", "maternal", "random regression", "dominance"])
@settings(max_examples=5, deadline=None)
@given(SEEDS, SHAPES.filter(lambda shape: shape.traits == 2))
def test_traits_without_covariances_are_models_of_one_trait_each(kind: str, seed: int, shape: Shape) -> None:
    problem = Problem.draw(seed, KINDS[kind], shape)
    for key, piece in problem.pieces.items():
        rows = piece.coordinates(range(2))
        problem.g0[key] *= np.array([[float(a[1] == b[1]) for b in rows] for a in rows])
    for matrix in problem.residual.values():
        matrix *= np.eye(2)
    both = problem.evaluate()
    for t in range(2):
        one = problem.evaluate(traits=[t])
        for key in problem.pieces:
            assert_same_tables(both, one, key)


@pytest.mark.parametrize("kind", ["animal", "maternal", "random regression"])
@settings(max_examples=6, deadline=None)
@given(SEEDS, st.integers(1, 3))
def test_a_singular_matrix_is_the_limit_of_regular_ones(kind: str, seed: int, traits: int) -> None:
    problem = Problem.draw(seed, KINDS[kind], Shape(traits=traits, deficient=True))
    assert all(np.linalg.eigvalsh(g0)[0] < 1e-10 for g0 in problem.g0.values())
    singular = problem.evaluate()
    near = replace(problem, g0={key: g0 + 1e-7 * np.eye(len(g0)) for key, g0 in problem.g0.items()}).evaluate()
    for key in problem.pieces:
        assert_same_tables(singular, near, key, 1e-4)


@settings(max_examples=8, deadline=None)
@given(SEEDS, st.sampled_from(["", "own"]))
def test_columns_may_be_empty_where_no_trait_of_a_record_needs_them(seed: int, weights: str) -> None:
    drawn = Problem.draw(seed, ("maternal for one trait", "litter"), Shape(traits=2, weights=weights))
    problem = replace(drawn, fixed=("herd + x", "year"))
    before = problem.evaluate()
    needless = pl.col("y1").is_null()
    assume(problem.data.frame.filter(needless & pl.col("y2").is_not_null()).height > 0)
    problem.data.frame = problem.data.frame.with_columns(
        pl.when(needless).then(None).otherwise(pl.col(name)).alias(name) for name in ("herd", "x", "dam", "w1")
    )
    after = problem.evaluate()
    for key in problem.pieces:
        assert_same_tables(before, after, key)
