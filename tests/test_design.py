"""Coding records: types, levels, missing values, weights; every record used or counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.polynomial import Polynomial

import breedblup as bb
from breedblup.design import RecordCounts, legendre, orthogonal_polynomials
from breedblup.frames import Table


def file(text: str) -> Table:
    return Table(pl.read_csv(text.encode(), infer_schema=False), "records.csv", 2)


def design(formula: str, records: object, **options: object) -> bb.Design:
    weights = options.pop("weights", None)
    model = bb.Model.from_formula(formula, weights=weights)  # type: ignore[arg-type]
    return bb.build_design(model, records, {}, **options)  # type: ignore[arg-type]


def term(built: bb.Design, name: str):  # type: ignore[no-untyped-def]
    return next(t for t in built.terms if t.name == name)


FRAME = pl.DataFrame(
    {"y": [1.0, 2.0, 3.0, 4.0], "h": ["b", "a", "b", "a"], "n": [10, 9, 9, 10], "x": [0.5, 1.5, 2.0, 3.0]}
)


def test_types_decide_as_in_lme4() -> None:
    built = design("y ~ h + n + x", FRAME)
    assert term(built, "h").levels.to_list() == ["a", "b"]
    assert term(built, "h").links[0].codes.tolist() == [1, 0, 1, 0]
    np.testing.assert_array_equal(term(built, "x").values[:, 0], FRAME["x"])
    assert not term(built, "n").classes
    assert any(
        note.startswith("n: a column of whole numbers, taken as a covariate; write factor(n)") for note in built.notes
    )


def test_whole_number_levels_sort_by_value_and_keep_their_text() -> None:
    assert term(design("y ~ factor(n)", FRAME), "n").levels.to_list() == ["9", "10"]
    assert term(design("y ~ factor(h)", file("y,h\n1,007\n2,7\n3,10\n")), "h").levels.to_list() == ["007", "10", "7"]


def test_a_file_has_no_types_so_whole_numbers_have_to_be_declared() -> None:
    records = file("y,herd,age,farm\n1,1,2.5,A\n2,2,3,B\n3,1,4,A\n")
    built = design("y ~ age + farm + factor(herd)", records)
    assert not term(built, "age").classes
    assert term(built, "farm").classes
    with pytest.raises(
        bb.ModelError, match=r"records.csv: column 'herd' holds whole numbers, .* factor\(herd\) or covariate"
    ):
        design("y ~ herd", records)


def test_leading_zeros_are_classes() -> None:
    assert term(design("y ~ herd", file("y,herd\n1,01\n2,02\n3,01\n")), "herd").levels.to_list() == ["01", "02"]


def test_interactions_have_observed_levels_only() -> None:
    records = pl.DataFrame(
        {"y": [1.0, 2, 3, 4], "a": ["x", "y", "x", "x"], "b": ["2", "10", "10", "2"], "c": list("ppqp")}
    )
    built = design("y ~ 0 + a:b:c", records)
    assert term(built, "a:b:c").levels.to_list() == ["x:2:p", "x:10:q", "y:10:p"]
    assert term(built, "a:b:c").links[0].codes.tolist() == [0, 2, 1, 0]


def test_covariate_nested_in_classes() -> None:
    built = design("y ~ h + h:leg(x, 1, range=(0, 4))", FRAME)
    nested = term(built, "h:leg(x, 1)")
    assert len(nested.levels) * len(nested.coordinates) == 4
    assert nested.label(1, 1) == "b:1"
    np.testing.assert_allclose(nested.values[:, 1], np.sqrt(1.5) * (FRAME["x"].to_numpy() / 2 - 1))


def test_legendre_is_orthonormal() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(12)
    phi = legendre(5 + 3 * nodes, 5, 2.0, 8.0)
    np.testing.assert_allclose(phi.T * weights @ phi, np.eye(6), atol=1e-13)


def test_orthogonal_polynomials_span_and_are_orthonormal() -> None:
    x = np.array([2001.0, 2002, 2002, 2005, 2009, 2010])
    p = orthogonal_polynomials(x, 3)
    np.testing.assert_allclose(p.T @ p, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(p.sum(axis=0), 0, atol=1e-12)
    for k in range(3):
        fitted = Polynomial.fit(x, p[:, k], k + 1)
        np.testing.assert_allclose(fitted(x), p[:, k], atol=1e-10)
        assert fitted.convert().coef[k + 1] > 0


def test_missing_traits_are_counted_and_zero_is_a_value() -> None:
    built = design("y ~ 1", file("animal,y\n4,4.5\n5,NA\n6,\n7,0\n8,.\n9,nan\n"))
    assert built.y.tolist() == [[4.5], [0.0]]
    assert built.rows.tolist() == [0, 3]
    counts = built.counts
    assert (counts.read, counts.used, counts.without_trait, counts.without_effect) == (6, 2, 4, 0)
    assert "4 records without a value of 'y' left out" in built.notes


def test_missing_effects_are_refused_or_dropped_and_counted() -> None:
    records = file("y,h,x\n1,a,1.5\n2,,2.5\n3,b,NA\n4,b,3.5\n,,\n")
    with pytest.raises(
        bb.RecordError, match=r"records.csv line 3: 'h' is missing where 'y' is known -> fill it in, or set"
    ):
        design("y ~ h + x", records)
    built = design("y ~ h + x", records, missing_effects="drop")
    assert (built.counts.used, built.counts.without_trait, built.counts.without_effect) == (2, 1, 2)
    assert "1 record without 'x' left out" in built.notes


@pytest.mark.parametrize(
    ("formula", "text", "message"),
    [
        ("y ~ 1", "y\n", "records.csv: no records below the header"),
        ("y ~ 1", "y,h\nNA,1\n,2\n", "records.csv: none of the 2 records has a value of 'y'"),
        ("y ~ 1", "y\n1\ninf\n-inf\n", "records.csv lines 3, 4: column 'y' is infinite; correct the values"),
        ("y ~ 1", "y\n1\nabc\n", "records.csv line 3: column 'y' holds 'abc' where a number belongs"),
        ("z ~ 1", "y\n1\n", r"records.csv has no column 'z' \(its columns: 'y'\)"),
        ("y ~ herb", "y,herd\n1,a\n", "records.csv has no column 'herb'; did you mean 'herd'"),
        (
            "y ~ log(x)",
            "y,x\n1,1.5\n2,0\n,\n4,-1\n",
            r"lines 3, 5: log\(x\) has no finite value \(the first: x = 0\) -> correct the records, make the values missing",
        ),
        ("y ~ I(x/z)", "y,x,z\n1,1,2\n2,3,0\n", r"line 3: I\(x/z\) has no finite value \(the first: x = 3, z = 0\)"),
        ("sqrt(y) ~ 1", "y\n1\n-2\n", r"line 3: sqrt\(y\) has no finite value \(the first: y = -2\)"),
        ("y ~ log(x)", "y,x\n1,a\n", "line 2: column 'x' holds 'a' where a number belongs"),
        ("y ~ log(x)", "y,z\n1,2\n", "records.csv has no column 'x'"),
        (
            "y ~ log(x)",
            "y,x,log(x)\n1,2,3\n",
            r"records.csv has a column called 'log\(x\)', which in a model means what is computed from 'x', and its "
            "values are others -> rename the column",
        ),
        ("y ~ log(x)", "y,x\n1,2\n2,\n", r"line 3: 'log\(x\)' is missing where 'y' is known -> fill it in"),
        (
            "y ~ (s | g)",
            "y,s,g\n1,a,p\n2,a,q\n",
            "left of a bar, 's' has the class 'a' only in the records -> leave it",
        ),
        (
            "y ~ (factor(s) | g)",
            "y,s,g\n1,,p\n2,,q\n",
            "left of a bar, 's' has no class in the records -> leave it out",
        ),
        (
            "y ~ (s | g)",
            "y,s,g\n" + "".join(f"{n},c{n},p\n" for n in range(60)),
            r"left of a bar, 's' has 60 classes, each an effect .* -> write \(1 \| g:s\), or name the classes, as in factor",
        ),
        (
            "y ~ (factor(s, levels=(a, b)) | g)",
            "y,s,g\n1,a,p\n2,c,q\n",
            "line 3: s is 'c', and left of a bar the model has the classes 'a', 'b' -> correct the records, or the levels",
        ),
        (
            "y ~ poly(x, 2)",
            "y,x\n1,1.5\n2,2.5\n",
            "a polynomial of degree 2 needs more than 2 distinct values; found 2",
        ),
        ("y ~ leg(x, 1)", "y,x\n1,1.5\n2,1.5\n", r"leg\(x, 1\): all values are 1.5; declare a range"),
        (
            "y ~ leg(x, 1, range=(0, 1))",
            "y,x\n1,0.5\n2,1.5\n",
            "records.csv line 3: x is 1.5, outside the range \\(0, 1\\) of leg",
        ),
        ("y ~ factor(h) + h", "y,h\n1,a\n", "two terms of the model are called 'h'"),
    ],
)
def test_refused(formula: str, text: str, message: str) -> None:
    with pytest.raises(bb.BreedblupError, match=message):
        design(formula, file(text))


def test_weights_have_to_be_positive() -> None:
    records = pl.DataFrame({"y": [1.0, 2.0, 3.0], "w": [1.0, 0.0, 2.0]})
    with pytest.raises(bb.RecordError, match="records row 1: weight 'w' is 0; weights have to be positive"):
        design("y ~ 1", records, weights="w")
    assert design("y ~ 1", records.filter(pl.col("w") > 0), weights="w").weights.tolist() == [[1.0], [2.0]]  # type: ignore[union-attr]


def test_weights_are_named() -> None:
    records = pl.DataFrame({"y": [1.0, 2.0, 3.0], "z": [1.0, None, 2.0], "w": [1.0, 4.0, 2.0]})
    built = bb.build_design(bb.Model.from_formula("(y, z) ~ 1", weights={"z": "w"}), records, {})
    assert "z: residual variance divided by w, from 1 to 2" in built.notes
    assert not any(note.startswith("y: residual variance divided") for note in built.notes)
    with pytest.raises(bb.RecordError, match="records rows 1, 2: weight 'w' is -1, 0; weights have to be positive"):
        design("y ~ 1", records.with_columns(w=pl.Series([1.0, 0.0, -1.0])), weights="w")


def test_levels_that_are_written_alike_are_refused() -> None:
    records = pl.DataFrame({"y": [1.0, 2.0], "a": ["p", "p:q"], "b": ["q:r", "r"]})
    message = (
        r"two combinations of levels are both written 'p:q:r', because levels hold ':' themselves -> write another"
    )
    for formula in ("y ~ a:b", "y ~ 1 + (1 | a:b)", "y ~ 1 + (1 | a:b + mm(a))"):
        with pytest.raises(bb.ModelError, match=message):
            design(formula, records)


def test_values_of_some_traits_are_dropped_and_named() -> None:
    records = pl.DataFrame({"y": [1.0, 2.0, 3.0], "z": [1.0, 5.0, 2.0], "x": [None, 4.0, 2.0]})
    model = bb.Model.from_formula(["y ~ 1", "z ~ 1 + x"])
    built = bb.build_design(model, records, {}, missing_effects="drop")
    assert "1 value of 'z' without 'x' left out" in built.notes
    assert built.counts == RecordCounts(3, 3, 0, 0)


def test_covariates_of_random_terms_are_named_by_their_term() -> None:
    built = design("y ~ 1 + (leg(x, 1) | h)", FRAME)
    assert any(note.startswith("h: leg(x, 1): normalised Legendre polynomials on (0.5, 3)") for note in built.notes)


def test_a_level_twice_in_a_record_counts_once() -> None:
    records = pl.DataFrame({"y": [1.0, 2.0, 4.0], "a": ["p", "q", "q"], "b": ["p", "p", None]})
    built = design("y ~ 1 + (1 | mm(a, b))", records)
    assert built.random[0].recorded(0, built.observed).tolist() == [2, 2]


def test_nothing_left() -> None:
    with pytest.raises(bb.RecordError, match="no record is left after those with a missing effect were left out"):
        design("y ~ h", file("y,h\n1,\n"), missing_effects="drop")


def test_dates_are_no_numbers() -> None:
    records = pl.DataFrame({"y": [1.0], "d": ["2001-01-01"]}).with_columns(pl.col("d").str.to_date())
    with pytest.raises(bb.RecordError, match="records: column 'd' is of type Date; a number is needed"):
        design("y ~ covariate(d)", records)


def test_relationship_without_its_term() -> None:
    k = bb.inverse_from(np.eye(1), ["a"], kind="relationship")
    model = bb.Model.from_formula("y ~ 1 + (1 | animal)")
    with pytest.raises(
        bb.ModelError, match=r"a relationship is given for 'animl', but no random term .*; did you mean 'animal'\?"
    ):
        bb.build_design(model, FRAME, {"animl": k})


def test_categories_are_classes() -> None:
    pandas = FRAME.to_pandas()
    pandas["n"] = pandas["n"].astype("category")
    for records in (pandas, FRAME.with_columns(pl.col("n").cast(pl.String).cast(pl.Categorical))):
        built = design("y ~ n", records)
        assert term(built, "n").classes
        assert term(built, "n").levels.to_list() == ["9", "10"]


@pytest.mark.parametrize("wrong", ["n/a", "25.5x", "24,5"])
def test_a_slip_does_not_make_classes_of_a_covariate(wrong: str) -> None:
    rows = "".join(f"{i},{i}.5\n" for i in range(20))
    with pytest.raises(bb.ModelError, match=r"records.csv line 22: column 'age' holds numbers but for values such as"):
        design("y ~ age", file(f'y,age\n{rows}3,"{wrong}"\n'))


def test_decimal_commas_are_no_classes() -> None:
    rows = "".join(f'{i},"{i},5"\n' for i in range(20))
    with pytest.raises(bb.ModelError, match=r"column 'age' holds numbers but for values such as '0,5' -> correct them"):
        design("y ~ age", file(f"y,age\n{rows}"))


def test_whole_floats_are_noted_or_asked_for() -> None:
    built = design("y ~ n", FRAME.with_columns(pl.col("n").cast(pl.Float64)))
    assert any(note.startswith("n: a column of whole numbers") for note in built.notes)
    with pytest.raises(bb.ModelError, match="column 'n' holds whole numbers, which may be classes or a covariate"):
        design("y ~ n", file("y,n\n1,1.0\n2,2.0\n"))


def test_trait_and_covariates_are_described() -> None:
    notes = design("y ~ x", FRAME).notes
    assert "y: mean 2.5, SD 1.29099, from 1 to 4" in notes
    assert "x: mean 1.75, SD 1.04083, from 0.5 to 3" in notes


PENS = pl.DataFrame(
    {
        "y": [1.0, 2.0, 3.0, 4.0], "z": [5.0, None, None, 8.0], "pig": ["a", "b", "c", "d"],
        "mate1": ["b", "a", None, "c"], "mate2": ["c", None, None, "a"], "w1": [0.5, 1.0, None, 0.25],
        "herd": ["p", "q", None, "p"], "age": [1.0, 2.0, 3.0, None],
    }
)  # fmt: skip


def test_members_may_be_missing_and_are_counted() -> None:
    built = design("y ~ 1 + (1 | mm(mate1, mate2, weights=(1, 0.5)))", PENS)
    members = built.random[0]
    assert members.levels.to_list() == ["a", "b", "c"]
    assert [link.codes.tolist() for link in members.links] == [[1, 0, -1, 2], [2, -1, -1, 0]]
    assert [link.entries[0].scale for link in members.links] == [1.0, 0.5]
    key = "mm(mate1, mate2, weights=(1, 0.5))"
    assert f"{key}: effects of mate1, mate2 added up, weights 1.0, 0.5" in built.notes
    assert f"{key}: 1 record without any of mate1, mate2: no such effect on them" in built.notes


def test_weights_of_members_are_columns_too() -> None:
    built = design("y ~ 1 + (1 | mm(mate1, weights=w1))", PENS)
    values = built.random[0].values
    assert values is not None
    assert values[:, 0].tolist() == [0.5, 1.0, 0.0, 0.25]
    with pytest.raises(
        bb.RecordError,
        match="records row 2: the weight 'w1' is missing where 'pig' is known -> fill it in, or leave that",
    ):
        design("y ~ 1 + (1 | mm(pig, weights=w1))", PENS)


def test_what_a_trait_does_not_need_may_be_missing() -> None:
    model = bb.Model.from_formula(["y ~ 1 + (1 | pig)", "z ~ herd + (1 | pig)"])
    built = bb.build_design(model, PENS, {})
    assert [link.codes.tolist() for link in built.fixed[1].links] == [[0, -1, -1, 0]]
    assert built.fixed[1].levels.to_list() == ["p"]  # q and the empty cell stand where z is missing
    np.testing.assert_array_equal(built.y[:, 1], [5.0, np.nan, np.nan, 8.0])
    assert built.observed.tolist() == [[True, True], [True, False], [True, False], [True, True]]
    assert "z: 2 of 4 records in use have a value" in built.notes
    assert not any("left out" in note for note in built.notes)
    with pytest.raises(bb.RecordError, match="records row 3: 'age' is missing where 'y', 'z' is known -> fill it in"):
        bb.build_design(bb.Model.from_formula("(y, z) ~ age"), PENS, {})
    dropped = bb.build_design(bb.Model.from_formula(["y ~ 1", "z ~ 1 + age"]), PENS, {}, missing_effects="drop")
    assert dropped.observed[:, 1].tolist() == [True, False, False, False]
    assert dropped.counts == RecordCounts(4, 4, 0, 0)


def test_a_trait_without_records() -> None:
    with pytest.raises(bb.RecordError, match="records: none of the 4 records has a value of 'w'"):
        bb.build_design(bb.Model.from_formula("(y, w) ~ 1"), PENS.with_columns(w=pl.lit(None, dtype=pl.Float64)), {})
    late = PENS.with_columns(z=pl.Series([None, None, 1.0, None]))
    with pytest.raises(
        bb.RecordError, match="no record with 'z' is left after those with a missing effect were left out"
    ):
        bb.build_design(bb.Model.from_formula(["y ~ 1", "z ~ 1 + herd"]), late, {}, missing_effects="drop")


def test_a_relationship_that_is_not_there() -> None:
    model = bb.Model.from_formula("y ~ 1 + (1 | vm(pig, Dom))")
    with pytest.raises(
        bb.ModelError,
        match=r"vm\(pig, Dom\) needs the relationship 'Dom', and none of that name is given; did you mean 'Domi'\? -> add it",
    ):
        bb.build_design(model, PENS, {"Domi": bb.inverse_from(np.eye(4), list("abcd"), kind="relationship")})


def test_classes_of_the_residual_are_counted_and_need_a_variance() -> None:
    model = bb.Model.from_formula("y ~ 1", residual_classes="stage")
    records = PENS.with_columns(stage=pl.Series(["late", "early", "late", "late"]))
    built = bb.build_design(model, records, {})
    assert built.residual_codes is not None
    assert built.residual_codes.tolist() == [1, 0, 1, 1]
    assert "residual variance by stage: early 1 record, late 3 records" in built.notes
    with pytest.raises(
        bb.ModelError,
        match=r"no residual variance is given for 'early', which the records have \(given: 'late'\) -> add it",
    ):
        bb.evaluate(model, records, bb.VarianceComponents({}, residual={"late": 2.0}))
    given = bb.VarianceComponents({}, residual={"late": 2.0, "early": 1.0, "erly": 3.0})
    assert "no record has the residual class 'erly'" in bb.evaluate(model, records, given).notes


def crossed(seed: int = 1, size: int = 60) -> pl.DataFrame:
    """Records of two factors, one of which also has an order, and two covariates."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "y": np.exp(rng.normal(size=size)),
            "s": rng.choice(list("abc"), size),
            "b": rng.choice(["u", "v"], size),
            "g": rng.choice(["g1", "g2", "g3"], size),
            "x": rng.normal(size=size),
            "z": rng.uniform(1, 3, size),
        }
    ).with_columns(e=pl.col("s").cast(pl.Enum(["c", "unused", "a", "b"])))


def columns_of(text: str, frame: pl.DataFrame) -> np.ndarray:
    """Columns of 1 for each class of a factor, or of each combination joined by ':', in the order given."""
    labels = text.split()
    columns = []
    for label in labels:
        column = np.ones(len(frame))
        for part in label.split(":"):
            name, _, level = part.partition("=")
            column = column * ((frame[name] == level).to_numpy() if level else frame[name].to_numpy())
        columns.append(column)
    return np.column_stack(columns)


@pytest.mark.parametrize(
    ("left", "columns", "labels"),
    [
        ("0 + s", "s=a s=b s=c", ["s a", "s b", "s c"]),
        ("s", "s=b s=c", ["intercept", "s b", "s c"]),
        ("e", "e=a e=b", ["intercept", "e a", "e b"]),
        ("0 + s + b", "s=a s=b s=c b=v", ["s a", "s b", "s c", "b v"]),
        ("s*b", "s=b s=c b=v s=b:b=v s=c:b=v", ["intercept", "s b", "s c", "b v", "s b:b v", "s c:b v"]),
        ("0 + s:b", "s=a:b=u s=a:b=v s=b:b=u s=b:b=v s=c:b=u s=c:b=v", None),
        ("0 + b:x", "b=u:x b=v:x", ["b u:x", "b v:x"]),
        ("x*b", "x b=v b=v:x", ["intercept", "x", "b v", "b v:x"]),
        ("0 + x:z", "x:z", ["I(x * z)"]),
        ("0 + b:x:z", "b=u:x:z b=v:x:z", ["b u:I(x * z)", "b v:I(x * z)"]),
        ("0 + factor(s, levels=(c, a, b)):covariate(x)", "s=c:x s=a:x s=b:x", ["s c:x", "s a:x", "s b:x"]),
    ],
)
def test_factors_and_products_left_of_a_bar(left: str, columns: str, labels: list[str] | None) -> None:
    """The columns are those of R's model.matrix; the model with its classes says them, and gives the same design."""
    records = crossed()
    model = bb.Model.from_formula(f"y ~ ({left} | g)")
    built = design(f"y ~ ({left} | g)", records)
    term = built.random[0]
    assert term.values is not None
    np.testing.assert_array_equal(term.values, columns_of(columns, records))
    if labels is not None:
        assert [one.effect for one in term.coordinates] == labels
    complete = bb.design.complete_model(model, records)
    assert built.model == complete == bb.design.complete_model(complete, records)
    assert complete.keys == model.keys
    assert bb.Model.from_formula(complete.formula) == complete
    assert tuple(complete.coordinates("g")) == term.coordinates


def test_classes_left_of_a_bar_are_named_in_the_notes() -> None:
    records = crossed()
    assert "g: effects s of the classes a, b, c, as differences from s a" in design("y ~ (s | g)", records).notes
    assert "g: effects s of the classes a, b, c" in design("y ~ (0 + s | g)", records).notes
    built = design("y ~ (s || g)", records)
    assert "g: effects s of the classes a, b, c, uncorrelated with each other" in built.notes
    assert [one.effect for one in built.random[0].coordinates] == ["intercept", "s a", "s b", "s c"]


def test_classes_left_of_a_bar_are_those_of_measured_records_of_text_columns() -> None:
    records = file("y,s,n,k,g\n1,b,1,x1,p\n2,a,2,2,q\n,c,3,3,q\n3,a,4,4,p\n")
    assert bb.design.complete_model(bb.Model.from_formula("y ~ (s | g)"), records).formula == (
        "y ~ 1 + (1 + factor(s, levels=(a, b)) | g)"
    )
    whole = bb.Model.from_formula("y ~ (n | g)")
    assert bb.design.complete_model(whole, records) is whole
    assert bb.design.complete_model(bb.Model.from_formula("y ~ (factor(n) | g)"), records).formula == (
        "y ~ 1 + (1 + factor(n, levels=(`1`, `2`, `4`)) | g)"
    )
    few = file("y,k,g\n" + "".join(f"{n},{'x' if n == 3 else n},p\n" for n in range(20)))
    with pytest.raises(bb.RecordError, match="line 5: column 'k' holds 'x' where a number belongs"):
        design("y ~ (k | g)", few)


def test_classes_and_slopes_in_a_random_term_of_several_traits() -> None:
    records = crossed().with_columns(w=pl.col("y") * 2)
    term = design(["y ~ (s | g)", "w ~ (s + x | g)"], records).random[0]
    assert [str(one) for one in term.coordinates] == [
        *("intercept y", "intercept w", "s b y", "s b w", "s c y", "s c w"),
        "x w",
    ]
    assert [entry.column for entry in term.links[0].entries] == [-1, -1, 0, 0, 1, 1, 2]


def test_functions_of_columns() -> None:
    records = crossed().with_columns(x=pl.when(pl.col("x") > 1.5).then(None).otherwise(pl.col("x")))
    model = bb.Model.from_formula("log(y) ~ I((z - 2)^2/-x) + x:z + (log10(z) | g)", weights="sqrt(z)")
    built = bb.build_design(model, records, {}, missing_effects="drop")
    used = records.drop_nulls()
    y, x, z = (used[name].to_numpy() for name in "yxz")
    np.testing.assert_array_equal(built.y[:, 0], np.log(y))
    np.testing.assert_array_equal(built.weights[:, 0], np.sqrt(z))
    np.testing.assert_allclose(built.fixed[1].values[:, 0], (z - 2) ** 2 / -x, rtol=1e-14)
    np.testing.assert_array_equal(built.fixed[2].values[:, 0], x * z)
    np.testing.assert_array_equal(built.random[0].values[:, 0], np.log10(z))
    assert [term.name for term in built.fixed] == ["(Intercept)", "I((z - 2)^2/-x)", "x:z"]
    assert [one.effect for one in built.random[0].coordinates] == ["intercept", "log10(z)"]
    assert built.counts.without_effect == len(records) - len(used)
    assert built.table.frame.columns == [
        *records.columns,
        "log(y)",
        "I((z - 2)^2/-x)",
        "log10(z)",
        "sqrt(z)",
        "I(x * z)",
    ]
    again = bb.build_design(model, built.table, {}, missing_effects="drop")
    np.testing.assert_array_equal(again.y, built.y)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("I(z + x)", 2.0 + 0.5),
        ("I(z - x - 1)", 0.5),
        ("I(z * x)", 1.0),
        ("I(z/x/2)", 2.0),
        ("I(z^-x)", 2.0**-0.5),
        ("I(-z^2)", -4.0),
        ("log(z)", np.log(2)),
        ("log2(z)", 1.0),
        ("log10(z)", np.log10(2)),
        ("log1p(z)", np.log(3)),
        ("exp(z)", np.exp(2)),
        ("sqrt(z)", np.sqrt(2)),
        ("abs(x - z)", 1.5),
    ],
)
def test_value_of_each_function(text: str, value: float) -> None:
    built = design(f"y ~ {text}", pl.DataFrame({"y": [1.0], "x": [0.5], "z": [2.0]}))
    np.testing.assert_allclose(built.fixed[1].values, [[value]], rtol=1e-15)


def test_a_declared_factor_beside_a_bare_name() -> None:
    records = pl.DataFrame({"y": [1.0, 2, 3], "h": [1, 2, 1], "x": [0.5, 1.5, 2.5], "s": ["p", "q", "q"]})
    slopes = design("y ~ factor(h):x", records).fixed[1]
    assert slopes.levels.to_list() == ["1", "2"]
    assert slopes.values.ravel().tolist() == [0.5, 1.5, 2.5]
    assert design("y ~ factor(h):s", records).fixed[1].levels.to_list() == ["1:p", "1:q", "2:q"]


def test_levels_keep_the_order_that_the_user_gave_them() -> None:
    kind = pl.Enum(["late", "unused", "early", "mid"])
    records = pl.DataFrame(
        {"y": [1.0, 2, 3, 4], "s": pl.Series(["early", "mid", "late", "mid"], dtype=kind), "h": ["q", "p", "q", "q"]}
    )
    built = design("y ~ s + s:h", records)
    assert built.fixed[1].levels.to_list() == ["late", "early", "mid"]
    assert built.fixed[1].links[0].codes.tolist() == [1, 2, 0, 2]
    assert built.fixed[2].levels.to_list() == ["late:q", "early:q", "mid:p", "mid:q"]
    evaluation = bb.evaluate(bb.Model.from_formula("y ~ s"), records, bb.VarianceComponents({}, residual=1.0))
    assert "fixed effects set to zero, reference levels: s 'late'" in evaluation.notes


@pytest.mark.parametrize("ordered", [True, False])
def test_levels_of_a_pandas_categorical_keep_its_order(ordered: bool) -> None:
    values = pd.Categorical(["b", "a", None, "b"], categories=["c", "b", "a"], ordered=ordered)
    years = pd.Categorical([3, 1, 3, 2], categories=[3, 2, 1], ordered=ordered)
    records = pd.DataFrame({"y": [1.0, 2, 3, 4], "s": values, "t": years, "g": list("pqpq")})
    built = design("y ~ s + t + (s | g)", records, missing_effects="drop")
    assert built.fixed[1].levels.to_list() == ["b", "a"]
    assert built.fixed[2].levels.to_list() == ["3", "2", "1"]
    assert built.model.formula == "y ~ s + t + (1 + factor(s, levels=(b, a)) | g)"
    assert design("y ~ covariate(t)", records).fixed[1].values.ravel().tolist() == [3, 1, 3, 2]


def test_categories_without_an_order_of_the_user_are_sorted() -> None:
    plain = pl.DataFrame({"y": [1.0, 2, 3], "s": pl.Series(["b", "a", "b"], dtype=pl.Categorical)})
    assert design("y ~ s", plain).fixed[1].levels.to_list() == ["a", "b"]
    with_empty = plain.with_columns(s=pl.Series(["b", "a", "a"], dtype=pl.Enum(["b", "a", ""])))
    assert design("y ~ s", with_empty).fixed[1].levels.to_list() == ["a", "b"]
