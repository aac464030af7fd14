"""The cache of engines: what it returns is what this user's infertop wrote, whole, or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from infertop.backends import trt_cache
from infertop.backends.errors import MeasureError
from infertop.backends.trt_cache import EngineCache

KEY = trt_cache.key({"model": "m"})


def engines(tmp_path: Path) -> Path:
    return tmp_path / "engines"


def test_what_was_kept_is_found_and_closed_to_others(tmp_path: Path) -> None:
    cache = EngineCache(str(tmp_path))
    assert cache.find(KEY) is None
    path = cache.keep(KEY, b"engine", {"build_s": 1.5})
    assert path is not None
    kept = cache.find(KEY)
    assert kept is not None
    assert (kept.blob, kept.path, kept.facts["build_s"]) == (b"engine", path, 1.5)
    assert engines(tmp_path).stat().st_mode & 0o777 == 0o700
    assert Path(path).stat().st_mode & 0o077 == 0
    assert sorted(p.name for p in engines(tmp_path).iterdir()) == sorted([f"{KEY}.engine", f"{KEY}.json"])


def test_keys_differ_with_every_part() -> None:
    parts = {"model": "m", "target": "sm_89", "profile": [("x", "float32", (1, 3))], "tf32": None}
    keys = {trt_cache.key(parts), *(trt_cache.key({**parts, name: "other"}) for name in parts)}
    assert len(keys) == 5


@pytest.mark.parametrize("name", ["engine", "json"])
def test_a_damaged_engine_counts_as_none(name: str, tmp_path: Path) -> None:
    cache = EngineCache(str(tmp_path))
    cache.keep(KEY, b"engine", {})
    path = engines(tmp_path) / f"{KEY}.{name}"
    path.write_bytes(path.read_bytes()[:-2])
    assert cache.find(KEY) is None
    cache.keep(KEY, b"engine", {})
    assert cache.find(KEY) is not None


def test_a_link_to_an_engine_elsewhere_is_not_followed(tmp_path: Path) -> None:
    cache = EngineCache(str(tmp_path))
    cache.keep(KEY, b"engine", {})
    path = engines(tmp_path) / f"{KEY}.engine"
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert cache.find(KEY) is None


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o755])
def test_a_folder_that_is_open_to_others_is_refused(mode: int, tmp_path: Path) -> None:
    cache = EngineCache(str(tmp_path))
    cache.keep(KEY, b"engine", {})
    engines(tmp_path).chmod(mode)
    for use in (
        lambda: cache.find(KEY),
        lambda: cache.keep(KEY, b"", {}),
        lambda: cache.read("x"),
        lambda: cache.folder("y"),
    ):
        with pytest.raises(MeasureError, match="is open to others") as caught:
            use()
        assert "chmod 700" in caught.value.fix


def test_somebody_else_s_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = EngineCache(str(tmp_path))
    cache.keep(KEY, b"engine", {})
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(MeasureError, match="is open to others"):
        cache.find(KEY)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("a file is in the way")
    with pytest.raises(MeasureError, match="cannot be written: File exists"):
        EngineCache(str(tmp_path)).keep(KEY, b"engine", {})


def test_no_directory_means_no_cache(tmp_path: Path) -> None:
    cache = EngineCache(None)
    assert cache.keep(KEY, b"engine", {}) is None
    assert cache.find(KEY) is None
    assert cache.read("timing") == b""
    assert cache.folder("onnxruntime") is None


def test_a_digest_covers_the_weights_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"model")
    (tmp_path / "w").write_bytes(b"weights")
    path = str(tmp_path / "m")
    alone, both = trt_cache.digest(path), trt_cache.digest(path, ["w"])
    assert alone != both
    (tmp_path / "w").write_bytes(b"Weights")
    assert trt_cache.digest(path, ["w"]) != both
    assert trt_cache.digest(path) == alone
