"""The remembered avatar: what is taken, what is refused, what survives a restart."""

import hashlib
import os
from pathlib import Path

import pytest

from streamer.errors import InputError
from streamer.serving.avatars import AvatarStore
from streamer.wire_requests import MAX_AVATAR_BYTES, AvatarUpload
from tests.serving import check_glb, make_glb


def open_store(tmp_path: Path) -> AvatarStore:
    default = tmp_path / "mannequin.vrm"
    default.write_bytes(make_glb(generator="mannequin"))
    return AvatarStore(folder=tmp_path / "data" / "avatar", default=default, check=check_glb)


def request(data: bytes, name: str = "me.vrm", **change: object) -> AvatarUpload:
    fields = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **change}
    return AvatarUpload(name=name, **fields)  # pyright: ignore[reportArgumentType]


def kept(tmp_path: Path) -> list[str]:
    folder = tmp_path / "data" / "avatar"
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def test_the_mannequin_is_shown_until_there_is_another(tmp_path):
    store = open_store(tmp_path)
    avatar = store.current
    assert avatar
    assert (avatar.name, avatar.custom) == ("mannequin.vrm", False)
    assert avatar.sha256 == hashlib.sha256(avatar.path.read_bytes()).hexdigest()
    assert kept(tmp_path) == []  # looking leaves no traces


def test_an_upload_is_kept_over_a_restart_and_its_predecessor_removed(tmp_path):
    store = open_store(tmp_path)
    for generator in ("first", "second"):
        data = make_glb(10_000, generator=generator)
        with store.begin(request(data)) as upload:
            for at in range(0, len(data), 3000):
                upload.write(data[at : at + 3000])
            upload.finish()
    again = open_store(tmp_path).current
    assert again == store.current
    assert again
    assert again.path.read_bytes() == data
    assert (again.name, again.size, again.custom) == ("me.vrm", len(data), True)
    assert kept(tmp_path) == [f"{again.sha256}.vrm", "avatar.json"]


def test_a_file_is_adopted_the_same_way(tmp_path):
    store = open_store(tmp_path)
    file = tmp_path / "Ada.vrm"
    file.write_bytes(make_glb(300_000))
    avatar = store.adopt(file)
    assert avatar.name == "Ada.vrm"
    assert avatar.path.read_bytes() == file.read_bytes()
    assert file.exists()
    assert avatar.info()["url"] == f"/avatar/file?v={avatar.sha256[:16]}"


def test_forgetting_brings_the_mannequin_back(tmp_path):
    store = open_store(tmp_path)
    file = tmp_path / "Ada.vrm"
    file.write_bytes(make_glb())
    store.adopt(file)
    avatar = store.forget()
    assert avatar
    assert not avatar.custom
    assert kept(tmp_path) == []
    assert open_store(tmp_path).current == avatar


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": MAX_AVATAR_BYTES + 1}, "bytes, expected"),
        ({"size": 3}, "bytes, expected"),
    ],
)
def test_a_wrong_size_is_refused_before_a_byte_is_taken(tmp_path, change, reason):
    with pytest.raises(InputError, match=reason):
        open_store(tmp_path).begin(request(make_glb(), **change))
    assert kept(tmp_path) == []


def test_a_file_that_is_no_glb_is_refused_at_its_first_bytes(tmp_path):
    data = b"<html>" * 1000
    with open_store(tmp_path).begin(request(data)) as upload:
        upload.write(data[:5])
        with pytest.raises(InputError, match=r"'me\.vrm' is no VRM"):
            upload.write(data[5:12])
    assert kept(tmp_path) == []


def test_wrong_content_leaves_the_old_avatar_in_place(tmp_path):
    store = open_store(tmp_path)
    before = store.current
    data = make_glb()
    cases = [
        (request(data, sha256="0" * 64), data, "digest"),
        (request(data, size=len(data) - 4), data, "more than the announced"),
        (request(data, size=len(data) + 4), data, "4 bytes are missing"),
        (request(data[:-4]), data[:-4], r"me\.vrm: truncated"),  # the full check, by its name
    ]
    for announced, sent, reason in cases:
        with store.begin(announced) as upload, pytest.raises(InputError, match=reason):  # noqa: PT012 (either may raise)
            upload.write(sent)
            upload.finish()
    assert store.current == before
    assert kept(tmp_path) == []


def test_a_name_cannot_leave_the_folder(tmp_path):
    store = open_store(tmp_path)
    data = make_glb()
    for name in ("../../etc/passwd", "..\\..\\evil.vrm", "/abs.vrm"):
        with store.begin(request(data, name)) as upload:
            upload.write(data)
            avatar = upload.finish()
        assert avatar.path.parent == tmp_path / "data" / "avatar"
        assert avatar.name in ("passwd", "evil.vrm", "abs.vrm")


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_store(tmp_path).adopt(tmp_path / "none.vrm")


@pytest.mark.parametrize(
    "note",
    ["", "[]", "{}", '{"name":"x","sha256":"../../x","size":1}', '{"name":"x","sha256":"y"}'],
)
def test_a_broken_note_falls_back_to_the_mannequin(tmp_path, note):
    folder = tmp_path / "data" / "avatar"
    folder.mkdir(parents=True)
    (folder / "avatar.json").write_text(note)
    avatar = open_store(tmp_path).current
    assert avatar
    assert not avatar.custom


def test_a_file_that_changed_its_size_falls_back_to_the_mannequin(tmp_path):
    store = open_store(tmp_path)
    file = tmp_path / "Ada.vrm"
    file.write_bytes(make_glb())
    store.adopt(file).path.write_bytes(b"cut")
    avatar = open_store(tmp_path).current
    assert avatar
    assert not avatar.custom


def test_parts_that_a_crash_left_are_removed_after_a_day(tmp_path):
    store = open_store(tmp_path)
    folder = tmp_path / "data" / "avatar"
    folder.mkdir(parents=True)
    old, new = folder / "part-old.vrm", folder / "part-new.vrm"
    for part in (old, new):
        part.write_bytes(b"x")
    os.utime(old, (0, 0))
    file = tmp_path / "Ada.vrm"
    file.write_bytes(make_glb())
    store.adopt(file)
    assert not old.exists()
    assert new.exists()


def test_without_even_a_mannequin_there_is_no_avatar(tmp_path):
    store = AvatarStore(folder=tmp_path, default=tmp_path / "none.vrm", check=check_glb)
    assert store.current is None
