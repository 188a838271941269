"""What browsers are told of every page: run and load nothing but our own, be framed by nobody, keep nothing."""

from __future__ import annotations

_POLICY = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "connect-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
))  # fmt: skip
_USED_NOWHERE = ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
SAFE = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, forms would come without an origin
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{name}=()" for name in _USED_NOWHERE),
}
PAGE = {**SAFE, "Cache-Control": "no-store"}
FILE = {**SAFE, "Cache-Control": "public, max-age=31536000, immutable"}
