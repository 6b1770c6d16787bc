"""What a user gains and pays, in sentences whose figures come from the measurement, and which aims nothing could keep.

The page opens with the sentences. A sentence names its figures as `{what:id}`: the measure of that id, and of it `pf`,
`ours`, `more` (ours less PF's) or `times` (the ratio), as a range over the servers.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .compare import Comparison

# By the server's name, then by the id of the measure.
Figures = Mapping[str, Mapping[str, Comparison]]

INTRODUCTION = """\
In short: what one key can answer grows, and unions, large keys, files and replication become cheaper; single ADDs and
keys of some hundred elements become dearer. Each figure is of this module beside PF, on the same server and with the
same elements; where there are two, they are the least and the most of {servers}."""

GAINS = (
    "**Answers that PF does not have.** An interval with every count; intersections, differences, funnels and retention with "
    "theirs. What two large sets have in common is computed in {ours:set-both} µs, a funnel of three steps in {ours:set-three} "
    "µs, one of five in {ours:set-five} µs.",
    "**Exact small counts**, up to 2,047 elements at the default precision, where PF is off by half a percent.",
    "**Faster unions.** Counting the union of two large keys takes {times:two-us} times as long as with PF, that of a thousand "
    "{times:union-us} times, merging a thousand into a new key {times:merge-us} times. (Redis 7.0 gains most: later servers "
    "have a faster PF.)",
    "**Faster counts of a key that keeps changing**: after an ADD that changed it, {ours:changed-us} µs instead of {pf:changed-us} µs.",
    "**Less memory for large keys**: {ours:usage-100000} bytes instead of {pf:usage-100000}, which is {times:usage-100000} times as "
    "much.",
    "**Smaller files, faster starts.** A large key takes {times:dump-100000} times the bytes in a DUMP or an RDB file. A file of "
    "100,000 keys of mixed sizes has {times:rdb-bytes} times the bytes, is saved in {times:rdb-save} times the time and loaded in "
    "{times:rdb-load} times.",
    "**Less traffic to replicas**: of ADDs with a thousand elements each, {ours:uniform-aof} bytes for each element instead of "
    "{pf:uniform-aof}, and as much in the append-only file.",
)

PAYS = (
    "**Single ADDs take longer.** Inside the server, an ADD of one element to a large key takes {times:one-us} times as long as "
    "PFADD: {ours:one-us} µs instead of {pf:one-us}. Most of the time of so small a command goes elsewhere, so that clients get "
    "{times:one-rate} times as many of them through. An ADD that makes a new key takes {times:new-us} times as long "
    "({ours:new-us} µs), and clients get {times:new-rate} times as many through. With a thousand elements to an ADD it is "
    "{times:thousand-us} times.",
    "**So does the count of a key that did not change**: {ours:cached-us} µs instead of {pf:cached-us} inside the server, of which "
    "clients notice little: they get {times:cached-rate} times as many through.",
    "**Keys of middling size take more memory**, as they are counted exactly: {times:usage-300} times as much at 300 elements, "
    "{times:usage-1000} times at 1,000 ({more:usage-1000} bytes more), {times:usage-1500} times at 1,500. From some 1,700 elements on a "
    "PF key has its full size, and ours is the smaller one.",
    "**It is a module**: one more file on every server that holds the data, replicas included.",
)

FIGURE = re.compile(r"\{(pf|ours|more|times):([\w-]+)\}")


def number(value: float) -> str:
    """Three digits, or whole numbers where they have more."""
    if value >= 100:
        return f"{value:,.0f}"
    decimals = 2 if value < 1 else 1
    return f"{value:.{decimals}f}"


def span(values: Sequence[float]) -> str:
    """`low to high`, or one number where both read alike."""
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def filled(sentence: str, figures: Figures) -> str:
    """The sentence with its figures. A measure that was not taken is an error: the sentence would say nothing."""
    def figure(match: re.Match[str]) -> str:
        what, id = match.groups()
        measured = [results[id] for results in figures.values()]
        if what == "times":
            return span([one.ratio for one in measured if one.ratio is not None])
        return span([{"pf": one.pf, "ours": one.ours, "more": one.ours - one.pf}[what] for one in measured])

    return FIGURE.sub(figure, sentence)


def wrapped(text: str, indent: str = "", width: int = 120) -> str:
    lines = [indent]
    for word in text.split():
        if len(lines[-1]) + 1 + len(word) > width:
            lines.append(" " * len(indent))
        lines[-1] += word if not lines[-1].strip(" *") else f" {word}"
    return "\n".join(lines)


def balance(figures: Figures, servers: Sequence[str]) -> str:
    """The beginning of the page: gains, then costs."""
    names = ", ".join(servers[:-1]) + f" and {servers[-1]}" if len(servers) > 1 else servers[0]
    lines = [wrapped(INTRODUCTION.format(servers=names))]
    for heading, sentences in (("What you gain", GAINS), ("What you pay", PAYS)):
        lines += ["", f"**{heading}**", ""]
        lines += [wrapped(filled(sentence, figures), "* ") for sentence in sentences]
    return "\n".join(lines)


@dataclass(frozen=True)
class Beyond:
    """Aims that could not be kept, and why: by their measures, on some servers or (None) on all."""

    mark: str
    why: str
    ids: frozenset[str]
    servers: frozenset[str] | None = None

    def covers(self, id: str, server: str) -> bool:
        return id in self.ids and (self.servers is None or server in self.servers)


LARGE = frozenset({*(f"usage-{n}" for n in (3_000, 10_000, 100_000, 1_000_000)),
                   *(f"growth-{n}" for n in (3_000, 10_000, 100_000))})

BEYOND = (
    Beyond("a", "No module can keep it. A command written in C that does nothing but open a key for writing and close it takes "
                "1.2 times as long as PFADD, which is inside the server and asks nobody. At the rates measured here that alone "
                "takes two to four percent of the commands that clients get through.",
           frozenset({"one-us", "known-us", "one-rate", "known-rate"})),
    Beyond("b", "Not while these elements are counted exactly. PF is still in its compact form at 1,500 elements, and the bound is "
                "below what their tokens take even in a DUMP, which is within a few percent of the information in them.",
           frozenset({"usage-1500", "growth-1500"})),
    Beyond("c", "Not with a register to a byte: the bound, a part of the 12,336 bytes of a PF key on Valkey 9.1, is less than the "
                "8,192 registers.",
           LARGE, frozenset({"valkey-9.1"})),
    Beyond("d", "Not while small keys are exact: they are three quarters of the keys in the file, tokens are stored within two "
                "percent of their entropy and registers within three.",
           frozenset({"rdb-bytes"})),
)


def beyond(id: str, server: str) -> Beyond | None:
    """Why the aim cannot be kept on this server, if it cannot."""
    return next((one for one in BEYOND if one.covers(id, server)), None)
