from __future__ import annotations

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl_audit.review.merkle import (
    ConsistencyProof,
    InclusionProof,
    consistency_path,
    digest_text,
    inclusion_path,
    leaf_hash,
    merkle_root,
    raw_digest,
)

# The reference vectors of Certificate Transparency (RFC 6962).
ENTRIES = [
    bytes.fromhex(entry)
    for entry in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
INCLUSION = {
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}


def root_of(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + root_of(leaves[:split]) + root_of(leaves[split:])).digest()


def text_of(leaves: list[bytes]) -> str:
    return "sha256:" + root_of(leaves).hex()


def inclusion(seq: int, leaves: list[bytes]) -> InclusionProof:
    path = tuple(map(digest_text, inclusion_path(seq - 1, leaves)))
    return InclusionProof(seq, len(leaves), digest_text(leaves[seq - 1]), path)


def consistency(old: int, leaves: list[bytes]) -> ConsistencyProof:
    path = tuple(map(digest_text, consistency_path(old, leaves)))
    return ConsistencyProof(old, len(leaves), path)


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_reference_s(size: int) -> None:
    assert merkle_root(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("old", "size"), list(CONSISTENCY))
def test_consistency_proofs_are_the_reference_s(old: int, size: int) -> None:
    proof = consistency(old, LEAVES[:size])
    assert [raw_digest(node).hex() for node in proof.path] == CONSISTENCY[old, size]
    assert proof.holds("sha256:" + ROOTS[old], "sha256:" + ROOTS[size])


@pytest.mark.parametrize(("seq", "size"), list(INCLUSION))
def test_inclusion_proofs_are_the_reference_s(seq: int, size: int) -> None:
    proof = inclusion(seq, LEAVES[:size])
    assert [raw_digest(node).hex() for node in proof.path] == INCLUSION[seq, size]
    assert proof.holds("sha256:" + ROOTS[size])


def test_every_proof_up_to_33_leaves_holds_and_only_for_its_own_root() -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(33)]
    for size in range(1, 34):
        root = text_of(leaves[:size])
        assert digest_text(merkle_root(leaves[:size])) == root
        for seq in range(1, size + 1):
            proof = inclusion(seq, leaves[:size])
            assert proof.holds(root)
            assert not proof.holds(text_of(leaves[: size - 1]))
            assert not dataclasses.replace(proof, leaf=digest_text(leaf_hash(b"no"))).holds(root)
        for old in range(size + 1):
            between = consistency(old, leaves[:size])
            assert between.holds(text_of(leaves[:old]), root)
            if old:  # the empty ledger is a beginning of anything
                longer = text_of([*leaves[:size], b"x" * 32])
                assert not between.holds(text_of(leaves[:old]), longer)
                assert not between.holds(text_of([b"x" * 32, *leaves[1:old]]), root)


@given(
    size=st.integers(2, 70),
    where=st.integers(0, 10_000),
    change=st.sampled_from(["drop", "double", "flip"]),
)
def test_a_changed_path_proves_nothing(size: int, where: int, change: str) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    root = text_of(leaves)
    seq, old = 1 + where % size, 1 + where % (size - 1)
    for proof in (inclusion(seq, leaves), consistency(old, leaves)):
        path = list(proof.path)
        at = where % len(path)
        if change == "drop":
            del path[at]
        elif change == "double":
            path.insert(at, path[at])
        else:
            path[at] = digest_text(bytes(b ^ (i == 0) for i, b in enumerate(raw_digest(path[at]))))
        changed = dataclasses.replace(proof, path=tuple(path))
        if isinstance(changed, InclusionProof):
            assert not changed.holds(root)
        else:
            assert not changed.holds(text_of(leaves[:old]), root)


@pytest.mark.parametrize(("seq", "size"), [(0, 8), (9, 8), (1, 0), (1, 9), (5, 8), (1, 4)])
def test_a_proof_of_another_place_or_size_does_not_hold(seq: int, size: int) -> None:
    proof = dataclasses.replace(inclusion(1, LEAVES), seq=seq, size=size)
    assert not proof.holds("sha256:" + ROOTS[8])


@pytest.mark.parametrize(("old", "size"), [(-1, 8), (9, 8), (5, 8), (6, 16), (8, 8), (0, 8)])
def test_a_consistency_proof_of_other_sizes_does_not_hold(old: int, size: int) -> None:
    proof = dataclasses.replace(consistency(6, LEAVES), old_size=old, size=size)
    assert not proof.holds("sha256:" + ROOTS[6], "sha256:" + ROOTS[8])
