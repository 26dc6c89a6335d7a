"""From a table with text ids to coded parents, with every offender named on the way."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from breedblup.errors import PedigreeError, counted, name_some, nearest
from breedblup.frames import MISSING_VALUES, Table, positions
from breedblup.pedigree import checks
from breedblup.pedigree.rules import REPAIR_COLUMNS, SHOWN, Finding, Findings, PedigreeReport, PedigreeRules

MISSING_PARENTS = ("", "0", "NA", ".")
"""Codes of an unknown parent unless others are declared. No animal may bear one."""

LOOKS_MISSING = (
    "nan", "none", "null", "na", "n/a", "nil", "unknown", "unk", "missing", "?", "-", "--", "-1", "-9", "-99", "-999", "00",
    "0.0",
)  # fmt: skip
"""Ids of parents that are more likely codes than animals."""

RECOGNISED = {
    "id": ("id", "animal", "animal_id", "ident"),
    "sire": ("sire", "sire_id", "father"),
    "dam": ("dam", "dam_id", "mother"),
    "sex": ("sex", "gender"),
    "birth": ("birth", "born", "birth_date", "birthdate", "date_of_birth", "dob", "birth_year", "year_of_birth", "yob"),
}

SEX_CODES = {"m": 1, "male": 1, "1": 1, "f": 2, "female": 2, "2": 2, "0": 0, "u": 0, "unknown": 0}


@dataclass(frozen=True, slots=True)
class PedigreeColumns:
    """Names of the columns; None is recognised from the header (case does not matter).

    ``maternal_grandsire`` stands in the place of ``dam``: it makes a pedigree of sires, whose dams are unknown.
    """

    id: str | None = None
    sire: str | None = None
    dam: str | None = None
    sex: str | None = None
    birth: str | None = None
    maternal_grandsire: str | None = None

    @property
    def of_sires(self) -> bool:
        """Whether dams are unknown and maternal grandsires known."""
        return self.maternal_grandsire is not None


@dataclass(frozen=True, slots=True)
class CodedPedigree:
    """Animals parents first, with what `Pedigree` holds of them."""

    ids: pl.Series
    sire: NDArray[np.int32]
    dam: NDArray[np.int32]
    user_order: NDArray[np.int32]
    sex: NDArray[np.int8] | None
    birth: pl.Series | None
    report: PedigreeReport


def _find_columns(table: Table, columns: PedigreeColumns) -> dict[str, str]:
    """Role -> column name; id, sire and dam (the maternal grandsire in a pedigree of sires) are needed."""
    found: dict[str, str] = {}
    if columns.of_sires:
        if columns.dam is not None:
            raise PedigreeError(
                f"{table.name}: dam {columns.dam!r} and maternal grandsire {columns.maternal_grandsire!r} are both named "
                "-> name one of them"
            )
        columns = replace(columns, dam=columns.maternal_grandsire, maternal_grandsire=None)
    for role in fields(columns):
        if role.name not in RECOGNISED:
            continue
        named = getattr(columns, role.name)
        if named is not None:
            if named not in table.frame.columns:
                raise PedigreeError(
                    f"{table.name} has no column {named!r} for the {role.name}{nearest(named, table.frame.columns)} "
                    f"(its columns: {name_some(table.frame.columns)})"
                )
            found[role.name] = named
            continue
        fitting = [name for name in table.frame.columns if name.lower() in RECOGNISED[role.name]]
        if len(fitting) > 1:
            raise PedigreeError(
                f"{table.name}: columns {name_some(fitting)} could all be the {role.name} -> name the column"
            )
        if fitting:
            found[role.name] = fitting[0]
    lacking = [role for role in ("id", "sire", "dam") if role not in found]
    if lacking:
        wanted = ", ".join(f"{role} ({' or '.join(RECOGNISED[role][:2])})" for role in lacking)
        raise PedigreeError(
            f"{table.name}: no column found for {wanted}; the first line reads {name_some(table.frame.columns)} "
            "-> add a header line, or name the columns"
        )
    return found


def _sexes(table: Table, column: str) -> pl.Series:
    """0 unknown, 1 male, 2 female."""
    text = table.text(column).str.strip_chars().str.to_lowercase()
    text = text.set(text.is_in([code.lower() for code in MISSING_VALUES]), None)
    codes = text.replace_strict(SEX_CODES, default=None, return_dtype=pl.Int8)
    wrong = (codes.is_null() & text.is_not_null()).arg_true()
    if len(wrong):
        raise PedigreeError(
            f"{table.places(wrong.to_numpy())}: sex {table.text(column)[int(wrong[0])]!r} is not understood; "
            "write M or F (or male, female, 1, 2; 0 or U where it is unknown)"
        )
    return codes.fill_null(0)


def _births(table: Table, column: str) -> pl.Series:
    """Birth as dates, or as years where no dates are given."""
    series = table.column(column)
    if series.dtype in (pl.Date, pl.Datetime):
        return series.cast(pl.Date)
    text = table.text(column).str.strip_chars()
    text = text.set(text.is_in([*MISSING_VALUES, "0"]), None)
    years = text.str.contains(r"^\d{4}$").fill_null(True)
    if years.all():
        return text.cast(pl.Int32)
    dates = text.str.to_date("%Y-%m-%d", strict=False)
    wrong = (dates.is_null() & text.is_not_null()).arg_true()
    if len(wrong):
        raise PedigreeError(
            f"{table.places(wrong.to_numpy())}: birth {text[int(wrong[0])]!r} is not a date like 2019-03-28; "
            "write all births as such dates, or all as years of four digits"
        )
    return dates


def _read_columns(table: Table, columns: PedigreeColumns, missing: tuple[str, ...]) -> pl.DataFrame:
    """Columns id, sire, dam, row, and sex and birth where there are any; refuses rows without a proper id."""
    found = _find_columns(table, columns)
    ids = table.text(found["id"])
    nameless = ids.is_null().arg_true().to_numpy()
    if nameless.size:
        raise PedigreeError(f"{table.places(nameless)}: the animal has no id -> give it one, or remove the row")
    bearing = ids.is_in(missing).arg_true().to_numpy()
    if bearing.size:
        raise PedigreeError(
            f"{table.places(bearing)}: an animal is called {ids[int(bearing[0])]!r}, which is declared as a code of a "
            f"missing parent -> rename the animal, or declare other missing codes (now {', '.join(map(repr, missing))})"
        )
    series = {"id": ids}
    for role in ("sire", "dam"):
        text = table.text(found[role])
        series[role] = text.set(text.is_in(missing), None)
    if "sex" in found:
        series["sex"] = _sexes(table, found["sex"])
    if "birth" in found:
        series["birth"] = _births(table, found["birth"])
    return pl.DataFrame(series).with_row_index("row")


def _merge_duplicates(table: Table, rows: pl.DataFrame, findings: Findings) -> pl.DataFrame:
    """One row for each animal: identical rows merged and counted, conflicting ones refused or emptied where they differ."""
    if rows["id"].n_unique() == rows.height:
        return rows
    repeated = rows.filter(pl.col("id").is_duplicated())
    details = [name for name in rows.columns if name not in ("row", "id")]
    groups = repeated.group_by("id", maintain_order=True).agg(
        pl.col("row"), *[(pl.col(name).n_unique() > 1).alias(name) for name in details]
    )
    conflicting = groups.filter(pl.any_horizontal(details))
    same = groups.filter(~pl.any_horizontal(details))
    if same.height:
        identical = sum(len(lines) - 1 for lines in same["row"])
        line = (
            f"identical duplicates: {counted(identical, 'row')} beyond the first of {counted(same.height, 'animal')} "
            f"left out ({name_some(same['id'].to_list())})"
        )
        if findings.rules.identical_duplicate == "error":
            findings.errors.append(f"{line} -> remove the repeated rows, or set rule identical_duplicate to 'warn'")
        else:
            findings.warnings.append(line)
    if conflicting.height:
        rows = _settle_conflicts(table, rows, conflicting, details, findings)
    return rows.unique("id", keep="first", maintain_order=True)


def _settle_conflicts(
    table: Table, rows: pl.DataFrame, conflicting: pl.DataFrame, details: list[str], findings: Findings
) -> pl.DataFrame:
    """Refuse rows of one animal that differ, showing them; or empty what differs and list it."""
    shown = []
    for group in conflicting.head(SHOWN).iter_rows(named=True):
        lines = []
        for row in group["row"][:SHOWN]:
            said = ", ".join(f"{name} {rows[name][row]!r}" for name in details if group[name])
            lines.append(f"{table.where(row)} says {said}")
        shown.append(f"animal {group['id']!r}: {' but '.join(lines)}")
    finding = Finding(
        "conflicting_duplicate", "conflicting duplicates", tuple(shown), conflicting.height,
        np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int8), "keep one row of each",
    )  # fmt: skip
    if findings.rules.conflicting_duplicate == "error":
        findings.refuse(finding)
        return rows
    emptied = []
    for group in conflicting.iter_rows(named=True):
        for role in ("sire", "dam"):
            if group[role]:
                for row in group["row"]:
                    emptied.append((group["id"], role, rows[role][row], finding.rule, table.where(row)))
    findings.repairs.append(pl.DataFrame(emptied, schema=REPAIR_COLUMNS, orient="row"))
    findings.warnings.append(f"{finding.line()} [what differs set missing]")
    return rows.with_columns(
        pl.when(pl.col("id").is_in(conflicting.filter(pl.col(name))["id"].implode())).then(None).otherwise(pl.col(name))
        .alias(name) for name in details
    )  # fmt: skip


def code_pedigree(
    table: Table, columns: PedigreeColumns, missing: tuple[str, ...], rules: PedigreeRules
) -> CodedPedigree:
    """Read, check, code and order a pedigree; raises one `PedigreeError` that lists all that is wrong."""
    read = _read_columns(table, columns, missing)
    if read.is_empty():
        raise PedigreeError(f"{table.name}: no animals below the header -> give at least one row")
    findings = Findings(rules)
    rows = _merge_duplicates(table, read, findings)
    added, sire, dam = _code_parents(rows, findings)
    ids = pl.concat([rows["id"], added.rename("id")])

    def where(animal: int) -> str:
        return table.where(int(rows["row"][animal])) if animal < rows.height else "(no row of its own)"

    sex = birth = None
    findings.settle(checks.own_parents(ids, (sire, dam), where), ids, (sire, dam), where)
    if not columns.of_sires:
        findings.settle(checks.double_roles(ids, (sire, dam), where), ids, (sire, dam), where)
    if "sex" in rows.columns:
        sex = np.concatenate([rows["sex"].fill_null(0).to_numpy(), np.zeros(len(added), dtype=np.int8)])
        roles = (sire, np.full_like(dam, -1)) if columns.of_sires else (sire, dam)
        findings.settle(checks.sex_against_role(ids, roles, where, sex), ids, (sire, dam), where)
    if "birth" in rows.columns:
        birth = rows["birth"].extend(pl.Series([None] * len(added), dtype=rows["birth"].dtype))
        findings.settle(checks.born_after(ids, (sire, dam), where, birth), ids, (sire, dam), where)
    if rules.own_parent == "error":  # an own parent is refused under its own name, not as a loop of one
        own = np.arange(len(ids), dtype=np.int32)
        links = (np.where(sire == own, -1, sire), np.where(dam == own, -1, dam))
    else:
        links = (sire, dam)
    loops, order = checks.loops_and_order(ids, links, where)
    findings.settle(loops, ids, (sire, dam), where)
    if findings.errors:
        raise PedigreeError(f"{table.name}: " + "\n".join(findings.errors))
    return _in_order(ids, sire, dam, order, sex, birth, findings, (read.height, rows.height, len(added)))


def _code_parents(rows: pl.DataFrame, findings: Findings) -> tuple[pl.Series, NDArray[np.int32], NDArray[np.int32]]:
    """Parents without a row of their own, in the order in which they are met, and sire and dam of all animals, coded."""
    ids = rows["id"]
    parents = pl.concat([rows["sire"], rows["dam"]])
    codes = positions(parents, ids)
    rowless = pl.Series(codes < 0) & parents.is_not_null()
    added = parents.filter(rowless).unique(maintain_order=True)
    if len(added):
        codes[rowless.to_numpy()] = rows.height + positions(parents.filter(rowless), added)
        _warn_of_spaces(ids, added, findings)
        _warn_of_codes(added, findings)
    unknown = np.full(len(added), -1, dtype=np.int32)
    sire, dam = (np.concatenate([role, unknown]) for role in np.split(codes, 2))
    return added, sire, dam


def _warn_of_codes(added: pl.Series, findings: Findings) -> None:
    """Parents without a row of their own whose id looks like a code of an unknown parent."""
    codes = added.filter(added.str.strip_chars().str.to_lowercase().is_in(LOOKS_MISSING))
    if len(codes):
        findings.warnings.append(
            f"{name_some(codes.to_list())} in the parent columns is taken as an animal; if it means an unknown parent, "
            "declare it among the missing parents"
        )


def _warn_of_spaces(ids: pl.Series, added: pl.Series, findings: Findings) -> None:
    """Parents that became founders although an animal has their id but for spaces around it."""
    spaced = added.filter(added.str.strip_chars() != added)
    padded = spaced.filter(pl.Series(positions(spaced.str.strip_chars(), ids) >= 0, dtype=pl.Boolean))
    if len(padded):
        findings.warnings.append(
            f"{counted(len(padded), 'parent id')} spelled like that of an animal but for spaces, taken as another animal: "
            f"{name_some(padded.to_list())}"
        )


def _in_order(
    ids: pl.Series,
    sire: NDArray[np.int32],
    dam: NDArray[np.int32],
    order: NDArray[np.int32],
    sex: NDArray[np.int8] | None,
    birth: pl.Series | None,
    findings: Findings,
    counts: tuple[int, int, int],
) -> CodedPedigree:
    """Animals in the order parents first, and where the user's rows went."""
    new = np.empty(order.size, dtype=np.int32)
    new[order] = np.arange(order.size, dtype=np.int32)
    sire, dam = (np.where(p[order] >= 0, new[p[order]], np.int32(-1)) for p in (sire, dam))
    read, own_rows, added = counts
    report = PedigreeReport(
        rows=read,
        animals=len(ids),
        founders=int(np.count_nonzero((sire < 0) & (dam < 0))),
        merged_rows=read - own_rows,
        added_parents=added,
        warnings=tuple(findings.warnings),
        repairs=findings.repair_table(),
    )
    return CodedPedigree(
        ids=ids.gather(order),
        sire=sire,
        dam=dam,
        user_order=new,
        sex=None if sex is None else sex[order],
        birth=None if birth is None else birth.gather(order),
        report=report,
    )
