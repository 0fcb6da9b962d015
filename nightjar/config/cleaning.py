"""The section ``cleaning``: how a source's text is cleaned, and which texts are dropped."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from nightjar.config.sections import MAX_INT32_COUNT, Section

StepName = Literal[
    "html",
    "repair",
    "unicode",
    "control_characters",
    "urls",
    "emails",
    "personal_data",
    "numbers",
    "white_space",
]
STEPS: tuple[StepName, ...] = get_args(StepName)
"""Every step, in the order that suits most texts."""
_LAY_OPEN = frozenset({"html", "repair", "unicode", "control_characters"})
"""Steps that may reveal an address or a number that was unreadable before."""
Handling = Literal["keep", "remove", "mask"]
PersonalKind = Literal["email", "phone", "card", "iban"]

_LANGUAGE_CODES = (
    "ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et eu "
    "ext fa fi fo fr fuv fy ga gcf gcr gd gl gom grc gu gug guw ha hbo he hi hr ht hu hy id ig is "
    "it ja jv ka kab kik kk km kn ko ku ky la lb lg lij ln lo lt ltg lv mg mk ml mn mr ms mt my ne "
    "nl nn no nso oc om or pa pcm pl ps pt qu ro ru rw sa sdh se si sk sl sn so sq sr st sv sw ta "
    "te tg th tk tl tr tt ug uk ur uz uzs vec vi vo wa wuu xh yo yue zh zu zxx"
)
LANGUAGES = tuple(_LANGUAGE_CODES.split())
"""The codes that py3langid's model knows; a test compares them."""
MAX_MASK_CHARS = 40


def _usable_mask(mask: str) -> str:
    if not 0 < len(mask) <= MAX_MASK_CHARS or any(character.isspace() for character in mask):
        raise ValueError(f"{mask!r} is no mask; use one word, such as url or <url>")
    if "@" in mask or "/" in mask or mask.lower().startswith("www."):
        raise ValueError(
            f"{mask!r} would itself look like what it hides; use a word without @ and /"
        )
    return mask


def _mask_without_digits(mask: str) -> str:
    if any(character.isdigit() for character in mask):
        raise ValueError(f"{mask!r} has a digit and could itself look like what it hides")
    return mask


def _known_language(code: str) -> str:
    if code not in LANGUAGES:
        close = difflib.get_close_matches(code.lower().split("-")[0], LANGUAGES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "docs/cleaning.md lists their codes"
        raise ValueError(f"{code!r} is no language of py3langid's; {hint}")
    return code


def _each_once(values: list[str]) -> list[str]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there more than once")
    return values


Mask = Annotated[str, AfterValidator(_usable_mask)]
DigitlessMask = Annotated[str, AfterValidator(_usable_mask), AfterValidator(_mask_without_digits)]
Language = Annotated[str, AfterValidator(_known_language)]
Share = Annotated[float, Field(ge=0, le=1)]


class RepairConfig(Section):
    """The step ``repair``: which of ftfy's fixes to apply."""

    encoding: bool = Field(True, description="text that was decoded wrongly: Ã¼ becomes ü")
    surrogates: bool = Field(True, description="two halves of a character become one")
    terminal_escapes: bool = Field(True, description="colour codes of terminals are removed")
    ligatures: bool = Field(False, description="ﬁ becomes fi; NFKC does that, too")
    character_width: bool = Field(False, description="full-width Latin letters become usual ones")
    quotes: bool = Field(False, description="typographic quotes become straight ones")


class UnicodeConfig(Section):
    """The step ``unicode``."""

    form: Literal["NFC", "NFKC"] = "NFC"


class ControlCharactersConfig(Section):
    """The step ``control_characters``: what to remove besides C0, C1, BOMs and noncharacters."""

    bidi: bool = Field(True, description="remove marks of writing direction")
    private_use: bool = Field(True, description="private use characters become a blank")
    zero_width: bool = Field(
        False,
        description="remove zero-width space, word joiner, soft hyphen, tags; never the joiners "
        "U+200C and U+200D; Khmer, Thai and others separate words by the zero-width space",
    )
    variation_selectors: bool = Field(False, description="remove them")


class WhiteSpaceConfig(Section):
    """The step ``white_space``."""

    max_blank_lines: int = Field(1, ge=0, description="in a row; further ones are removed")


class UrlsConfig(Section):
    """The step ``urls``."""

    handling: Handling = "mask"
    mask: DigitlessMask = "url"


class EmailsConfig(Section):
    """The step ``emails``."""

    handling: Handling = "mask"
    mask: DigitlessMask = "email"


class NumbersConfig(Section):
    """The step ``numbers``: standalone numbers, not mp3 or 1990s."""

    handling: Handling = "mask"
    mask: Mask = "number"


class PersonalDataConfig(Section):
    """The step ``personal_data``: what to mask, and with what."""

    kinds: Annotated[list[PersonalKind], Field(min_length=1), AfterValidator(_each_once)] = Field(
        ["email", "phone", "card", "iban"], description="card and iban: with a valid checksum"
    )
    email_mask: DigitlessMask = "email"
    phone_mask: DigitlessMask = "phone"
    card_mask: DigitlessMask = "card"
    iban_mask: DigitlessMask = "iban"

    def mask_of(self, kind: PersonalKind) -> str:
        """The replacement for a value of that kind."""
        masks = {
            "email": self.email_mask,
            "phone": self.phone_mask,
            "card": self.card_mask,
            "iban": self.iban_mask,
        }
        return masks[kind]


class FiltersConfig(Section):
    """Which cleaned texts are dropped; null turns a filter off. Ratios are from 0 to 1.

    Values in parentheses are those of Rae et al. 2021 (Gopher), table A1. The number of characters
    is limited by ``min_chars`` and ``max_chars``.
    """

    min_words: int | None = Field(
        None, ge=1, le=MAX_INT32_COUNT, description="separated by white space (50)"
    )
    max_words: int | None = Field(None, ge=1, le=MAX_INT32_COUNT, description="(100000)")
    max_symbol_ratio: Share | None = Field(
        None, description="characters that are neither letter, mark, digit nor white space"
    )
    max_digit_ratio: Share | None = Field(
        None, description="digits, of the characters that are not white space"
    )
    max_repeated_line_ratio: Share | None = Field(
        None, description="characters in repeated lines, of those in all lines (0.2)"
    )
    max_repeated_character_ratio: Share | None = Field(
        None, description="characters in runs of four or more equal ones, except white space"
    )

    @model_validator(mode="after")
    def _some_length_is_allowed(self) -> Self:
        if self.min_words and self.max_words and self.min_words > self.max_words:
            raise ValueError("min_words is above max_words: no document would be left")
        return self


class LanguageFilterConfig(Section):
    """Which languages are kept, as detected by py3langid."""

    languages: Annotated[list[Language], AfterValidator(_each_once)] = Field(
        [], description="codes such as en; none: no filter, nothing is detected"
    )
    min_probability: Share = Field(
        0.5, description="of these languages together; a text below it is dropped"
    )
    max_chars: int = Field(
        200,
        ge=20,
        le=100_000,
        description="how much of a text's beginning is looked at, and of its middle before "
        "it is dropped",
    )
    min_chars: int = Field(50, ge=0, description="shorter texts are kept, their language unknown")
    trust_sources: bool = Field(
        False, description="believe a source's own language instead of detecting it"
    )


class CleaningConfig(Section):
    """How texts are cleaned, step by step, and which are dropped.

    The options of a step are in the section of its name. Steps run in the order given here.
    """

    steps: Annotated[list[StepName], AfterValidator(_each_once)] = Field(
        ["control_characters"], description=f"any of {', '.join(STEPS)}, each once"
    )
    repair: RepairConfig = RepairConfig()
    unicode: UnicodeConfig = UnicodeConfig()
    control_characters: ControlCharactersConfig = ControlCharactersConfig()
    urls: UrlsConfig = UrlsConfig()
    emails: EmailsConfig = EmailsConfig()
    personal_data: PersonalDataConfig = PersonalDataConfig()
    numbers: NumbersConfig = NumbersConfig()
    white_space: WhiteSpaceConfig = WhiteSpaceConfig()
    filters: FiltersConfig = FiltersConfig()
    language: LanguageFilterConfig = LanguageFilterConfig()

    @model_validator(mode="after")
    def _nothing_lays_personal_data_open(self) -> Self:
        if "personal_data" in self.steps:
            after = self.steps[self.steps.index("personal_data") :]
            opening = [name for name in after if name in _LAY_OPEN]
            if opening:
                raise ValueError(
                    f"steps: {', '.join(opening)} after personal_data could lay open what it did "
                    f"not see (&#64; becomes @); put personal_data behind"
                )
        return self

    @model_validator(mode="after")
    def _options_belong_to_steps(self) -> Self:
        useless = [
            name for name in STEPS if name in self.model_fields_set and name not in self.steps
        ]
        if useless:
            raise ValueError(
                f"{', '.join(useless)}: options of a step that steps does not name; add it there "
                f"or take them out"
            )
        return self
