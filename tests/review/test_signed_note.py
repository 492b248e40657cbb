from __future__ import annotations

import base64
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.canonical import Digest
from hitl_audit.errors import SigningError, VerificationError
from hitl_audit.review.ledger import Checkpoint, Judgment, Ledger
from hitl_audit.review.signed_note import (
    NoteSigner,
    NoteVerifier,
    checkpoint_note,
    open_note,
    read_checkpoint_note,
    sign_note,
)

# Keys, text and signatures of the tests of golang.org/x/mod/sumdb/note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqf"
    "qdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTG"
    "wnWLox33WWd1RvMc+QQ=\n"
)
peter, enoch = NoteVerifier.from_text(PETER), NoteVerifier.from_text(ENOCH)
signer = NoteSigner.from_text(PETER_SECRET)


def test_a_note_of_another_program_opens() -> None:
    note = f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}"
    assert open_note(note, [peter]) == (TEXT, ("PeterNeumann",))
    assert open_note(note.encode(), [enoch, peter]) == (TEXT, ("PeterNeumann", "EnochRoot"))


def test_our_note_is_the_other_program_s_to_the_byte() -> None:
    assert sign_note(TEXT, signer) == f"{TEXT}\n{PETER_LINE}"
    assert (signer.text(), signer.verifier.text()) == (PETER_SECRET, PETER)


@pytest.mark.parametrize(
    "note",
    [
        TEXT,
        f"{TEXT}\n",
        f"{TEXT}\n{PETER_LINE[:-1]}",
        f"\x01{TEXT}\n{PETER_LINE}",
        f"{TEXT}\n— Bad Name {PETER_LINE[15:]}",
        f"{TEXT}\n{PETER_LINE}Unexpected line.\n",
        f"{TEXT}\n— PeterNeumann x08g\n",
        f"{TEXT}\n" + PETER_LINE * 101,
        b"\xff" + f"{TEXT}\n{PETER_LINE}".encode(),
    ],
)
def test_what_is_no_note_is_refused(note: str | bytes) -> None:
    with pytest.raises(VerificationError, match="note: "):
        open_note(note, [peter])


def test_a_note_by_nobody_trusted_or_with_a_wrong_signature_is_refused() -> None:
    with pytest.raises(VerificationError, match="not signed by anyone trusted; trusted: EnochRoot"):
        open_note(f"{TEXT}\n{PETER_LINE}", [enoch])
    with pytest.raises(VerificationError, match="not signed by anyone trusted; trusted: nobody"):
        open_note(f"{TEXT}\n{PETER_LINE}", [])
    with pytest.raises(VerificationError, match="the signature of PeterNeumann is wrong"):
        open_note(f"x{TEXT}\n{PETER_LINE}", [peter])
    short = base64.b64encode(peter.key_id + b"short").decode()
    with pytest.raises(VerificationError, match="the signature of PeterNeumann is wrong"):
        open_note(f"{TEXT}\n— PeterNeumann {short}\n", [peter])


def test_every_piece_of_a_key_alone_and_every_mangled_key_is_refused() -> None:
    # As the tests of the other program do.
    for text, read in ((PETER, NoteVerifier.from_text), (PETER_SECRET, NoteSigner.from_text)):
        pieces = [text[:i] for i in range(len(text))] + [text[i:] for i in range(1, len(text))]
        mangled = [text[:i] + chr(ord(c) + 1) + text[i + 1 :] for i, c in enumerate(text)]
        for bad in pieces + mangled:
            with pytest.raises(SigningError) as refusal:
                read(bad)
            assert "AYEKFALVFGy" not in str(refusal.value)
    for bad in (
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ):
        with pytest.raises(SigningError):
            NoteVerifier.from_text(bad)


def test_a_secret_is_not_shown_by_accident() -> None:
    assert "seed" not in repr(signer)
    assert signer.seed.hex() not in repr(signer)


@pytest.mark.parametrize(
    ("name", "seed", "words"),
    [("a b", bytes(32), "name"), ("a+b", bytes(32), "name"), ("a", bytes(31), "31 bytes")],
)
def test_a_key_that_cannot_be_is_refused(name: str, seed: bytes, words: str) -> None:
    with pytest.raises(SigningError, match=words):
        NoteSigner.new(name, seed)


@pytest.mark.parametrize("text", ["no newline", "tab\there\n", "return\r\n"])
def test_a_text_that_cannot_be_a_note_is_refused(text: str) -> None:
    with pytest.raises(SigningError, match="ends in a newline"):
        sign_note(text, signer)
    with pytest.raises(SigningError, match="at least one signer"):
        sign_note(TEXT)


@given(seed=st.binary(min_size=32, max_size=32), flipped=st.integers(0, 10_000))
def test_a_signed_checkpoint_reads_back_and_no_changed_character_does(
    seed: bytes, flipped: int
) -> None:
    own = NoteSigner.new("bank.example/ledger", seed)
    checkpoint = Checkpoint(7, Digest("sha256:" + "ab" * 32), Digest("sha256:" + "cd" * 32))
    note = checkpoint_note(checkpoint, own)
    read = read_checkpoint_note(note, [own.verifier], origin="bank.example/ledger")
    assert (read.size, read.root, read.chain_head) == (7, checkpoint.root, "")
    place = flipped % len(note)
    changed = note[:place] + chr(ord(note[place]) ^ 1) + note[place + 1 :]
    with pytest.raises(VerificationError):
        read_checkpoint_note(changed, [own.verifier])


def test_a_checkpoint_is_three_lines_and_a_signature() -> None:
    own = NoteSigner.new("bank.example/ledger", bytes(range(32)))
    lines = checkpoint_note(Checkpoint(0, Digest("sha256:" + "00" * 32), Digest("")), own).split(
        "\n"
    )
    assert lines[:4] == ["bank.example/ledger", "0", base64.b64encode(bytes(32)).decode(), ""]
    assert lines[4].startswith("— bank.example/ledger ")
    assert lines[5:] == [""]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("origin\n7\n", "not a checkpoint"),
        ("\n7\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n", "not a checkpoint"),
        ("origin\n07\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n", "size is '07'"),
        ("origin\n-1\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n", "size is '-1'"),
        ("origin\n7\nq6ur\n", "not a checkpoint"),
        ("origin\n7\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n\nmore\n", "not a checkpoint"),
        ("other\n7\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\n", "origin is 'other'"),
    ],
)
def test_a_note_that_is_no_checkpoint_is_refused(text: str, words: str) -> None:
    with pytest.raises(VerificationError, match=words):
        read_checkpoint_note(sign_note(text, signer), [peter], origin="origin")


def test_extension_lines_of_other_logs_are_passed_over() -> None:
    text = "origin\n7\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=\nTimestamp: 1\n"
    assert read_checkpoint_note(sign_note(text, signer), [peter]).size == 7


def test_a_ledger_is_checked_against_a_note(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "judgments.db")
    for case in range(3):
        ledger.append(
            Judgment(
                event_id=str(uuid.uuid4()),
                at="2026-01-31T12:00:00.000000Z",
                plan_digest="p",
                model_digest="m",
                case_id=str(case),
                design="random",
                inclusion_probability=0.5,
                reviewer="Dana",
                role="domain expert",
                phase="final",
                answer="agree",
            )
        )
    note = checkpoint_note(ledger.checkpoint(), signer)
    assert ledger.verify(read_checkpoint_note(note, [peter])) == ()
    other = Checkpoint(2, ledger.checkpoint().root, Digest(""))
    assert ledger.verify(other) == (
        "the first 2 events are not the ones the checkpoint vouches for: "
        "the ledger was rewritten after the checkpoint",
    )
