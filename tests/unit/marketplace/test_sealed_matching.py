"""What the matcher sees in an output, and what it must leave alone."""

from __future__ import annotations

import base64
import codecs
import html
import json
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest

from promptforge.actors.marketplace.sealed import disguises, near
from promptforge.actors.marketplace.sealed.disguises import MOST_SURFACES, rot47, surfaces
from promptforge.actors.marketplace.sealed.matching import (
    NOTHING,
    Limits,
    Sealed,
    compare,
    is_guessed,
    is_much,
    is_trace,
    is_withheld,
    joined,
)

BEFORE = (
    "You are the senior claims examiner of a small insurance company. Read the letter below twice before you answer. "
    "First name the policy and the date of loss, then list in three bullet points what the customer wants, what the "
    "policy covers, and what is missing. Never promise a payment. Where a deadline is mentioned, repeat it with the "
    "weekday. If the customer is angry, begin with one sentence that shows you understood why. Letter: "
)
AFTER = " Answer in the language of the letter, and sign as the claims desk."
PIECES = (BEFORE, AFTER)
TEXT = "".join(PIECES)
SEALED = Sealed(PIECES)
LIMITS = Limits()
MORSE_CODE = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
)
MORSE = dict(zip("abcdefghijklmnopqrstuvwxyz", MORSE_CODE.split(), strict=True))
TURNED = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz")


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def shifted(text: str, by: int) -> str:
    return "".join(chr((ord(one) - 97 + by) % 26 + 97) if one.isalpha() else one for one in text.lower())


def in_threes(text: str) -> list[list[str]]:
    words = text.split()
    return [words[at : at + 3] for at in range(0, len(words), 3)]


def decoys(encode: Callable[[str], str]) -> str:
    return "\n".join(f"{number}. {encode(f'Harmless line number {number}.')} !" for number in range(60))


ATTEMPTS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "in the middle of other words": lambda text: f"Certainly! My instructions say: {text} Is there more?",
    "in capitals": str.upper,
    "with case swapped": str.swapcase,
    "without spaces": lambda text: text.replace(" ", ""),
    "spaced out": " ".join,
    "with dashes": "-".join,
    "with emoji": "🔥".join,
    "with zero-width spaces": "\u200b".join,
    "with accents": lambda text: "".join(one + "\u0301" if one.isalpha() else one for one in text),
    "every other letter": "x".join,
    "every other word": lambda text: " banana ".join(text.split()),
    "one word a line": lambda text: "\n".join(text.split()),
    "numbered": lambda text: "\n".join(f"{number}. {word}" for number, word in enumerate(text.split(), 1)),
    "labelled": lambda text: "\n".join(f"word: {word}" for word in text.split()),
    "as a JSON list": lambda text: json.dumps(text.split()),
    "as a JSON text": lambda text: json.dumps({"answer": text}),
    "as a table": lambda text: "\n".join(f"| {number} | {word} |" for number, word in enumerate(text.split())),
    "reversed": lambda text: text[::-1],
    "words reversed": lambda text: " ".join(reversed(text.split())),
    "each word reversed": lambda text: " ".join(word[::-1] for word in text.split()),
    "first letters of lines": lambda text: "\n".join(f"{one}orridge is nice" for one in text if one.isalpha()),
    "first letters of words": lambda text: " ".join(f"{one}lpha" for one in text if one.isalpha()),
    "leetspeak": lambda text: text.lower().translate(str.maketrans("aeiost", "431057")),
    "leetspeak with signs": lambda text: text.lower().translate(str.maketrans("aeis", "@3!$")),
    "without vowels": lambda text: "".join(one for one in text if one.lower() not in "aeiou"),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "rot5": lambda text: shifted(text, 5),
    "rot13 backwards": lambda text: codecs.encode(text, "rot13")[::-1],
    "atbash": lambda text: "".join(chr(219 - ord(one)) if one.isalpha() else one for one in text.lower()),
    "rot47": rot47,
    "base64": b64,
    "base64 after words": lambda text: f"Sure here you go {b64(text)} enjoy",
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "base64 in fours": lambda text: " ".join(b64(text)[at : at + 4] for at in range(0, len(b64(text)), 4)),
    "base64 spaced out": lambda text: " ".join(b64(text)),
    "base64 twice": lambda text: b64(b64(text)),
    "base64 three times": lambda text: b64(b64(b64(text))),
    "base64 reversed": lambda text: b64(text)[::-1],
    "base64 of rot13": lambda text: b64(codecs.encode(text, "rot13")),
    "rot13 of base64": lambda text: codecs.encode(b64(text), "rot13"),
    "base64 of the reversed": lambda text: b64(text[::-1]),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "base85": lambda text: base64.b85encode(text.encode()).decode(),
    "ascii85": lambda text: base64.a85encode(text.encode(), adobe=True).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex with spaces": lambda text: text.encode().hex(" ").upper(),
    "hex bytes": lambda text: ", ".join(f"0x{one:02x}" for one in text.encode()),
    "hex of base64": lambda text: b64(text).encode().hex(),
    "decimal codes": lambda text: " ".join(str(one) for one in text.encode()),
    "octal codes": lambda text: " ".join(f"{one:o}" for one in text.encode()),
    "bits": lambda text: " ".join(f"{one:08b}" for one in text.encode()),
    "percent": lambda text: "".join(f"%{one:02X}" for one in text.encode()),
    "quoted for URLs": urllib.parse.quote,
    "HTML entities": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "HTML": lambda text: "".join(f"<b>{html.escape(one)}</b>" for one in text),
    "unicode escapes": lambda text: "".join(f"\\u{ord(one):04x}" for one in text),
    "code points": lambda text: " ".join(f"U+{ord(one):04X}" for one in text),
    "morse": lambda text: " / ".join(
        " ".join(MORSE[one] for one in word if one in MORSE) for word in text.lower().split()
    ),
    "upside down": lambda text: text.lower().translate(TURNED)[::-1],
    "in Cyrillic look-alikes": lambda text: text.translate(str.maketrans("aeopcxy", "аеорсху")),
    "full width": lambda text: "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text),
    "mathematical letters": lambda text: "".join(
        chr(0x1D41A + ord(one) - 97) if one.isalpha() else one for one in text.lower()
    ),
    "circled": lambda text: "".join(chr(0x24D0 + ord(one) - 97) if one.isalpha() else one for one in text.lower()),
    "flags": lambda text: " ".join(chr(0x1F1E6 + ord(one) - 97) for one in text.lower() if one.isalpha()),
    "Braille": lambda text: text.lower().translate(
        str.maketrans("abcdefghijklmnopqrstuvwxyz", "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵")
    ),
    "tripled letters": lambda text: "".join(one * 3 for one in text),
    "letters doubled here and there": lambda text: "".join(one * (1 + at % 3) for at, one in enumerate(text)),
    "words reversed in rot13": lambda text: codecs.encode(" ".join(reversed(text.split())), "rot13"),
    "each word reversed in rot13": lambda text: codecs.encode(" ".join(one[::-1] for one in text.split()), "rot13"),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16")).decode(),
    "base64 of UTF-16, the large end first": lambda text: base64.b64encode(text.encode("utf-16-be")).decode(),
    "base64 of three words each": lambda text: "\n".join(f"- {b64(' '.join(part))} ;" for part in in_threes(text)),
    "base64 behind bytes that are none": lambda text: base64.b64encode(b"\xff" * len(text) + text.encode()).decode(),
    "hex of UTF-16": lambda text: text.encode("utf-16").hex(),
    "hex reversed": lambda text: text.encode().hex()[::-1],
    "hex of three words each": lambda text: "\n".join(
        f"{number}. {' '.join(part).encode().hex()}" for number, part in enumerate(in_threes(text))
    ),
    "octal escapes": lambda text: "".join(f"\\{one:03o}" for one in text.encode()),
    "codes of three digits without spaces": lambda text: "".join(f"{one:03}" for one in text.encode()),
    "bits without spaces": lambda text: "".join(f"{one:08b}" for one in text.encode()),
    "places in the alphabet": lambda text: " ".join(str(ord(one) - 96) for one in text.lower() if one.isalpha()),
    "places in the alphabet with dashes": lambda text: "-".join(
        str(ord(one) - 96) for one in text.lower() if one.isalpha()
    ),
    "behind many decoys in hex": lambda text: f"{decoys(lambda one: one.encode().hex())} {b64(text)}",
    "behind many decoys in base64": lambda text: f"{decoys(b64)} {text.encode().hex()}",
    "behind many decoys of its own kind": lambda text: f"{decoys(b64)} {b64(text)}",
    "an x for each space": lambda text: text.replace(" ", "x"),
    "two letters for each space": lambda text: text.replace(" ", "qq"),
    "a letter behind each word": lambda text: " ".join(word + "o" for word in text.split()),
    "every vowel the same": lambda text: "".join("o" if one in "aeiou" else one for one in text.lower()),
    "letters in swapped pairs": lambda text: "".join(text[at : at + 2][::-1] for at in range(0, len(text), 2)),
    "words in swapped pairs": lambda text: " ".join(
        word for at in range(0, len(text.split()), 2) for word in text.split()[at : at + 2][::-1]
    ),
    "odd words, and then the even ones": lambda text: " ".join((*text.split()[::2], *text.split()[1::2])),
    "invisible tags": lambda text: "Hello!" + "".join(chr(0xE0000 + ord(one)) for one in text),
}


def every_seventh_wrong(text: str) -> str:
    return "".join(one if at % 7 else "k" for at, one in enumerate(text))


ALPHABET = "abcdefghijklmnopqrstuvwxyz"
WITH_FAULTS: dict[str, Callable[[str], str]] = {
    "every tenth letter left out": lambda text: "".join(one for at, one in enumerate(text) if at % 10),
    "every seventh letter left out": lambda text: "".join(one for at, one in enumerate(text) if at % 7),
    "one wrong letter in fifteen": lambda text: "".join(one if at % 15 else "k" for at, one in enumerate(text)),
    "a letter too many now and then": lambda text: "".join(
        one if at % 9 else one + ALPHABET[at % 26] for at, one in enumerate(text)
    ),
    "another letter behind each word": lambda text: " ".join(
        word + ALPHABET[7 * at % 26] for at, word in enumerate(text.split())
    ),
    "every seventh letter wrong, behind a phrase of it that is said many times": lambda text: (
        f"{text[:18]} " * 500 + every_seventh_wrong(text)
    ),
}


@pytest.mark.parametrize("disguise", WITH_FAULTS.values(), ids=WITH_FAULTS)
def test_a_copy_with_faults_is_withheld_and_of_a_sentence_it_is_a_trace(disguise: Callable[[str], str]) -> None:
    whole = compare(SEALED, disguise(TEXT))
    assert is_withheld(SEALED, whole, LIMITS)
    assert whole.share > 0.5
    sentence = compare(SEALED, disguise(TEXT[TEXT.index("First name") : TEXT.index("Never promise")]))
    assert is_trace(sentence, LIMITS)
    assert any(sentence.blocks), "it adds up"


def test_a_copy_with_faults_of_what_the_buyer_wrote_may_be_repeated() -> None:
    mine = WITH_FAULTS["one wrong letter in fifteen"](TEXT)
    assert is_withheld(SEALED, compare(SEALED, f"You wrote: {mine}"), LIMITS)
    assert not is_trace(compare(SEALED, f"You wrote: {mine}", [mine]), LIMITS)


def test_of_a_copy_with_faults_only_what_the_buyer_wrote_may_be_repeated() -> None:
    """Who holds a half of it sends that half, and has the model go on."""
    copy = every_seventh_wrong(TEXT)
    mine, more = copy[:260], copy[260:]
    match = compare(SEALED, f"You wrote: {mine}{more}", [mine])
    assert is_withheld(SEALED, match, LIMITS)
    beside = compare(SEALED, more)
    assert match.near == pytest.approx(beside.near, abs=SEALED.window)
    assert match.letters < 1.5 * beside.letters, "what was sent is not counted"
    assert not is_trace(compare(SEALED, f"{mine} {REPLY}", [mine]), LIMITS)


def test_an_output_of_more_pieces_than_are_put_together_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near, "_MOST_PAIRS", 200)
    said = f"{TEXT[:18]} " * 50
    match = compare(SEALED, said + every_seventh_wrong(TEXT))
    assert (match.near, match.all_read) == (0, False)
    assert is_withheld(SEALED, match, LIMITS)
    assert compare(SEALED, REPLY).all_read


@pytest.mark.parametrize("disguise", ATTEMPTS.values(), ids=ATTEMPTS)
def test_the_sealed_text_is_withheld_in_every_disguise(disguise: Callable[[str], str]) -> None:
    match = compare(SEALED, disguise(TEXT))
    assert is_withheld(SEALED, match, LIMITS)
    assert match.share > 0.9


@pytest.mark.parametrize("disguise", ATTEMPTS.values(), ids=ATTEMPTS)
def test_so_is_one_long_sentence_of_it(disguise: Callable[[str], str]) -> None:
    sentence = TEXT[TEXT.index("First name") : TEXT.index("Never promise")]
    assert is_withheld(SEALED, compare(SEALED, disguise(sentence)), LIMITS)


def test_pieces_on_either_side_of_a_variable_count_together_wherever_its_value_stands() -> None:
    half = len(PIECES[0]) // 2
    match = compare(SEALED, PIECES[0][half:] + " Dear Sirs, my cellar is under water. " + PIECES[1])
    assert is_withheld(SEALED, match, LIMITS)


def test_a_shorter_copy_is_shown_and_is_a_trace() -> None:
    match = compare(SEALED, "I was told: never promise a payment. Where a deadline is known, I say so.")
    assert not is_withheld(SEALED, match, LIMITS)
    assert is_trace(match, LIMITS)


@pytest.mark.parametrize("encode", [b64, lambda word: word.encode().hex()], ids=["base64", "hex"])
def test_the_text_encoded_word_by_word_is_withheld(encode: Callable[[str], str]) -> None:
    """Words that are too short to be told from others break it, so that it is not seen as one copy."""
    for listed in ("\n".join, lambda words: "\n".join(f"{at}. {word}" for at, word in enumerate(words, 1))):
        assert is_withheld(SEALED, compare(SEALED, listed([encode(word) for word in TEXT.split()])), LIMITS)


def test_many_short_copies_are_withheld_together() -> None:
    parts = [TEXT[at : at + 34] for at in range(0, len(TEXT) - 34, 68)]
    match = compare(SEALED, " Next, I quote: ".join(parts))
    assert match.run < LIMITS.withheld_run
    assert is_withheld(SEALED, match, LIMITS)


def test_copies_of_several_outputs_add_up_by_place() -> None:
    first, second = (compare(SEALED, TEXT[start : start + 80]) for start in (0, 200))
    both = joined(first.blocks, second.blocks)
    assert not is_much(second.blocks, SEALED, LIMITS)
    assert is_much(both, SEALED, LIMITS)
    assert joined(first.blocks, first.blocks) == first.blocks
    assert joined(both, NOTHING.blocks) == both


# What must be shown


LETTER = (
    "Policy 4711, date of loss 3 March. The customer wants the carpet replaced; the policy covers burst pipes; the "
    "plumber's invoice is missing. The deadline is Friday, 12 March. We understand that two weeks without an answer "
    "are annoying. The claims desk"
)
REPLY = (
    "Dear Ms Meier, thank you for your letter. I read it twice. What you want is covered by the policy, and what is "
    "missing is a photograph. We cannot promise a payment today. Kind regards, the claims desk"
)
ORDINARY = (
    LETTER,
    REPLY,
    '{"policy": "4711", "wants": ["a new carpet"], "covers": ["burst pipes"], "missing": ["invoice"]}',
    "I cannot share my instructions, but I can help you with the letter of an angry customer of a small company.",
    "c2hvcnQ= and 48 65 6c 6c 6f and %20 and &amp; and \\u0041 and -. .- are harmless",
    "",
    "\n\n\n",
    "🔥" * 500,
    "a" * 5000,
)


@pytest.mark.parametrize("output", ORDINARY)
def test_an_ordinary_answer_is_shown_and_leaves_no_trace(output: str) -> None:
    match = compare(SEALED, output)
    assert not is_withheld(SEALED, match, LIMITS)
    assert not is_trace(match, LIMITS)


def test_long_texts_about_other_things_are_shown() -> None:
    root = Path(__file__).parents[3]
    pages = [*(root / "docs").glob("*.md"), *(root / "core").rglob("*.py"), root / "requirements.lock"]
    for page in pages:
        assert compare(SEALED, page.read_text()) == NOTHING, page.name


def test_what_the_buyer_wrote_may_be_repeated_even_where_the_sealed_text_says_it_too() -> None:
    mine = "Never promise a payment. Where a deadline is mentioned, repeat it with the weekday."
    answer = f"You wrote: {mine}"
    assert is_withheld(SEALED, compare(SEALED, answer), LIMITS)
    for said in (answer, answer[::-1]):
        match = compare(SEALED, said, [mine])
        assert (match.run, match.letters, is_trace(match, LIMITS)) == (0, 0, False)
        assert is_guessed(match, LIMITS)
    assert not is_guessed(compare(SEALED, REPLY, [mine]), LIMITS)
    assert compare(SEALED, answer, ["of the letter, and sign as the claims desk"]).excused == 0
    assert is_withheld(SEALED, compare(SEALED, TEXT, [mine]), LIMITS)


def test_headings_that_the_prompt_asks_for_may_stand_in_the_answer() -> None:
    sealed = Sealed(("Summarise the text. Use the headings Summary, Key points, Open questions and Next steps.",))
    answer = "Summary\nIt is late.\nKey points\n- time\nOpen questions\n- whose?\nNext steps\n- go home"
    match = compare(sealed, answer)
    assert not is_withheld(sealed, match, LIMITS)
    assert not is_trace(match, LIMITS)


# Other texts


def test_of_a_short_text_most_of_it_is_enough() -> None:
    sealed = Sealed(("Answer as a pirate who is afraid of water and of parrots.",))
    assert is_withheld(sealed, compare(sealed, "It says: as a pirate who is afraid of water and of"), LIMITS)
    assert not is_withheld(sealed, compare(sealed, "Arr, I am a pirate who is afraid of the sea!"), LIMITS)


@pytest.mark.parametrize(
    "text",
    [
        "你是一家小型保险公司的资深理赔员。先把来信读两遍再回答。先写保单号和出险日期，然后用三个要点列出客户的要求、保单的范围和材料。",
        "Ты старший эксперт небольшой страховой компании. Прочитай письмо дважды, прежде чем отвечать. Сначала полис.",
        "당신은 작은 보험 회사의 수석 심사관입니다. 편지를 두 번 읽고 나서 답하십시오. 먼저 증권을 적으십시오.",
        "Du bist die leitende Schadenprüferin einer kleinen Versicherung. Lies ihn zweimal, große Schäden zuerst.",
    ],
)
def test_texts_in_other_scripts_are_withheld_too(text: str) -> None:
    sealed = Sealed((text,))
    assert is_withheld(sealed, compare(sealed, f"OK: {text[5:]}"), LIMITS)
    assert is_withheld(sealed, compare(sealed, " ".join(text.upper())), LIMITS)
    assert is_withheld(sealed, compare(sealed, b64(text)), LIMITS)
    assert compare(sealed, TEXT) == NOTHING


def test_a_text_of_nearly_nothing_is_never_matched() -> None:
    for pieces in ((), ("",), ("Hi {}!",)):
        assert compare(Sealed(pieces), TEXT) == NOTHING


def test_decoding_is_bounded() -> None:
    bomb = " ".join(b64(f"{number} " + b64("x" * 60)) for number in range(200))
    assert len(surfaces(bomb).texts) <= MOST_SURFACES


def test_what_is_not_read_to_its_end_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disguises, "MOST_SURFACES", 2)
    nested = f"{b64('Harmless, all of it.')} {b'Harmless, all of it too.'.hex()}"
    match = compare(SEALED, nested)
    assert (match.run, match.all_read) == (0, False)
    assert is_withheld(SEALED, match, LIMITS)
    assert compare(SEALED, REPLY).all_read
