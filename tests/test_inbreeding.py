"""Inbreeding by families of sires against the tabular method, with classes of unknown parents and added animals."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import polars as pl
import pytest
from conftest import EXACT, REFS, expected
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference import a_ignoring_inbreeding, random_pedigree, tabular_a_with_classes

from breedblup.kernels.inbreeding import (
    NO_CLASSES,
    SMALL,
    half_relationship_of_parents,
    mendelian_variance,
    relationship_diagonal,
)
from breedblup.simulation import PedigreeOptions, simulate_pedigree

Positions = NDArray[np.int32]
Vector = NDArray[np.float64]
SEEDS = st.integers(0, 2**32 - 1)


def inbreeding(sire: Positions, dam: Positions, base: Vector = NO_CLASSES) -> Vector:
    """F, nothing of it known beforehand."""
    f = np.full(sire.size, np.nan)
    half_relationship_of_parents(sire, dam, base, f, f, 0)
    return f


def with_classes(
    rng: np.random.Generator, sire: Positions, dam: Positions, classes: int
) -> tuple[Positions, Positions]:
    """Most unknown parents in a class, the others unrelated."""
    n = sire.size
    made = []
    for parent in (sire, dam):
        drawn = np.where(rng.random(n) < 0.8, n + rng.integers(0, max(classes, 1), n), -1)
        made.append(np.where((parent < 0) & (classes > 0), drawn, parent).astype(np.int32))
    return made[0], made[1]


def random_base(rng: np.random.Generator, classes: int) -> Vector:
    root = rng.standard_normal((classes, classes + 1))
    covariance = root @ root.T + 0.1 * np.eye(classes)
    return np.ascontiguousarray(covariance / (covariance.diagonal().max() if classes else 1.0))


@given(SEEDS, st.integers(1, 60), st.sampled_from([2, 5, 15, 60]), st.integers(0, 3))
def test_any_pedigree(seed: int, n: int, span: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    base = random_base(rng, classes)
    sire, dam = with_classes(rng, *random_pedigree(rng, n, span), classes)
    a = tabular_a_with_classes(sire.tolist(), dam.tolist(), base)
    f = inbreeding(sire, dam, base)
    np.testing.assert_allclose(1.0 + f, a.diagonal()[:n], rtol=EXACT)
    variance, diagonal = np.empty(n), np.empty(n)
    mendelian_variance(sire, dam, base, f, variance)
    relationship_diagonal(sire, dam, base, variance, f, diagonal)
    np.testing.assert_allclose(diagonal, 1.0 + f, rtol=EXACT)
    if variance.min() > 1e-6:
        t_inverse = np.eye(n + classes)
        for i, parents in enumerate(zip(sire, dam, strict=True)):
            for parent in parents:
                if parent >= 0:
                    t_inverse[i, parent] -= 0.5
        sampled = t_inverse @ a @ t_inverse.T
        np.testing.assert_allclose(sampled.diagonal()[:n], variance, atol=1e-12)


@given(SEEDS, st.integers(2, 120), st.integers(1, 5), st.floats(0.0, 0.4))
def test_dams_of_few_and_their_sons(seed: int, n: int, males: int, missing: float) -> None:
    """Two sexes, long maternal lines, sons and grandsons mated to their dams: what folding dams has to get right."""
    rng = np.random.default_rng(seed)
    sire, dam = np.full(n, -1, dtype=np.int32), np.full(n, -1, dtype=np.int32)
    for i in range(1, n):
        fathers = [j for j in range(i) if j % (males + 1) == 0][-males:]
        mothers = [j for j in range(i) if j % (males + 1) != 0][-4:]
        sire[i] = rng.choice(fathers) if rng.random() >= missing else -1
        dam[i] = rng.choice(mothers) if mothers and rng.random() >= missing else -1
    base = random_base(rng, 2)
    for classes in (0, 2):
        extended = with_classes(rng, sire, dam, classes)
        a = tabular_a_with_classes(extended[0].tolist(), extended[1].tolist(), base[:classes, :classes])
        f = inbreeding(*extended, np.ascontiguousarray(base[:classes, :classes]))
        np.testing.assert_allclose(1.0 + f, a.diagonal()[:n], rtol=EXACT)


@given(SEEDS, st.integers(1, 60), st.integers(1, 20), st.integers(0, 3), st.floats(0, 1))
def test_added_animals(seed: int, n: int, span: int, classes: int, share: float) -> None:
    """As in a run over all, but for rounding: other dams are folded. What is known is taken as it stands."""
    rng = np.random.default_rng(seed)
    base = random_base(rng, classes)
    sire, dam = with_classes(rng, *random_pedigree(rng, n, span), classes)
    whole = inbreeding(sire, dam, base)
    first = int(share * n)
    f = np.where(np.arange(n) < first, whole, np.nan)
    half_relationship_of_parents(sire, dam, base, f, f, first)
    np.testing.assert_array_equal(f[:first], whole[:first])
    np.testing.assert_allclose(f, whole, rtol=EXACT, atol=1e-15)


@given(SEEDS, st.integers(1, 50), st.integers(1, 20))
def test_matrix_that_ignores_inbreeding(seed: int, n: int, span: int) -> None:
    sire, dam = random_pedigree(np.random.default_rng(seed), n, span)
    zeros, half, variance, diagonal = np.zeros(n), np.empty(n), np.empty(n), np.empty(n)
    half_relationship_of_parents(sire, dam, NO_CLASSES, zeros, half, 0)
    mendelian_variance(sire, dam, NO_CLASSES, zeros, variance)
    relationship_diagonal(sire, dam, NO_CLASSES, variance, half, diagonal)
    np.testing.assert_allclose(diagonal, a_ignoring_inbreeding(sire.tolist(), dam.tolist()).diagonal(), rtol=EXACT)
    assert not zeros.any()


@pytest.mark.parametrize("founders", ["unrelated", "one class", "two classes"])
def test_sixty_generations_of_full_sibs(founders: str) -> None:
    sire = np.repeat(np.arange(-2, 118, 2), 2).astype(np.int32)
    dam = sire + 1
    sire[:2] = dam[:2] = -1
    base = NO_CLASSES
    if founders != "unrelated":
        base = np.array([[0.6, 0.2], [0.2, 0.9]])
        sire[:2], dam[:2] = 120, 120 if founders == "one class" else 121
    f = inbreeding(sire, dam, base)
    a = tabular_a_with_classes(sire.tolist(), dam.tolist(), base)
    np.testing.assert_allclose(1.0 + f, a.diagonal()[:120], rtol=EXACT)
    if founders == "unrelated":
        wright = [0.0, 0.0, 0.25]  # F_t = ¼ (1 + 2 F_{t-1} + F_{t-2}) (Wright 1921)
        for _ in range(57):
            wright.append(0.25 * (1 + 2 * wright[-1] + wright[-2]))
        np.testing.assert_allclose(f[::2], wright, rtol=1e-14)


def test_sixty_generations_of_selfing() -> None:
    sire = np.arange(-1, 59, dtype=np.int32)
    np.testing.assert_array_equal(inbreeding(sire, sire), 1.0 - 0.5 ** np.arange(60))  # exact in binary up to 2⁻⁵⁹


def test_identical_twins_are_two_animals_with_one_value() -> None:
    sire = np.array([-1, -1, 0, 0, 2, 3, 2], dtype=np.int32)
    dam = np.array([-1, -1, 1, 1, 1, 1, 3], dtype=np.int32)
    np.testing.assert_array_equal(inbreeding(sire, dam), [0, 0, 0, 0, 0.25, 0.25, 0.25])


@pytest.mark.parametrize("n", [1, 7])
def test_no_parents(n: int) -> None:
    nobody = np.full(n, -1, dtype=np.int32)
    np.testing.assert_array_equal(inbreeding(nobody, nobody), np.zeros(n))
    base = np.array([[0.7, 0.1], [0.1, 0.3]])
    first, second = np.full(n, n, dtype=np.int32), np.full(n, n + 1, dtype=np.int32)
    np.testing.assert_array_equal(inbreeding(first, first, base), np.full(n, 0.35))
    np.testing.assert_array_equal(inbreeding(first, second, base), np.full(n, 0.05))
    np.testing.assert_array_equal(inbreeding(nobody, second, base), np.zeros(n))


@pytest.mark.parametrize("own_dam", [1, 2, 3, 4])
def test_a_dam_and_her_descendant_in_the_male_line(own_dam: int) -> None:
    """The sire descends from his mate by one to four dams in a row, all of them folded but the last."""
    sire = np.array([-1] * (own_dam + 1) + [own_dam], dtype=np.int32)
    dam = np.array([-1, *range(own_dam), 0], dtype=np.int32)
    np.testing.assert_array_equal(inbreeding(sire, dam)[-1], 0.5 * 0.5**own_dam)


def population(animals: int) -> tuple[Positions, Positions]:
    made = simulate_pedigree(PedigreeOptions(animals=animals, years=12, founder_share=0.1, seed=3))
    return np.array(made.sire), np.array(made.dam)


@pytest.mark.parametrize("classes", [0, 40])
def test_the_same_bits_on_any_number_of_threads(classes: int) -> None:
    rng = np.random.default_rng(2)
    base = random_base(rng, classes)
    sire, dam = with_classes(rng, *population(10 * SMALL), classes)
    before = numba.get_num_threads()
    found = []
    try:
        for threads in {1, before}:
            numba.set_num_threads(threads)
            found.append(inbreeding(sire, dam, base))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[-1])
    n, last = sire.size, sire.size - 60
    f = np.where(np.arange(n) < last, found[0], np.nan)
    half_relationship_of_parents(sire, dam, base, f, f, last)
    np.testing.assert_allclose(f, found[0], rtol=EXACT, atol=1e-15)
    assert (f > 0.01).any()


def test_a_population_by_the_tabular_method() -> None:
    sire, dam = population(3000)
    a = tabular_a_with_classes(sire.tolist(), dam.tolist(), NO_CLASSES)
    np.testing.assert_allclose(1.0 + inbreeding(sire, dam), a.diagonal(), rtol=EXACT)


def test_metafounders_of_a_reference_case() -> None:
    content = expected("twin_metafounder")
    rows = pl.read_csv(REFS / "twin_metafounder" / "pedigree.csv")
    names = rows["animal"].to_list()
    place = {name: k for k, name in enumerate([*names, "M1", "M2", "M3"])}
    depth = depths({name: (sire, dam) for name, sire, dam in rows.select("animal", "sire", "dam").iter_rows()})
    ordered = sorted(range(len(names)), key=lambda i: depth[names[i]])
    old_to_new = np.argsort([*ordered, *range(len(names), len(names) + 3)]).astype(np.int32)
    sire, dam = (
        np.array([old_to_new[place[rows[column][i]]] for i in ordered], dtype=np.int32) for column in ("sire", "dam")
    )
    f = inbreeding(sire, dam, np.array(content["inputs"]["Gamma"]))
    wanted = np.diag(content["expected"]["A_gamma"])[3:][ordered]
    np.testing.assert_allclose(1.0 + f, wanted, rtol=EXACT)


def depths(parents: dict[str, tuple[str | None, str | None]]) -> dict[str | None, int]:
    """Generations above each animal."""
    found: dict[str | None, int] = {None: 0}

    def depth(name: str | None) -> int:
        if name not in found:
            found[name] = 1 + max(depth(parent) for parent in parents[name]) if name in parents else 0
        return found[name]

    for name in parents:
        depth(name)
    return found


@pytest.mark.parametrize("case", ["ped_mrode2", "ped_fernando_grossman90", "ped_stress40"])
def test_published_inbreeding(case: str) -> None:
    rows = pl.read_csv(REFS / case / "pedigree.csv", infer_schema=False)
    parents = {name: (sire, dam) for name, sire, dam in rows.select("animal", "sire", "dam").iter_rows()}
    ordered = sorted(parents, key=depths(parents).__getitem__)
    place = {name: k for k, name in enumerate(ordered)} | {None: -1}
    sire, dam = (np.array([place[parents[name][k]] for name in ordered], dtype=np.int32) for k in (0, 1))
    wanted = expected(case)["expected"]["inbreeding"]
    np.testing.assert_allclose(inbreeding(sire, dam), [wanted[name] for name in ordered], atol=1e-9)


def test_the_same_as_plain_python() -> None:
    """Kernels are Python: this file passes without the compiler too."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    left_out = "not plain_python and not population and not number_of_threads and not any_pedigree"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", left_out, __file__]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
