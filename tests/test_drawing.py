"""Pictures for terminals: every pixel in its place, every line within the terminal."""

import doctest
import io
from types import SimpleNamespace

import numpy as np
import pytest

from wakesleep import drawing
from wakesleep.drawing import draw, image_shape, supports_unicode


def pixels(text, height, width):
    """The image that a drawing of one image shows, read back character by character."""
    lines = [line.ljust(width) for line in text.split("\n")]
    image = np.zeros((2 * len(lines), width), np.uint8)
    for i, line in enumerate(lines):
        for j, glyph in enumerate(line):
            image[2 * i : 2 * i + 2, j] = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}[glyph]
    assert not image[height:].any()
    return image[:height]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (3, 5), (8, 8), (7, 1), (28, 28)])
def test_every_pixel_can_be_read_back(height, width):
    image = np.random.default_rng(height).integers(0, 2, (height, width), np.uint8)
    text = draw([[image]], height=height, width=width)
    np.testing.assert_array_equal(pixels(text, height, width), image)


def test_ascii_shows_what_the_blocks_show():
    rows = np.random.default_rng(0).integers(0, 2, (2, 3, 5, 4), np.uint8)
    blocks, ascii_only = (draw(rows, height=5, width=4, labels=["a", "b"], unicode=choice) for choice in (True, False))
    assert ascii_only == blocks.translate(str.maketrans("▀▄█", "'.#"))
    assert ascii_only.isascii()


def test_labels_stand_at_the_left_and_images_below_each_other():
    one, two = np.eye(4, dtype=np.uint8), np.ones((4, 4), np.uint8)
    text = draw([[one, two], [two, one]], height=4, width=4, labels=["originals", "dreams"], unicode=False)
    assert text.split("\n") == [
        "originals  '.    ####",
        "             '.  ####",
        "",
        "dreams     ####  '.",
        "           ####    '.",
    ]


def test_without_labels_there_is_no_margin():
    assert draw([np.ones((2, 2, 2))], height=2, width=2) == "██  ██"
    assert draw([np.ones((2, 2, 2))], height=2, width=2, labels=[""], gap=1) == "██ ██"


@pytest.mark.parametrize(("max_columns", "n_images"), [(1, 1), (27, 1), (28, 1), (57, 1), (58, 2), (88, 3), (999, 5)])
def test_images_that_do_not_fit_are_left_out(max_columns, n_images):
    text = draw([np.ones((5, 28, 28))], height=28, width=28, max_columns=max_columns)
    line = "  ".join(["█" * 28] * n_images)
    assert text.split("\n") == [line[:max_columns]] * 14


def test_labels_count_towards_the_columns():
    rows = [np.ones((5, 2, 8)), np.ones((5, 2, 8))]
    text = draw(rows, height=2, width=8, labels=["fantasies", "x"], max_columns=28)
    assert text.split("\n") == ["fantasies  ████████", "", "x          ████████"]
    wider = draw(rows, height=2, width=8, labels=["fantasies", "x"], max_columns=29)
    assert max(map(len, wider.split("\n"))) == 29
    assert max(map(len, draw(rows, height=2, width=8, labels=["fantasies", "x"], max_columns=5).split("\n"))) == 5


def test_flat_images_are_drawn_like_square_ones():
    images = np.random.default_rng(0).integers(0, 2, (3, 4, 6), np.uint8)
    assert draw([images.reshape(3, 24)], height=4, width=6) == draw([images], height=4, width=6)


def test_nothing_to_draw_is_no_error():
    assert draw([], height=2, width=2) == ""
    assert draw([np.zeros((0, 2, 2))], height=2, width=2, labels=["none"]) == "none"


@pytest.mark.parametrize("shape", [(4,), (2, 5), (2, 8), (1, 2, 3), (1, 4, 1), (1, 1, 2, 2), ()])
def test_images_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"rows_of_images: want images of 2 × 2, got an array of shape \("):
        draw([np.ones(shape)], height=2, width=2)


def test_a_label_too_few_is_refused():
    with pytest.raises(ValueError, match="labels: want 2, one per row of images, got 1"):
        draw([np.ones((1, 4))] * 2, height=2, width=2, labels=["one"])


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf_8"])
def test_utf8_streams_support_unicode(encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert supports_unicode(stream)
    stream.write("▀▄█")
    stream.flush()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-16", "gb18030", "none", "", None, 8])
def test_other_streams_do_not(encoding):
    assert not supports_unicode(SimpleNamespace(encoding=encoding))


def test_things_without_encoding_do_not():
    assert not supports_unicode(None)
    assert not supports_unicode(io.BytesIO())


@pytest.mark.parametrize(("n_features", "shape"), [(1, (1, 1)), (4, (2, 2)), (784, (28, 28)), (0, None), (783, None)])
def test_square_numbers_of_features_are_square_images(n_features, shape):
    assert image_shape(n_features) == shape


def test_explicit_shape_is_taken():
    assert image_shape(12, (3, 4)) == (3, 4)
    assert image_shape(16, [2, 8]) == (2, 8)
    assert image_shape(6, np.array([6, 1])) == (6, 1)


@pytest.mark.parametrize("shape", [(3, 5), (12,), (), (3, 4, 1), (-3, -4), (0, 12)])
def test_shape_of_another_size_is_refused(shape):
    with pytest.raises(ValueError, match=r"shape: want .* height × width = 12, got"):
        image_shape(12, shape)


@pytest.mark.parametrize("shape", [(2.5, 4), (2.0, 5.0), 10, "2x5", ((2, 5),)])
def test_shape_that_is_no_whole_numbers_is_refused(shape):
    with pytest.raises(TypeError, match=r"^shape: want \(height, width\), two whole numbers, got "):
        image_shape(10, shape)


def test_docstring_examples():
    results = doctest.testmod(drawing)
    assert results.failed == 0
    assert results.attempted > 0
