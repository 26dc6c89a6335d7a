"""Markers of some genotypes against a list that is kept: which are there, and whether they count the same allele."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import GenotypeError, ModelError, counted, name_some
from breedblup.frames import as_table, positions
from breedblup.genotypes.genotypes import Genotypes, refuse_other_than_genotypes
from breedblup.genotypes.markers import complete_markers, refuse_duplicates

Flips: TypeAlias = Literal["repair", "refuse"]

Palindromes: TypeAlias = Literal["refuse", "as_written"]

UnknownAlleles: TypeAlias = Literal["refuse", "as_written"]

_COMPLEMENT = {"A": "T", "T": "A", "C": "G", "G": "C"}

PROBLEM_COLUMNS = {"marker": pl.String, "problem": pl.String, "wanted": pl.String, "found": pl.String}


@dataclass(frozen=True, repr=False)
class MarkerMatch:
    """Where the markers of a list are among those of some genotypes.

    Attributes
    ----------
    position
        Number of each marker of the list among those of the genotypes; -1 where it is lacking.
    swapped
        Whether the genotypes count the other allele of it, so that 2 - x is to be used.
    table
        A row for each marker that is not simply the same: marker, problem (`lacking`; `swapped`; `strand`, complementary
        letters; `swapped, strand`; `unchecked`, an allele that would tell is not known), wanted and found (alleles 1/2).
    """

    position: NDArray[np.int64]
    swapped: NDArray[np.bool_]
    table: pl.DataFrame

    def __post_init__(self) -> None:
        for array in (self.position, self.swapped):
            array.flags.writeable = False

    @property
    def lacking(self) -> list[str]:
        """Names of markers that the genotypes do not have."""
        return self.table.filter(problem="lacking")["marker"].to_list()

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each kind of problem, with the number of markers."""
        numbers = self.table.group_by("problem", maintain_order=True).len().sort("problem").iter_rows()
        return tuple(_WORDS[problem].format(counted(number, "marker")) for problem, number in numbers)

    def __repr__(self) -> str:
        """How many markers of the list were found, and the notes."""
        lines = [f"{(self.position >= 0).sum():,} of {counted(self.position.size, 'marker')} found"]
        return "\n  ".join([*lines, *self.notes])


_WORDS = {
    "lacking": "{} lacking",
    "swapped": "{} with allele1 and allele2 exchanged, repaired",
    "strand": "{} read from the other strand, taken as the same",
    "swapped, strand": "{} read from the other strand with the alleles exchanged, repaired",
    "unchecked": 'alleles of {} are not known: exchanged ones are not seen; of text a map tells them, markers="map.csv"',
}


def match_markers(
    genotypes: Genotypes,
    wanted: Any,
    *,
    flips: Flips = "repair",
    palindromes: Palindromes = "refuse",
    unknown_alleles: UnknownAlleles = "refuse",
) -> MarkerMatch:
    """Find the markers of a list by name, and compare their alleles.

    Parameters
    ----------
    wanted
        Table of markers with their alleles, in any data frame, such as `Genotypes.markers` of those that effects were estimated
        from.
    flips
        Whether exchanged alleles and complementary letters (A/G against T/C) are repaired or refused.
    palindromes
        Exchanged alleles of an A/T or C/G marker may mean the other allele or the other strand. They are refused, unless
        ``"as_written"`` says that all is read from one strand. Where other markers come from the other strand, every such
        marker is in doubt.
    unknown_alleles
        Where alleles are known of no marker that both have, exchanged ones cannot be seen. That is refused, unless
        ``"as_written"`` says that both count the same ones; where they are known of some, `MarkerMatch.notes` counts the others.

    Raises
    ------
    InputError
        If the list is no table.
    GenotypeError
        If no marker of the list is there; if alleles contradict each other, have to be repaired and must not be, or are not
        known.
    ModelError
        If an option is not one of its values.
    """
    refuse_other_than_genotypes(genotypes, "match_markers")
    refuse_other_choices(
        flips=(flips, ("repair", "refuse")), palindromes=(palindromes, ("refuse", "as_written")),
        unknown_alleles=(unknown_alleles, ("refuse", "as_written")),
    )  # fmt: skip
    list_name = f"{genotypes.source}, list of markers"
    table = complete_markers(as_table(wanted, "list of markers").frame, list_name)
    refuse_duplicates(table["marker"], "marker", f"{list_name},", None, "name each marker once")
    position = positions(table["marker"], genotypes.markers["marker"]).astype(np.int64)
    if not (position >= 0).any():
        raise GenotypeError(
            f"{genotypes.source}: none of the {counted(table.height, 'marker')} of the list, such as "
            f"{name_some(table['marker'].to_list(), 3)} -> were these genotypes made with other names of markers?"
        )
    found = genotypes.markers.select("allele1", "allele2")[np.maximum(position, 0)]
    kind = _kinds(table, found)
    kind[position < 0] = "lacking"
    strands = bool(np.isin(kind, ["strand", "swapped, strand"]).any())
    palindrome = _palindromes(table) & (position >= 0)
    in_doubt = palindrome & ((kind == "swapped") | strands)
    problems = pl.DataFrame(
        {
            "marker": table["marker"],
            "problem": pl.Series(kind, dtype=pl.String),
            "wanted": _written(table),
            "found": _written(found).zip_with(pl.Series(position >= 0), pl.Series([None], dtype=pl.String)),
        },
        schema=PROBLEM_COLUMNS,
    )
    _refuse_contradictions(genotypes.source, problems)
    if unknown_alleles == "refuse":
        _refuse_unknown(genotypes.source, table.filter(pl.Series(position >= 0)), kind)
    if flips == "refuse":
        _refuse_flips(genotypes.source, problems)
    if palindromes == "refuse" and in_doubt.any():
        _refuse_palindromes(genotypes.source, problems.filter(pl.Series(in_doubt)))
    swapped = np.isin(kind, ["swapped", "swapped, strand"])
    return MarkerMatch(position, swapped, problems.filter(pl.col("problem") != "same"))


def refuse_other_choices(**given: tuple[str, tuple[str, ...]]) -> None:
    """`ModelError` where an option is not one of its values."""
    for name, (value, allowed) in given.items():
        if value not in allowed:
            raise ModelError(f"{name} is {value!r}; it can be {' or '.join(map(repr, allowed))}")


def _kinds(wanted: pl.DataFrame, found: pl.DataFrame) -> NDArray[np.object_]:
    """How the alleles of each marker agree: the first of the ways in which most of the known ones do."""
    w1, w2, f1, f2 = (
        frame[name].str.to_uppercase().fill_null("").to_numpy().astype(object)
        for frame in (wanted, found)
        for name in ("allele1", "allele2")
    )
    c1, c2 = (_complements(f) for f in (f1, f2))
    ways = {"same": (f1, f2), "swapped": (f2, f1), "strand": (c1, c2), "swapped, strand": (c2, c1)}
    kind = np.full(len(w1), "contradiction", dtype=object)
    most = np.full(len(w1), -1)
    for way, (first, second) in ways.items():
        possible, agreeing = np.ones(len(w1), dtype=bool), np.zeros(len(w1), dtype=np.int64)
        for w, f in ((w1, first), (w2, second)):
            known = (w != "") & (f != "")
            possible &= ~known | (w == f)
            agreeing += known
        better = possible & (agreeing > most)
        kind[better], most[better] = way, agreeing[better]
    kind[(most == 0) & (kind != "contradiction")] = "unchecked"
    return kind


def _complements(alleles: NDArray[np.object_]) -> NDArray[np.object_]:
    """Letters of the other strand; what has none agrees with nothing."""
    return np.array([_COMPLEMENT.get(allele, "" if allele == "" else "?") for allele in alleles], dtype=object)


def _palindromes(markers: pl.DataFrame) -> NDArray[np.bool_]:
    alleles = (pl.col("allele1") + pl.col("allele2")).str.to_uppercase()
    return markers.select(alleles.is_in(["AT", "TA", "CG", "GC"]).fill_null(False)).to_series().to_numpy()


def _written(markers: pl.DataFrame) -> pl.Series:
    """Alleles as ``A/G``, ``?`` for one that is not known."""
    return markers.select(pl.col("allele1").fill_null("?") + "/" + pl.col("allele2").fill_null("?")).to_series()


def _shown(problems: pl.DataFrame) -> str:
    rows = problems.select("marker", "found", "wanted").iter_rows()
    return name_some([f"{marker} ({found} for {wanted})" for marker, found, wanted in rows], 5).replace("'", "")


def _refuse_contradictions(source: str, problems: pl.DataFrame) -> None:
    wrong = problems.filter(problem="contradiction")
    if wrong.height:
        raise GenotypeError(
            f"{source}: other alleles than the list has at {counted(wrong.height, 'marker')}: {_shown(wrong)} -> they are "
            "other markers of these names; correct the names, or leave these markers out"
        )


def _refuse_unknown(source: str, wanted: pl.DataFrame, kind: NDArray[np.object_]) -> None:
    """`GenotypeError` where no allele of any marker could be compared."""
    if not np.isin(kind, ["unchecked", "lacking"]).all():
        return
    listed = wanted.select("allele1", "allele2").null_count().row(0) != (wanted.height, wanted.height)
    advice = (
        'read the genotypes with a map of alleles, markers="map.csv"' if listed else "take effects of known alleles"
    )
    raise GenotypeError(
        f"{source}: alleles of {counted(wanted.height, 'marker')} are not known, so that exchanged ones would not be seen -> "
        f'{advice}, or say that the same alleles are counted with unknown_alleles="as_written"'
    )


def _refuse_flips(source: str, problems: pl.DataFrame) -> None:
    wrong = problems.filter(pl.col("problem").is_in(["swapped", "strand", "swapped, strand"]))
    if wrong.height:
        raise GenotypeError(
            f"{source}: alleles exchanged or read from the other strand at {counted(wrong.height, 'marker')}: "
            f'{_shown(wrong)} -> mend the file, or allow flips="repair"'
        )


def _refuse_palindromes(source: str, wrong: pl.DataFrame) -> None:
    raise GenotypeError(
        f"{source}: {counted(wrong.height, 'marker')} with alleles A/T or C/G may count the other allele or come from the "
        f"other strand: {_shown(wrong)} -> leave them out, or say that all is read from one strand with "
        'palindromes="as_written"'
    )
