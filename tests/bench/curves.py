# curves.py - a cost that is measured at several sizes: printed, judged, drawn. SPDX-License-Identifier: Apache-2.0
import json

GROWTH = 1.5  # the cost of one unit at the largest size may be so many times that at the smallest


class Curve:
    """Figures of several panels at several sizes: panels["CPU us/vote"]["vote-ingest"] is [(size, figure), ...]. `judged`
    is the panel of what one unit of work costs: if that grows with the size, cost grows faster than work."""

    def __init__(self, name, title, size_name, judged):
        self.name, self.title, self.size_name, self.judged = name, title, size_name, judged
        self.panels = {}

    def add(self, size, panel, figures):
        """Also tells them at once: a curve may take long."""
        print(f"{self.name} {size:,}: {panel}: " + ", ".join(f"{name} {figure:,.1f}" for name, figure in figures.items()), flush=True)
        for series, figure in figures.items():
            self.panels.setdefault(panel, {}).setdefault(series, []).append((size, figure))

    def sizes(self):
        return sorted({size for panel in self.panels.values() for points in panel.values() for size, _ in points})

    def growth(self):
        """By series of the judged panel: the cost at the largest size, in times that at the smallest. Of what is little
        at both ends, nothing is said."""
        series = self.panels[self.judged]
        floor = 0.1 * max(figure for points in series.values() for _, figure in points)
        ends = {name: (min(points)[1], max(points)[1]) for name, points in series.items()}
        return {name: last / max(first, 1e-9) for name, (first, last) in ends.items() if max(first, last) >= floor}

    def print(self):
        sizes = self.sizes()
        print(f"\n{self.title}\n{self.size_name:38}" + "".join(f"{size:>12,}" for size in sizes))
        for panel, series in self.panels.items():
            for name, points in series.items():
                of_size = dict(points)
                cells = (f"{of_size[size]:12,.1f}" if size in of_size else " " * 12 for size in sizes)
                print(f"{panel + ', ' + name:38}" + "".join(cells))
        for name, times in self.growth().items():
            print(f"  {self.judged}, {name}: {times:.2f} times from {sizes[0]:,} to {sizes[-1]:,}, wanted <= {GROWTH}"
                  f"{'' if times <= GROWTH else '  MISSED'}", flush=True)

    def save(self, directory):
        """NAME.svg, and NAME.json with the points."""
        with open(f"{directory}/{self.name}.json", "w") as file:
            json.dump({"title": self.title, "size": self.size_name, "panels": self.panels}, file, indent=1)
        draw(self, f"{directory}/{self.name}.svg")


def draw(curve, path):
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, len(curve.panels), figsize=(4.6 * len(curve.panels), 3.6), squeeze=False)
    for axis, (panel, series) in zip(axes[0], curve.panels.items()):
        for name, points in series.items():
            sizes, figures = zip(*sorted(points))
            axis.plot(sizes, figures, marker="o", markersize=3, label=name)
        axis.set_xscale("log")
        axis.set_xticks(curve.sizes(), [f"{size:,}" for size in curve.sizes()], minor=False)
        axis.set_xticks([], minor=True)
        axis.set_ylim(0, 1.15 * max(figure for points in series.values() for _, figure in points))
        axis.set_xlabel(curve.size_name)
        axis.set_title(panel, fontsize=10)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, frameon=False)
    figure.suptitle(curve.title, fontsize=11)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
