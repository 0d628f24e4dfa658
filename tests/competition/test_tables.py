"""Tables in and out: what the format allows, and the cell that is wrong where it is not met."""

import codecs
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from spikefinder_keras.competition.tables import (
    file_name,
    find_file,
    find_sets,
    read_csv,
    read_set,
    write_csv,
)
from spikefinder_keras.datasets import DATASETS, check_dataset, trace_lengths
from spikefinder_keras.errors import DataError, OutputError, UsageError
from spikefinder_keras.files.columns import MISSING

NAN = np.nan
REAL = [("train", 4), ("train", 5), ("train", 6), ("test", 4)]


@pytest.fixture
def table(tmp_path):
    """Writes bytes or text to a file and reads it as a table."""

    def read(content):
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_csv(path)

    return read


# Refused, with row and column


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "is empty; give a header row", id="empty"),
        pytest.param("\n\r\n", "is empty; give a header row", id="line ends only"),
        pytest.param(codecs.BOM_UTF8, "is empty; give a header row", id="byte order mark only"),
        pytest.param("0,1\n", "a header but no samples; give one row", id="header only"),
        pytest.param("0,1\n\n\n", "a header but no samples", id="header and blank lines"),
        pytest.param("0", "a header but no samples", id="one name without a line end"),
        pytest.param(
            "0.5,0.7\n1,2\n",
            "row 1, column 1: 0.5 is no neuron number; add the missing header row",
            id="no header: decimals",
        ),
        pytest.param("0,-1\n1,2\n", "row 1, column 2: -1 is no neuron number", id="negative"),
        pytest.param("1,nan\n1,2\n", "row 1, column 2: nan is no neuron number", id="nan header"),
        pytest.param("0,1e5\n1,2\n", "row 1, column 2: 1e5 is no neuron", id="exponent"),
        pytest.param(
            "0,1,0\n1,2,3\n",
            "row 1, column 3: 0 stands twice; .* add the missing header row",
            id="no header: duplicate integers",
        ),
        pytest.param("0, 0\n1,2\n", "row 1, column 2: 0 stands twice", id="duplicate after blank"),
        pytest.param("a,b,a\n1,2,3\n", "row 1, column 3: a stands twice", id="duplicate names"),
        pytest.param("0,,2\n1,2,3\n", "row 1, column 2: no name in the header", id="no name"),
        pytest.param("0, \n1,2\n", "row 1, column 2: no name in the header", id="blank name"),
        pytest.param("\n1", "row 1, column 1: no name in the header", id="first line blank"),
        pytest.param("0,1\n1\n", "row 2: 1 cells where the header has 2", id="short row"),
        pytest.param("0,1\n1,2\n1,2,3\n", "row 3: 3 cells where the header has 2", id="long row"),
        pytest.param(
            "0,1\n1,2,3\n4,5,6\n", "row 2: 3 cells where the header has 2", id="all rows too long"
        ),
        pytest.param("0,1\n1,2\n3", "row 3: 1 cells where .* 2", id="short last row, no line end"),
        pytest.param("0\n1\n2,3", "row 3: 2 cells where .* 1", id="long last row, one neuron"),
        pytest.param("0,1\n1,2\n\n3,4\n", "row 3: 1 cells where .* 2", id="blank line inside"),
        pytest.param(
            "0,1\n1,2\n3,x\n",
            r"row 3, column 2 \(neuron 1\) is not a number: 'x'; write a number, or leave",
            id="no number",
        ),
        pytest.param("a,b\n1,2\nx,1\n", r"row 3, column 1 \(neuron a\) is not", id="named column"),
        pytest.param("0,1\n1, \n", r"row 2, column 2 .* is not a number: ' '", id="blank"),
        pytest.param("0,1\n1,True\n", r"row 2, column 2 .*: 'True'", id="truth value"),
        pytest.param("0,1\nFALSE,FALSE\n", r"row 2, column 1 .*: 'FALSE'", id="truth values"),
        pytest.param("0,1\n1,1_0\n", r"row 2, column 2 .*: '1_0'", id="underscore"),
        pytest.param("0,1\n1,0x10\n", r"row 2, column 2 .*: '0x10'", id="hexadecimal"),
        pytest.param("0,1\n1,-nan\n", r"row 2, column 2 .*: '-nan'", id="negative nan"),
        pytest.param("0,1\n1,\u0661\n", "row 2, column 2 .*: '\u0661'", id="other digits"),
        pytest.param(b"0,1\n1,\xe9\n", "row 2, column 2 .* is not a number", id="Latin-1 cell"),
        pytest.param("0,1\n1;5,2\n", r"row 2, column 1 .*: '1;5'", id="semicolon in a row"),
        pytest.param("0,1\n1,5,2,5\n", "row 2: 4 cells where the header has 2", id="decimal comma"),
        pytest.param("0\n1,5\n", "row 2: 2 cells where the header has 1", id="decimal comma alone"),
        pytest.param('0,1\n"1,5","2,5"\n', "row 2: 4 cells where", id="quoted decimal comma"),
        pytest.param('0,1\n1,"\n5",\n', "row 2, column 2 .*: '\"'", id="quoted line end"),
        pytest.param('0,1\n1,"2\n3,4\n', "row 2, column 2 .*: '\"2'", id="open quote"),
        pytest.param('"0,1\n1,2\n', "row 2: 2 cells where the header has 1", id="open header"),
        pytest.param(b"0,1\n1,2\n1,\x00\n", "row 3: a NUL byte", id="NUL"),
        pytest.param("0,1\n".encode("utf-16-le"), "row 1: a NUL byte", id="UTF-16 unmarked"),
        pytest.param(b"\xe9,1\n1,2\n", "row 1: not UTF-8 text; save it as", id="Latin-1 header"),
        pytest.param("0,1\n1,2\n1,1e400\n", r"row 3, column 2 .* is infinite", id="1e400"),
        pytest.param("0,1\n-1e400,1\n", r"row 2, column 1 .* is infinite", id="-1e400"),
        pytest.param("0,1\n1,inf\n", r"row 2, column 2 \(neuron 1\) is infinite", id="inf"),
        pytest.param("0,1\n-Infinity,1\n", r"row 2, column 1 .* is infinite", id="-Infinity"),
        pytest.param(
            "<!DOCTYPE html>\n<html>\n<body>Log in</body>\n",
            r"row 2, column 1 \(neuron <!DOCTYPE html>\) is not a number: '<html>'",
            id="HTML",
        ),
        pytest.param(
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            r"row 2, column 1 .* is not a number: 'oid sha256:0'",
            id="LFS pointer",
        ),
        pytest.param("x" * 200_000 + "\n1\n", "row 1: no header of a CSV", id="one endless name"),
    ],
)
def test_refused_tables(table, tmp_path, content, message):
    with pytest.raises(DataError, match=f"table.csv.*{message}") as error:
        table(content)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_wrong_cell_far_down_is_named(table):
    rows = ["0,1"] + ["1,2"] * 50_000 + ["1,x"]
    with pytest.raises(DataError, match=r"row 50002, column 2 \(neuron 1\)"):
        table("\n".join(rows))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.csv", r"absent.csv does not exist"),
        (".", r"cannot read .*Is a directory"),
        ("x" * 300, r"cannot read .*File name too long"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        read_csv(tmp_path / name)


# Accepted


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("0,1\n1,2\n3,4\n", [[1, 2], [3, 4]], id="plain"),
        pytest.param("0,1\r\n1,2\r\n3,4\r\n", [[1, 2], [3, 4]], id="CRLF"),
        pytest.param("0,1\r1,2\r3,4\r", [[1, 2], [3, 4]], id="CR"),
        pytest.param(codecs.BOM_UTF8 + b"0,1\n1,2\n", [[1, 2]], id="byte order mark"),
        pytest.param("0,1\n1,2\n".encode("utf-16"), [[1, 2]], id="UTF-16"),
        pytest.param(
            codecs.BOM_UTF16_BE + "0,1\n1,2\n".encode("utf-16-be"),
            [[1, 2]],
            id="UTF-16, big end first",
        ),
        pytest.param("0\t1\n1\t2,5\n", [[1, 2.5]], id="tabs"),
        pytest.param("0;1\n1,5;2\n", [[1.5, 2]], id="semicolons and decimal commas"),
        pytest.param("a;b\n1.5;2\n", [[1.5, 2]], id="semicolons and points"),
        pytest.param("sep=;\na;b\n1,5;2\n", [[1.5, 2]], id="separator stated, as Excel does"),
        pytest.param("# mouse 1\n% fs = 10\n0,1\n1,2\n", [[1, 2]], id="lines of comment"),
        pytest.param("a,b,\n1,2,\n3,4,\n", [[1, 2], [3, 4]], id="trailing commas"),
        pytest.param("a,b\n1,2,\n3,4,\n", [[1, 2], [3, 4]], id="trailing commas below only"),
        pytest.param(",a\n0,1.5\n1,2.5\n", [[1.5], [2.5]], id="index"),
        pytest.param("Frame #,a\n3,1.5\n4,2.5\n", [[1.5], [2.5]], id="counter"),
        pytest.param("time_ms,a\n33,1.5\n67,2.5\n", [[1.5], [2.5]], id="time"),
        pytest.param("0,1\n,2\n3,\n,\n", [[NAN, 2], [3, NAN], [NAN, NAN]], id="empty cells"),
        pytest.param("0,1\n1,2\n3,4\n\n\r\n\n", [[1, 2], [3, 4]], id="blank lines at the end"),
        pytest.param("0,1\n1,2\n3,4", [[1, 2], [3, 4]], id="no line end at the end"),
        pytest.param('"0","1"\n1,2\n', [[1, 2]], id="quoted header"),
        pytest.param('"0","1"\n"1","2"\n"",4\n', [[1, 2], [NAN, 4]], id="quoted cells"),
        pytest.param('"a,b",c\n1,2\n', [[1, 2]], id="comma in a name"),
        pytest.param("plane 1, cell 7\n1,2\n", [[1, 2]], id="blanks in names"),
        pytest.param("1_0,1_1\n1,2\n", [[1, 2]], id="underscore in a name"),
        pytest.param("3,1\n1,2\n", [[1, 2]], id="numbers in any order"),
        pytest.param("é,日本\n1,2\n", [[1, 2]], id="Unicode names"),
        pytest.param("0,1\n 1, 2 \n", [[1, 2]], id="blanks around numbers"),
        pytest.param("0,1\n+1.,-.5E-1\n1e3,0\n", [[1, -0.05], [1000, 0]], id="ways of writing"),
        pytest.param("0\n1\n\n3\n", [[1], [NAN], [3]], id="one neuron, missing sample"),
        pytest.param("0\n1\n\n\n", [[1], [NAN], [NAN]], id="one neuron, missing at the end"),
        pytest.param("0\n\n1", [[NAN], [1]], id="one neuron, missing first"),
        pytest.param('0\n""\n', [[NAN]], id="one neuron, as pandas writes it"),
    ],
)
def test_accepted_tables(table, content, expected):
    found = table(content)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.array(expected, float))


@pytest.mark.parametrize("text", MISSING)
def test_spellings_of_a_missing_sample(table, text):
    np.testing.assert_array_equal(table(f"0,1\n{text},2\n1,{text}\n"), [[NAN, 2], [1, NAN]])


# Round trips

# Twelve significant digits are fewer than a float64's 17 and more than the 9 that tell any two
# float32 apart: a float32 comes back exactly, a float64 within half a unit of the twelfth digit.
ROUND_TRIP = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def finite_or_nan(width):
    return st.floats(width=width, allow_infinity=False, allow_nan=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, int])
@pytest.mark.parametrize("neurons", [1, 2, 5])
def test_files_are_those_that_pandas_writes(dtype, neurons, tmp_path):
    values = np.random.default_rng(0).normal(0, 1e3, (5_000, neurons)).astype(dtype)
    values[3:5], values[7, 0] = 0, -1
    if dtype is not int:
        values[1], values[9, -1], values[11], values[12, 0] = NAN, NAN, 1e-300, -0.0
    write_csv(tmp_path / "a.csv", values, names=["a,b", *map(str, range(neurons - 1))])
    frame = pd.DataFrame(values, columns=["a,b", *map(str, range(neurons - 1))])
    frame.to_csv(tmp_path / "b.csv", index=False, float_format="%.12g", lineterminator="\n")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@ROUND_TRIP
@given(npst.arrays(np.float32, st.tuples(*[st.integers(1, 5)] * 2), elements=finite_or_nan(32)))
def test_float32_tables_come_back_exactly(tmp_path, values):
    write_csv(tmp_path / "table.csv", values)
    np.testing.assert_array_equal(read_csv(tmp_path / "table.csv").astype(np.float32), values)


@ROUND_TRIP
@given(
    npst.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(1)), elements=finite_or_nan(32))
)
def test_one_neuron_comes_back_exactly(tmp_path, values):
    write_csv(tmp_path / "table.csv", values)
    np.testing.assert_array_equal(read_csv(tmp_path / "table.csv").astype(np.float32), values)


@ROUND_TRIP
@given(
    npst.arrays(
        np.float64,
        st.tuples(*[st.integers(1, 4)] * 2),
        # Below the smallest normal number a float64 has fewer than twelve digits.
        elements=st.floats(-1e300, 1e300, allow_subnormal=False) | st.just(NAN),
    )
)
def test_float64_tables_come_back_to_twelve_digits(tmp_path, values):
    write_csv(tmp_path / "table.csv", values)
    np.testing.assert_allclose(read_csv(tmp_path / "table.csv"), values, rtol=5.1e-12, atol=0)


@pytest.mark.parametrize(
    "name", ["naïve Übung 日本.csv", "two  blanks .csv", "-dash.csv", "n" * 251 + ".csv"]
)
def test_unusual_names_come_back(tmp_path, name):
    name = name.encode()[-255:].decode(errors="ignore")
    folder = tmp_path / "ein Ordner ✓"
    folder.mkdir()
    write_csv(folder / name, [[1.5, NAN]])
    np.testing.assert_array_equal(read_csv(folder / name), [[1.5, NAN]])
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_long_path_comes_back(tmp_path):
    folder = tmp_path.joinpath(*["f" * 200] * 15)
    folder.mkdir(parents=True)
    write_csv(folder / "table.csv", [[1.5]])
    assert read_csv(str(folder / "table.csv")) == [[1.5]]


def test_the_written_format(tmp_path):
    path = tmp_path / "table.csv"
    values = np.array([[1 / 3, 1.0], [NAN, 2e-20]])
    before = values.copy()
    write_csv(path, values)
    assert path.read_bytes() == b"0,1\n0.333333333333,1\n,2e-20\n"
    write_csv(path, values, names=["a", "b"])
    assert path.read_bytes().startswith(b"a,b\n")
    np.testing.assert_array_equal(values, before)


def test_a_table_is_not_written_over_a_folder(tmp_path):
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        write_csv(tmp_path, [[1.0]])


# Sets


@pytest.fixture
def small(tmp_path):
    """One set in `spikefinder.train/`, one flat, one without its truth."""
    (tmp_path / "spikefinder.train").mkdir()
    calcium = np.array([[0.5, 1.5], [2.5, NAN]])
    for where in ("spikefinder.train/4.train", "2.test"):
        write_csv(tmp_path / f"{where}.calcium.csv", calcium)
        write_csv(tmp_path / f"{where}.spikes.csv", np.ones((2, 2)))
    write_csv(tmp_path / "1.train.calcium.csv", calcium)
    return tmp_path


def test_find_sets(small):
    assert find_sets(small) == [("train", 1), ("train", 4), ("test", 2)]
    assert find_sets(str(small)) == find_sets(small)
    assert find_file(small, "train", 4, "spikes").parent.name == "spikefinder.train"
    assert find_file(small, "test", 2, "spikes").parent == small
    assert find_file(small, "train", 1, "spikes") is None


def test_the_competitions_folder_goes_before_a_flat_file(small):
    write_csv(small / "4.train.calcium.csv", [[9.0]])
    assert read_set(small, "train", 4)[0].shape == (2, 2)


def test_no_sets(tmp_path):
    with pytest.raises(DataError, match=r"no competition file .*; name the folder that holds"):
        find_sets(tmp_path)
    with pytest.raises(DataError, match="no competition file"):
        find_sets(tmp_path / "absent")
    with pytest.raises(DataError, match=r"cannot look for .*File name too long"):
        find_sets(tmp_path / ("x" * 300))


def test_read_set(small):
    for split, number in (("train", 4), ("test", 2)):
        calcium, spikes = read_set(small, split, number)
        np.testing.assert_array_equal(calcium, [[0.5, 1.5], [2.5, NAN]])
        np.testing.assert_array_equal(spikes, np.ones((2, 2)))
    assert read_set(small, "train", 1)[1] is None
    with pytest.raises(DataError, match=r"3\.train\.calcium\.csv is not in"):
        read_set(small, "train", 3)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (1, 2), (2, 1)])
def test_tables_of_different_shape(small, shape):
    write_csv(small / "2.test.spikes.csv", np.ones(shape))
    message = (
        r"2\.test\.calcium\.csv has 2 rows x 2 neurons, but "
        rf".*2\.test\.spikes\.csv has {shape[0]} x {shape[1]}; give two tables"
    )
    with pytest.raises(DataError, match=message):
        read_set(small, "test", 2)


def test_a_malformed_table_of_a_set_is_named(small):
    (small / "2.test.spikes.csv").write_text("0,1\n1,x\n0,0\n")
    with pytest.raises(DataError, match=r"2\.test\.spikes\.csv, row 2, column 2"):
        read_set(small, "test", 2)


def test_trace_lengths():
    table = np.array([[NAN, 1, NAN, 1], [2, NAN, NAN, NAN], [NAN, 3, NAN, NAN]])
    assert trace_lengths(table).tolist() == [2, 3, 0, 1]
    assert trace_lengths(np.ones((5, 1))).tolist() == [5]


@pytest.mark.parametrize("number", [1, 10, np.int64(7)])
def test_datasets_that_exist(number):
    assert check_dataset(number) == number
    assert type(check_dataset(number)) is int


@pytest.mark.parametrize("number", [0, 11, -1, 1.5, NAN, None, "3"])
def test_datasets_that_do_not_exist(number):
    with pytest.raises(UsageError, match=rf"dataset {number} does not exist; .* from 1 to 10"):
        check_dataset(number)


def test_the_table_of_datasets():
    assert [dataset.number for dataset in DATASETS] == list(range(1, 11))
    assert {dataset.indicator for dataset in DATASETS} == {
        *("OGB-1", "GCaMP5k", "GCaMP6s", "GCaMP6f", "jRCaMP1a", "jRGECO1a")
    }
    assert [dataset.number for dataset in DATASETS if dataset.area != "V1"] == [4]


# The competition's own files


@pytest.mark.parametrize(("split", "number"), REAL)
def test_real_calcium_comes_back_byte_for_byte(data, tmp_path, split, number):
    path = find_file(data, split, number, "calcium")
    write_csv(tmp_path / path.name, read_csv(path))
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("split", "number"), REAL)
def test_real_sets(data, split, number):
    calcium, spikes = read_set(data, split, number)
    assert calcium.shape == spikes.shape
    np.testing.assert_array_equal(trace_lengths(calcium), trace_lengths(spikes))
    counts = spikes[~np.isnan(spikes)]
    assert (counts == counts.round()).all()
    assert counts.min() == 0


@pytest.mark.parametrize("number", [4, 5, 6])
def test_the_rates_in_the_table_are_those_of_the_files(data, number):
    _, spikes = read_set(data, "train", number)
    rate = (np.nansum(spikes, axis=0) / trace_lengths(spikes) * 100).mean()
    # The table gives two decimals.
    assert DATASETS[number - 1].rate == pytest.approx(rate, abs=0.005)


def test_real_files_may_stand_flat(data, tmp_path):
    for kind in ("calcium", "spikes"):
        path = find_file(data, "train", 4, kind)
        shutil.copy(path, tmp_path / file_name("train", 4, kind))
    assert find_sets(tmp_path) == [("train", 4)]
    flat, nested = read_set(tmp_path, "train", 4), read_set(data, "train", 4)
    np.testing.assert_array_equal(flat, nested)
