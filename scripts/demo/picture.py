"""Sections of what scripts/run prints as a picture of a terminal, for the README:

    scripts/run --stop | PYTHONPATH=scripts:clients/python/src python3 -m demo.picture 'Visitors up to' Campaigns Retention > docs/run.svg

Each argument is how a heading begins; the first section with such a heading is taken, up to the next heading.
"""

import re
import sys
from collections.abc import Sequence
from html import escape

CHARACTER, LINE, MARGIN = 7.23, 17, 16  # pixels, of 12 pixel monospace
HEADING = re.compile(r"^[A-Z]")  # everything under a heading is indented
COLOURS = {"back": "#14181f", "plain": "#c9d1d9", "heading": "#ffffff", "columns": "#8b949e", "yes": "#56d364", "NO": "#ff7b72"}


def sections(text: str) -> list[list[str]]:
    """The lines of each section, the heading first, without empty lines at the end."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if HEADING.match(line):
            found.append([line])
        elif found:
            found[-1].append(line)
    for section in found:
        while not section[-1].strip():
            section.pop()
    return found


def chosen(text: str, beginnings: Sequence[str]) -> list[list[str]]:
    """One section for each beginning of a heading: its heading and its table, without the remarks under it."""
    there = sections(text)
    picked = []
    for beginning in beginnings:
        section = next((one for one in there if one[0].startswith(beginning)), None)
        if section is None:
            raise SystemExit(f"nothing begins with {beginning!r}; there is: {', '.join(one[0] for one in there)}")
        table = 2  # behind the heading and an empty line
        while table < len(section) and section[table].strip():
            table += 1
        picked.append(section[:table])
    return picked


def svg(picked: Sequence[Sequence[str]]) -> str:
    lines: list[tuple[str, str]] = []
    for section in picked:
        if lines:
            lines.append(("", "plain"))
        lines.append((section[0], "heading"))
        for number, line in enumerate(section[1:]):
            lines.append((line, "columns" if number == 1 else "plain"))
    width = round(2 * MARGIN + CHARACTER * max(len(line) for line, _ in lines))
    height = 2 * MARGIN + LINE * len(lines)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
           f'style="white-space: pre" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="12">',
           f'<rect width="{width}" height="{height}" rx="8" fill="{COLOURS["back"]}"/>']
    for number, (line, kind) in enumerate(lines):
        if not line.strip():
            continue
        # The words of the column `holds` have a colour of their own.
        shown = re.sub(r"(?<= )(yes|NO)(?= |$)", lambda m: f'<tspan fill="{COLOURS[m[1]]}">{m[1]}</tspan>', escape(line, quote=False))
        bold = ' font-weight="bold"' if kind == "heading" else ""
        out.append(f'<text x="{MARGIN}" y="{MARGIN + LINE * number + 12}" xml:space="preserve" '
                   f'textLength="{CHARACTER * len(line):.1f}" lengthAdjust="spacingAndGlyphs" fill="{COLOURS[kind]}"{bold}>{shown}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(svg(chosen(sys.stdin.read(), sys.argv[1:])))
