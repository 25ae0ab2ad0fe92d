"""Draws the comparison as an SVG that can be read on light and on dark ground."""
from html import escape

WIDTH, LABEL, VALUE, ROW = 760, 150, 110, 24

# Without media queries: greys that both grounds bear.
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #768390 }
  .title { font-weight: 600; font-size: 14px }
  .note { font-size: 11px }
  .peer { fill: #8c959f }
  .ours { fill: #2f81f7 }
  .ours-text { font-weight: 600 }
  @media (prefers-color-scheme: light) {
    text { fill: #24292f }
    .note, .peer-value { fill: #57606a }
    .ours { fill: #0969da }
  }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note, .peer-value { fill: #9198a1 }
    .peer { fill: #6e7681 }
    .ours { fill: #4493f8 }
  }
"""


def draw(comparison, heading):
    panels = [
        ("Forwarding 100-byte lines into a pipe, MB/s (more is better)", "rate", 1e6, True),
        ("Memory beside one plugin, MB (less is better; this launcher: beside ten)", "pss", 1e3, False),
        ("Context switches in an idle minute (less is better)", "wakeups", 1, False),
    ]
    parts, y = [], 8
    for title, key, scale, is_more_better in panels:
        rows = [(name, entry[key] / scale) for name, entry in comparison.items() if key in entry]
        rows.sort(key=lambda row: row[1], reverse=is_more_better)
        parts.append(f'<text class="title" x="0" y="{y + 14}">{escape(title)}</text>')
        y += 26
        most = max(value for _, value in rows) or 1
        for name, value in rows:
            ours = name == "this launcher"
            width = max(value / most * (WIDTH - LABEL - VALUE), 1)
            text, bar, number = ("ours-text", "ours", "ours-text") if ours else ("", "peer", "peer-value")
            parts.append(f'<text class="{text}" x="{LABEL - 10}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect class="{bar}" x="{LABEL}" y="{y}" width="{width:.1f}" height="{ROW - 7}" rx="2"/>')
            parts.append(f'<text class="{number}" x="{LABEL + width + 8:.1f}" y="{y + 13}">{figure(value)}</text>')
            y += ROW
        y += 16
    parts.append(f'<text class="note" x="0" y="{y + 4}">{escape(heading)}</text>')
    height = y + 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>The launcher beside other programs</title>\n<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def figure(value):
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
