"""What tests of pictures look at: a figure once it is laid out, and the images of a mosaic."""

import numpy as np

from wakesleep import figures


def laid_out(figure):
    """The same figure, drawn, so that everything in it has its place."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    return figure


def tiles(ax, n_columns, size=8):
    """The images of a mosaic, each in its own size again."""
    mosaic = np.asarray(ax.images[0].get_array().filled(np.nan))
    gap = figures.FEWEST_PIXELS // 10
    step = figures.FEWEST_PIXELS + gap
    scale = figures.FEWEST_PIXELS // size
    corners = [(y, x) for y in range(gap, len(mosaic), step) for x in range(gap, mosaic.shape[1], step)]
    assert len(corners) % n_columns == 0
    assert mosaic.shape[1] == n_columns * step + gap
    for frame in (mosaic[:gap], mosaic[-gap:], mosaic[:, :gap], mosaic[:, -gap:]):
        assert np.isnan(frame).all()
    return [mosaic[y : y + scale * size : scale, x : x + scale * size : scale] for y, x in corners]
