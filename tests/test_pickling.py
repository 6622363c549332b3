"""Machines in pickles: of this version and of others, with rules that are functions, and in notebooks."""

import copy
import pickle
import re

import numpy as np
import pytest
from machines import ROWS, SIZES, learned, small

from wakesleep import Bits, HelmholtzMachine, InconsistentVersionWarning, __version__, html
from wakesleep.estimator import VERSION


def halved(log_w):
    """A rule of this module: equal credits for p, none for q."""
    return np.full(log_w.shape, 1 / log_w.shape[1]), np.zeros(log_w.shape)


def restored(state):
    """What unpickling makes of these attributes."""
    machine = HelmholtzMachine.__new__(HelmholtzMachine)
    machine.__setstate__(state)
    return machine


# ---- pickles ----


def test_packed_rows_from_before_there_were_names_have_none():
    bits = Bits(ROWS.words, ROWS.n_features)
    del bits.feature_names
    part = pickle.loads(pickle.dumps(bits))[3:7]
    assert part == ROWS[3:7]
    assert part.feature_names is None


def test_a_pickle_has_the_version_and_the_machine_has_not():
    machine = small().fit(ROWS)
    assert machine.__getstate__() == vars(machine) | {VERSION: __version__}
    assert vars(pickle.loads(pickle.dumps(machine))).keys() == vars(machine).keys()


def test_a_machine_of_another_version_comes_with_a_warning():
    state = small().fit(ROWS).__getstate__()
    fault = rf"HelmholtzMachine: want what version {__version__} has pickled, got that of 0\.0\.9; .* save and load"
    with pytest.warns(InconsistentVersionWarning, match=fault):
        machine = restored(state | {VERSION: "0.0.9"})
    assert learned(machine) == learned(small().fit(ROWS))
    del state[VERSION]
    with pytest.warns(InconsistentVersionWarning, match="got that of an unknown one"):
        assert learned(restored(state)) == learned(machine)


def test_arguments_that_are_newer_than_the_pickle_take_their_defaults():
    state = small().fit(ROWS).__getstate__()
    for name in ("clip_norm", "frozen"):
        del state[name]
    machine = restored(state)
    assert (machine.clip_norm, machine.frozen, machine.n_iter) == (None, (), 3)
    assert learned(machine.partial_fit(ROWS)) == learned(small(n_iter=4).fit(ROWS))


def test_a_rule_that_is_a_function_is_pickled_by_its_name():
    machine = small(rule=halved, n_particles=2).fit(ROWS)
    for twin in (pickle.loads(pickle.dumps(machine)), copy.deepcopy(machine)):
        assert twin.rule is halved
        assert learned(twin.partial_fit(ROWS)) == learned(copy.copy(machine).partial_fit(ROWS))


def test_a_copy_of_a_machine_with_a_function_without_a_name_works():
    machine = small(rule=lambda log_w: halved(log_w), n_particles=2).fit(ROWS)
    assert learned(copy.deepcopy(machine)) == learned(machine)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(machine)


# ---- notebooks ----


def test_notebooks_show_what_is_not_the_default_and_how_far_training_has_come():
    machine = small(learning_rate=(0.1, 0.2))
    shown = bare(machine)
    assert "<td>(0.1, 0.2)</td>" in shown
    assert "<b>HelmholtzMachine, not fitted</b>" in shown
    assert "<th>rule</th><td>wake-sleep</td>" in shown
    assert "epochs" not in shown
    shown = bare(machine.fit(ROWS))
    begin = f"<th>levels</th><td>64-{SIZES[0]}-{SIZES[1]}</td></tr><tr><th>rule</th><td>wake-sleep</td></tr>"
    assert f"<b>HelmholtzMachine</b></caption><tr>{begin}<tr><th>epochs</th><td>3</td>" in shown
    assert "batch_size" in shown
    assert not any(name in shown for name in ("held-out", "optimizer", "hidden_layer_sizes"))
    machine.set_params(n_iter=2).fit(ROWS, validation=0.2)
    first, log_p = (f"{entry['log_likelihood']:.3f}" for entry in machine.history_)
    assert first != log_p, "this test has no power"
    assert f"<tr><th>held-out log p(x), nats</th><td>{log_p}</td></tr>" in bare(machine)


def test_notebooks_show_what_bits_are():
    gappy = Bits.from_dense([[1, 0, np.nan], [0, 0, 1]], missing="marginalise")
    rows = {"rows": 2, "features": 3, "ones": "40.0%", "missing": "16.7%", "bytes": 32}
    cells = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    assert f"<caption><b>Bits</b></caption>{cells}</table>" in bare(gappy)
    assert "missing" not in bare(ROWS)


def test_notebooks_show_the_figures_that_diagnostics_print():
    found = small().fit(ROWS).diagnostics(ROWS, n_particles=5)
    shown = re.sub(r"<[^>]*>", " ", found._repr_html_())
    assert shown.split() == ["Diagnostics", *str(found).replace("level ", "Levels, nats level ").split()]
    assert found._repr_html_().count("<table") == 2
    assert "<tr><th>level</th><th>units</th><th>log q - log p</th>" in bare(found)
    names = [line[:28].rstrip() for line in str(found).partition("\n\n")[0].splitlines()]
    assert re.findall(r"<tr><th>([^<]*)</th><td>[\d.-]+(?: %)?</td></tr>", bare(found)) == names


def bare(thing):
    """What a notebook gets, without styles."""
    return re.sub(r' style="[^"]*"', "", thing._repr_html_())


def test_everything_in_the_table_is_escaped():
    evil = "<script>alert(1)</script>&"
    shown = small(rule=evil, optimizer=evil)._repr_html_()
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt;&amp;") == 2
    assert html.table(evil, {evil: evil}).count("&lt;script&gt;") == 3

    class Evil:
        def __repr__(self):
            return f"<b>\n{evil}"

    assert "&lt;b&gt; &lt;script&gt;" in HelmholtzMachine(random_state=Evil())._repr_html_()


def test_the_table_is_small_whatever_is_in_it():
    for n_rows, n_shown in ((13, 13), (14, 14), (15, 14)):
        assert html.table("T", dict.fromkeys(range(n_rows), 0)).count("<tr>") == n_shown
        assert ("more" in html.table("T", dict.fromkeys(range(n_rows), 0))) == (n_rows > 14)
    names = HelmholtzMachine().get_params()
    machine = HelmholtzMachine(**dict.fromkeys(names, "&" * 1000))
    shown = machine._repr_html_()
    assert len(shown.encode()) < 4096
    assert f"<tr><th>…</th><td>{len(names) - html.MOST_ROWS + 1} more</td></tr></table>" in bare(machine)
    assert len(machine.set_params(**dict.fromkeys(names, "\N{GRINNING FACE}" * 1000))._repr_html_().encode()) < 4096
