"""Hundreds of odd image files: each is read right, left out, or refused."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from image_files import encode, photo, png
from PIL import ExifTags, Image, TiffImagePlugin

from sslprune_jax.data import DataError, Spec, load
from sslprune_jax.data import folder as folder_lib

pytest.importorskip("pillow_heif").register_heif_opener()
SIZE, EACH = 24, 16
# As `opening` has it: pytest sets the filters of warnings anew.
pytestmark = [
  pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
  pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin"),
]


def _exif(**tags):
  exif = Image.Exif()
  for name, value in tags.items():
    exif[getattr(ExifTags.Base, name)] = value
  return exif


def _jpeg(pixels, **options):
  return encode(pixels, "JPEG", quality=95, **options)


def _turned(pixels, seed):
  orientation = seed % 8 + 1
  back = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, 1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, -1),
  }[orientation]
  stored = np.ascontiguousarray(back(pixels))
  return _jpeg(stored, exif=_exif(Orientation=orientation))


def _odd_exif(pixels, seed):
  exif = _exif(XResolution=TiffImagePlugin.IFDRational(0, 0), Orientation=9)
  data = bytearray(_jpeg(pixels, exif=exif))
  place = data.find(b"Exif") + 10 + seed
  data[place : place + 4] = b"\xff\xfe\xfd\xfc"  # Tags that lead nowhere.
  return bytes(data)


def _deep(pixels):
  return png(pixels[..., 0].astype(np.uint16) << 8)


def _indexed(pixels):
  return encode(Image.fromarray(pixels).quantize(256), "PNG", transparency=255)


def _animated(pixels):
  frames = [Image.fromarray(pixels), Image.new("RGB", pixels.shape[1::-1])]
  return encode(frames[0], "GIF", save_all=True, append_images=frames[1:])


# Kind -> its file's suffix, and its bytes by pixels u8[H,W,3] and a number.
READ = {
  "baseline": (".jpg", lambda p, n: _jpeg(p)),
  "progressive": (".jpeg", lambda p, n: _jpeg(p, progressive=True)),
  "jfif": (".JFIF", lambda p, n: _jpeg(p)),
  "cmyk": (".jpg", lambda p, n: _jpeg(Image.fromarray(p).convert("CMYK"))),
  "turned": (".JPG", _turned),
  "odd exif": (".jpg", _odd_exif),
  "png": (".png", lambda p, n: png(p)),
  "alpha": (".png", lambda p, n: png(Image.fromarray(p).convert("RGBA"))),
  "indexed": (".png", lambda p, n: _indexed(p)),
  "wrong suffix": (".png", lambda p, n: _jpeg(p)),
  "webp": (".webp", lambda p, n: encode(p, "WEBP", lossless=True)),
  "bitmap": (".BMP", lambda p, n: encode(p, "BMP")),
  "animated": (".gif", lambda p, n: _animated(p)),
  "ppm": (".ppm", lambda p, n: encode(p, "PPM")),
  "tiff": (".tif", lambda p, n: encode(p, "TIFF", compression="tiff_lzw")),
  "turned tiff": (
    ".tiff",
    lambda p, n: encode(
      np.ascontiguousarray(np.rot90(p)), "TIFF", tiffinfo={274: 6}
    ),
  ),
  "avif": (".avif", lambda p, n: encode(p, "AVIF", quality=95)),
  "heic": (".heic", lambda p, n: encode(p, "HEIF", quality=95)),
}
GREY = {
  "grey": (".jpg", lambda p, n: _jpeg(p[..., 0])),
  "grey and alpha": (
    ".png", lambda p, n: png(Image.fromarray(p[..., 0]).convert("LA")),
  ),
  "deep": (".png", lambda p, n: _deep(p)),
  "deep tiff": (
    ".tiff",
    lambda p, n: encode(p[..., 0].astype(np.uint16) << 8, "TIFF"),
  ),
}  # fmt: skip
TINY = {
  "one pixel": (".png", lambda p, n: png(p[:1, :1])),
  "a strip": (".png", lambda p, n: png(np.repeat(p[:1], 400 + n, 0)[:, :1])),
}


def _break_off(pixels, seed):
  data = _jpeg(pixels)
  return data[: len(data) * (seed + 1) // (EACH + 2)]


def _damage(pixels, seed):
  data = bytearray(png(pixels))
  rng = np.random.default_rng(seed)
  for place in rng.integers(8, len(data), 40):
    data[place] = rng.integers(256)
  return bytes(data)


BROKEN = {
  "breaks off": (".jpg", _break_off),
  "damage": (".png", _damage),
  "text": (".png", lambda p, n: b"not an image\n" * (n + 1)),
  "nothing": (".jpg", lambda p, n: b""),
  "zeros": (".gif", lambda p, n: bytes(1000 * n + 1)),
  "a program": (
    ".jpg",
    lambda p, n: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage",
  ),
  "fractions": (".tif", lambda p, n: encode(Image.new("F", (9, 9)), "TIFF")),
  "vectors": (
    ".png",
    lambda p, n: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
  ),
}


def _write(root, kinds, size=(40, 50)):
  for kind, (suffix, content) in kinds.items():
    for n in range(EACH):
      path = root / f"{kind} {n:02d}{suffix}"
      path.write_bytes(content(photo(*size, n), n))


def _load(root, **settings):
  load.cache_clear()
  folder_lib._read.cache_clear()
  return load(Spec("folder", "train", str(root), SIZE, **settings))


def _split(tmp_path):
  """Makes a folder `train` beside one for the test; returns the former."""
  for name in ("train", "test"):
    (tmp_path / name).mkdir(parents=True)
  (tmp_path / "test" / "0.png").write_bytes(png(photo(9, 9)))
  return tmp_path / "train"


@pytest.mark.parametrize("kinds, channels", [(READ, 3), (GREY, 1)])
def test_every_kind_that_is_read_shows_its_picture(tmp_path, kinds, channels):
  odd, plain = tmp_path / "odd", tmp_path / "plain"
  _write(_split(odd), kinds)
  _split(plain)
  for n in range(EACH):
    pixels = photo(40, 50, n)
    pixels = pixels if channels == 3 else pixels[..., 0]
    (plain / "train" / f"{n:02d}.png").write_bytes(png(pixels))
  expected = _load(plain, channels=channels).read(np.arange(EACH))["image"]
  source = _load(odd, channels=channels)
  assert len(source) == EACH * len(kinds) and not source.left_out
  found = source.read(np.arange(len(source)))["image"].astype(int)
  for row, file in enumerate(source._files):
    name = os.path.basename(file)
    error = np.abs(found[row] - expected[int(name.split(".")[0][-2:])]).mean()
    # A GIF has 256 colours of its own, AVIF and HEIC are lossy.
    assert error < 9, name


def test_an_image_of_a_pixel_or_a_strip_is_an_image(tmp_path):
  _write(_split(tmp_path), TINY)
  source = _load(tmp_path)
  found = source.read(np.arange(len(source)))["image"]
  for row, file in enumerate(source._files):
    n = int(os.path.basename(file).split(".")[0][-2:])
    assert np.abs(found[row].astype(int) - photo(40, 50, n)[0, 0]).max() <= 1
  source.read(np.arange(len(source)), np.arange(len(source), dtype=np.uint64))


def test_every_kind_that_is_broken_is_refused_in_a_line(tmp_path):
  root = _split(tmp_path)
  _write(root, BROKEN)
  (root / "whole.png").write_bytes(png(photo(9, 9)))
  with pytest.raises(DataError) as refused:
    _load(tmp_path)
  assert "\n" not in str(refused.value)
  source = _load(tmp_path, broken="skip")
  reasons = dict(source.left_out)
  for row, file in enumerate(source._files):
    try:  # What no header says: where a file breaks off, or is damaged.
      source.read(np.array([row]))
    except DataError as error:
      reasons[file] = str(error)
  for file, reason in reasons.items():
    assert reason.startswith(f"{file}: cannot be ") and "\n" not in reason
  names = [os.path.basename(file) for file in reasons]
  for kind in BROKEN:
    count = sum(name.startswith(kind) for name in names)
    # A PNG's damage may lie in what nobody reads.
    assert count == EACH or (kind == "damage" and count > EACH // 2), kind
  assert len(reasons) > 100


def test_what_is_no_image_is_left_out_and_counted(tmp_path):
  root = _split(tmp_path)
  _write(root, {"baseline": READ["baseline"]})
  sockets = []
  for n in range(EACH):
    (root / f"._{n}.jpg").write_bytes(b"of a Mac")
    (root / f"notes {n}.txt").write_bytes(b"text")
    (root / f"raw {n}.CR2").write_bytes(b"of a camera")
    os.mkfifo(root / f"pipe {n}.png")
    sockets.append(socket.socket(socket.AF_UNIX))
    here = os.getcwd()
    os.chdir(root)  # An address has 108 characters at most.
    try:
      sockets[-1].bind(f"socket {n}.png")
    finally:
      os.chdir(here)
  source = _load(tmp_path)
  for each in sockets:
    each.close()
  assert len(source) == EACH
  assert source.notes == (
    f"{tmp_path}: found 17 images of no class; left out: {EACH} .cr2, "
    f"{EACH} .txt, {EACH} hidden, "
    f"{2 * EACH} no file (a pipe, a socket, a device)",
  )


_READ_ALL = """
import sys
import numpy as np
from sslprune_jax.data import Spec, load
from sslprune_jax.runtime import environment
source = load(Spec("folder", "train", sys.argv[1], 64, workers=16))
for seeds in (None, np.arange(len(source), dtype=np.uint64)):
  source.read(np.arange(len(source)), seeds)
print(environment.peak_memory())
"""


@pytest.mark.slow
def test_large_images_take_a_gigabyte_at_most(tmp_path):
  root = _split(tmp_path)
  for mode in ("RGB", "RGBA", "P", "L", "I;16", "1"):
    image = Image.new(mode, (9900, 9900))
    options = {"transparency": 0} if mode == "P" else {}
    for n in range(3):
      (root / f"{mode[0]}{n}.png").write_bytes(encode(image, "PNG", **options))
  turned = _jpeg(Image.new("RGB", (9900, 9900)), exif=_exif(Orientation=6))
  (root / "turned.jpg").write_bytes(turned)
  said = subprocess.run(
    [sys.executable, "-c", _READ_ALL, str(tmp_path)],
    capture_output=True,
    text=True,
  )
  assert said.returncode == 0, said.stderr
  assert int(said.stdout.split()[-1]) < 2**30
