"""The API documentation at /docs: Swagger UI, its files served from here, under a policy that allows nothing else.

The files are those of swagger-ui-dist as drf-spectacular-sidecar packs them; nothing of Django's is used.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from promptforge.core.errors import ConfigurationError
from promptforge.http.fixed import Fixed

PATH = "/docs"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; "  # its icons are in its style sheet
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>PromptForge API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<noscript>This page needs JavaScript. The same is in <a href="{document}">openapi.json</a>, what can go wrong in
<a href="/problems">problems</a>.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """\
SwaggerUIBundle({{
  url: "{document}",
  dom_id: "#docs",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  showExtensions: true,
  validatorUrl: null,
}});
"""
_FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}


def pages(document: str) -> dict[str, Fixed]:
    """Path → response, of the page and all that it loads; `document` is where the OpenAPI document is."""
    packed = _package() / "static" / "drf_spectacular_sidecar" / "swagger-ui-dist"
    page = Fixed(_PAGE.format(document=document).encode(), "text/html; charset=utf-8", csp=CONTENT_SECURITY_POLICY)
    start = Fixed(_START.format(document=document).encode(), "text/javascript; charset=utf-8")
    assets = {f"{PATH}/{name}": Fixed((packed / name).read_bytes(), kind) for name, kind in _FILES.items()}
    return {PATH: page, f"{PATH}/start.js": start, **assets}


def _package() -> Path:
    """Where it is installed; importing it would want Django."""
    found = find_spec("drf_spectacular_sidecar")
    if found is None or found.origin is None:
        raise ConfigurationError("drf-spectacular-sidecar, which has the files of the documentation, is not installed")
    return Path(found.origin).parent
