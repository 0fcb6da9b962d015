"""The night's report: what a night did, beside the nights before it, on one page.

:mod:`.night_facts` reads a night from its record, its artifacts and the ledger, and from nothing
else. :mod:`.night_difference` compares two nights, for the page and for ``nightjar diff``.
:mod:`.night_page` draws the page, :mod:`.night_report` keeps it beside the record and in MLflow.
Where artifacts are no longer kept, the page says so.
"""

from nightjar.pipeline.reporting.night_difference import NightDifference, compare_nights
from nightjar.pipeline.reporting.night_facts import NightFacts, read_facts
from nightjar.pipeline.reporting.night_report import (
    find_night,
    make_page,
    page_addresses,
    page_path,
    report_night,
)

__all__ = [
    "NightDifference",
    "NightFacts",
    "compare_nights",
    "find_night",
    "make_page",
    "page_addresses",
    "page_path",
    "read_facts",
    "report_night",
]
