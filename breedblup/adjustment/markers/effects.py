"""Effects of markers, solved back from the breeding values of an evaluation.

With G = ZZ' + a11' + βB + diag(d) and w = G⁻¹û₂ for the genotyped animals (Strandén & Garrick 2009; Wang et al. 2012)

    û₂ = Z Z'w + a(1'w) 1 + βBw + d∘w,

so that Z'w are the effects of the columns of Z, and every genotyped animal, new ones too, has a(1'w) beside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.adjustment.markers.reliability import ReliabilityFactor
from breedblup.design import DesignTerm
from breedblup.errors import ModelError, counted, name_some, nearest
from breedblup.evaluation import Evaluation
from breedblup.genotypes import CentredGenotypes
from breedblup.relationship.genomic_matrix import GenomicMatrix, GenomicPart

_Array = NDArray[np.float64]

NOT_G = 1e-6
"""Largest difference of Kv from Gv, relative, that is taken for the rounding of one matrix."""

SAME = 1e-4
"""Difference, in the size of the breeding values, that the end of an iteration explains."""

EFFECT_COLUMNS: Mapping[str, Any] = {
    "marker": pl.String, "chromosome": pl.String, "position": pl.Int64, "allele1": pl.String, "allele2": pl.String,
    "frequency": pl.Float64, "term": pl.String, "trait": pl.String, "effect": pl.String, "estimate": pl.Float64,
    "variance": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class MarkerEffects:
    """Effects of m markers on c traits or effects of a random term, with all that a prediction from them needs.

    Attributes
    ----------
    markers
        m rows: marker, chromosome, position, allele1 (the counted allele), allele2.
    centre
        What the evaluation took from the copies of ``allele1`` (m): twice a frequency, that of ``made``.
    scale
        What it multiplied the difference by (m).
    frequency
        Of ``allele1`` among the genotyped animals of the evaluation (m).
    estimates
        m × c: effect of one copy of ``allele1``.
    coordinates
        Trait and effect of each column.
    term
        Key of the random term.
    intercept
        a(1'w) by column (c): what tuning of G gives every genotyped animal.
    base
        What another base has taken off the breeding values, by column (c); predictions are on it too.
    variances
        σ², the diagonal of G₀ (c).
    constant
        a.
    unexplained
        Part of the diagonal of G, in units of σ², that is neither of the markers nor a: β and the mean of d. Predictions from
        markers know nothing of it.
    factor
        What reliabilities of predictions are computed from; None where there is none.
    made
        How G, the effects and the factor were made, one statement an entry.
    """

    markers: pl.DataFrame
    centre: _Array
    scale: _Array
    frequency: _Array
    estimates: _Array
    coordinates: tuple[tuple[str, str], ...]
    term: str
    intercept: _Array
    base: _Array
    variances: _Array
    constant: float
    unexplained: float
    factor: ReliabilityFactor | None
    made: tuple[str, ...]

    def __post_init__(self) -> None:
        for array in (
            self.centre, self.scale, self.frequency, self.estimates, self.intercept, self.base, self.variances
        ):  # fmt: skip
            array.flags.writeable = False

    def __len__(self) -> int:
        return self.markers.height

    @property
    def digest(self) -> str:
        """SHA-256 of names and alleles of the markers, in their order."""
        return list_digest(self.markers)

    @property
    def variance(self) -> _Array:
        """2p(1 - p)â² of each effect (m × c), p among the genotyped animals of the evaluation."""
        p = self.frequency
        return np.asarray((2.0 * p * (1.0 - p))[:, None] * self.estimates**2)

    @property
    def table(self) -> pl.DataFrame:
        """A row for each marker and each trait or effect: ``estimate`` per copy of ``allele1``, ``variance`` 2p(1 - p)â²."""
        tables = []
        for k, (trait, effect) in enumerate(self.coordinates):
            columns = {"frequency": self.frequency, "estimate": self.estimates[:, k], "variance": self.variance[:, k]}
            series = [pl.Series(name, np.ascontiguousarray(values)) for name, values in columns.items()]
            names = {"term": self.term, "trait": trait, "effect": effect}
            tables.append(self.markers.with_columns(series, **{name: pl.lit(text) for name, text in names.items()}))
        return pl.concat(tables).select(list(EFFECT_COLUMNS))

    def __repr__(self) -> str:
        of = ", ".join(column_names(self.coordinates))
        known = "none" if self.factor is None else repr(self.factor)
        return "\n".join(
            [
                f"Effects of {counted(len(self), 'marker')} on {of} ({self.term})",
                f"  digest       {self.digest[:16]}",
                f"  reliability  {known}",
                *(f"  made         {statement}" for statement in self.made[:1]),
                *([f"  and {counted(len(self.made) - 1, 'more statement')} in .made"] if len(self.made) > 1 else []),
            ]
        )


def refuse_other_than_effects(value: object, function: str) -> None:
    """`ModelError` unless a value that a function was given is `MarkerEffects`; a path is told how to be read."""
    if isinstance(value, MarkerEffects):
        return
    path = fspath(value) if isinstance(value, str | PathLike) else None
    found = f"a {type(value).__name__}" if path is None else f"the path {path!r}"
    call = "marker_effects(evaluation)" if path is None else f"read_marker_effects({path!r})"
    raise ModelError(f"{function} takes effects of markers, found {found} -> make them first, with {call}")


def column_names(coordinates: Sequence[tuple[str, str]]) -> list[str]:
    """Names for people of pairs of trait and effect: the effect where not all are direct ones."""
    plain = all(effect in ("", "direct") for _, effect in coordinates)
    return [trait if plain else f"{trait} {effect}" for trait, effect in coordinates]


def list_digest(markers: pl.DataFrame) -> str:
    """SHA-256 of names and alleles of a table of markers, in its order, in hexadecimal digits."""
    lines = markers.select(pl.concat_str(pl.col("marker", "allele1", "allele2").fill_null(""), separator="\t"))
    return hashlib.sha256("\n".join(lines.to_series()).encode()).hexdigest()


def marker_effects(evaluation: Evaluation, term: str | None = None) -> MarkerEffects:
    """Effects of the markers of a genomic or single-step evaluation.

    Parameters
    ----------
    evaluation
        With a random term whose relationship rests on genotypes.
    term
        Key of that term; None where there is one only.

    Raises
    ------
    ModelError
        If it is no evaluation, there is no such term, or G is not made of copies of an allele (dominance).

    Notes
    -----
    Effects are per copy of the counted allele, whatever the method and weights of G: the best linear unbiased predictions in the
    model g ~ N(0, σ²S²), S the scales of Z.
    """
    if not isinstance(evaluation, Evaluation):
        raise ModelError(
            f"marker_effects takes an evaluation, found a {type(evaluation).__name__} -> evaluate first; stored effects are "
            "read by read_marker_effects"
        )
    found, part = genomic_term((one.term for one in evaluation.effects.values()), term)
    key = found.name
    matrix, dual = part.matrix, evaluation.duals[key]
    coordinates = tuple((one.trait, one.effect) for one in found.coordinates)
    base = [evaluation.subtracted.get((key, *pair), 0.0) for pair in coordinates]
    z = matrix.z
    return MarkerEffects(
        markers=z.genotypes.markers,
        centre=z.centre.copy(),
        scale=z.scale.copy(),
        frequency=z.genotypes.frequencies.copy(),
        estimates=z.scale[:, None] * z.multiply_transposed(dual),
        coordinates=coordinates,
        term=key,
        intercept=matrix.constant * dual.sum(axis=0),
        base=np.array(base),
        variances=evaluation.effects[key].covariance.diagonal().copy(),
        constant=float(matrix.constant),
        unexplained=_unexplained(matrix),
        factor=None,
        made=(*matrix.made, *_how(part), *_agreement(part, dual, evaluation.effects[key].solutions)),
    )


def genomic_term(terms: Iterable[DesignTerm], name: str | None) -> tuple[DesignTerm, GenomicPart]:
    """The random term of that name that rests on genotypes, the only one where no name is given, and its G.

    Raises
    ------
    ModelError
        If there is no such term, it is not clear which is meant, or G is not of copies of an allele.
    """
    parts = {
        term.name: (term, term.relationship.genomic)
        for term in terms
        if term.relationship is not None and term.relationship.genomic is not None
    }
    if name is None and len(parts) > 1:
        raise ModelError(f"several random terms rest on genotypes: {name_some(parts)} -> name one, term=...")
    key = next(iter(parts), None) if name is None else name
    if key is None or key not in parts:
        asked = "" if key is None else f" {key!r}{nearest(key, list(parts))}"
        known = name_some(parts) if parts else "none"
        raise ModelError(
            f"no random term{asked} rests on genotypes (those that do: {known}) -> evaluate with g_inverse or h_inverse"
        )
    found, part = parts[key]
    if type(part.matrix.z) is not CentredGenotypes:
        raise ModelError(
            f"the G of {key!r} is not made of copies of an allele -> its markers have no effects of one copy"
        )
    return found, part


def refuse_other_than_g(term: DesignTerm, part: GenomicPart, why: str, form: str) -> None:
    """`ModelError`, with the reason, unless K among the genotyped animals is G, as one product tells, without groups."""
    relationship = term.relationship
    assert relationship is not None
    if relationship.plain_groups:
        raise ModelError(
            f"{why}, and {term.name!r} has groups of unknown parents beside G -> take metafounders, or no groups"
        )
    v = np.random.default_rng(1).standard_normal((len(part.matrix), 1))
    everywhere = np.zeros((len(relationship), 1))
    everywhere[part.rows] = v
    expected = part.matrix.multiply(v)
    difference = np.abs(relationship.multiply(everywhere)[part.rows] - expected).max()
    if difference > NOT_G * np.abs(expected).max():
        raise ModelError(
            f"{why}, and the relationships of {term.name!r} among the genotyped animals are not G (form {part.form!r}, "
            f"τ = {part.tau:g}) -> make K⁻¹ in the form {form}"
        )


def _unexplained(matrix: GenomicMatrix) -> float:
    """β + mean of d."""
    share = 0.0 if matrix.blended is None else float(matrix.share)
    return share + (0.0 if matrix.added is None else float(matrix.added.mean()))


def _agreement(part: GenomicPart, dual: NDArray[np.float64], solutions: NDArray[np.float64]) -> tuple[str, ...]:
    """How near G w comes to the breeding values of the genotyped: they differ with APY, with τ, ω, and full group equations."""
    again, given = part.matrix.multiply(np.ascontiguousarray(dual)), solutions[part.rows]
    largest, size = np.abs(again - given).max(axis=0), given.std(axis=0)
    apart = largest > SAME * np.maximum(size, np.abs(given).max(axis=0))
    if not apart.any():
        return ()
    centred = [values - values.mean(axis=0) for values in (again, given)]
    lengths = [np.sqrt(np.square(values).sum(axis=0)) for values in centred]
    alike = (centred[0] * centred[1]).sum(axis=0) / np.maximum(lengths[0] * lengths[1], np.finfo(float).tiny)
    of_sd = (largest / np.maximum(size, np.finfo(float).tiny)).max()
    return (
        "what effects and residual part give the genotyped animals is not what the evaluation gave them: correlation "
        f"{alike[apart].min():.4f}, largest difference {of_sd:.3g} standard deviations of their breeding values (K among them is "
        "not G: APY, τ or ω other than 1; or groups of unknown parents stand beside G, of which effects know nothing)",
    )


def _how(part: GenomicPart) -> tuple[str, ...]:
    """What a user of the effects has to know of their evaluation."""
    said = [f"effects solved back from {len(part.matrix):,} genotyped animals, form {part.form!r}"]
    if part.tau != 1.0:
        said.append(f"K⁻¹ holds τG⁻¹, τ = {part.tau:g}: breeding values were not predicted with G itself")
    rest = _unexplained(part.matrix)
    if rest:
        said.append(f"{rest:.4g} of the genetic variance is not of the markers: predictions from markers leave it out")
    return tuple(said)
