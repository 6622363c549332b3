"""Pages of the documentation run from top to bottom, and the tutorials hold what they claim."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import wakesleep

DOCS = Path(__file__).parents[1] / "docs"
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(?::[^\n]*\n)*(.*?)^```$", re.S | re.M)
WANTED = re.compile(r"^(?:import|from) (matplotlib|sklearn|IPython)\b", re.M)

CLAIMS = {
    "tutorials/codes": "(np.mean(precisions['Helmholtz machine'], axis=1) > np.mean(precisions['LSH'], axis=1)).all()",
    "tutorials/anomalies": (
        "np.mean(areas['Helmholtz machine']) > max(map(np.mean, (areas['kernel density'], areas['RBM, free energy']))) "
        "and np.mean(digit_areas['Helmholtz machine']) < np.mean(digit_areas['kernel density'])"
    ),
    "tutorials/dreams": (
        "max(bits[-1] for _, bits, _ in runs[best]) < 0.03 < 0.3 < min(bits[-1] for _, bits, _ in runs['plain'])"
    ),
    "rules": "max(nats['wake-sleep'])[-1] < min(min(nats[rule])[-1] for rule in RULES if rule != 'wake-sleep')",
    "concepts": "(np.abs(machine.transform(x)[2] - 0.43) < 0.03).all()",
    "quickstart": "log_p.mean() > -20 and better.score(X[1500:]) > log_p.mean()",
    "reproducibility": (
        "fingerprint(new(n_threads=2).fit(X)) == fingerprint(interrupted) "
        "and run.stdout.strip() in ('', fingerprint(interrupted))"
    ),
}
LONG = ("tutorials/codes", "tutorials/anomalies", "tutorials/dreams", "rules")
PAGES = [pytest.param(page, marks=pytest.mark.slow if page in LONG else ()) for page in CLAIMS]


def cells(page):
    return CELL.findall((DOCS / f"{page}.md").read_text(encoding="utf-8"))


def run(page, claim):
    """All cells of a page in one process, then the claim."""
    program = "\n".join([*cells(page), f"assert {claim}, 'the claim does not hold'"])
    for package in set(WANTED.findall(program)):
        if find_spec(package) is None:
            pytest.skip(f"{page} needs {package}")
    environment = os.environ | {"MPLBACKEND": "Agg", "WAKESLEEP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=DOCS, capture_output=True, text=True, timeout=900
    )


@pytest.mark.parametrize("page", PAGES)
def test_page_runs_and_holds_what_it_claims(page):
    done = run(page, CLAIMS[page])
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_claim_that_does_not_hold_is_noticed():
    done = run("concepts", f"not ({CLAIMS['concepts']})")
    assert done.returncode == 1
    assert "the claim does not hold" in done.stderr


def test_all_pages_with_cells_are_here():
    """Save those whose cells only show what others do: the site's build runs them."""
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.glob("**/*.md")}
    assert {page for page in pages if cells(page)} == CLAIMS.keys() | {"index", "command_line"}


def test_every_public_name_has_its_place_in_the_reference():
    reference = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    documented = set(re.findall(r"^\.\. auto\w+:: (?:wakesleep\.)?(\w+)", reference, re.M))
    assert set(wakesleep.__all__) <= documented
