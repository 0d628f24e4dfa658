"""`.npz` and Zarr that claim, hide, link or name what they should not."""

import io
import json
import os
import pickle
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import zarr

from spikefinder_keras.errors import SpikefinderError
from spikefinder_keras.files import npy as npy_arrays
from spikefinder_keras.recordings.formats import read_recording
from spikefinder_keras.recordings.formats.zarr import CODECS

pytestmark = pytest.mark.fresh_sandbox

TRACES = np.random.default_rng(0).normal(1, 0.1, (5, 200)).astype(np.float32)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(path, method, **members):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bz2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


@pytest.mark.parametrize("method", ["stored", "deflate"])
def test_every_way_in_which_numpy_packs_is_read(tmp_path, method):
    path = npz(tmp_path / "a.npz", METHODS[method], **{"dff.npy": npy(TRACES)})
    np.testing.assert_array_equal(read_recording(path, frame_rate=30).fluorescence.T, TRACES)
    found = npy_arrays.read_npz(path)
    np.testing.assert_array_equal(found["dff"], TRACES)


@pytest.mark.parametrize("method", ["bz2", "lzma"])
@pytest.mark.parametrize("read", [npy_arrays.read_npz, read_recording])
def test_other_ways_to_pack_are_refused(tmp_path, method, read):
    path = npz(tmp_path / "a.npz", METHODS[method], **{"dff.npy": npy(TRACES)})
    with pytest.raises(
        SpikefinderError, match=r"save it again with numpy\.savez_compressed"
    ) as error:
        read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", ["deflate", "bz2", "lzma"])
@pytest.mark.parametrize("truth", ["stated", "lied"])
def test_a_few_kilobytes_of_two_gigabytes(attack, method, truth):
    """Stated as such, or as a small array; in neither case more than a block is unpacked."""
    path = attack.folder / "bomb.npz"
    shape = (1 << 10, 1 << 19)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    with (
        zipfile.ZipFile(path, "w", METHODS[method]) as archive,
        archive.open("dff.npy", "w", force_zip64=True) as file,
    ):
        file.write(header.getvalue())
        for _ in range(96 if method == "lzma" else 256):
            file.write(bytes(1 << 20))
    if truth == "lied":
        content = bytearray(path.read_bytes())
        small = npy(np.zeros((5, 200), np.float32))
        at = content.rindex(b"PK\x01\x02")
        content[at + 24 : at + 28] = len(small).to_bytes(4, "little")
        path.write_bytes(content)
    found = attack.predict(path, status=2, memory=500 << 20)
    assert "bomb.npz" in found.err


def test_nothing_is_unpacked_in_the_program_itself(tmp_path, monkeypatch):
    """The child alone has the unpackers."""

    def forbidden(*_):
        raise AssertionError

    for module, name in ((zlib, "decompressobj"), (zipfile, "ZipFile")):
        monkeypatch.setattr(module, name, forbidden)
    with pytest.raises(SpikefinderError):
        read_recording(tmp_path / "none.npz", frame_rate=30)
    monkeypatch.undo()
    path = npz(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, **{"dff.npy": npy(TRACES)})
    for module, name in ((zlib, "decompressobj"), (zipfile, "ZipFile")):
        monkeypatch.setattr(module, name, forbidden)
    assert read_recording(path, frame_rate=30).fluorescence.shape == (200, 5)


@pytest.mark.parametrize("name", ["../dff.npy", "/dff.npy", "a/../../dff.npy", "C:\\dff.npy"])
def test_members_that_lead_outside(attack, name):
    path = npz(attack.folder / "a.npz", zipfile.ZIP_STORED, **{name: npy(TRACES)})
    attack.predict(path)


# Zarr


class Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def store(path, version=2, **options):
    group = zarr.open_group(path, mode="w", zarr_format=version)
    group.create_array("dff", data=TRACES, **options)
    return path


def change(file, change):
    metadata = json.loads(file.read_text())
    change(metadata)
    file.write_text(json.dumps(metadata))


def v2(metadata):
    return lambda store: change(store / "dff/.zarray", lambda m: m.update(metadata))


def v3(codecs):
    return lambda store: change(store / "dff/zarr.json", lambda m: m.update(codecs=codecs))


PICKLE = {"id": "pickle", "protocol": 4}
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
SHARDS = {
    "chunk_shape": [5, 200],
    "codecs": [BYTES],
    "index_codecs": [BYTES],
    "index_location": "end",
}


def shards(**options):
    return [{"name": "sharding_indexed", "configuration": SHARDS | options}]


SPELLINGS = {
    "v2 filter": (2, v2({"filters": [PICKLE]})),
    "v2 compressor": (2, v2({"compressor": PICKLE})),
    "v2 both keys": (2, v2({"filters": [{"name": "blosc", **PICKLE}]})),
    "v2 other key": (2, v2({"filters": [{"id": None, "name": "pickle"}]})),
    "v2 nested": (2, v2({"compressor": {"id": "blosc", "codecs": [[PICKLE]]}})),
    "v3": (3, v3([{"name": "numcodecs.pickle", "configuration": PICKLE}])),
    "v3 text": (3, v3([BYTES, "pickle"])),
    "v3 hidden by id": (3, v3([{"id": "bytes", "name": "numcodecs.pickle"}])),
    "v3 empty id": (3, v3([{"id": None, "name": "numcodecs.pickle"}])),
    "v3 in shards": (3, v3(shards(codecs=[BYTES, {"name": "numcodecs.pickle"}]))),
    "v3 in the index": (3, v3(shards(index_codecs=[BYTES, {"name": "pickle"}]))),
    "v3 shards in shards": (3, v3(shards(codecs=shards(codecs=[{"name": "numcodecs.pickle"}])))),
    "v3 address": (3, v3([BYTES, {"name": "https://codec.example.org/numcodecs.pickle"}])),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_codec_slips_past(tmp_path, spelling):
    version, spell = SPELLINGS[spelling]
    path = store(tmp_path / "a.zarr", version)
    spell(path)
    for chunk in (path / "dff").rglob("*"):
        if chunk.is_file() and chunk.name not in (".zarray", ".zattrs", "zarr.json"):
            chunk.write_bytes(pickle.dumps(Trap(tmp_path / "marker")))
    with pytest.raises(SpikefinderError, match="which is not trusted"):
        read_recording(path, frame_rate=30)
    assert not (tmp_path / "marker").exists()


def test_the_list_of_codecs_has_none_that_runs_code():
    assert not {"pickle", "json2", "msgpack2", "vlen-utf8", "categorize", "python"} & CODECS


@pytest.mark.parametrize("what", ["root", "chunk", "metadata", "folder", "chain"])
def test_no_link_is_followed(tmp_path, what):
    secret = store(tmp_path / "secret.zarr")
    path = store(tmp_path / "a.zarr")
    chunk = next(f for f in (path / "dff").iterdir() if not f.name.startswith("."))
    if what == "root":
        (path / ".zgroup").unlink()
        (path / ".zgroup").symlink_to(secret / ".zgroup")
    elif what == "chunk":
        chunk.unlink()
        chunk.symlink_to(secret / "dff" / chunk.name)
    elif what == "metadata":
        (path / "dff/.zarray").unlink()
        (path / "dff/.zarray").symlink_to(secret / "dff/.zarray")
    elif what == "folder":
        (path / "more").symlink_to(secret / "dff", target_is_directory=True)
    else:
        (path / "one").symlink_to("two")
        (path / "two").symlink_to(secret / "dff")
    with pytest.raises(SpikefinderError, match="is a link to another file"):
        read_recording(path, frame_rate=30)


@pytest.mark.parametrize("version", [2, 3])
def test_consolidated_metadata_names_nothing_outside(tmp_path, version):
    store(tmp_path / "secret.zarr", version)
    path = tmp_path / "a.zarr"
    zarr.open_group(path, mode="w", zarr_format=version)
    inside = store(tmp_path / "b.zarr", version)
    zarr.consolidate_metadata(inside)
    if version == 2:
        metadata = json.loads((inside / ".zmetadata").read_text())
        metadata["metadata"] = {
            key.replace("dff", "../secret.zarr/dff"): value
            for key, value in metadata["metadata"].items()
        }
        (path / ".zmetadata").write_text(json.dumps(metadata))
    else:
        metadata = json.loads((inside / "zarr.json").read_text())
        within = metadata["consolidated_metadata"]["metadata"]
        within["../secret.zarr/dff"] = within.pop("dff")
        (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(SpikefinderError):
        read_recording(path, frame_rate=30)


@pytest.mark.parametrize(
    "separator", [{"name": "default", "configuration": {"separator": "/../../"}}, {"name": "x"}]
)
def test_keys_of_chunks_lead_nowhere(tmp_path, separator):
    path = store(tmp_path / "a.zarr", 3)
    change(path / "dff/zarr.json", lambda m: m.update(chunk_key_encoding=separator))
    with pytest.raises(SpikefinderError):
        read_recording(path, frame_rate=30)


def test_a_pipe_in_the_store_hangs_nothing(attack):
    path = store(attack.folder / "a.zarr")
    chunk = next(f for f in (path / "dff").iterdir() if not f.name.startswith("."))
    chunk.unlink()
    os.mkfifo(chunk)
    attack.predict(path, status=2)


# NWB


def nwb(path):
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        series = file.create_group("processing/ophys/DfOverF/RoiResponseSeries")
        series.parent.attrs["neurodata_type"] = "DfOverF"
        series.attrs["neurodata_type"] = "RoiResponseSeries"
        series["data"] = TRACES.T
        series["starting_time"] = 0.0
        series["starting_time"].attrs["rate"] = 30.0
    return path


@pytest.mark.parametrize("start", [np.nan, np.inf, -np.inf, 1e300, 1e17])
def test_a_start_that_tells_no_frames_apart(tmp_path, start):
    path = nwb(tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        file["processing/ophys/DfOverF/RoiResponseSeries/starting_time"][()] = start
    found = read_recording(path)
    assert found.times[0] == 0
    assert any("the file tells a start at" in note for note in found.notes)


def test_groups_that_link_to_one_another(tmp_path):
    """Six links upwards make 6 ** 8 ways to the series."""
    path = nwb(tmp_path / "a.nwb")
    with h5py.File(path, "r+") as file:
        for number in range(6):
            file[f"processing/up{number}"] = h5py.SoftLink("/processing")
    with pytest.raises(SpikefinderError, match="links its groups to one another too often"):
        read_recording(path)
