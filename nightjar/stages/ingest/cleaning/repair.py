"""The step ``repair``: text that was decoded wrongly, by ftfy."""

from __future__ import annotations

from nightjar.config.cleaning import RepairConfig
from nightjar.stages.ingest.cleaning.results import Change, Changes, Step

_ESCAPE = "\033"


def make_repair(config: RepairConfig) -> Step:
    """The step that ``config`` describes; imports ftfy.

    Lines are repaired one by one, and only those with characters beyond ASCII or a
    terminal's escape: ftfy has nothing to do in others. Of a line that is longer than a
    million characters ftfy sees pieces.
    """
    import ftfy  # noqa: PLC0415 (no import while planning)

    fixer = ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=config.terminal_escapes,
        fix_encoding=config.encoding,
        fix_c1_controls=config.encoding,
        fix_latin_ligatures=config.ligatures,
        fix_character_width=config.character_width,
        uncurl_quotes=config.quotes,
        fix_line_breaks=False,
        fix_surrogates=config.surrogates,
        remove_control_chars=False,
        normalization=None,
        explain=False,
    )

    def repair(text: str, changes: Changes) -> str:
        if text.isascii() and _ESCAPE not in text:
            return text
        repaired = "\n".join(
            line if line.isascii() and _ESCAPE not in line else ftfy.fix_text(line, fixer)
            for line in text.split("\n")
        )
        changes.add(Change.REPAIRED, repaired != text)
        return repaired

    return repair
