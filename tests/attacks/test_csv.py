"""CSV files that would take long, or be misread."""

import contextlib
import re
import time

import numpy as np
import pytest

from spikefinder_keras.errors import DataError
from spikefinder_keras.files.csv import read_table


@pytest.mark.parametrize("columns", [3_000, 30_000])
@pytest.mark.parametrize("twice", [False, True])
def test_many_columns_take_linear_time(tmp_path, columns, twice):
    """30,000 with the last one twice took 10 s."""
    names = [f"n{number}" for number in range(columns)]
    if twice:
        names[-1] = "n0"
    row = ",".join(["1.5"] * columns)
    (tmp_path / "a.csv").write_text(",".join(names) + f"\n{row}\n{row}\n")
    started = time.process_time()
    if twice:
        with pytest.raises(DataError, match=f"row 1, column {columns}: n0 stands twice"):
            read_table(tmp_path / "a.csv")
    else:
        assert read_table(tmp_path / "a.csv").values.shape == (2, columns)
    assert time.process_time() - started < 4


LONG = 300_000
LINEAR = {
    "commas that end in none": b"a,b\n" + b"," * LONG + b"x\n",
    "blank lines between decimal commas": b"a;b\n1,5;2\n" + b"\n" * LONG + b"1;2\n",
    "blanks": b"a;b\n1,5;2\n;" + b" " * LONG + b"x\n",
    "separated by blanks": b"sep= \na b\n1,5" + b" " * LONG + b"x\n",
    "digits": b"a,b\n1," + b"9" * LONG + b"x\n",
    "digits in a header": b"# a,b\n" + b"9" * LONG + b"x,2\n1,2\n",
    "digits in a date": b"t,b\n" + (b"9" * LONG + b"x,1\n") * 2,
    "quotation marks": b"a,b\n" + b'"' * LONG + b",1\n",
    "lines of comment": b"#\n" * LONG + b"a,b\n1,2\n3,4\n",
    "lines that state": b"sep=;\n" * LONG + b"a;b\n1;2\n3;4\n",
    "names of frames": b"a,b\n" + b"x" * LONG + b".ti.ti.ti,1\n" * 9,
    "a slash at a time": b"Label,a\n" + b"." * LONG + b",1\n",
}


@pytest.mark.parametrize("what", LINEAR)
def test_nothing_repeated_takes_longer_than_its_length(tmp_path, what):
    """What searches for patterns must not begin anew at each character; half a minute once."""
    (tmp_path / "a.csv").write_bytes(LINEAR[what])
    started = time.process_time()
    for strict in (True, False):
        with contextlib.suppress(DataError):
            read_table(tmp_path / "a.csv", strict=strict)
    assert time.process_time() - started < 4


@pytest.mark.parametrize("header", ["²,³", "1²,2", "٣,٤", f"{'9' * 5_000},1", "१,२"])
def test_digits_that_are_no_numbers(tmp_path, header):
    """`isdigit` is true of more than `int` understands."""
    (tmp_path / "a.csv").write_text(f"{header}\n1,2\n3,4\n", encoding="utf-8")
    try:
        assert read_table(tmp_path / "a.csv").values.shape == (2, 2)
    except DataError as error:
        assert "add the missing header row" in str(error)


@pytest.mark.parametrize("sign", "]^\\-.*|é\"'")
def test_any_sign_between_cells(tmp_path, sign):
    (tmp_path / "a.csv").write_text(f"sep={sign}\na{sign}b\n1,5{sign}2\n", encoding="utf-8")
    with contextlib.suppress(DataError):
        assert read_table(tmp_path / "a.csv").values.shape[1] <= 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\nq\ntime;a;b\n", "is not a number: 'q'"),  # found by the fuzzer
        (b"0,1\n", "header but no samples"),
        (b"0.5,1.5\n1,2\n", "add the missing header row"),
        (b"0,1\n1,2,3\n", "row 2: 3 cells where the header has 2"),
        (b"0,1\n1,x\n", "row 2, column 2"),
        (b"0,1\n1,\x00\n", "row 2: a NUL byte"),
        (b"0,0\n1,2\n", "0 stands twice"),
        (b"0,1\n1,1e400\n", "row 2, column 2 .* is infinite"),
        (b"\xff\xfe0", "damaged UTF-16"),
        (b"\xe9,1\n1,2\n", "not UTF-8"),
        (b"a" * 200_000 + b"\n1\n", None),
        (b'"' * 99_999 + b"\n1\n", None),
        (b"a,b\n" + b"," * 1_000_000 + b"\n", None),
        (b"a\n" * 100_000, "is not a number"),
        (b"0,1\n1,0x10\n", "is not a number"),
        (b"0,1\n1,1_000\n", "is not a number"),
        (b"0,1\n1," + b"9" * 5_000 + b"\n", None),
    ],
)
def test_each_is_one_error_with_its_place(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    started = time.process_time()
    try:
        found = read_table(tmp_path / "a.csv").values
    except DataError as error:
        assert "a.csv" in str(error)
        assert len(str(error)) < 1_000_000
        if message:
            assert re.search(message, str(error))
    else:
        assert message is None
        assert not np.isinf(found).any()
    assert time.process_time() - started < 4
