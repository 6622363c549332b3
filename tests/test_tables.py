"""Data as it comes: frames, sparse matrices, masked arrays and memory maps pack like plain arrays; names are kept."""

import pickle
import re
import warnings

import numpy as np
import pytest
from machines import learned, small
from test_packing import peak_bytes, random_dense

from wakesleep import Bits, CheckpointError, HelmholtzMachine, checkpoint, datasets, tables
from wakesleep._packing import BLOCK_BYTES, as_matrix, dense
from wakesleep.rows import as_bits, as_rows

NAMES = ["tea", "coffee", "milk"]
CELLS = random_dense(9, 3)
VALUES = np.array([[0.2, 1.0, np.nan], [np.nan, 0.0, 0.7]])


def pandas_frame(cells, dtype=None):
    frame = pytest.importorskip("pandas").DataFrame(cells, columns=NAMES[: cells.shape[1]])
    return frame if dtype is None else frame.astype(dtype)


def polars_frame(cells, dtype=None):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(cells, schema=NAMES[: cells.shape[1]])
    return frame if dtype is None else frame.cast(getattr(polars, dtype))


def arrow_table(cells, dtype=None):
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table(dict(zip(NAMES, np.ascontiguousarray(cells.T), strict=False)))
    return table if dtype is None else table.cast(pyarrow.schema([(name, dtype) for name in table.column_names]))


def arrow_batch(cells, dtype=None):
    return arrow_table(cells, dtype).to_batches()[0]


FRAMES = {"pandas": pandas_frame, "polars": polars_frame, "pyarrow": arrow_table, "batch": arrow_batch}
KINDS = [
    *(("pandas", dtype) for dtype in [None, "bool", "int8", "float32", "object", "category"]),
    *(("pandas", dtype) for dtype in ["boolean", "Int64", "UInt8", "Float64", "Float32", "Sparse[int8]"]),
    *(("polars", dtype) for dtype in [None, "Boolean", "Int16", "UInt64", "Float32"]),
    *(("pyarrow", dtype) for dtype in [None, "bool", "int32", "uint64", "float32", "decimal"]),
    ("batch", "bool"),
]


def every_cell(X):
    """All cells as floats, as packing reads them, two rows at a time."""
    matrix = as_matrix(X, "X")
    blocks = [dense(matrix, slice(start, min(start + 2, len(X)))) for start in range(0, len(X), 2)]
    return np.concatenate([block.astype(float) for block in blocks])


# ---- frames ----


@pytest.mark.parametrize(("library", "dtype"), KINDS)
def test_every_kind_of_column_packs_like_an_array(library, dtype):
    pytest.importorskip("pyarrow") if library == "batch" else pytest.importorskip(library)
    if dtype == "decimal":
        dtype = pytest.importorskip("pyarrow").decimal128(4, 1)
    frame = FRAMES[library](CELLS, dtype)
    assert as_bits(frame) == as_bits(frame, binarize=None) == Bits.from_dense(CELLS)
    np.testing.assert_array_equal(as_rows(frame, binarize="sample"), CELLS)


def test_columns_of_several_types_are_read_together():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [True, False], "b": [1, 0], "c": pandas.Categorical([0.0, 1.0])})
    np.testing.assert_array_equal(every_cell(frame), [[1, 1, 0], [0, 0, 1]])
    assert as_matrix(frame[["a", "b"]], "X").dtype == np.int64
    with_objects = frame.assign(d=[0.5, pandas.NA])
    np.testing.assert_array_equal(every_cell(with_objects), [[1, 1, 0, 0.5], [0, 0, 1, np.nan]])
    polars = pytest.importorskip("polars")
    np.testing.assert_array_equal(
        every_cell(polars.DataFrame({"a": [True, None], "b": [0.5, 2]})), [[1, 0.5], [np.nan, 2]]
    )
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"a": [True, False], "b": [3, None], "c": pyarrow.array([7, 8]).dictionary_encode()})
    np.testing.assert_array_equal(every_cell(table), [[1, 3, 7], [0, np.nan, 8]])


@pytest.mark.parametrize(
    ("library", "dtype"),
    [
        ("pandas", None),
        ("pandas", "Float64"),
        ("pandas", "object"),
        ("polars", None),
        ("pyarrow", None),
        ("batch", None),
    ],
)
def test_missing_cells_are_nan(library, dtype):
    frame = FRAMES[library](VALUES, dtype)
    if library == "polars":
        frame = frame.fill_nan(None)
    np.testing.assert_array_equal(every_cell(frame), VALUES)
    with pytest.raises(ValueError, match="X contains NaN at row 0, column 2"):
        as_bits(frame)


def test_missing_cells_of_columns_of_integers_and_booleans_are_nan():
    pandas = pytest.importorskip("pandas")
    wanted = [[1, 0], [np.nan, 1], [0, np.nan]]
    columns = {"a": [1, None, 0], "b": [False, True, None]}
    frame = pandas.DataFrame(columns).astype({"a": "Int64", "b": "boolean"})
    frames = [frame, frame.astype(object), frame.astype({"a": "category"})]
    frames.append(pytest.importorskip("polars").DataFrame(columns))
    frames.append(pytest.importorskip("pyarrow").table(columns))
    for each in frames:
        np.testing.assert_array_equal(every_cell(each), wanted)
        assert as_matrix(each, "X").dtype.kind in "fO"


@pytest.mark.parametrize("library", FRAMES)
def test_columns_that_are_not_numbers_are_refused_by_name(library):
    pytest.importorskip("pandas")
    texts = FRAMES[library](np.array([["a", "b"], ["c", "1"]]), "string" if library == "pandas" else None)
    with pytest.raises(ValueError, match=r"^X: want columns of numbers, got \S+ in column 'tea'$"):
        as_bits(texts)


@pytest.mark.parametrize("library", FRAMES)
def test_large_whole_numbers_do_not_wrap(library):
    pytest.importorskip("pyarrow") if library == "batch" else pytest.importorskip(library)
    assert as_bits(FRAMES[library](np.array([[0, 2**63 + 5]], np.uint64))).to_dense().tolist() == [[0, 1]]


def test_dates_categories_of_text_and_complex_numbers_are_refused():
    pandas = pytest.importorskip("pandas")
    for column, kind in [
        (pandas.to_datetime(["2020-01-01"]), "datetime64"),
        (pandas.to_datetime(["2020-01-01"]).tz_localize("UTC"), "datetime64"),
        (pandas.Categorical(["x"]), "category"),
        ([1j], "complex128 in column 'tea'. Complex data not supported"),
    ]:
        with pytest.raises(ValueError, match=f"X: want columns of numbers, got {re.escape(kind)}"):
            as_bits(pandas.DataFrame({"tea": column}))


def test_a_frame_is_read_in_blocks():
    frame = pytest.importorskip("pandas").DataFrame(np.zeros((500_000, 20), np.int8)).astype("Int8")
    assert peak_bytes(lambda: Bits.from_dense(frame)) < 500_000 * 8 + 4 * BLOCK_BYTES < 500_000 * 20 * 8 / 3


# ---- names of features ----


@pytest.mark.parametrize("library", FRAMES)
def test_names_are_kept_and_others_are_refused(library, tmp_path):
    frame = FRAMES[library](CELLS)
    machine = small().fit(frame)
    assert machine.feature_names_in_.tolist() == NAMES
    assert machine.feature_names_in_.dtype == object
    assert learned(machine) == learned(small().fit(CELLS))
    with pytest.raises(ValueError, match=r"^input_features is not equal to feature_names_in_$"):
        machine.get_feature_names_out(NAMES[::-1])
    machine.save(tmp_path / "machine.npz")
    others = HelmholtzMachine.load(tmp_path / "machine.npz"), pickle.loads(pickle.dumps(machine))
    for each in (machine, *others, small().partial_fit(frame)):
        assert each.feature_names_in_.tolist() == NAMES
        with pytest.raises(
            ValueError, match=r"^The feature names should match those that were passed during fit\.\nFea"
        ):
            each.transform(pandas_frame(CELLS)[["milk", "tea", "coffee"]])
        each.score_samples(Bits.from_dense(CELLS))  # which has no names and is not warned of
        with pytest.warns(
            UserWarning, match="X does not have valid feature names, but HelmholtzMachine was fitted with"
        ):
            each.score_samples(CELLS)


def test_what_differs_is_told():
    machine = small().fit(pandas_frame(CELLS))
    other = pandas_frame(CELLS).rename(columns={"tea": "rum"})
    both = "Feature names unseen at fit time:\n- rum\nFeature names seen at fit time, yet now missing:\n- tea\n"
    with pytest.raises(ValueError, match=both):
        machine.partial_fit(other)
    machine.fit(pandas_frame(CELLS), validation=Bits.from_dense(CELLS))  # which has no names and is not warned of
    with pytest.raises(ValueError, match=r"^validation: The feature names should match"):
        machine.fit(pandas_frame(CELLS), validation=other)
    with pytest.raises(ValueError, match=r"in fit\.\nThe first that differs is 'coffee', where 'tea' was\.\n$"):
        machine.transform(pandas_frame(CELLS)[["coffee", "tea", "milk"]])
    many = pytest.importorskip("pandas").DataFrame(CELLS[:, [0] * 8], columns=list("abcdefgh"))
    with pytest.raises(ValueError, match=r"- a\n- b\n- c\n- d\n- e\n- \.\.\.\nFeature names seen"):
        machine.transform(many)
    mixed = pandas_frame(CELLS).rename(columns={"tea": 3})
    with pytest.raises(TypeError, match="X: Feature names are only supported if all input features have string names"):
        small().fit(mixed)


def test_names_are_those_of_the_last_fit_and_nothing_is_changed_by_a_refusal():
    machine = small().fit(pandas_frame(CELLS))
    with pytest.raises(ValueError, match="n_iter"):
        machine.set_params(n_iter=-1).fit(CELLS)
    assert machine.feature_names_in_.tolist() == NAMES
    machine.set_params(n_iter=1).fit(CELLS)
    assert not hasattr(machine, "feature_names_in_")
    with pytest.warns(UserWarning, match="X has feature names, but HelmholtzMachine was fitted without feature names"):
        machine.transform(pandas_frame(CELLS))
    with warnings.catch_warnings(action="error"):
        small().fit(pandas_frame(CELLS).rename(columns=dict(zip(NAMES, range(3), strict=True)))).transform(CELLS)


def test_numbers_of_columns_are_no_names_as_in_scikit_learn():
    pandas, scaler = pytest.importorskip("pandas"), pytest.importorskip("sklearn.preprocessing").MinMaxScaler()
    frame = pandas.DataFrame(CELLS, columns=[5, 7, 9])
    for estimator in (small(), scaler):
        estimator.fit(frame)
        assert not hasattr(estimator, "feature_names_in_")
        np.testing.assert_array_equal(estimator.transform(frame[[9, 7, 5]]), estimator.transform(CELLS[:, ::-1]))


def test_a_name_of_several_columns_is_refused(tmp_path):
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    (tmp_path / "twice.csv").write_text("tea,rum,tea\n1,0,1\n0,1,1\n")
    cells = pandas.DataFrame(CELLS, columns=["tea", "rum", "tea"])
    table = pyarrow.Table.from_arrays([pyarrow.array(cell) for cell in CELLS.T], names=["tea", "rum", "tea"])
    for X in (cells, table, datasets.read(tmp_path / "twice.csv")):
        with pytest.raises(ValueError, match=r"^X: want another name for each column, .* the name 'tea'$"):
            small().fit(X)
    assert datasets.read(tmp_path / "twice.csv", drop=[2]).feature_names == ("tea", "rum")


def test_a_name_that_no_file_can_hold_is_refused():
    names = "tea", "r\udcffm", "\N{HOT BEVERAGE}"
    rows = Bits(Bits.from_dense(CELLS).words, 3, feature_names=names)
    with pytest.raises(ValueError, match=r"^X: want names of whole characters, got lone surrogates in 'r\\udcffm'$"):
        small().fit(rows)


def test_a_training_that_fails_at_once_brings_the_names_back():
    machine = small(rule="wake-sleep").fit(pandas_frame(CELLS))
    with pytest.raises(ZeroDivisionError):
        machine.set_params(rule=lambda log_w: 1 / 0).fit(CELLS)
    assert machine.feature_names_in_.tolist() == NAMES


@pytest.mark.parametrize("names", [["tea"], "abc", ["a", "b", 3], {}], ids=repr)
def test_a_file_with_wrong_names_is_refused(tmp_path, names):
    small().fit(pandas_frame(CELLS)).save(tmp_path / "good.npz")
    arrays, manifest = checkpoint.load(tmp_path / "good.npz")
    assert manifest["feature_names"] == NAMES
    checkpoint.save(tmp_path / "bad.npz", arrays, manifest | {"feature_names": names})
    with pytest.raises(CheckpointError, match="feature_names: want 3 strings, got"):
        HelmholtzMachine.load(tmp_path / "bad.npz")


def test_a_file_of_a_machine_without_names_is_what_it_was(tmp_path):
    small().fit(CELLS).save(tmp_path / "machine.npz")
    _, manifest = checkpoint.load(tmp_path / "machine.npz")
    assert "feature_names" not in manifest


# ---- sparse matrices, masked arrays, memory maps ----


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "bsr", "dok"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("dtype", ["?", "i4", "f4", "f8"])
def test_sparse_matrices_pack_like_dense_ones(form, kind, dtype):
    sparse = pytest.importorskip("scipy.sparse")
    cells = random_dense(40, 130, dtype)
    assert as_bits(getattr(sparse, f"{form}_{kind}")(cells)) == Bits.from_dense(cells)


@pytest.mark.parametrize("binarize", [-1, -0.5, 0, 0.25, 0.5, 3])
@pytest.mark.parametrize("dtype", ["i2", "f4", "f8"])
def test_values_of_sparse_matrices_are_compared_with_binarize(binarize, dtype):
    sparse = pytest.importorskip("scipy.sparse")
    cells = (np.random.default_rng(0).integers(-8, 9, (30, 70)) / (2 if dtype != "i2" else 1)).astype(dtype)
    assert as_bits(sparse.csr_array(cells), binarize=binarize) == as_bits(cells, binarize=binarize)


def test_cells_that_are_stored_in_parts_or_as_zeros_or_without_order_are_read_right():
    sparse = pytest.importorskip("scipy.sparse")
    data, columns, starts = np.array([1.0, 0.3, 0.0, 0.3, 0.3]), np.array([2, 0, 1, 0, 1]), np.array([0, 4, 5])
    X = sparse.csr_array((data, columns, starts), shape=(2, 3))
    before = X.copy()
    assert as_bits(X).to_dense().tolist() == [[1, 0, 1], [0, 0, 0]]
    assert as_matrix(X, "X").dtype == np.float64
    assert (X.data == before.data).all()
    assert (X.indices == before.indices).all()
    ones = sparse.csr_array((np.ones(3), np.array([2, 0, 1]), np.array([0, 2, 3])), shape=(2, 3))
    assert as_matrix(ones, "X").dtype == np.uint8
    assert as_bits(ones, binarize=None).to_dense().tolist() == [[1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("value", "fault"), [(np.nan, "contains NaN"), (np.inf, "contains infinity"), (2, "contains 2")]
)
def test_a_wrong_cell_of_a_sparse_matrix_is_named(value, fault):
    sparse = pytest.importorskip("scipy.sparse")
    cells = random_dense(40, 130, float)
    cells[31, 77] = value
    with pytest.raises(ValueError, match=f"X {fault}.* at row 31, column 77"):
        as_bits(sparse.csr_array(cells), binarize=None)


def test_other_sparse_shapes_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        as_bits(sparse.coo_array(np.array([0, 1])))
    with pytest.raises(ValueError, match="Complex data not supported"):
        as_bits(sparse.csr_array(np.array([[0, 1j]])))


def test_masked_cells_are_missing():
    X = np.ma.masked_array([[0, 1], [1, 1]], [[False, False], [False, True]])
    np.testing.assert_array_equal(every_cell(X), [[0, 1], [1, np.nan]])
    assert as_bits(np.ma.masked_array([[0, 1]])) == Bits.from_dense([[0, 1]])
    halves = np.array([[0.3, 0.7]], np.float16)  # of which the first is a little more than 0.3
    assert as_bits(np.ma.masked_array(halves), binarize=0.3) == as_bits(halves, binarize=0.3)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_maps_pack_like_arrays(tmp_path, order, mode):
    cells = random_dense(200, 70, np.float32)
    np.save(tmp_path / "X.npy", np.asarray(cells, order=order))
    X = np.load(tmp_path / "X.npy", mmap_mode=mode)
    assert isinstance(X, np.memmap)
    assert as_bits(X) == Bits.from_dense(cells)
    assert learned(small().fit(X)) == learned(small().fit(cells))


def test_narrow_floats_are_compared_as_they_are_in_every_form():
    """0.1 in float32 is greater than 0.1, and not greater than 0.1 in float32."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    values = np.array([[0.1, 0.1], [0.7, np.nan]], np.float32)
    frame, nulls = pandas.DataFrame(values), polars.DataFrame(values).fill_nan(None)
    forms = frame, frame.astype("Float32"), polars.DataFrame(values), nulls, pyarrow.table(nulls.to_arrow())
    expected = Bits.from_dense(values, binarize=0.1, missing="marginalise")
    assert expected.counts().tolist() == [1, 0]
    for form in (*forms, np.ma.masked_invalid(values)):
        assert Bits.from_dense(form, binarize=0.1, missing="marginalise") == expected
    columns = {"a": values[:, 0], "b": [False, True]}
    frame = pandas.DataFrame(columns)
    for form in (frame, frame.convert_dtypes(), polars.DataFrame(columns), pyarrow.table(columns)):
        assert Bits.from_dense(form, binarize=0.1).to_dense().tolist() == [[0, 0], [1, 1]]
    columns["b"] = [None, None]
    for form in (polars.DataFrame(columns), pyarrow.table(columns)):
        assert Bits.from_dense(form, binarize=0.1, missing="marginalise").counts().tolist() == [1, 0]
    assert Bits.from_dense(values.astype(np.float64), binarize=0.1, missing="marginalise") != expected, "no power"


def test_parts_of_a_cell_do_not_wrap():
    sparse = pytest.importorskip("scipy.sparse")
    n, where = 256, (np.zeros(256, int), np.zeros(256, int))
    many = sparse.coo_matrix((np.ones(n, np.uint8), where), shape=(1, 1))
    two = sparse.csr_matrix((np.array([100, 100], np.int8), np.zeros(2, int), np.array([0, 2])), shape=(1, 1))
    for matrix in (many, two, two.tocsc(copy=True)):
        assert Bits.from_dense(matrix).density == 1


def test_a_frame_that_is_not_yet_there_is_refused():
    polars = pytest.importorskip("polars")
    with pytest.raises(ValueError, match="X: want a data frame, got a LazyFrame"):
        Bits.from_dense(polars.DataFrame({"a": [1]}).lazy())


def test_columns_are_told_by_the_first_five():
    assert tables.few("abcde") == "'a', 'b', 'c', 'd', 'e'"
    assert tables.few("abcdef") == "'a', 'b', 'c', 'd', 'e' and 1 more"
    assert tables.few(["a" * 1000, "b"]) == f"'{'a' * 79}, 'b'", "which no long name fills"
    assert tables.columns_of(np.array([0]), None, 1) == "column 0"
    assert tables.columns_of(np.arange(2), None, 2) == "all 2 columns"
    assert tables.columns_of(np.array([0, 2]), ("a", "b", "c"), 3) == "columns 'a', 'c'"


@pytest.mark.parametrize("index", [130, -1, 10**6])
@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo rows", "coo columns", "lil"])
def test_indices_outside_of_a_sparse_matrix_are_refused(form, index):
    X = getattr(pytest.importorskip("scipy.sparse"), f"{form.split()[0]}_array")(random_dense(130, 130))
    own = {"coo rows": lambda: X.coords[0], "coo columns": lambda: X.coords[1], "lil": lambda: X.rows[3]}
    indices = own.get(form, lambda: X.indices)()
    indices[0] = index
    with pytest.raises(ValueError, match=r"^X: want a sparse matrix whose indices fit its shape, got another"):
        as_bits(X)


@pytest.mark.parametrize("start", [10**6, -1, 0])
def test_rows_that_begin_outside_of_a_sparse_matrix_are_refused(start):
    X = pytest.importorskip("scipy.sparse").csr_array(random_dense(20, 30))
    X.indptr[7] = start
    with pytest.raises(ValueError, match=r"^X: want a sparse matrix whose indices fit its shape, got another"):
        as_bits(X)


def test_integers_of_128_bits_are_numbers():
    polars = pytest.importorskip("polars")
    for dtype in ("Int128", "UInt128"):
        if hasattr(polars, dtype):
            frame = polars_frame(CELLS, dtype)
            assert as_bits(frame) == as_bits(frame, binarize=None) == Bits.from_dense(CELLS)
            assert np.isnan(every_cell(frame.with_columns(tea=polars.lit(None, getattr(polars, dtype))))[:, 0]).all()
