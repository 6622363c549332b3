"""Pictures: what they show is what the machine has, and what cannot be drawn is refused."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from machines import DIGITS, random_machine, small
from pictures import laid_out, tiles

from wakesleep import HelmholtzMachine, NotFittedError, figures, plotting

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def machine():
    return small(n_iter=4, batch_size=20, learning_rate=0.3).fit(DIGITS[:500], validation=DIGITS[500:700])


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_curves_show_the_history(machine):
    log_p, reconstruction = plotting.learning_curves(machine).lines
    assert log_p.get_xdata().tolist() == reconstruction.get_xdata().tolist() == [1, 2, 3, 4]
    assert log_p.get_ydata().tolist() == [entry["log_likelihood"] for entry in machine.history_]
    assert reconstruction.get_ydata().tolist() == [-entry["reconstruction_cross_entropy"] for entry in machine.history_]


def test_the_band_is_one_standard_error_to_either_side(machine):
    (band,) = plotting.learning_curves(machine.history_).collections
    bottom, top = band.get_paths()[0].vertices[:, 1].min(), band.get_paths()[0].vertices[:, 1].max()
    ends = [[e["log_likelihood"] + sign * e["standard_error"] for e in machine.history_] for sign in (-1, 1)]
    assert (bottom, top) == (min(ends[0]), max(ends[1]))


def test_without_held_out_rows_there_is_one_curve(capsys):
    ax = plotting.learning_curves(small(verbose=1).fit(DIGITS[:100]))
    assert len(ax.lines) == 1
    assert ax.get_title() == "rows learned from"


@pytest.mark.filterwarnings("ignore::wakesleep.PoorFitWarning")
def test_early_stopping_is_marked():
    machine = small(patience=2, learning_rate=3.0, n_iter=30).fit(DIGITS[:60], validation=DIGITS[100:160])
    ax = plotting.learning_curves(machine)
    assert ax.lines[-1].get_xdata() == [machine.best_epoch_] * 2
    assert ax.get_legend().get_texts()[-1].get_text() == f"epoch {machine.best_epoch_}"


@pytest.mark.parametrize("history", [[], [{"epoch": 1}], [{"reconstruction_cross_entropy": 9.0}]])
def test_a_training_that_was_not_measured_has_no_curves(history):
    with pytest.raises(ValueError, match=r"^history: want epochs that were measured, .* got none"):
        plotting.learning_curves(history)


def test_records_without_a_standard_error_are_drawn():
    history = [{"epoch": n, "reconstruction_cross_entropy": 9.0 - n, "log_likelihood": n - 12.0} for n in (1, 2)]
    assert plotting.learning_curves(history).lines[0].get_ydata().tolist() == [-11, -10]


@pytest.mark.parametrize("name", ["epoch", "log_likelihood", "reconstruction_cross_entropy", "standard_error"])
def test_a_null_of_a_log_is_no_point_of_a_curve(name):
    measures = "log_likelihood", "reconstruction_cross_entropy"
    history = [{"epoch": n, **dict.fromkeys(measures, n / 8), "standard_error": 0.5} for n in (1, 2, 3)]
    history[1][name] = None
    ax = plotting.learning_curves(history)
    for measure, line in zip(measures, ax.lines, strict=True):
        assert line.get_xdata().tolist() == ([1, 3] if name in (measure, "epoch") else [1, 2, 3])
        assert np.isfinite(line.get_ydata()).all()
    assert np.isfinite(ax.collections[0].get_paths()[0].vertices).all()


def test_a_measure_of_nulls_has_no_curve():
    record = {"epoch": 1, "reconstruction_cross_entropy": 2.0, "log_likelihood": None}
    ax = plotting.learning_curves([record])
    assert [(line.get_label(), line.get_ydata().tolist(), line.get_marker()) for line in ax.lines] == [
        ("reconstruction", [-2.0], "o")
    ]
    assert ax.get_title() == "held-out rows"
    with pytest.raises(ValueError, match=r"^history: want epochs that were measured, .* got none"):
        plotting.learning_curves([record | {"reconstruction_cross_entropy": None}])


def test_fields_of_the_lowest_level_are_the_generative_weights(machine):
    ax = plotting.fields(machine)
    found = np.reshape(tiles(ax, 3), (6, 64))  # five units, and a place that stays empty
    np.testing.assert_array_equal(found[:5], machine.generative_[0].weights)
    assert np.isnan(found[5]).all()


def test_fields_of_a_deeper_level_are_what_switching_on_the_unit_changes(machine):
    machine = random_machine((64, 5, 3, 2))
    logits = np.arange(2) @ machine.generative_[2].weights + machine.generative_[2].biases
    machine.prior_logits_[:] = [-100, 100]  # that is the state at the top, (0, 1)
    found = tiles(plotting.fields(machine, 1), 2)
    for unit in range(3):
        states = np.tile(1 / (1 + np.exp(-logits)), (2, 1))
        states[:, unit] = 0, 1
        off, on = machine.inverse_transform(states, layer=1)
        np.testing.assert_allclose(found[unit].ravel(), on - off, rtol=0, atol=1e-6)


def test_the_scale_of_fields_is_symmetric_and_no_outlier_sets_it():
    machine = random_machine((64, 40, 3))
    ax = plotting.fields(machine)
    low, high = ax.images[0].get_clim()
    assert -low == high
    assert 0 < (np.abs(machine.generative_[0].weights) > high).mean() < 0.01
    assert ax.images[0].colorbar.extend == "both"
    machine.generative_[0].weights[0, 0] = 1e6
    assert plotting.fields(machine).images[0].get_clim()[1] < 1.1 * high


def test_fields_of_zero_can_be_drawn():
    assert plotting.fields(HelmholtzMachine.from_parameters([0.0], [([[0.0] * 4], [0.0] * 4)], [([[0.0]] * 4, [0.0])]))


def test_fantasies_are_those_of_the_machine(machine):
    found = np.reshape(tiles(plotting.fantasies(machine, 12), 4), (12, 64))
    np.testing.assert_array_equal(found, machine.sample(12))
    other = np.reshape(tiles(plotting.fantasies(machine, 12, random_state=3), 4), (12, 64))
    np.testing.assert_array_equal(other, machine.sample(12, random_state=3))
    assert (found != other).any()


def test_each_reconstruction_stands_below_its_row(machine):
    found = np.reshape(tiles(plotting.reconstructions(machine, DIGITS[:13]), 5), (6, 5, 64))
    np.testing.assert_array_equal(found[::2].reshape(15, 64)[:13], DIGITS[:13].to_dense())
    np.testing.assert_array_equal(found[1::2].reshape(15, 64)[:13], machine.reconstruct(DIGITS[:13]))
    assert np.isnan(found[4:, 3:]).all()


def test_activity_is_sorted_by_unit_and_by_row(machine):
    values = machine.transform(DIGITS[:300], layer=0).astype(float)
    ax = plotting.activity(machine, DIGITS[:300], 0)
    shown = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(np.sort(shown.sum(axis=0)), np.sort(values.sum(axis=0)))
    np.testing.assert_allclose(np.sort(shown.sum(axis=1)), np.sort(values.sum(axis=1)))
    means = shown.mean(axis=0)
    assert (np.diff(means) <= 0).all()
    bars = ax.child_axes[0].patches
    np.testing.assert_allclose([bar.get_height() for bar in bars], means)
    np.testing.assert_allclose([bar.get_x() + bar.get_width() / 2 for bar in bars], [1, 2, 3, 4, 5])
    assert list(ax.images[0].get_extent()) == [0.5, 5.5, 300.5, 0.5], "ranks begin with 1"
    first = shown[:, np.argmax(shown.var(axis=0))] > 0.5
    assert np.abs(np.diff(first.astype(int))).sum() == 1, "rows are not together where the first unit is on"


def test_rows_that_are_no_images_are_a_matrix():
    machine = random_machine((12, 5))
    X = machine.sample(7)
    np.testing.assert_array_equal(plotting.fields(machine).images[0].get_array(), machine.generative_[0].weights)
    np.testing.assert_array_equal(plotting.fantasies(machine, 7).images[0].get_array(), X)
    pairs = np.asarray(plotting.reconstructions(machine, X).images[0].get_array())
    np.testing.assert_array_equal(pairs[::2], X)
    np.testing.assert_array_equal(pairs[1::2], machine.reconstruct(X))
    assert plotting.fields(machine, shape=(3, 4)).get_xlabel() == ""


@pytest.mark.parametrize(("shape", "larger"), [((1, 12), 3), ((12, 1), 3), ((2, 6), 6), ((1, 5000), 1)])
def test_images_of_any_shape_are_whole(shape, larger):
    rows = np.arange(3 * np.prod(shape), dtype=float).reshape(3, -1)
    ax = plotting.images(rows, shape=shape, vmax=rows.max())
    values, counts = np.unique(np.asarray(ax.images[0].get_array().compressed()), return_counts=True)
    np.testing.assert_array_equal(values, rows.ravel())
    assert set(counts) == {larger**2}, "the longer side has thirty-two pixels, or a few more"
    ax.figure.savefig("x.png")


def test_fewer_images_than_columns_leave_no_columns_empty():
    assert len(tiles(plotting.images(np.eye(4), n_columns=9), 4, size=2)) == 4


def test_how_images_are_drawn_can_be_chosen():
    for D in (9, 12):
        assert plotting.images(np.eye(D), cmap="viridis", interpolation="none").images[0].get_interpolation() == "none"


def test_axes_that_are_given_are_drawn_on(machine):
    from matplotlib.figure import Figure

    axes = Figure().subplots(1, 5)
    assert plotting.learning_curves(machine, ax=axes[0]) is axes[0]
    assert plotting.fields(machine, ax=axes[1]) is axes[1]
    assert plotting.fantasies(machine, 4, ax=axes[2]) is axes[2]
    assert plotting.reconstructions(machine, DIGITS[:4], ax=axes[3]) is axes[3]
    assert plotting.activity(machine, DIGITS[:4], ax=axes[4]) is axes[4]


def test_axes_of_a_subfigure_are_drawn_on_and_the_whole_figure_is_saved(machine):
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    figure = Figure((20, 4), layout="constrained")
    for part, draw in zip(
        figure.subfigures(1, 5),
        (
            lambda ax: plotting.learning_curves(machine, ax=ax),
            lambda ax: plotting.fields(machine, ax=ax),
            lambda ax: plotting.fantasies(machine, 4, ax=ax),
            lambda ax: plotting.reconstructions(machine, DIGITS[:4], ax=ax),
            lambda ax: plotting.activity(machine, DIGITS[:4], ax=ax),
        ),
        strict=True,
    ):
        last = draw(part.subplots())
        assert last.figure is part
    plotting.save(last, "x.png")
    assert imread("x.png").shape[:2] == (400, 2000)


@pytest.mark.parametrize(("sizes", "shape", "X"), [
    ((64, 16, 8), None, DIGITS[:100]), ((40, 6, 4), None, np.eye(40)), ((32, 4, 3), (4, 8), np.eye(32)),
    ((64, 200), None, DIGITS[:100]), ((64, 5, 4, 3), None, None),
])  # fmt: skip
def test_pictures_of_an_overview_stand_apart_in_equal_panels(sizes, shape, X):
    grid = plotting.overview(random_machine(sizes), X, shape=shape)
    whole = laid_out(grid[0].figure).bbox
    boxes = [ax.get_tightbbox() for ax in grid]
    for i, box in enumerate(boxes):
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1
        assert not any(box.overlaps(other) for other in boxes[:i])
    in_rows = [ax.get_subplotspec().get_topmost_subplotspec().rowspan.start for ax in grid]
    for row in set(in_rows):
        assert np.ptp([box.y1 for box, its in zip(boxes, in_rows, strict=True) if its == row]) < 8, "pixels"


def test_an_overview_has_what_can_be_drawn(machine):
    titles = [ax.get_title() for ax in plotting.overview(machine)]
    assert titles == ["held-out rows", *(f"generative fields of level {n}" for n in (0, 1)), "fantasies, x ~ p(x)"]
    assert len(whole := plotting.overview(machine, DIGITS)) == len(plotting.overview(machine, DIGITS[:3])) == 6
    assert whole[-1].child_axes[0].get_title() == "posterior activity of level 1"
    assert len(plotting.overview(random_machine((9, 4)))) == 2


def test_an_overview_draws_rows_from_everywhere(machine):
    X = np.eye(64)
    numbers = np.linspace(0, 63, plotting.N_PAIRS).astype(int)
    shown, some = plotting.overview(machine, X)[-2], plotting.reconstructions(machine, X[numbers])
    assert shown.get_title() == some.get_title()
    np.testing.assert_array_equal(shown.images[0].get_array(), some.images[0].get_array())


@pytest.mark.parametrize(
    ("draw", "fault"),
    [
        (lambda m: plotting.images(np.zeros((0, 4))), r"^rows: Found array with 0 sample"),
        (lambda m: plotting.images([1.0, 0.0]), r"^rows: Expected 2D array"),
        (lambda m: plotting.images(np.eye(4), n_columns=0), "^n_columns: want a whole number from 1"),
        (lambda m: plotting.images(np.eye(4), feature_names=["a"]), "^feature_names: want 4, one for each"),
        (lambda m: plotting.reconstructions(m, DIGITS, 0), "^n_rows: want a whole number from 1"),
        (lambda m: plotting.fantasies(m, 0), "^n_samples: want a whole number from 1"),
        (lambda m: plotting.fields(m, 2), "^layer: want a hidden level"),
        (lambda m: plotting.fields(m, shape=(3, 3)), "^shape: want .* = 64"),
        (lambda m: plotting.overview(m, DIGITS, shape=(8, 9)), "^shape: want .* = 64"),
        (lambda m: plotting.reconstructions(m, DIGITS[:0]), "Found array with 0 sample"),
        (lambda m: plotting.activity(HelmholtzMachine(), DIGITS), "call fit before"),
        (lambda m: plotting.fields(HelmholtzMachine()), "call fit before"),
        (lambda m: plotting.fantasies(HelmholtzMachine()), "call fit before"),
        (lambda m: plotting.reconstructions(HelmholtzMachine(), DIGITS), "call fit before"),
        (lambda m: plotting.overview(HelmholtzMachine(), DIGITS), "call fit before"),
    ],
)
def test_what_cannot_be_drawn_is_refused(machine, draw, fault):
    with pytest.raises(ValueError, match=fault):
        draw(machine)


DRAWN_ON = {
    "curves": plotting.learning_curves,
    "fields": plotting.fields,
    "deeper fields": lambda m, **how: plotting.fields(m, 1, **how),
    "fantasies": plotting.fantasies,
    "reconstructions": lambda m, **how: plotting.reconstructions(m, DIGITS[:20], **how),
    "activity": lambda m, **how: plotting.activity(m, DIGITS[:20], **how),
    "images": lambda m, **how: plotting.images(np.eye(4), **how),
    "matrix": lambda m, **how: plotting.images(np.eye(5), **how),
}


@pytest.mark.parametrize("draw", DRAWN_ON.values(), ids=DRAWN_ON.keys())
@pytest.mark.parametrize("ax", ["x", 3, [], "figure", "axes"])
def test_what_are_no_axes_is_refused(machine, draw, ax):
    from matplotlib.figure import Figure

    wrong = {"figure": Figure(), "axes": Figure().subplots(1, 2)}.get(str(ax), ax)
    with pytest.raises(TypeError, match=r"^ax: want Axes of matplotlib, got "):
        draw(machine, ax=wrong)


@pytest.mark.parametrize("name", ["fields", "deeper fields", "fantasies", "reconstructions", "activity", "overview"])
@pytest.mark.parametrize("wrong", [None, "model.npz", HelmholtzMachine, DIGITS], ids=["None", "path", "class", "rows"])
def test_what_is_no_machine_is_refused(name, wrong):
    draw = (DRAWN_ON | {"overview": plotting.overview})[name]
    with pytest.raises(TypeError, match=r"^machine: want a HelmholtzMachine, got "):
        draw(wrong)


@pytest.mark.parametrize("wrong", [None, 3, "ab", ["a"], [{"epoch": 1}, None], {"epoch": 1}], ids=repr)
def test_what_is_no_history_is_refused(wrong):
    with pytest.raises(TypeError, match=r"^history: want a HelmholtzMachine or its history_, got "):
        plotting.learning_curves(wrong)


@pytest.mark.parametrize("wrong", [3, "abcd", {"a", "b", "c", "d"}, np.array("abcd")], ids=repr)
def test_what_are_no_names_is_refused(wrong):
    with pytest.raises(TypeError, match=r"^feature_names: want a sequence of 4 str, got "):
        plotting.images(np.eye(4), feature_names=wrong)


@pytest.mark.parametrize("wrong", [None, "x", 3, np.array([]), np.arange(3), [None]], ids=repr)
def test_what_are_no_axes_is_not_saved(wrong, tmp_path):
    with pytest.raises(TypeError, match=r"^axes: want Axes of matplotlib, got "):
        plotting.save(wrong, "x.png")
    assert not [*tmp_path.iterdir()]


def test_other_kinds_of_files_are_written_too(machine):
    plotting.save(plotting.fields(machine), "x.PDF")
    with open("x.PDF", "rb") as file:
        assert file.read(5) == b"%PDF-"


def test_without_matplotlib_the_error_tells_what_to_install(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pictures need matplotlib: pip install 'wakesleep\[plot\]'"):
        plotting.fantasies(machine)


def test_pyplot_is_never_loaded_and_extras_only_where_they_work():
    script = (
        "import sys, wakesleep\n"
        "assert not {'argparse', 'matplotlib', 'tqdm'} & set(sys.modules)\n"
        "import wakesleep.cli, wakesleep.plotting as p\n"
        "assert not {'matplotlib', 'tqdm'} & set(sys.modules)\n"
        "m = wakesleep.HelmholtzMachine(n_iter=1).fit(wakesleep.datasets.load_digits())\n"
        "p.save(p.overview(m, wakesleep.datasets.load_digits()), sys.argv[1])\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, "x.png"], check=True, timeout=120)


def test_the_example_of_the_module_runs(tmp_path):
    exec(textwrap.dedent(plotting.__doc__.partition("::\n")[2]), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fields.png", "machine.svg"]


def test_axes_that_were_drawn_on_are_drawn_on_again(machine):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    ax.imshow([[0.0, 1000.0]])
    ax.set_xticks([0, 1])
    plotting.fields(machine, ax=ax)
    bar = ax.images[-1].colorbar
    assert bar is not None
    assert bar.vmax < 100
    assert ax.images[0].colorbar is None
    plotting.activity(machine, DIGITS[:20], ax=ax)
    plotting.learning_curves(machine, ax=ax)


def test_curves_of_a_machine_that_has_not_learned_are_refused():
    with pytest.raises(NotFittedError):
        plotting.learning_curves(HelmholtzMachine())


@pytest.mark.parametrize("shape", [None, (1, 3)], ids=["matrix", "images"])
def test_missing_cells_of_rows_have_a_colour_that_the_scale_has_not_and_a_key(shape):
    from matplotlib.image import imread

    X = np.array([[1.0, np.nan, 0.0], [0.0, 1.0, 0.0]])
    gappy = HelmholtzMachine((2,), n_iter=1, missing="marginalise", random_state=0).fit(X)
    ax = plotting.reconstructions(gappy, X, shape=shape)
    assert ax.get_title().endswith("(orange: missing cells)")
    plotting.save(ax, "x.png")
    red, green, blue = np.moveaxis(imread("x.png")[..., :3], 2, 0)
    orange = (red > 0.9) & (blue < 0.1) & (np.abs(green - 0.65) < 0.05)
    box = ax.images[0].get_window_extent()
    assert 0.5 < orange.sum() / (box.width * box.height / 12) < 1.3, "one cell of twelve"
    assert plotting.reconstructions(gappy, X[1:]).get_title() == "rows, and below each its reconstruction"


def test_missing_cells_are_at_their_place_among_images():
    X = np.array([[1.0, np.nan, 0.0, 1.0]])
    gappy = HelmholtzMachine((2,), n_iter=1, missing="marginalise", random_state=0).fit([*X, [1, 0, 0, 1]])
    drawn = np.ma.filled(plotting.reconstructions(gappy, X, shape=(2, 2)).images[0].get_array(), np.nan)
    gap, side = figures.FEWEST_PIXELS // 10, figures.FEWEST_PIXELS
    original, reconstructed = (drawn[top : top + side, gap:-gap] for top in (gap, side + 2 * gap))
    assert original[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [1, figures.IS_MISSING, 0, 1]
    assert ((reconstructed >= 0) & (reconstructed <= 1)).all()
