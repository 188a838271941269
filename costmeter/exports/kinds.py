"""The kinds of export that there are, by the names that commands, routes and settings call them."""

from __future__ import annotations

from costmeter.exports.charges import CHARGES
from costmeter.exports.export import Export
from costmeter.exports.focus import focus_export
from costmeter.exports.journal import JOURNAL
from costmeter.exports.usage import USAGE

EXPORTS: dict[str, Export] = {
    export.name: export
    for export in (
        CHARGES,
        USAGE,
        focus_export(),
        JOURNAL,
    )
}
