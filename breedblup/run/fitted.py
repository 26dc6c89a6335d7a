"""What a configuration fits and what it makes of the result: model, variances, combinations of effects, curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from breedblup.adjustment import AtPoints, Combination, CombinationSpec, Difference, SumOverRange
from breedblup.errors import ConfigurationError, ModelError, nearest
from breedblup.model import Model
from breedblup.run.schema import CurveSection, Sections
from breedblup.variances import VarianceComponents

_OF_FORMULA = {
    "formula": "text in quotes, or a list of texts, one for each trait",
    "weights": 'text in quotes, or a table with the column of each trait, such as { milk = "w" }',
    "residual_classes": "text in quotes, or a list of texts",
}
_OF_PLAIN = ("traits", "fixed", "random", "residual")


def model_of(name: str, content: Mapping[str, Any]) -> Model:
    """The model, from formulas or from the plain form that `Model.to_dict` gives.

    Raises
    ------
    ConfigurationError
        If a key is unknown, or its value of the wrong kind.
    ModelError
        If the model cannot be.
    """
    known = tuple(_OF_FORMULA) if "formula" in content else ("formula", "weights", "residual_classes", *_OF_PLAIN)
    for key, value in content.items():
        if key not in known:
            hint = nearest(key, known)
            raise ConfigurationError(f"{name}: [model] unknown key {key!r}{hint} (known: {', '.join(known)})")
        if key in _OF_FORMULA and not _is_text(value, table=key == "weights"):
            raise ConfigurationError(f"{name}: [model] {key} has to be {_OF_FORMULA[key]}")
    if "formula" not in content:
        try:
            return Model.from_dict(content)
        except ModelError as wrong:
            raise ModelError(f'{name}: [model] {wrong}; a formula is given as formula = "…"') from None
    _check_formulas(name, content["formula"])
    classes = content.get("residual_classes", ())
    try:
        return Model.from_formula(content["formula"], weights=content.get("weights"), residual_classes=classes)
    except ModelError as wrong:
        raise ModelError(f"{name}: [model] {wrong}") from None


def _check_formulas(name: str, given: str | list[str]) -> None:
    """Refuse what is wrong with a formula, with its number where there are several, or with them together."""
    texts = [given] if isinstance(given, str) else given
    for number, text in enumerate(texts, 1):
        which = f"formula {number}" if len(texts) > 1 else "formula"
        try:
            Model.from_formula(text)
        except ModelError as wrong:
            said = str(wrong)
            placed = said.replace("formula,", f"{which},", 1) if said.startswith("formula,") else f"{which}: {said}"
            raise ModelError(f"{name}: [model] {placed}") from None
    try:
        Model.from_formula(given)
    except ModelError as wrong:
        raise ModelError(f"{name}: [model] formula: {wrong}") from None


def _is_text(value: object, *, table: bool) -> bool:
    """Whether a value is text, or a table or else a list of texts."""
    if isinstance(value, dict) and table:
        return all(isinstance(inner, str) for inner in value.values())
    if isinstance(value, list) and not table:
        return all(isinstance(inner, str) for inner in value)
    return isinstance(value, str)


def variances_of(name: str, given: Mapping[str, Any], model: Model) -> VarianceComponents:
    """The variances, which have to be those of the model.

    Raises
    ------
    ConfigurationError
        If a value is neither a number nor a matrix, or the residual is missing.
    ModelError
        If they are no variances, or not those of the model.
    """
    for key, value in given.items():
        classes = value if key == "residual" and isinstance(value, dict) else {None: value}
        for level, inner in classes.items():
            if not is_matrix(inner):
                what = repr(key) if level is None else f"residual class {level!r}"
                raise ConfigurationError(
                    f"{name}: [variances] {what} has to be a number, or a matrix as a list of rows of numbers"
                )
    if "residual" not in given:
        raise ConfigurationError(f"{name}: [variances] residual is missing; it has to be given")
    try:
        variances = VarianceComponents(
            {key: given[key] for key in given if key != "residual"}, residual=given["residual"]
        )
        variances.check(model)
    except ModelError as wrong:
        raise ModelError(f"{name}: [variances] {wrong}") from None
    return variances


def is_matrix(value: object) -> bool:
    """Whether a value of the file is a number, or a list of rows of numbers."""
    rows = value if isinstance(value, list) else [[value]]
    cells = [cell for row in rows for cell in (row if isinstance(row, list) else [None])]
    return bool(cells) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)


def combinations_of(name: str, sections: Sections) -> dict[str, CombinationSpec]:
    """What is to be combined, by its place in the file.

    Raises
    ------
    ConfigurationError
        If a combination or a curve cannot be.
    """
    made: dict[str, CombinationSpec] = {}
    for number, section in enumerate(sections.combinations, 1):
        place = f"[[combinations]] {number}"
        with placed(name, place):
            made[place] = Combination(section.name, section.weights, section.trait, section.term)
    for number, curve in enumerate(sections.curves, 1):
        place = f"[[curves]] {number}"
        with placed(name, place):
            made[place] = _curve(curve)
    return made


@contextmanager
def placed(name: str, place: str) -> Iterator[None]:
    """A refusal says which file and place asked for it."""
    try:
        yield
    except ModelError as wrong:
        raise ConfigurationError(f"{name}: {place}: {wrong}") from None


def _curve(section: CurveSection) -> CombinationSpec:
    of = (section.term, section.trait, section.group)
    if section.points is not None:
        return AtPoints(section.points, *of)
    if section.sum is not None:
        return SumOverRange(section.sum.first, section.sum.last, section.sum.step, *of)
    assert section.difference is not None
    return Difference(section.difference.later, section.difference.earlier, *of)
