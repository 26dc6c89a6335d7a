"""Files of genotypes: what is written is read back, byte for byte where the format has one way; what is damaged is refused."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import cyvcf2
import numpy as np
import polars as pl
import pytest
from conftest import REFS

from breedblup.errors import BreedblupError, GenotypeError, InputError, PublishError, ResourceError
from breedblup.genotypes import Genotypes
from breedblup.genotypes.calls import packed_calls
from breedblup.io.genotypes import read_fam, read_genotypes, read_marker_map, read_plink, write_genotypes, write_plink

PATHOLOGICAL = REFS / "pathological"

MARKERS = pl.DataFrame(
    {
        "marker": ["rs1", "rs2", "rs3"],
        "chromosome": ["1", "1", "X"],
        "position": [100, 250, 7],
        "allele1": ["A", "C", None],
        "allele2": ["G", "T", "G"],
    }
)

CALLS = np.array([[0, 1, 0], [2, -1, 0], [1, 1, -1], [0, 2, 0], [2, 0, 0]], dtype=np.int8)

BED = b"\x6c\x1b\x01" + bytes([0b11_10_00_11, 0b00, 0b00_10_01_10, 0b11, 0b11_01_11_11, 0b11])
"""`CALLS` by hand: 00 two copies, 01 missing, 10 one copy, 11 none, the first animal in the lowest bits."""

BIM = "1\trs1\t0\t100\tA\tG\n1\trs2\t0\t250\tC\tT\nX\trs3\t0\t7\t0\tG\n"

FAM = "f1 a 0 0 1 -9\nf1 b 0 0 2 -9\nf1 c a b 0 -9\nf2 d a b 1 3.5\nf2 e d 0 2 -9\n"

IDS = ["a", "b", "c", "d", "e"]


@pytest.fixture
def genotypes() -> Genotypes:
    return Genotypes.from_calls(CALLS, IDS, MARKERS, source="toy")


@pytest.fixture
def bed(tmp_path: Path) -> Path:
    """The three files, written by hand."""
    (tmp_path / "toy.bed").write_bytes(BED)
    (tmp_path / "toy.bim").write_text(BIM, encoding="utf-8")
    (tmp_path / "toy.fam").write_text(FAM, encoding="utf-8")
    return tmp_path / "toy.bed"


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def assert_same(found: Genotypes, wanted: Genotypes) -> None:
    assert found.ids.equals(wanted.ids)
    assert found.markers.equals(wanted.markers)
    assert (found.calls() == wanted.calls()).all()


# --- PLINK ------------------------------------------------------------------------------------------------------------


def test_plink_files_are_mapped(bed: Path, genotypes: Genotypes) -> None:
    for path in (bed, bed.with_suffix(""), str(bed.with_suffix(".fam"))):
        found = read_plink(path)
        assert_same(found, genotypes)
        assert found.source == "toy.bed"
        assert found.location == f"mapped from {bed}"
        assert found.of_animals(["e"]).at_markers(["rs2"]).location == found.location
        assert not found.packed.flags.writeable
    assert_same(read_genotypes(bed), genotypes)
    assert_same(read_genotypes(bed.with_suffix("")), genotypes)
    assert_same(read_plink(bed.with_suffix(""), fam=bed.with_suffix(".fam")), genotypes)


def test_opening_costs_no_memory_for_calls(tmp_path: Path) -> None:
    n, m = 4_000, 40_000
    text(tmp_path / "large.fam", "".join(f"0 {i} 0 0 0 -9\n" for i in range(n)))
    text(tmp_path / "large.bim", "".join(f"1 s{j} 0 {j + 1} A G\n" for j in range(m)))
    with (tmp_path / "large.bed").open("wb") as file:
        file.write(b"\x6c\x1b\x01")
        file.truncate(3 + m * n // 4)
    tracemalloc.start()
    genotypes = read_plink(tmp_path / "large.bed")
    part = genotypes.of_animals(genotypes.ids[::2]).at_markers(np.arange(0, m, 2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert part.packed is genotypes.packed
    assert genotypes.packed.nbytes == m * n // 4 > 4 * peak


def test_animals_of_a_fam(bed: Path) -> None:
    frame = read_fam(bed)
    assert frame.columns == ["family", "id", "sire", "dam", "sex", "phenotype"]
    assert frame["sex"].to_list() == ["M", "F", None, "M", "F"]
    assert frame["sire"].to_list() == [None, None, "a", "a", "d"]
    assert frame["phenotype"].to_list() == ["-9", "-9", "-9", "3.5", "-9"]


def test_written_plink_is_that_by_hand(tmp_path: Path, bed: Path, genotypes: Genotypes) -> None:
    write_plink(genotypes, tmp_path / "copy", animals=read_fam(bed))
    assert (tmp_path / "copy.bed").read_bytes() == BED
    assert (tmp_path / "copy.bim").read_text(encoding="utf-8") == BIM
    assert (tmp_path / "copy.fam").read_text(encoding="utf-8") == FAM.replace(" ", "\t")
    write_genotypes(read_plink(tmp_path / "copy"), tmp_path / "again.bed")
    assert (tmp_path / "again.bed").read_bytes() == BED
    assert (tmp_path / "again.fam").read_text(encoding="utf-8").startswith("a\ta\t0\t0\t0\t-9\n")
    assert not list(tmp_path.glob(".*"))


def test_a_part_is_written_repacked(tmp_path: Path, bed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("breedblup.io.genotypes.writing._BLOCK", 1)  # a marker, or an animal, at a time
    part = read_plink(bed).of_animals(["d", "b", "e"]).at_markers(["rs2", "rs1"])
    for name in ("part.bed", "part.csv", "part.txt", "part.vcf"):
        write_genotypes(part, tmp_path / name)
        found = read_genotypes(tmp_path / name)
        assert found.ids.to_list() == ["d", "b", "e"]
        assert (found.calls() == CALLS[np.ix_([3, 1, 4], [1, 0])]).all()
    assert (tmp_path / "part.bed").read_bytes()[3:] == bytes([0b11_01_00, 0b00_00_11])


def test_families_tell_animals_apart(bed: Path) -> None:
    text(bed.with_suffix(".fam"), FAM.replace("f2 e", "f2 a"))
    message = r'^toy\.fam lines 1, 5: more than one animal is called \'a\' -> call animals by family .* ids="fid_iid"'
    with pytest.raises(GenotypeError, match=message):
        read_plink(bed)
    assert read_plink(bed, ids="fid_iid").ids.to_list() == ["f1_a", "f1_b", "f1_c", "f2_d", "f2_a"]
    text(bed.with_suffix(".fam"), FAM.replace("f2 e", "f2 d"))
    with pytest.raises(GenotypeError, match=r"toy\.fam lines 4, 5: more than one animal is called 'f2_d' -> give each"):
        read_genotypes(bed, ids="fid_iid")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            BED[:-1],
            r"toy\.bed: 5 bytes of calls, where 5 animals of toy\.fam and 3 markers of toy\.bim need 6: it is cut short",
        ),
        (BED[:-2], r"4 bytes of calls.* need 6: it fits 2 markers, so it is cut short or the \.bim is that of other"),
        (BED[:2], r"toy\.bed: 0 bytes of calls, where 5 animals"),
        (
            BED + b"\0",
            r"7 bytes of calls, where .* need 6: it is cut short, or one of the files is that of other genotypes",
        ),
        (BED[:3] + BED[3:] * 2, r"12 bytes of calls.*: it fits 13 to 16 animals, so the \.fam may be that of other"),
        (b"\x6c\x1b\x00" + BED[3:], r"toy\.bed: its rows are animals \(third byte 00\), .* plink --make-bed"),
        (b"PK" + BED, r"toy\.bed: it begins with the bytes 50 4b, not with 6c 1b, the magic number of a PLINK \.bed"),
        (b"", r"toy\.bed: the file is empty -> write it again"),
        (
            BED[:4] + b"\x0c" + BED[5:],
            r"there are calls behind those of the 5 animals of toy\.fam, so it was made with more",
        ),
    ],
)
def test_a_damaged_bed_is_refused(bed: Path, content: bytes, message: str) -> None:
    bed.write_bytes(content)
    with pytest.raises(GenotypeError, match=message):
        read_plink(bed)


def test_a_fam_of_other_genotypes_is_refused(bed: Path) -> None:
    text(bed.with_suffix(".fam"), FAM[: FAM.index("f2 e")])
    with pytest.raises(GenotypeError, match=r"6 bytes of calls, where 4 animals .* need 3: it fits 5 to 8 animals"):
        read_plink(bed)
    bed.with_suffix(".fam").unlink()
    with pytest.raises(GenotypeError, match=r"toy\.fam: there is no such file -> correct the name"):
        read_plink(bed)
    with pytest.raises(GenotypeError, match=r": this is a folder -> name a file in it"):
        read_plink(bed, fam=bed.parent)


@pytest.mark.parametrize(
    ("suffix", "old", "new", "message"),
    [
        (".bim", "rs3", "rs1", r"toy\.bim lines 1, 3: more than one marker is called 'rs1' -> .* --set-all-var-ids"),
        (".bim", "\tT\n", "\n", r"toy\.bim:2: 5 columns where a \.bim file has 6: .* what is not known is written 0"),
        (".bim", "250", "here", r"toy\.bim:2: position 'here' is no whole number -> correct it"),
        (".fam", "f1 b", "f1 b b", r"toy\.fam:2: 7 columns where a \.fam file has 6: .* no name holds a blank"),
        (".fam", "f1 c a b 0 -9", "", r"toy\.fam:3: 0 columns where a \.fam file has 6"),
    ],
)
def test_damaged_tables_are_refused(bed: Path, suffix: str, old: str, new: str, message: str) -> None:
    place = bed.with_suffix(suffix)
    text(place, place.read_text(encoding="utf-8").replace(old, new))
    with pytest.raises(GenotypeError, match=message):
        read_plink(bed)


def test_tables_of_other_systems(bed: Path, genotypes: Genotypes) -> None:
    bed.with_suffix(".fam").write_bytes(b"\xef\xbb\xbf" + FAM.replace("\n", "\r\n").encode() + b"\r\n")
    text(bed.with_suffix(".bim"), "  " + BIM.replace("\t", "   ").rstrip())
    assert_same(read_plink(bed), genotypes)
    bed.with_suffix(".fam").write_bytes(FAM.replace("f1 c", "f1 \xfc").encode("latin-1"))
    with pytest.raises(GenotypeError, match=r"toy\.fam:3: a byte is not UTF-8 -> convert the file"):
        read_plink(bed)


# --- text -------------------------------------------------------------------------------------------------------------

TEXTS = {
    "table.csv": "id,s1,s2,s3\na,0,1,2\nb,,NA,0\n",
    "trailing.csv": "id,s1,s2,s3,\na,0,1,2,\nb,,NA,0,\n",
    "windows.csv": "\ufeffid,s1,s2,s3\r\na,0,1,2\r\nb,,NA,0\r\n\r\n",
    "quoted.csv": 'id,"s1",s2,s3\n"a",0,1,2\n"b",.,nan,0',
    "decimal.csv": "id,s1,s2,s3\na,0.0,1,2.00\nb,,NA,0.\n",
    "tab.tsv": "id\ts1\ts2\ts3\na\t0\t1\t2\nb\t\tNA\t0\n",
    "semicolon.csv": "id;s1;s2;s3\na;0;1;2\nb;;NA;0\n",
    "blanks.txt": "id   s1 s2 s3\na 0 1  2\n b NA NA 0  \n",
    "rows.txt": "a 0 1 2\nb NA . 0\n",
    "rows.geno": "a,0,1,2\nb,,,0\n",
    "fixed.txt": "a  012\nb  550\n",
    "indented.txt": " a 012\n b 550  \n\n\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_read(tmp_path: Path, name: str) -> None:
    found = read_genotypes(text(tmp_path / name, TEXTS[name]))
    assert found.ids.to_list() == ["a", "b"]
    assert found.calls().tolist() == [[0, 1, 2], [-1, -1, 0]]
    first = "M1" if name.startswith(("rows", "fixed", "indented")) else "s1"
    assert found.markers["marker"][0] == first
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    assert_same(read_genotypes(packed), found)


@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_text_is_read_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    calls = np.random.default_rng(3).integers(-1, 3, (23, 9)).astype(np.int8)
    whole = Genotypes.from_calls(calls, [f"Tier {i}" if kind == "csv" else f"a{i}" for i in range(23)])
    write_genotypes(whole, tmp_path / f"g.{kind}")
    for size in (1, 40, 64):
        monkeypatch.setattr("breedblup.io.genotypes.lines._BLOCK", size)
        monkeypatch.setattr("breedblup.io.genotypes.text._CALLS", 3 * size)
        assert_same(read_genotypes(tmp_path / f"g.{kind}"), whole)


def test_written_text(tmp_path: Path, genotypes: Genotypes) -> None:
    write_genotypes(genotypes, tmp_path / "g.txt")
    assert (tmp_path / "g.txt").read_text(encoding="utf-8") == "a 010\nb 250\nc 115\nd 020\ne 200\n"
    odd = Genotypes.from_calls([[0, -1], [1, 2]], ['Kuh "A"', "b,c"], ["s,1", "s2"])
    write_genotypes(odd, tmp_path / "g.csv")
    assert (tmp_path / "g.csv").read_text(encoding="utf-8") == 'id,"s,1",s2\n"Kuh ""A""",0,\n"b,c",1,2\n'
    assert_same(read_genotypes(tmp_path / "g.csv"), odd)


def test_declared_codes_of_missing_calls(tmp_path: Path) -> None:
    table = text(tmp_path / "t.csv", "id,s1,s2\na,9,1\nb,-9,--\n")
    with pytest.raises(GenotypeError, match=r"t\.csv:2: marker 's1': '9' is no call -> .* such as missing=\[\"9\"\]"):
        read_genotypes(table)
    assert read_genotypes(table, missing=["9", "-9", "--"]).calls().tolist() == [[-1, 1], [-1, -1]]
    fixed = text(tmp_path / "f.txt", "a 91\nb 15\n")
    with pytest.raises(GenotypeError, match=r"f\.txt:1: marker 'M1': '9' is no call"):
        read_genotypes(fixed)
    assert read_genotypes(fixed, missing=["9"]).calls().tolist() == [[-1, 1], [1, -1]]
    with pytest.raises(GenotypeError, match=r"missing code '-9' -> in this format a code is one character"):
        read_genotypes(fixed, missing=["-9"])
    with pytest.raises(GenotypeError, match=r"missing is the text '9' -> give a list of codes"):
        read_genotypes(fixed, missing="9")
    for place in (table, fixed):
        with pytest.raises(GenotypeError, match=r": 0, 1 and 2 are calls and cannot be missing as well"):
            read_genotypes(place, missing=["0"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.csv",
            "id,s1,s2\na,0,1\nb,0\n",
            r"t\.csv:3: 2 cells, where the header has 3 \(comma-separated\) -> add or remove",
        ),
        ("t.csv", "id,s1,s2\na,0,1\nb\n", r"t\.csv:3: 1 cell, where the header has 3"),
        ("t.csv", "id,s1,s2\na,0,1,1\n", r"t\.csv:2: 4 cells, where the header has 3"),
        ("t.csv", "id,s1\na,0\n\nb,1\n", r"t\.csv:3: the line is empty -> remove it"),
        ("t.csv", "id,s1,s2\na,0,0.7\n", r"t\.csv:2: marker 's2': '0\.7' is a dosage; nothing is rounded here"),
        ("t.csv", "id,s1,s2\na,0,1\nb,12,1\n", r"t\.csv:3: marker 's1': '12' is no call"),
        ("t.csv", "id,s1,s2\na,0,1\nb,A/A,1\n", r"t\.csv:3: marker 's1': 'A/A' is no call"),
        ("t.csv", 'id,s1,s2\na,0,"1"\n', r"t\.csv:2: marker 's2': '\"1\"' is no call"),
        (
            "t.csv",
            "id,s1,s2\na,0,1\nb,0,1\na,1,1\n",
            r"t\.csv lines 2, 4: more than one animal is called 'a' -> give each",
        ),
        ("t.csv", "id,s1,s2\na,0,1\n,0,1\n", r"t\.csv line 3: animal without a name"),
        ("t.csv", "id,s1,s2\n", r"t\.csv: a header and no animals -> write it again"),
        ("t.csv", "a,0,1\nb,0,2\n", r't\.csv:1: calls where a header with the names of the markers .* format="rows"'),
        ("t.csv", "id\na\n", r"t\.csv:1: 'id' is an id and no call -> separate calls by comma, tab or blank"),
        ("t.csv", "id,s1,s1\na,0,1\n", r"t\.csv:1: more than one column is called 's1'"),
        ("t.txt", "id s1 s1\na 0 1\n", r"t\.txt, markers, rows 0, 1: more than one marker is called 's1'"),
        (
            "t.csv",
            "id,s1,\na,0,\nb,0,1\n",
            r"t\.csv:3: a call in the last column, which the header gives no name -> name",
        ),
        ("t.csv", "", r"t\.csv: the file is empty"),
        ("f.txt", "a 012\nb 01\n", r"f\.txt:2: 2 calls, where the first line has 3 -> add or remove the difference"),
        (
            "f.txt",
            "a 012\nbb 010\n",
            r"f\.txt:2: the calls begin in column 4, those of the first line in 3 -> let all begin",
        ),
        ("f.txt", "a 012\nb 0 1\n", r"f\.txt:2: 3 words, where an id and its calls belong, without blanks in them"),
        ("f.txt", "a 012\nb012\n", r"f\.txt:2: 1 words, where an id and its calls belong"),
        ("f.txt", "a 012\nb 0x2\n", r"f\.txt:2: marker 'M2': 'x' is no call"),
        ("f.txt", "a 012\na 012\n", r"f\.txt lines 1, 2: more than one animal is called 'a'"),
    ],
)
def test_text_that_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_genotypes(text(tmp_path / name, content))


def test_damaged_bytes_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "t.csv"
    place.write_bytes("id,s1\na,0\nk\xfc,1\n".encode("latin-1"))
    with pytest.raises(GenotypeError, match=r"t\.csv:3: the id is not UTF-8 -> convert the file"):
        read_genotypes(place)
    place.write_bytes(gzip.compress(b"id,s1\na,0\nb,1\n")[:-9])
    with pytest.raises(GenotypeError, match=r"t\.csv: the compressed file is damaged or cut short -> copy it again"):
        read_genotypes(place)


# --- maps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("map.csv", "Name,Chr,Position,A1,A2\nrs1,1,100,A,G\nrs2,1,250,C,T\nrs3,X,7,,G\n"),
        ("map.txt", "SNP_ID CHR POS a1 a2\nrs1 1 100 A G\nrs2 1 250 C T\nrs3 X 7 0 G\n"),
        ("map.bim", BIM),
    ],
)
def test_markers_from_a_map(tmp_path: Path, genotypes: Genotypes, name: str, content: str) -> None:
    place = text(tmp_path / name, content)
    assert read_marker_map(place).equals(MARKERS)
    for kind in ("txt", "csv"):
        write_genotypes(genotypes, tmp_path / f"g.{kind}")
        assert_same(read_genotypes(tmp_path / f"g.{kind}", markers=place), genotypes)
    part = text(tmp_path / "part.csv", "id,rs3,rs1\na,0,1\n")
    assert read_genotypes(part, markers=place).markers["position"].to_list() == [7, 100]


def test_maps_that_are_refused(tmp_path: Path) -> None:
    place, calls = tmp_path / "map.csv", text(tmp_path / "g.csv", "id,s1,s2\na,0,1\n")
    text(place, "place,chr\ns1,1\n")
    with pytest.raises(GenotypeError, match=r"map\.csv:1: no column for the names of the markers among 'place', 'chr'"):
        read_genotypes(calls, markers=place)
    text(place, "marker,chr\ns1,1\ns1,1\n")
    with pytest.raises(GenotypeError, match=r"map\.csv lines 2, 3: more than one marker is called 's1'"):
        read_genotypes(calls, markers=place)
    text(place, "marker,chr\ns1,1\n")
    with pytest.raises(GenotypeError, match=r"map\.csv: no row for 's2' of g\.csv -> add the rows"):
        read_genotypes(calls, markers=place)
    with pytest.raises(GenotypeError, match=r"map\.csv: 1 marker, where a line of f\.txt has 2 calls -> find the list"):
        read_genotypes(text(tmp_path / "f.txt", "a 01\n"), markers=place)


# --- VCF --------------------------------------------------------------------------------------------------------------

VCF = """##fileformat=VCFv4.2
##contig=<ID=1>
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO	FORMAT	a	b	c	d	e
1	100	rs1	A	G	.	.	.	GT	0/0	0|1	1/1	./.	./1
1	200	.	C	.	.	.	.	GT	0/0	0	.	0/0	0/0
1	300	rs3	A	G,T	.	.	.	GT	0/0	0/1	1|2	./.	1
1	400	rs4	A	C	.	.	.	GT	0/0	0	1	.	1|0
"""


def test_vcf_counts_alt(tmp_path: Path) -> None:
    place = text(tmp_path / "g.vcf", VCF)
    with pytest.raises(GenotypeError, match=r'g\.vcf: site 1:300 has the ALT alleles G, T .* multiallelic="skip"'):
        read_genotypes(place)
    found = read_genotypes(place, multiallelic="skip")
    assert found.ids.to_list() == IDS
    assert found.calls().T.tolist() == [[0, 1, 2, -1, -1], [0, 0, -1, 0, 0], [0, 0, 2, -1, 1]]
    assert found.markers.rows() == [
        ("rs1", "1", 100, "G", "A"),
        ("1:200", "1", 200, None, "C"),
        ("rs4", "1", 400, "C", "A"),
    ]
    assert found.notes == ("1 site with several ALT alleles left out",)
    assert repr(found).endswith("\n  1 site with several ALT alleles left out")


def test_vcf_is_packed_in_blocks_and_written(
    tmp_path: Path, genotypes: Genotypes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("breedblup.io.genotypes.vcf._TOGETHER", 2)
    write_genotypes(genotypes, tmp_path / "g.vcf")
    assert_same(read_genotypes(tmp_path / "g.vcf"), genotypes)
    for name, mode in (("g.vcf.gz", "wz"), ("g.bcf", "wb")):
        writer = cyvcf2.Writer(str(tmp_path / name), cyvcf2.VCF(str(tmp_path / "g.vcf")), mode=mode)
        for site in cyvcf2.VCF(str(tmp_path / "g.vcf")):
            writer.write_record(site)
        writer.close()
        assert_same(read_genotypes(tmp_path / name), genotypes)
    whole = (tmp_path / "g.vcf.gz").read_bytes()
    (tmp_path / "g.vcf.gz").write_bytes(whole[:-28])
    with pytest.raises(GenotypeError, match=r"g\.vcf\.gz: the compressed file is cut short -> copy it again"):
        read_genotypes(tmp_path / "g.vcf.gz")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#CHROM", "CHROM", r"g\.vcf: no VCF file, or its header is damaged \(.*\) -> look at its header"),
        ("\tFORMAT\ta\tb\tc\td\te", "", r"g\.vcf: the header names no samples -> ask for the file with genotypes"),
        ("\t200\t", "\tx\t", r"g\.vcf: the site behind 1:100 cannot be read \(.*\) -> mend the file"),
        (
            "GT\t0/0\t0\t.\t0/0\t0/0",
            "DS\t0\t0\t0\t0\t0",
            r"g\.vcf: site 1:200 has no calls \(GT\) -> dosages are not taken",
        ),
        ("rs4", "rs1", r"g\.vcf, sites, rows 0, 2: more than one marker is called 'rs1' -> give each an ID"),
        (
            VCF[VCF.index("1\t100") :],
            "1\t300\trs3\tA\tG,T\t.\t.\t.\tGT\t0/0\t0/0\t0/0\t0/0\t0/0\n",
            r"no site with one ALT",
        ),
    ],
)
def test_vcf_that_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        read_genotypes(text(tmp_path / "g.vcf", VCF.replace(old, new)), multiallelic="skip")


def test_vcf_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cyvcf2", None)
    with pytest.raises(
        GenotypeError, match=r"read by cyvcf2, which is not installed -> pip install 'breedblup\[vcf\]'"
    ):
        read_genotypes(text(tmp_path / "g.vcf", VCF))


# --- frames -----------------------------------------------------------------------------------------------------------


def test_frames(tmp_path: Path) -> None:
    frame = pl.DataFrame({"animal": [7, 8], "s1": [0, 9], "s2": [None, 1]})
    for source in (frame, frame.to_pandas(), frame.cast(pl.String)):
        found = read_genotypes(source, missing=["9"])
        assert found.ids.to_list() == ["7", "8"]
        assert found.calls().tolist() == [[0, -1], [-1, 1]]
    frame.write_parquet(tmp_path / "g.parquet")
    assert_same(read_genotypes(tmp_path / "g.parquet", missing=["9"]), found)
    with pytest.raises(GenotypeError, match=r"genotypes: animal '8', marker 's1': 9 is no call"):
        read_genotypes(frame)
    with pytest.raises(GenotypeError, match=r"the frame has no column beside \['animal'\] -> add those of the markers"):
        read_genotypes(frame.select("animal"))
    with pytest.raises(GenotypeError, match=r"genotypes rows 0, 1: more than one animal is called '7'"):
        read_genotypes(frame.with_columns(pl.lit(7).alias("animal")))
    assert read_genotypes(frame, missing=["1-2", 9, "inf"]).counts[:, 3].tolist() == [1, 1]  # type: ignore[list-item]


def test_ids_in_an_index_are_not_lost() -> None:
    frame = pl.DataFrame({"id": ["x", "y"], "s1": [0, 1], "s2": [2, None]}).to_pandas()
    message = r"^genotypes: the first column, 's1', holds calls where the ids belong -> .* frame\.reset_index\(\)$"
    for wrong in (
        frame.set_index("id"),
        frame.set_index("id").rename_axis(None),
        pl.DataFrame({"s1": [0, 1, 0], "s2": 1}),
    ):
        with pytest.raises(GenotypeError, match=message):
            read_genotypes(wrong)
    assert read_genotypes(frame.set_index("id").reset_index()).ids.to_list() == ["x", "y"]
    assert read_genotypes(frame.assign(id=[1, 2])).ids.to_list() == ["1", "2"]
    assert read_genotypes(frame.set_index(frame["id"])).ids.to_list() == ["x", "y"]


def test_frames_are_packed_some_columns_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = np.random.default_rng(4).integers(-1, 3, (70, 400)).astype(np.int8)
    frame = pl.DataFrame(calls, schema=[f"s{j}" for j in range(400)]).insert_column(0, pl.Series("id", range(70)))
    seen = []

    def packed(array: np.ndarray, *rest: object) -> np.ndarray:
        seen.append(array.size)
        return packed_calls(array, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("breedblup.io.genotypes.reading.packed_calls", packed)
    monkeypatch.setattr("breedblup.io.genotypes.reading._CALLS", 1000)
    assert (read_genotypes(frame).calls() == calls).all()
    assert max(seen) <= 1000
    with pytest.raises(GenotypeError, match=r"^genotypes: animal '3', marker 's399': 7 is no call"):
        read_genotypes(frame.with_columns(pl.when(pl.col("id") == 3).then(7).otherwise("s399").alias("s399")))


# --- options, places --------------------------------------------------------------------------------------------------


def test_options_of_other_formats_are_refused(bed: Path, genotypes: Genotypes) -> None:
    for option in ({"missing": ["9"]}, {"markers": "map.csv"}, {"multiallelic": "skip"}):
        name = next(iter(option)).replace("markers", r"a map of markers \(markers=, map, --map\)")
        with pytest.raises(
            GenotypeError, match=rf"toy\.bed: {name} has no meaning for genotypes of the format plink -> leave"
        ):
            read_genotypes(bed, **option)
    with pytest.raises(GenotypeError, match=r"ids has no meaning for genotypes of the format table"):
        read_genotypes(PATHOLOGICAL / "geno_monomorphic.csv", ids="fid_iid")


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path, bed: Path, genotypes: Genotypes) -> None:
    other = genotypes.of_animals(["b", "a"])
    with pytest.raises(PublishError, match=r"toy\.fam' is there already -> name another file, or replace it"):
        write_plink(other, bed)
    assert bed.read_bytes() == BED
    mapped = read_plink(bed)
    write_plink(mapped.of_animals(["b", "a"]), bed, replace=True)
    assert (mapped.calls() == CALLS).all()
    assert_same(read_plink(bed), other)


def test_what_cannot_be_written_leaves_nothing(
    tmp_path: Path, genotypes: Genotypes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        PublishError, match=r"the genotypes cannot be written: No such file or directory -> nothing is written"
    ):
        write_genotypes(genotypes, tmp_path / "nowhere" / "g.bed")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResourceError, match=r"the genotypes cannot be written: No space left on device"):
        write_plink(genotypes, tmp_path / "g")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "ids", "message"),
    [
        ("g.bed", ["Kuh 1"], r"toy: id 'Kuh 1' holds a blank, which PLINK files cannot -> rename it"),
        ("g.txt", ["Kuh 1"], r"holds a blank, which BLUPF90 files cannot"),
        ("g.vcf", ["a"], r"toy: a VCF needs chromosome, position and allele2 of every marker; 1 lack one -> add them"),
        ("g.dat", ["a"], r"g\.dat: the name tells no format -> end it in '\.bed', '\.csv', '\.vcf', '\.txt'"),
    ],
)
def test_what_a_format_cannot_hold(tmp_path: Path, name: str, ids: list[str], message: str) -> None:
    with pytest.raises(GenotypeError, match=message):
        write_genotypes(Genotypes.from_calls([[1]], ids, source="toy"), tmp_path / name)


def test_a_blank_anywhere_is_refused(tmp_path: Path, bed: Path, genotypes: Genotypes) -> None:
    animals = read_fam(bed).with_columns(pl.lit("no value").alias("phenotype"))
    with pytest.raises(GenotypeError, match=r"toy: phenotype 'no value', .* holds a blank, which PLINK"):
        write_plink(genotypes, tmp_path / "g", animals=animals)
    odd = Genotypes.from_calls(CALLS, IDS, MARKERS.with_columns(pl.lit("scaffold 1").alias("chromosome")), source="toy")
    with pytest.raises(GenotypeError, match=r"toy: chromosome 'scaffold 1'"):
        write_plink(odd, tmp_path / "g")


@pytest.mark.parametrize("write", [write_plink, write_genotypes])
def test_only_genotypes_are_written(tmp_path: Path, write: Any) -> None:
    name = write.__name__
    with pytest.raises(
        GenotypeError,
        match=rf"^{name} takes genotypes, found the path 'old\.vcf' -> make them .* read_genotypes\('old\.v",
    ):
        write("old.vcf", tmp_path / "g.bed")
    with pytest.raises(
        GenotypeError, match=rf"^{name} takes genotypes, found a DataFrame -> make them first, with read_"
    ):
        write(MARKERS, tmp_path / "g.bed")


def test_a_fam_for_all_animals_is_needed(tmp_path: Path, bed: Path, genotypes: Genotypes) -> None:
    with pytest.raises(GenotypeError, match=r"toy: nothing is said of 'd', 'e' in animals= -> add the rows"):
        write_plink(genotypes, tmp_path / "g", animals=read_fam(bed)[:3])


# --- pathological -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("geno_monomorphic.csv", [[0, 1, 2, 2], [1, 0, 2, 2], [2, 1, 2, 2], [1, 2, 2, 2]]),
        (
            "geno_duplicate_genotypes.csv",
            [[0, 1, 2, 0, 1, 1], [1, 0, 1, 2, 0, 1], [1, 0, 1, 2, 0, 1], [2, 1, 0, 1, 1, 0]],
        ),
        ("geno_absent_from_pedigree.csv", [[0, 1, 2, 0], [1, 1, 0, 2], [1, 0, 1, 2]]),
    ],
)
def test_pathological_genotypes_that_can_be_read(name: str, calls: list[list[int]]) -> None:
    assert read_genotypes(PATHOLOGICAL / name).calls().tolist() == calls


def test_pathological_genotypes_that_are_refused() -> None:
    with pytest.raises(BreedblupError, match=r"^geno_missing\.csv:4: marker 's3': '9' is no call"):
        read_genotypes(PATHOLOGICAL / "geno_missing.csv")
    found = read_genotypes(PATHOLOGICAL / "geno_missing.csv", missing=["9"])
    assert found.counts[:, 3].tolist() == [0, 2, 1, 0]
    with pytest.raises(BreedblupError, match=r"^geno_ragged\.csv:2: 4 cells, where the header has 5"):
        read_genotypes(PATHOLOGICAL / "geno_ragged.csv")
