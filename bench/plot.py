"""plot.py - bench/results.tsv as two SVGs: seconds by phase of the GPTQ run, and weighted error against bits."""
import math
import os

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" width="560" height="%d" font-family="sans-serif" font-size="13">\n' \
       '<rect width="100%%" height="100%%" fill="white"/>\n'


def text(x, y, s, anchor="start"):
    return '<text x="%.0f" y="%.0f" text-anchor="%s">%s</text>\n' % (x, y, anchor, s)


def phases(rows):
    parts = sorted(((v, k.split(" phase ")[1]) for k, v in rows if k.startswith("gptq_w4a16 phase ")), reverse=True)
    out = HEAD % (50 + 24 * len(parts)) + text(10, 22, "GPTQ W4A16, seconds by phase")
    for i, (v, name) in enumerate(parts):
        y = 40 + 24 * i
        width = 340 * v / parts[0][0]
        out += text(95, y + 14, name, "end") + '<rect x="105" y="%d" width="%.1f" height="18" fill="#4472a8"/>\n' % (y, width)
        out += text(112 + width, y + 14, "%.2f s" % v)
    return out + "</svg>\n"


def bits(rows):
    points = [(int(k.split()[2]), v) for k, v in rows if k.startswith("error at ")]
    low, high = (f(math.log10(v) for _, v in points) for f in (min, max))
    place = lambda b, v: (70 + (b - 2) * 75, 260 - 210 * (math.log10(v) - low) / ((high - low) or 1))
    out = HEAD % 310 + text(10, 22, "GPTQ g128, summed weighted error (log scale) against bits; small model")
    spots = [place(*p) for p in points]
    out += '<polyline fill="none" stroke="#4472a8" stroke-width="2" points="%s"/>\n' % " ".join("%.1f,%.1f" % p for p in spots)
    for (x, y), (b, v) in zip(spots, points):
        out += '<circle cx="%.1f" cy="%.1f" r="4" fill="#4472a8"/>\n' % (x, y)
        out += text(x + 8, y - 6, "%.3g" % v) + text(x, 295, "%d" % b, "middle")
    return out + "</svg>\n"


def main():
    rows = []
    with open(os.path.join(HERE, "results.tsv")) as f:
        for line in f:
            parts = line.rstrip("\n").split("\t")
            if len(parts) == 5 and not line.startswith(("#", "measured")):
                rows.append((parts[0], float(parts[1])))
    for name, draw, mark in (("phases", phases, "phase "), ("bits", bits, "error at ")):
        if any(mark in k for k, _ in rows):
            with open(os.path.join(HERE, name + ".svg"), "w") as f:
                f.write(draw(rows))


if __name__ == "__main__":
    main()
