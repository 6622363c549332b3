"""Results as Markdown: tables, the machine, and the sections of `RESULTS.md`, one for each command."""

import importlib.metadata
import importlib.util
import os
import platform
import re
from datetime import date
from pathlib import Path

import wakesleep
from wakesleep._panels import cpu_levels

RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("numpy", "torch", "jax")
TITLE = "# Results\n\nWritten by the commands that the sections name. Do not edit.\n"


def table(head, lines):
    """A Markdown table.  head : names of columns.  lines : as many texts each."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def processor():
    """Its name, and what the name does not tell."""
    cpu = Path("/proc/cpuinfo")
    facts = dict(re.findall(r"^(\w[\w ]*\w)\s*: (.*)$", cpu.read_text(), re.M)) if cpu.is_file() else {}
    if "model name" not in facts or "cpu family" not in facts:
        return platform.processor() or platform.machine()
    return "{model name} (family {cpu family}, model {model})".format(**facts)


def machine():
    """What figures depend on, as a list."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    packages = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES if importlib.util.find_spec(name)]
    return "\n".join(
        [
            f"- processor: {processor()}, {os.cpu_count()} cores; kernels for {', '.join(cpu_levels())}",
            f"- system: {system}, {platform.system()} {platform.release()}",
            f"- versions: wakesleep {wakesleep.__version__}, Python {platform.python_version()}, {', '.join(packages)}",
            f"- date: {date.today():%Y-%m-%d}",
        ]
    )


def foreign_seconds():
    """CPU seconds that the machine has spent, but not on this program and the workers that it has ended; or None."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return None
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, stat.read_text().split("\n", 1)[0].split()[1:])
    mine = os.times()
    all_seconds = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return all_seconds - mine.user - mine.system - mine.children_user - mine.children_system


def write_section(command, text, path=RESULTS):
    """Put `text` in place of what this command wrote before; the other sections stay as they are."""
    begin, end = f"<!-- {command} -->\n", f"<!-- end of {command} -->\n"
    section = f"{begin}## `python -m {command}`\n\n{text.strip()}\n{end}"
    before = path.read_text(encoding="utf-8") if path.is_file() else TITLE
    old = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    after = old.sub(lambda _: section, before) if old.search(before) else f"{before}\n{section}"
    path.write_text(after, encoding="utf-8")
