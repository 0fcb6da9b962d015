"""Wikitext to plain text: what is kept, what is dropped, and that no page can stop a night."""
# ruff: noqa: RUF001, E501, ISC004 (markup of many scripts is the matter here)

from __future__ import annotations

import random

import pytest

from nightjar.stages.ingest.wikitext import WikitextStripper

STRIPPER = WikitextStripper()

CASES = {
    "links show their text": (
        "A [[word]] of [[word embedding|embeddings]] and [[vector]]s.",
        "A word of embeddings and vectors.",
    ),
    "a link with a leading colon is shown": ("See [[:Category:Birds]].", "See Category:Birds."),
    "files go with captions that hold links": (
        "Before [[File:a.jpg|thumb|left|A [[bird]] [http://x.org x] [1]]] after",
        "Before after",
    ),
    "images, categories and languages go": (
        "Text[[Image:b.png|thumb]] [[Category:Birds]][[de:Vogel]][[zh-min-nan:Chiáu]]",
        "Text",
    ),
    "a foreign file name is known by its ending": ("x [[Bild:a b.JPG|mini|Ein Vogel]] y", "x y"),
    "interwiki links that are shown stay": ("[[wikt:bird|bird]] [[doi:10.1/2]]", "bird doi:10.1/2"),
    "templates go whole": ("a {{x|{{y}}|z={{{1|{{w}}}}}}} b", "a b"),
    "a template that ends behind an empty value": ("{{Infobox\n| a =\n|}}\nText", "Text"),
    "deep template ends close all": ("{{a|{{b|{{c|{{d|x}}}}}}}}end", "end"),
    "tables go, nested and within templates": (
        "a\n{| class=x\n|-\n| {{t|\n{|\n| q\n|}\n}}\n! h !! i\n{|\n| inner\n|}\n|}\nb",
        "a\n\nb",
    ),
    "an html table goes": ("a <table><tr><td>x</td></tr></table> b", "a b"),
    "references go": ('One<ref name="a">[[b]] {{c}}</ref> two<ref name=x/>.', "One two."),
    "comments go, also in the middle of marks": ("a <!-- [[x {{ --> [[b<!-- -->c]]", "a bc"),
    "a comment without an end goes to the end": ("a <!-- b", "a"),
    "formulas, galleries and code go": (
        "a <math>\\frac{{x}}{y}</math><gallery>\nA.jpg|x\n</gallery><source lang=c>{{</source> b",
        "a b",
    ),
    "nowiki is literal": ("a <nowiki>''[b]</nowiki> c", "a ''[b] c"),
    "emphasis goes, apostrophes stay": (
        "'''Bold''' ''it'' '''''both''''' l'''x''' o'clock",
        "Bold it both lx o'clock",
    ),
    "headings are lines of their own": ("a\n== Early ''life'' ==\nb", "a\n\nEarly life\n\nb"),
    "list items are lines": ("* one\n** two\n# three\n;term\n: def", "one\ntwo\nthree\nterm\ndef"),
    "paragraphs stay apart": ("one\n\n\n\ntwo\nthree", "one\n\ntwo\nthree"),
    "line tags break lines, others do not": ("a<br />b H<sub>2</sub>O<div>c</div>", "a\nb H2O\nc"),
    "addresses go, their titles stay": (
        "See [https://x.org/a the site], [http://y.org] and http://z.org/q?a=b now",
        "See the site, and now",
    ),
    "an address with a link in its title": ("[http://x.org see [[b]] c] d", "see b c d"),
    "entities are characters": ("a&nbsp;b &amp; c &#x41; &lt;d&gt;", "a b & c A <d>"),
    "an entity cannot name half a character": ("a&#xD800;b", "ab"),
    "parentheses that a template left empty go": ("Kabul ({{lang|x}}; ) is", "Kabul is"),
    "a separator that a template left hanging goes": ("Bo ({{IPA|x}}; born 1)", "Bo (born 1)"),
    "measures stay as they were given": (
        """{{convert|5|km}}, {{Convert|5|to|7.5|km|mi|abbr=on}}, {{cvt|1,200|-|1,300|ft|m}},
        {{convert|3|x|4|m}}, {{convert|7|e6acre|km2}}, {{convert|km}}.""",
        "5 km, 5 to 7.5 km, 1,200 \u2013 1,300 ft,\n3 by 4 m, 7 million acre, .",
    ),
    "text in templates that only set it stays": (
        """{{nowrap|a b}} {{abbr|EU|European Union}} {{lang|fr|''mot''}} {{lang-de|Wort}} {{em|c}}
        {{transl|ru|BGN|slovo}} {{frac|1|2}} {{circa|1500}}{{snd}}{{ill|Name|de|Andere}}""",
        "a b EU mot Wort c\nslovo 1/2 c. 1500 \u2013 Name",
    ),
    "templates that show text nest, with links and others in them": (
        "a {{small|b {{nowrap|[[c|d]] {{cn|date=x}}{{lang|la|e [[f]]}}}} g}} h",
        "a b d e f g h",
    ),
    "templates that show text go with what is around them": (
        "a {{Infobox|x={{nowrap|b}}|y={{convert|5|km}}{{snd}}}} [[File:x.jpg|thumb|{{em|c}}]] d",
        "a d",
    ),
    "arguments may be named by their number": (
        "{{lang|1=fr|2=mot}} {{nowrap | 1 = a=b }} {{lang|italic=no|fr|mot}} {{abbr|2=long|1=s}}",
        "mot a=b mot s",
    ),
    "measures may be of several units": (
        "{{convert|5|ft|6|in|m}} {{cvt|11|lb|4|oz|kg}} {{convert|12|st|4|lb|kg|abbr=on}} "
        "{{convert|1|mi|2|yd|3|ft|4|in}} {{convert|5|ft|0|m}} {{convert|5|m|6|in}} {{cvt|5|in|6|ft}}",
        "5 ft 6 in 11 lb 4 oz 12 st 4 lb 1 mi 2 yd 3 ft 4 in 5 ft 5 m 5 in",
    ),
    "arguments may have names": (
        """{{blockquote|text=a}}{{quote|author=x|text=b}}{{Zitat|Text=c|Autor=x}}{{cquote|quote=d}}
        {{citation|texte=e}} {{ill|Name|de|lt=f}} {{ill|g|de|lt=}} {{lang|code=fr|text=h}}
        {{lien|langue=en|trad=X|fr=i}} {{lien|texte=j|fr=X}} {{citation|title=x|quote=y}}
        {{blockquote|1=k}}{{lang-de|text=l}} {{nowrap|text=x}}""",
        "a\n\nb\n\nc\n\nd\n\n« e » f g h\ni j\n\nk\nl",
    ),
    "quotations are paragraphs": ("a {{quote|b|author=c}} d", "a\nb\nd"),
    "a template that is not ended by itself goes": ("a {{nowrap|b [[c}} d", "a d"),
    "parameters go, also with text": ("a {{{nowrap|b}}} {{{{{1}}}|c}} d", "a d"),
    "switches go": ("__NOTOC__ a", "a"),
    "a link never closed loses its mark": ("a [[b c", "a b c"),
    "a file never closed loses its line": ("a [[File:b.jpg|thumb|c\nd", "a\nd"),
    "a template never closed loses its marks and rows": (
        "a {{Infobox\n| x = 1\nb",
        "a Infobox\n\nb",
    ),
    "a table never closed loses its attributes and rows": (
        'a\n{| class="wikitable" style="color:{{x}}"\n|-\n| b\n:{| width=1\nc',
        "a\n\nc",
    ),
    "ends without an opening go": ("a }} b ]] c </ref> |} d", "a b c |} d"),
    "an apostrophe beside italics stays": (
        "''Eagle'''s stage. \nDans l'''Iliade'' d'Homère. \ndell'''[[The Economist|Economist]]'' è",
        "Eagle's stage.\nDans l'Iliade d'Homère.\ndell'Economist è",
    ),
    "apostrophes in a row": (
        "'''L'Équipe''' ''l'Humanité'' ''''four''' ''''''six''''' a''' b'' c'''d",
        "L'Équipe l'Humanité 'four 'six a b cd",
    ),
    "links have emphasis of their own": ("''a [[b|c'''s]] d'' [[L''x|]]", "a cs d L''x"),
    "one variant of a language is shown": (
        """她用-{zh-hans:计算机; zh-hant:電腦}-工作-{A|zh-cn:程序; zh-tw:程式}-和-{香蕉}-。
        -{H|zh-cn:巨集=>zh-cn:宏;}--{T|zh:x}--{zh;zh-hans|y}-""",
        "她用计算机工作程序和香蕉。\ny",
    ),
    "variants hold links, and lie in links": (
        """-{sr-ec:[[Београд|град]]; sr-el:[[Beograd|grad]]}-
        [[Ниш|-{sr-ec:Ниш; sr-el:Niš}-]] -{R|a:b}-""",
        "град\nНиш a:b",
    ),
    "what is no variant stays": (
        "x-{y z w -{http://a.org b}- {{a}}-{{b}} (1-{2})",
        "x-{y z w b - (1-{2})",
    ),
    "functions of every wiki show their value": (
        "{{formatnum:12345}} {{FORMATNUM:1,234|R}} {{lc:ABC}} {{plural:1|page|pages}} {{plural:3|a|b}}"
        " {{subst:formatnum:7}} {{#if:x|y}}.",
        "12345 1,234 ABC page b 7 .",
    ),
    "templates of other wikis within sentences": (
        'Au {{s-|XIX|e}}, {{unité|300|km}}, {{date|14|juillet|1789}}. {{Höhe|300|DE}} {{"|Guten Tag}} '
        "{{w|nuclear weapon|weapons}} {{w|power}} {{as of|2011}} {{enS|King}} {{M|5|km}}",
        "Au XIXe, 300 km, 14 juillet 1789. 300 m „Guten Tag“ weapons power as of 2011 King 5 km",
    ),
    "powers do not join numbers": (
        "10<sup>6</sup> 10{{sup|-6}} 5{{e|9}} m<sup>2</sup> 19<sup>th</sup> XIX{{e}} 19{{sup|th}}",
        "10^6 10^-6 5 × 10^9 m2 19th XIXe 19th",
    ),
    "powers do not join numbers, whatever marks either": (
        "10<sup>&minus;6</sup> '''10'''<sup>6</sup> 10<sup>''6''</sup> [[10]]<sup>6</sup> "
        "{{nowrap|10}}<sup>6</sup> {{val|10}}<SUP class=a >6</SUP> 10<sup>{{nowrap|6}}</sup> "
        "10<sup>.5</sup> 10<small><sup>&#54;</sup></small> &#49;0{{sup|{{nowrap|6}}}} m{{sup|2}}",
        "10^−6 10^6 10^6 10^6 10^6 10^6 10^6 10^.5 10^6 10^6 m2",
    ),
    "what is raised ends, and may be empty": (
        "5<sup></sup>5 10<sup>6</sup>7 10<sup>6</sup><sup>7</sup> 5<sup/>5 5<sup> </sup>5",
        "55 10^67 10^6^7 55 5 5",
    ),
    "fractions do not join numbers": (
        "1{{frac|1|2}} '''2'''{{frac|3|4}} 3{{frac|2}} x{{frac|1|2}} 4 {{frac|1|2}} 10<sup>{{frac|1|2}}</sup>"
        " 10<sup>6</sup>{{frac|1|2}}",
        "1 1/2 2 3/4 3 1/2 x1/2 4 1/2 10^1/2 10^6 1/2",
    ),
    "links to other languages are known by their codes": (
        "x [[de:Vogel]][[DE: Vogel]] [[als:a]][[it:x|y]] [[:de:Vogel]] [[abc:x]] [[ISO:9]]",
        "x de:Vogel abc:x ISO:9",
    ),
    "a file is known by its ending": (
        "[[Bild:a.jpg]][[Fitxer: b.SVG |mini|c]] [[Plik:c.webp]]d",
        "d",
    ),
    "brackets and bars in the text of a link": (
        "[[a|b [1] c]] [[d|e|f]] [[g|]] [[ :h ]] [[#i]]",
        "b [1] c e|f g h #i",
    ),
    "addresses of every kind": (
        "[//a.org b] [mailto:x@y.z c] [[http://a.org d]] [ftp://x] [news:a ''e''] [x]",
        "b c [d] e [x]",
    ),
    "entities need their semicolon": (
        "&copy=1 &amp;lt; &#x27; &eacute; &nosuch; &notanent; &Eacute;x",
        "&copy=1 &lt; ' é &nosuch; &notanent; Éx",
    ),
    "switches of every language go": ("__БЕЗ_ОГЛАВЛЕНИЯ__a__AUCUNSOMMAIRE__ __b__", "a __b__"),
    "cuts do not join to marks": ("[<b></b>[a {<i></i>{b", "a b"),
}


@pytest.mark.parametrize("name", CASES)
def test_wikitext_becomes_text(name: str) -> None:
    wikitext, text = CASES[name]
    assert STRIPPER.strip(wikitext) == text


def test_namespaces_of_the_wiki_are_known_in_its_language() -> None:
    wikitext = "a [[Файл:x.foo|мини|b]] [[Категория:Птици]] [[файл:y]] c"
    assert WikitextStripper(["Файл", "Категория"]).strip(wikitext) == "a c"
    assert "мини" in STRIPPER.strip(wikitext)


HOSTILE = (
    "[[a|", "{{a|", "<b a='", "<b ", "<ref name=", "{|\n", "<!--", "[http://a ", "=a", "::", "{{{",
    "<ref>[[", "[[File:", "&#1114112;\n|}\n</b>{|", "Category:{|\n", "[<b></b>[",
    "{{nowrap|", "{{convert|5|", "|", "1<sup>", "1<sup></sup>", "<sup> ", "1{{frac|1}}",
    "{{lang|a=", "-{", "-{a:", "-{a|zh:x;", "'''a ", "'''''", "&a",
    "__A_", "a {{x}} ", "{{x}}{{y}} ", "{| a=b {{x}} ", "{|a ", "[//a ", "}-", "-{zh:a;zh:b", "[[a|''", "{{subst:",
)  # fmt: skip


@pytest.mark.parametrize("mark", HOSTILE)
def test_marks_that_are_never_closed_leave_no_debris(mark: str) -> None:
    # Given to mwparserfromhell as they are, most of these take minutes, "=a" a crash.
    text = STRIPPER.strip(mark * (200_000 // len(mark)))
    assert not any(debris in text for debris in ("[[", "]]", "{{", "}}"))


def test_templates_that_show_text_nest_as_deep_as_a_page_goes() -> None:
    assert STRIPPER.strip("{{nowrap|" * 20_000 + "x" + "}}" * 20_000) == "x"
    assert STRIPPER.strip("{{nowrap" + "|" * 200_000 + "x}} y") == "y"


def test_random_markup_leaves_no_debris() -> None:
    marks = [
        "{{", "}}", "{{{", "}}}", "[[", "]]", "[", "]", "|", "\n{|\n", "\n|}\n", "\n", "<ref>",
        "</ref>", "<b>", "</b>", "<nowiki>", "</nowiki>", "<!--", "-->", "''", "=", "\n==", "\n*",
        "File:", "a", "b c", "http://x", "[http://x y", "&amp;", "&#xD800;", "<", "<table>",
        "</table>", "{", "}", "é",
        "{{nowrap|", "{{convert|5|", "|km}}", "{{lang|fr|", "{{snd}}",
    ]  # fmt: skip
    generator = random.Random(7)
    for length in (5, 50, 500) * 100:
        wikitext = "".join(generator.choices(marks, k=length))
        text = STRIPPER.strip(wikitext)
        assert not any(debris in text for debris in ("[[", "]]", "{{", "}}")), wikitext
        text.encode("utf-8")


@pytest.mark.parametrize(
    ("wikitext", "n_gaps"),
    [
        ("The city has {{population|x}} inhabitants, {{a}} and {{b}}.", 3),
        ("{{Infobox|x}}\nThe city{{sfn|a}} is old.{{cite|b}} It\n{{Navbox}}\n", 0),
        ("l'{{x}} est ({{y}}) là; {{nowrap|a {{z}} b}}.", 3),
        ("* {{flagicon|x}} France\n{| \n| a {{b}} c\n|}\n[[File:a.jpg|thumb|a {{b}} c]]", 0),
        ("a {{convert|5|km}} b {{formatnum:5}} c {{{1|d}}} e", 0),
        ("It is {{nowrap|{{unknown|x}} km}} long, {{nowrap|about {{small|{{a}}}}}}.", 2),
        ("born {{birth date|1900|1|2}} {{start date|1}} in Rome", 2),
        ("It is {{a}}{{b}} km{{sfn|c}} {{d}} and{{e}} long {{f}}{{sfn|g}}.", 3),
        ("{{flagicon|x}} {{flagicon|y}} France", 0),
        ("10{{sup|6}} {{a}} km {{b}} {{frac|1|2}} {{c}} {{nowrap|d}} {{g}} {{f}}x", 4),
        ("{{never closed a {{b}} c\n{|\n| d {{e}} f\n{{nowrap|x|y {{g}} z}}", 1),
    ],
)
def test_templates_that_leave_a_gap_in_a_sentence_are_counted(wikitext: str, n_gaps: int) -> None:
    assert STRIPPER.stripped(wikitext).n_gaps == n_gaps


def test_the_title_stands_where_a_page_names_itself() -> None:
    found = STRIPPER.stripped("'''{{PAGENAME}}''' is old.", "Old Town")
    assert (found.text, found.n_gaps) == ("Old Town is old.", 0)
