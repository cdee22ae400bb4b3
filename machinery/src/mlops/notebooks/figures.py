"""Pictures and other data of outputs in words: kind, pixels, bytes."""

from __future__ import annotations

import base64
import json
import re
import struct
from typing import Any

SVG_SIZE = re.compile(r"<svg\b[^>]*?\bwidth=[\"']([\d.]+)[^\"']*[\"'][^>]*?\bheight=[\"']([\d.]+)", re.DOTALL)


def named(kind: str, value: Any) -> str:
    """Return such as "image/png, 640 × 480, 12.3 kB"."""
    return ", ".join(part for part in (kind, pixels(kind, value), f"{size(kind, value) / 1000:.1f} kB") if part)


def size(kind: str, value: Any) -> int:
    """Return the bytes of what an output holds; of a picture those of its file."""
    text = value if isinstance(value, str) else json.dumps(value)
    if kind.startswith("image/") and kind != "image/svg+xml":
        return len(text.strip()) * 3 // 4 - text.strip()[-2:].count("=")
    return len(text.encode("utf-8", "replace"))


def pixels(kind: str, value: Any) -> str:
    """Return width × height of a PNG, GIF or SVG, "" where they cannot be read."""
    text = value if isinstance(value, str) else ""
    if kind == "image/svg+xml":
        match = SVG_SIZE.search(text[:2000])
        return f"{float(match[1]):.0f} × {float(match[2]):.0f}" if match else ""
    try:
        head = base64.b64decode("".join(text[:80].split())[:40])
        if kind == "image/png" and head[:4] == b"\x89PNG":
            return "{} × {}".format(*struct.unpack(">II", head[16:24]))
        if kind == "image/gif" and head[:3] == b"GIF":
            return "{} × {}".format(*struct.unpack("<HH", head[6:10]))
    except (ValueError, struct.error):
        return ""
    return ""
