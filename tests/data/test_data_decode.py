"""Tests of decoding image files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import encode, photo, png
from PIL import ExifTags, Image

from sslprune_jax.data import DataError
from sslprune_jax.data import decode as decode_lib
from sslprune_jax.data.decode import decode, random_box

PHOTO = photo(40, 60)


def difference(one, other):
  return np.abs(one.astype(int) - other.astype(int)).mean()


def test_an_image_of_the_size_asked_for_is_untouched():
  np.testing.assert_array_equal(decode(png(PHOTO), PHOTO.shape), PHOTO)
  grey = PHOTO[..., 0]
  decoded = decode(png(grey), (40, 60, 1))
  np.testing.assert_array_equal(decoded, grey[..., None])


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "GIF", "JPEG"])
def test_every_format_shows_the_same_picture(kind):
  lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}
  decoded = decode(encode(PHOTO, kind, **lossless.get(kind, {})), PHOTO.shape)
  assert decoded.dtype == np.uint8
  assert difference(decoded, PHOTO) < 8  # GIF has 256 colours


def test_cmyk_jpeg_becomes_rgb():
  data = encode(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=95)
  assert difference(decode(data, PHOTO.shape), PHOTO) < 6


def test_grey_becomes_rgb_and_rgb_grey():
  grey = np.asarray(Image.fromarray(PHOTO).convert("L"))
  decoded = decode(png(grey), (40, 60, 3))
  np.testing.assert_array_equal(decoded, np.repeat(grey[..., None], 3, -1))
  decoded = decode(png(PHOTO), (40, 60, 1))
  np.testing.assert_array_equal(decoded[..., 0], grey)


def test_alpha_is_laid_on_white():
  image = np.zeros((2, 2, 4), np.uint8)
  image[:, 0] = 10, 20, 30, 255
  image[:, 1] = 10, 20, 30, 0
  decoded = decode(png(image), (2, 2, 3))
  assert decoded[0].tolist() == [[10, 20, 30], [255, 255, 255]]
  with_grey = Image.fromarray(image).convert("LA")
  assert decode(png(with_grey), (2, 2, 3))[0, 1].tolist() == [255, 255, 255]


def test_a_transparent_palette_is_laid_on_white():
  image = Image.new("P", (2, 2), 0)
  image.putpalette([200, 0, 0, 0, 0, 255])
  image.putpixel((1, 0), 1)
  data = encode(image, "PNG", transparency=0)
  decoded = decode(data, (2, 2, 3))
  assert decoded[0].tolist() == [[255, 255, 255], [0, 0, 255]]
  data = encode(image, "PNG", transparency=b"\x00\xff")
  np.testing.assert_array_equal(decode(data, (2, 2, 3)), decoded)


def test_sixteen_bits_keep_their_upper_byte():
  image = np.array([[0, 255, 256], [0x1234, 0x8000, 65535]], np.uint16)
  decoded = decode(png(image), (2, 3, 1))
  assert decoded[..., 0].tolist() == [[0, 0, 1], [0x12, 0x80, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
  # What a camera stores for each orientation of the same upright picture.
  stored = {
    1: PHOTO,
    2: PHOTO[:, ::-1],
    3: PHOTO[::-1, ::-1],
    4: PHOTO[::-1],
    5: PHOTO.swapaxes(0, 1),
    6: np.rot90(PHOTO, 1),
    7: PHOTO[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90(PHOTO, -1),
  }[orientation]
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = orientation
  data = encode(np.ascontiguousarray(stored), "PNG", exif=exif)
  np.testing.assert_array_equal(decode(data, PHOTO.shape), PHOTO)
  np.testing.assert_array_equal(
    decode(data, (16, 16, 3), seed=5), decode(png(PHOTO), (16, 16, 3), seed=5)
  )


@pytest.mark.parametrize("shape", [(400, 600), (600, 400), (300, 300)])
def test_evaluation_takes_the_centre_of_the_shrunk_image(shape):
  image = Image.fromarray(photo(*shape))
  decoded = decode(png(image), (56, 56, 3))
  ratio = 64 / min(shape)  # 64 = 56 * 256 / 224
  size = (round(image.width * ratio), round(image.height * ratio))
  shrunk = np.asarray(image.resize(size, Image.BILINEAR))
  top, left = (size[1] - 56) // 2, (size[0] - 56) // 2
  expected = shrunk[top : top + 56, left : left + 56]
  assert difference(decoded, expected) < 1


def test_a_crop_is_the_box_resized():
  image = Image.fromarray(PHOTO)
  for seed in range(20):
    box = random_box(60, 40, seed)
    expected = image.crop(box).resize((24, 24), Image.BILINEAR)
    # Unlike a copy of the box, a box sees its neighbours when it is resized.
    decoded = decode(png(PHOTO), (24, 24, 3), seed)
    assert difference(decoded, np.asarray(expected)) < 2


def test_jpeg_decoded_small_shows_the_same_crop():
  pixels = photo(800, 1200)
  for seed in range(10):
    small = decode(encode(pixels, "JPEG", quality=95), (32, 32, 3), seed)
    full = decode(png(pixels), (32, 32, 3), seed)
    assert difference(small, full) < 3


@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 2**64 - 1))
def test_boxes_lie_in_the_image(width, height, seed):
  left, top, right, bottom = box = random_box(width, height, seed)
  assert 0 <= left < right <= width and 0 <= top < bottom <= height
  assert box == random_box(width, height, seed)


def test_boxes_spread_over_scale_and_ratio():
  boxes = np.array([random_box(400, 400, seed) for seed in range(2000)])
  w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
  area, ratio = w * h / 160_000, w / h
  assert 0.079 < area.min() < 0.1 and 0.9 < area.max() <= 1
  assert 0.74 < ratio.min() < 0.76 and 1.31 < ratio.max() < 1.35
  assert abs(np.log(ratio).mean()) < 0.02


def test_boxes_follow_the_scale_that_is_asked_for():
  areas = []
  for seed in range(500):
    left, top, right, bottom = random_box(400, 400, seed, (0.2, 0.6))
    areas.append((right - left) * (bottom - top) / 160_000)
  assert 0.198 < min(areas) < 0.22 and 0.58 < max(areas) < 0.602
  # A white corner that crops of at most a tenth of the area seldom show.
  pixels = np.zeros((40, 40, 3), np.uint8)
  pixels[:4, :4] = 255
  shown = [
    [decode(png(pixels), (8, 8, 3), seed, scale=scale).max() > 0
     for seed in range(100)]
    for scale in ((0.01, 0.1), (0.9, 1.0))
  ]  # fmt: skip
  assert sum(shown[0]) < 30 and sum(shown[1]) > 60


@pytest.mark.parametrize("seed", [None, 3, 4])
@pytest.mark.parametrize("kind", ["RGB", "RGBA", "L", "turned"])
def test_a_large_image_is_shrunk_in_bands_to_the_same_picture(
  kind, seed, monkeypatch
):
  image = Image.fromarray(photo(1000, 1300))
  if kind == "turned":
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = encode(image, "PNG", exif=exif)
  else:
    image = image.convert(kind)
    if kind == "RGBA":
      image.putalpha(Image.fromarray(photo(1000, 1300, 5)[..., 0]))
    data = png(image)
  shape = (24, 24, 1 if kind == "L" else 3)
  whole = decode(data, shape, seed)
  monkeypatch.setattr(decode_lib, "_LARGE", 1000)
  reduced = []
  real = Image.Image.reduce
  monkeypatch.setattr(
    Image.Image, "reduce", lambda i, n: reduced.append(n) or real(i, n)
  )
  # As JPEG that is read reduced: its last row may be of a part of a square.
  assert difference(decode(data, shape, seed), whole) < 3
  assert reduced and min(reduced) > 1


def test_a_box_that_cannot_fit_falls_back_to_the_centre():
  assert random_box(300, 3, seed=0) == (148, 0, 152, 3)
  assert random_box(3, 300, seed=0) == (0, 148, 3, 152)


BROKEN = {
  "no image": b"not an image",
  "empty": b"",
  "truncated PNG": png(PHOTO)[:300],
  "truncated JPEG": encode(PHOTO, "JPEG")[:300],
  "header only": png(PHOTO)[:33],
  "wrong checksum": png(PHOTO)[:60] + b"????" + png(PHOTO)[64:],
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("seed", [None, 3])
def test_a_broken_image_is_named_in_one_line(data, seed):
  with pytest.raises(DataError) as error:
    decode(data, (8, 8, 3), seed, where="cats/7.png")
  assert str(error.value).startswith("cats/7.png: cannot be decoded: ")
  assert "\n" not in str(error.value) and "BytesIO" not in str(error.value)


def test_the_whole_image_whatever_its_ratio():
  wide = np.zeros((16, 64, 3), np.uint8)
  wide[:, :16] = 255  # A quarter of the width, outside of a central square.
  whole = decode(png(wide), (16, 16, 3), whole=True)
  np.testing.assert_allclose(whole[:, :, 0].mean() / 255, 0.25, atol=0.01)
  assert decode(png(wide), (16, 16, 3))[:, :, 0].max() == 0
  # A crop is a crop; and what has the shape already stays as it is.
  crops = [decode(png(wide), (8, 8, 3), 1, whole=w) for w in (True, False)]
  np.testing.assert_array_equal(*crops)
  np.testing.assert_array_equal(decode(png(wide), wide.shape, whole=True), wide)
