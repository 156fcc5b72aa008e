# scrape.py - Prometheus text, read strictly enough to notice what is malformed. SPDX-License-Identifier: Apache-2.0
import re

SAMPLE = re.compile(r"([a-z_:]+)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'([a-z_]+)="([^"\\]*)"(?:,|$)')


def labels_of(text):
    assert LABEL.sub("", text) == "", text
    return dict(LABEL.findall(text))


class Series:
    """The samples of one /metrics: (name, labels, value), and the type of each family."""

    def __init__(self, text):
        self.samples, self.types, self.helps = [], {}, {}
        for line in text.splitlines():
            if line.startswith("# "):
                kind, name, rest = line[2:].split(" ", 2)
                {"TYPE": self.types, "HELP": self.helps}[kind][name] = rest
                continue
            name, labels, value = SAMPLE.fullmatch(line).groups()
            self.samples.append((name, labels_of(labels or ""), float(value)))

    def names(self):
        return {name for name, _, _ in self.samples}

    def value(self, name, **labels):
        """The sum of what has these labels."""
        values = [value for n, have, value in self.samples if n == name and labels.items() <= have.items()]
        assert values, f"no series {name} {labels}"
        return sum(values)
