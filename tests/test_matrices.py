"""Relationship matrices from files."""

import numpy as np
import pytest

from breedblup.errors import InputError
from breedblup.io.matrices import read_matrix


def write(folder, text):
    path = folder / "k.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "rows",
    [
        "b,b,2\n001,b,0.5\n001,001,1\nc,c,3\n",
        "b,b,2\nb,001,0.5\n001,001,1\nc,c,3\n",
        "b,b,2\n001,b,0.5\nb,001,0.5000000001\n001,001,1\nc,c,3\nc,c,3\n",
    ],
)
def test_either_triangle_or_both(tmp_path, rows):
    matrix, ids = read_matrix(write(tmp_path, "id1,id2,value\n" + rows))
    order = [ids.to_list().index(name) for name in ("b", "001", "c")]
    assert len(ids) == 3
    assert np.array_equal(matrix.toarray()[np.ix_(order, order)], [[2, 0.5, 0], [0.5, 1, 0], [0, 0, 3]])
    assert matrix.has_sorted_indices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n1,1,1\n", r"k\.csv: the columns are 'a', 'b', 'c'; a matrix has the columns id1, id2, value$"),
        ("id1,id2,value,x\n1,1,1,1\n", r"k\.csv: the columns are"),
        ("id1,id2,value\n1,1,1\n,1,1\n", r"k\.csv line 3: an id or the value is missing; fill it in, or remove"),
        ("id1,id2,value\n1,1,NA\n", r"k\.csv line 2: an id or the value is missing"),
        ("id1,id2,value\n1,1,x\n", r"k\.csv line 2: column 'value' holds 'x' where a number belongs"),
        ("id1,id2,value\n1,1,1\n1,2,0.5\n", r"k\.csv: no diagonal entry for '2'; add rows id, id, value$"),
        (
            "id1,id2,value\n1,1,1\n2,2,1\n1,2,0.5\n2,1,0.4\n",
            r"k\.csv lines 4, 5: '1', '2' has values that differ \(1 such entries\); give each once",
        ),
    ],
)
def test_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_matrix(write(tmp_path, text))
