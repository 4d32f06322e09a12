"""Bundles on the Hugging Face Hub, with a client of the same signatures that stores folders locally."""

from __future__ import annotations

import shutil
import sys
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest
from deploy_models import SPEC

from ecgssl.errors import InputError
from ecgssl.export.bundle import load_bundle
from ecgssl.registry.hub import from_pretrained, push, save_pretrained

huggingface_hub = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Local replacement for the Hub: ``pushed`` holds the uploaded files and a file that the real Hub adds."""
    place = tmp_path / "pushed"
    api = create_autospec(huggingface_hub.HfApi, instance=True)

    def upload_folder(*, repo_id, folder_path, commit_message, delete_patterns):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder_path, place)
        (place / ".gitattributes").write_text("*.onnx filter=lfs\n")
        return SimpleNamespace(commit_url=f"hub/{repo_id}/{commit_message}")

    def snapshot_download(repo_id, *, revision, ignore_patterns):
        if repo_id != "owner/model":
            raise huggingface_hub.errors.RepositoryNotFoundError("404", response=_no_answer())
        return str(shutil.copytree(place, tmp_path / "snapshot", ignore=shutil.ignore_patterns(*ignore_patterns)))

    api.upload_folder.side_effect = upload_folder
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    download = create_autospec(huggingface_hub.snapshot_download, side_effect=snapshot_download)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return SimpleNamespace(api=api, place=place, download=download)


def _no_answer():
    return SimpleNamespace(headers={}, request=None, status_code=404, text="")


def test_comes_back_as_it_was_pushed(encoder_bundle, hub):
    address = push(encoder_bundle, "owner/model")
    version = load_bundle(encoder_bundle).version
    assert address == f"hub/owner/model/Bundle {version.split('+')[1]}"
    hub.api.create_repo.assert_called_once_with("owner/model", private=True, exist_ok=True)
    model = from_pretrained("owner/model", revision="v1", digest=version.split("+")[1])
    assert (model.spec, model.version) == (SPEC, version)
    assert hub.download.call_args.kwargs["revision"] == "v1"


def test_what_is_not_the_bundle_meant_or_not_whole_is_refused(encoder_bundle, hub):
    push(encoder_bundle, "owner/model")
    with pytest.raises(InputError, match=r"owner/model: digest: is .* not 0123456789abcdef"):
        from_pretrained("owner/model", digest="0123456789abcdef")
    shutil.rmtree(hub.place.parent / "snapshot")
    (hub.place / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"model.safetensors: content: does not match SHA256SUMS"):
        from_pretrained("owner/model")


def test_unknown_repository(hub):
    with pytest.raises(InputError, match="no-owner/no-model: repository: the Hub denies access"):
        from_pretrained("no-owner/no-model")


def test_an_altered_bundle_is_not_pushed(encoder_bundle, hub, tmp_path):
    altered = shutil.copytree(encoder_bundle, tmp_path / "altered")
    (altered / "README.md").write_text("trust me")
    for use in (lambda: push(altered, "owner/model"), lambda: save_pretrained(altered, tmp_path / "copy")):
        with pytest.raises(InputError, match=r"README.md: content: does not match SHA256SUMS"):
            use()
    hub.api.create_repo.assert_not_called()
    assert not (tmp_path / "copy").exists()


def test_saved_and_loaded_from_a_folder(encoder_bundle, tmp_path):
    save_pretrained(encoder_bundle, tmp_path / "copy")
    digest = load_bundle(encoder_bundle).version.split("+")[1]
    assert from_pretrained(str(tmp_path / "copy"), digest=digest).version.endswith(digest)
    with pytest.raises(InputError, match="digest"):
        from_pretrained(str(tmp_path / "copy"), digest=digest[:8])


def test_without_the_extra(encoder_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'ecgssl\[hub\]'"):
        push(encoder_bundle, "owner/model")
