"""Signed bundles: a valid signature is accepted, and every other one is refused with a message that names the fix."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from command_line import ecgssl, refused
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import ecgssl as package
from ecgssl.errors import InputError
from ecgssl.export.bundle import load_bundle
from ecgssl.export.checksums import verify_sums, write_sums
from ecgssl.export.sign_bundle import new_key, sign_bundle
from ecgssl.export.signature import SIGNATURE, sign, verify

DATA = Path(__file__).parents[1] / "data/0.1.0"


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    """Return a bundle signed by the command, its private and its public key."""
    folder = tmp_path_factory.mktemp("signed")
    bundle, key = shutil.copytree(DATA / "bundle", folder / "bundle"), folder / "keys/author.key"
    done = ecgssl("sign", "--new-key", key)
    assert done.code == 0, done
    done = ecgssl("sign", bundle, "--key", key)
    assert done.code == 0, done
    assert "PRIVATE" not in done.out + done.err
    return bundle, key, key.with_name("author.key.pub")


@pytest.fixture
def copy(signed, tmp_path):
    return shutil.copytree(signed[0], tmp_path / "bundle")


def test_signed_bundle_loads_and_keeps_its_version(signed):
    bundle, key, public = signed
    model = package.load(bundle, require_signature=public)
    assert model.version == package.load(DATA / "bundle").version
    assert (bundle / SIGNATURE).stat().st_size == 64
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    secret = key.read_bytes().splitlines()[1]
    assert all(secret not in path.read_bytes() for path in [public, *bundle.iterdir()])


def test_without_the_option_a_signature_is_not_checked(signed, copy):
    (copy / SIGNATURE).write_bytes(b"anything")
    assert load_bundle(copy).version == load_bundle(signed[0]).version


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
def test_openssl_verifies_the_signature(signed):
    bundle, _, public = signed
    given = ["-pubin", "-inkey", public, "-rawin", "-in", bundle / "SHA256SUMS", "-sigfile", bundle / SIGNATURE]
    done = subprocess.run(["openssl", "pkeyutl", "-verify", *given], capture_output=True, text=True, check=False)
    assert "Verified Successfully" in done.stdout, done


def other_key(folder: Path) -> Path:
    return new_key(folder / "other.key")


def rewritten(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["quality"]["hf_noise"] = 5.0
    (folder / "config.json").write_text(json.dumps(config))
    write_sums(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda b: (b / SIGNATURE).unlink(),
            "SHA256SUMS.sig: signature: is missing, so the bundle is not signed. Sign it",
        ),
        (lambda b: (b / SIGNATURE).write_bytes(bytes(64)), "was not made by the key"),
        (lambda b: (b / SIGNATURE).write_bytes(b""), "was not made by the key"),
        (lambda b: (b / SIGNATURE).write_bytes((b / SIGNATURE).read_bytes() + b"x"), "was not made by the key"),
        (rewritten, "the bundle was altered or signed with another key"),
        (lambda b: (b / "config.json").write_text("{}"), "config.json: content: does not match SHA256SUMS"),
    ],
)
def test_other_bundles_are_refused(signed, copy, change, message):
    change(copy)
    with pytest.raises(InputError, match=message):
        verify_sums(copy, signed[2])


def test_bundle_signed_with_another_key_is_refused(signed, copy, tmp_path):
    public = other_key(tmp_path)
    sign_bundle(copy, tmp_path / "other.key")
    verify_sums(copy, public)
    with pytest.raises(InputError, match="signed with another key"):
        verify_sums(copy, signed[2])


def elliptic() -> dict[str, bytes]:
    key = generate_private_key(SECP256R1())
    return {
        "private": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "public": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "key: does not exist"),
        (b"", "is not an Ed25519 public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is not an Ed25519 public key"),
        (elliptic()["public"], "is not an Ed25519 public key"),
        (elliptic()["private"], "is a private key; it must stay with its owner"),
        (bytes(20_000), "is too large"),
    ],
)
def test_file_that_is_no_public_key_is_refused(signed, tmp_path, content, message):
    path = tmp_path / "given.pub"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        verify(b"content", signed[0] / SIGNATURE, path)


@pytest.mark.skipif(os.name == "nt", reason="modes of files")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_key_that_others_can_use_is_refused(signed, tmp_path, mode):
    key = Path(shutil.copy(signed[1], tmp_path / "key"))
    key.chmod(mode)
    with pytest.raises(InputError) as caught:
        sign(b"content", key)
    assert f"other users of this machine (mode {mode:04o}). Run: chmod 600 {key}" in str(caught.value)


def test_keys_are_not_replaced_and_not_kept_in_bundles(signed, copy):
    refused(ecgssl("sign", "--new-key", signed[1]), "exists, and a key is never replaced")
    refused(ecgssl("sign", "--new-key", copy / "key"), "lies in the folder of a bundle")
    inside = Path(shutil.copy(signed[1], copy / "key"))
    refused(ecgssl("sign", copy, "--key", inside), "lies in the folder of a bundle")
    refused(ecgssl("sign", copy), "--key: is missing")
    assert sorted(path.name for path in copy.iterdir() if "key" in path.name) == ["key"]


def test_damaged_bundle_is_not_signed(signed, copy):
    before = (copy / SIGNATURE).read_bytes()
    (copy / "config.json").write_text("{}")
    refused(ecgssl("sign", copy, "--key", signed[1]), "config.json: content: does not match SHA256SUMS")
    assert (copy / SIGNATURE).read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        ("predict", DATA / "store/shard-00000.npy", "--out", "scores.csv"),
        ("embed", DATA / "store/shard-00000.npy", "--out", "scores.csv"),
        ("monitor", DATA / "scores.csv", "--out", "drift.html"),
        ("serve", "--port", "0"),
        ("finetune", "--store", DATA / "store", "--targets", "x", "--out", "run"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_loads_a_bundle_has_the_option(signed, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    unsigned = DATA / ("bundle_encoder" if command[0] == "finetune" else "bundle")
    done = ecgssl(*command, "--bundle", unsigned, "--require-signature", signed[2])
    refused(done, "SHA256SUMS.sig: signature: is missing, so the bundle is not signed")
    assert list(tmp_path.iterdir()) == []
