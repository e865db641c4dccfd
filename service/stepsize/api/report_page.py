"""A report as an HTML page: one style sheet, no script, nothing from elsewhere."""

import base64
import hashlib

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid #8884; }
em { border-bottom: 1.5px dotted; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
""".strip()

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

PAGE_HEADERS = {
    # The report names what users named; were an escape ever missing, nothing could run or be fetched.
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def report_page(fragment: bytes) -> bytes:
    """Return the page around a report's HTML."""
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Learning-rate report – Stepsize</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
    return head.encode() + fragment + b"</main>\n</body>\n</html>\n"
