"""How pictures are laid out: legends, names of columns, numbers of rows and ticks can be read."""

from copy import copy
from itertools import pairwise
from xml.parsers import expat

import numpy as np
import pytest
from machines import DIGITS, random_machine, small
from pictures import laid_out, tiles

from wakesleep import Bits, figures, plotting

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def machine():
    return small(n_iter=4, batch_size=20, learning_rate=0.3).fit(DIGITS[:500], validation=DIGITS[500:700])


@pytest.mark.parametrize("size", [(2, 2), (5, 2), (6, 4)], ids=str)
@pytest.mark.parametrize("error", [0.1, 6.0])
def test_the_legend_stands_between_title_and_axes_and_takes_no_room_from_the_curves(size, error):
    from matplotlib.figure import Figure

    values = np.linspace(-10, -22, 30)
    history = [
        {"epoch": n, "log_likelihood": v, "standard_error": error, "reconstruction_cross_entropy": 12.0}
        for n, v in enumerate(values, 1)
    ]
    ax = plotting.learning_curves(history, ax=Figure(size, layout="constrained").subplots())
    whole, box = laid_out(ax.figure).bbox, ax.get_legend().get_window_extent()
    assert ax.bbox.y1 <= box.y0 < box.y1 <= ax.title.get_window_extent().y0
    assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
    assert ax.title.get_window_extent().y1 <= whole.y1
    assert ax.bbox.height > 0.3 * whole.height
    assert np.ptp(ax.get_ylim()) < 1.15 * (np.ptp(values) + 2 * error), "the curves do not fill the axes"
    plotting.learning_curves([entry | {"log_likelihood": -1.0} for entry in history], ax=ax)
    assert ax.get_ylim()[1] > -1, "what is drawn later sets the limits too"


def test_the_legend_has_one_line_in_an_overview(machine):
    machine = copy(machine).set_params(patience=5)
    ax = plotting.overview(machine, DIGITS)[0]
    laid_out(ax.figure)
    tops = [text.get_window_extent().y1 for text in ax.get_legend().get_texts()]
    assert len(tops) == 3
    assert np.ptp(tops) < 5, "pixels"
    box, beside = ax.get_legend().get_window_extent(), ax.get_tightbbox()
    assert beside.x0 <= box.x0 <= box.x1 <= ax.bbox.x1


NAMES = ["coffee", "$^$", "rolls and other\n baked goods", *(f"item {n}" for n in range(3, 9))]


@pytest.fixture(scope="module")
def survey():
    """A machine of nine columns with names, which without them would be squares, and its rows."""
    machine = random_machine((9, 5, 3))
    machine._feature_names = tuple(NAMES)
    return machine, machine.sample(100)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("kind", ["fields", "deeper fields", "fantasies", "reconstructions"])
def test_names_of_columns_are_written_below_them(survey, kind):
    machine, X = survey
    ax = {
        "fields": lambda: plotting.fields(machine),
        "deeper fields": lambda: plotting.fields(machine, -1),
        "fantasies": lambda: plotting.fantasies(machine),
        "reconstructions": lambda: plotting.reconstructions(machine, X),
    }[kind]()
    laid_out(ax.figure)
    ticks = {round(tick): label.get_text() for tick, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)}
    assert ticks == dict(enumerate(["coffee", "$^$", "rolls and…ked goods", *NAMES[3:]]))
    assert ax.get_xlabel() == ""


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_images_have_no_place_for_names(survey):
    machine, X = survey
    for ax in (plotting.fields(machine, shape=(3, 3)), plotting.reconstructions(machine, X, shape=(3, 3))):
        assert len(ax.get_xticks()) == 0
    for D, n_ticks in ((49, 49), (64, 0)):
        assert len(plotting.images(np.zeros((2, D)), feature_names=list(map(str, range(D)))).get_xticks()) == n_ticks


@pytest.mark.parametrize(("draw", "most", "inches"), [
    (lambda machine: [plotting.fields(machine), plotting.fantasies(machine)], 60, 1.3),
    (lambda machine: plotting.overview(machine)[:2], 40, 0.75),
], ids=["alone", "overview"])  # fmt: skip
@pytest.mark.parametrize("D", [12, 33, 40, 60, 90, 500])
def test_names_stand_apart_and_the_axis_tells_where_some_are_left_out(draw, most, inches, D):
    machine = random_machine((D, 5))
    machine._feature_names = tuple(f"item_{n:03} of a long questionnaire" for n in range(D))
    for ax in draw(machine):
        laid_out(ax.figure)
        places, labels = ax.get_xticks(), ax.get_xticklabels()
        every = int(places[1])
        assert places.tolist() == list(range(0, D, every))
        assert ax.get_xlabel() == ("" if every == 1 else f"visible unit; 1 in {every} is named")
        assert (every == 1) is (most >= D)
        apart = every * ax.bbox.width / D * 72 / ax.figure.dpi
        assert 0.85 * labels[0].get_fontsize() < apart
        assert every == 1 or apart < 2.5 * labels[0].get_fontsize()
        for label, name in zip(labels, machine._feature_names[::every], strict=True):
            assert name[:8] in label.get_text()
            assert label.get_window_extent().height < inches * ax.figure.dpi


@pytest.mark.parametrize(("names", "labels"), [
    (["how often do you buy coffee", "how often do you buy rolls"], ["how often…uy coffee", "how often…buy rolls"]),
    ([f"the question {n} with a number in it" for n in (1, 2)], ["the question 1 wit…", "the question 2 wit…"]),
    ([f"a question with number {n} near the end" for n in (1, 2)], ["…ber 1 near the end", "…ber 2 near the end"]),
])  # fmt: skip
def test_names_are_cut_where_it_leaves_them_apart(names, labels):
    ax = plotting.images(np.zeros((2, 2)), feature_names=names)
    assert [label.get_text() for label in ax.get_xticklabels()] == labels


@pytest.mark.parametrize(("name", "label"), [
    ("a\x08b", r"a\x08b"), ("a\n b", "a b"), ("a\ufffeb", r"a\ufffeb"), ("\0", r"\x00"), ("Größe", "Größe"),
])  # fmt: skip
def test_a_picture_of_any_name_can_be_read(name, label, tmp_path):
    ax = plotting.images(np.zeros((2, 2)), feature_names=[name, "c"])
    assert ax.get_xticklabels()[0].get_text() == label
    plotting.save(ax, tmp_path / "x.svg")
    expat.ParserCreate().Parse((tmp_path / "x.svg").read_bytes(), True)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize(("n_rows", "numbers"), [
    (5, [0, 24, 49, 74, 99]), (18, np.linspace(0, 99, 18).astype(int)), (100, range(0, 100, 6)),
])  # fmt: skip
def test_rows_of_a_matrix_have_the_numbers_that_they_have_in_the_data(survey, n_rows, numbers):
    machine, X = survey
    ax = plotting.reconstructions(machine, X, n_rows)
    shown = np.asarray(ax.images[0].get_array())
    assert len(shown) == 2 * n_rows
    _, _, bottom, top = ax.images[0].get_extent()
    for tick, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True):
        above = int((tick - top) / (bottom - top) * len(shown)) - 1  # a tick is where a row and its reconstruction meet
        np.testing.assert_array_equal(shown[above], X[int(label.get_text())])
    assert [int(label.get_text()) for label in ax.get_yticklabels()] == list(numbers)


def test_of_many_rows_some_are_reconstructed(machine):
    found = np.reshape(tiles(plotting.reconstructions(machine, DIGITS), 6), (3, 2, 6, 64))
    numbers = np.linspace(0, len(DIGITS) - 1, 18).astype(int)
    np.testing.assert_array_equal(found[:, 0].reshape(18, 64), DIGITS[numbers].to_dense())
    np.testing.assert_array_equal(found[:, 1].reshape(18, 64), machine.reconstruct(DIGITS[numbers]))


@pytest.mark.parametrize("sizes", [(64, 1), (2000, 3)], ids=str)
def test_ticks_are_at_whole_numbers_and_apart(sizes):
    machine = random_machine(sizes)
    axes = plotting.overview(machine, machine.sample(30))
    laid_out(axes[0].figure)
    for ax in axes:
        low, high = sorted(ax.get_xlim())
        boxes = [
            label.get_window_extent()
            for tick, label in zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
            if low <= tick <= high
        ]
        assert all(tick == round(tick) for tick in ax.get_xticks())
        assert not any(one.overlaps(next_) for one, next_ in pairwise(boxes))


@pytest.mark.parametrize("shape", [None, (1, 3)], ids=["matrix", "images"])
def test_missing_cells_of_an_array_are_orange_and_gaps_are_not(shape):
    rows = np.array([[1.0, np.nan, 0.0], [np.inf, np.inf, np.inf]])
    ax = plotting.images(rows, shape=shape)
    image = ax.images[0]
    drawn = image.to_rgba(image.get_array())[..., :3]
    orange = (drawn == np.array([1, 165 / 255, 0])).all(axis=-1)
    assert 0.1 < orange.mean() < 0.2
    assert not orange[len(drawn) // 2 :].any()
    own = plotting.images(rows, shape=shape, cmap="viridis").images[0]
    assert own.get_cmap().name == "viridis"
    assert np.ma.getmaskarray(own.get_array()).sum() >= np.ma.getmaskarray(image.get_array()).sum()


def middle_of(ax):
    """Red, green and blue, 0 to 255, of pixels from the middle of the axes."""
    pixels = np.asarray(laid_out(ax.figure).canvas.buffer_rgba())[..., :3].astype(int)
    return pixels[pixels.shape[0] // 3 : pixels.shape[0] // 2, pixels.shape[1] // 3 : 2 * pixels.shape[1] // 3]


def test_no_column_of_a_wide_matrix_is_left_out():
    for column in range(1000, 1008):
        rows = np.zeros((60, 2048))
        rows[:, column] = 1
        assert middle_of(plotting.images(rows)).min() < 235, column


def test_missing_cells_between_ones_do_not_make_them_white():
    rows = np.tile(np.where(np.arange(4000) % 2, np.nan, 1), (60, 1))
    red, green, blue = np.moveaxis(middle_of(plotting.images(rows)), 2, 0)
    assert 50 < red.min() <= red.max() < 205, "between black and orange"
    assert (blue < green).all()
    assert (green < red).all()


def test_images_are_drawn_of_whatever_a_machine_takes():
    sparse, pandas = pytest.importorskip("scipy.sparse"), pytest.importorskip("pandas")
    cells = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    drawn = plotting.images(cells).images[0].get_array()
    frame = pandas.DataFrame(cells).astype("boolean")
    for form in (sparse.csr_array(cells), sparse.coo_array(cells), Bits.from_dense(cells), frame, cells.tolist()):
        np.testing.assert_array_equal(plotting.images(form).images[0].get_array(), drawn)
    cells[0, 1], frame.iloc[0, 1] = np.nan, pandas.NA
    drawn = plotting.images(cells).images[0].get_array()
    assert (drawn == figures.IS_MISSING).any()
    for form in (Bits.from_dense(cells, missing="marginalise"), frame, frame.astype(object)):
        np.testing.assert_array_equal(plotting.images(form).images[0].get_array(), drawn)
    cells[1, 0] = -0.5
    below = plotting.images(cells).images[0].get_array()
    np.testing.assert_array_equal(below, drawn)
    for wrong in ("a", [[1], [2, 3]], [[1j]], None, object()):
        with pytest.raises(ValueError, match=r"^rows: "):
            plotting.images(wrong)
