"""Images of one's own: what people have in folders and arrays, and what is said if it does not fit."""

import io
import lzma
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutations
from PIL import Image

from greenai_nb.checks import UsageError
from greenai_nb.data import folder
from greenai_nb.data.datasets import load
from greenai_nb.data.fetch import FOLDER_VARIABLE, DataUnavailableError
from greenai_nb.data.sources import CIFAR10

HEIGHT, WIDTH = 4, 6


def grey(level, height=HEIGHT, width=WIDTH):
    return np.full((height, width), level, np.uint8)


def write(path, pixels, **options):
    """An image file whose pixels are those of the array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def fill(path, count=20, classes=("cat", "dog"), start=0, names=iter):
    """Grey images, each of a level of its own, in a folder for each class; returns the levels."""
    levels = {}
    for number, name in enumerate(classes):
        levels[name] = [*range(start + number * count, start + (number + 1) * count)]
        for level in names(levels[name]):
            write(path / name / f"{level:03}.png", grey(level))
    return levels


def said(path):
    """What is said of a path that cannot be loaded."""
    with pytest.raises((UsageError, DataUnavailableError)) as caught:
        load(f"folder:{path}")
    assert str(caught.value).endswith(".")
    return str(caught.value)


def levels_of(split):
    return split.images[:, 0, 0, 0].tolist()


def splits_of(data):
    return data.train, data.validation, data.test


@pytest.fixture
def images(tmp_path):
    fill(tmp_path / "pets")
    return tmp_path / "pets"


def test_forty_images_are_enough_and_all_of_them_are_used(images):
    data = load(f"folder:{images}")
    assert (data.name, data.source, data.licence) == ("folder:pets", str(images), "the reader's own")
    assert data.class_names == ("cat", "dog") and data.shape == (1, HEIGHT, WIDTH)
    assert data.train.images.dtype == torch.uint8
    assert sorted(level for split in splits_of(data) for level in levels_of(split)) == [*range(40)]
    for split in splits_of(data):
        assert split.labels.tolist() == [level // 20 for level in levels_of(split)]
    assert [split.labels.bincount().tolist() for split in splits_of(data)] == [[14, 14], [2, 2], [4, 4]]


def test_images_come_in_an_order_that_is_random_and_always_the_same(images, tmp_path):
    data = load(f"folder:{images}")
    assert (
        levels_of(data.train) != sorted(levels_of(data.train))
        and len(data.train.labels[:14].unique()) == 2
    )
    fill(tmp_path / "again", classes=("cat", "dog"), names=reversed)
    assert load(f"folder:{tmp_path / 'again'}").sha256 == data.sha256
    first = data.first(10)
    assert len(first.train) == 10 and len(first.train.labels.unique()) == 2


def test_a_path_may_be_relative_or_at_home(images, monkeypatch):
    monkeypatch.chdir(images.parent)
    monkeypatch.setenv("HOME", str(images.parent))
    monkeypatch.setenv("USERPROFILE", str(images.parent))
    assert load("folder:pets").sha256 == load("folder:~/pets").sha256 == load(f"folder:{images}").sha256
    monkeypatch.chdir(images)
    assert load("folder:.").name == "folder:pets"


@pytest.mark.parametrize("validation", ["", "validation", "val"])
def test_train_and_test_folders_are_kept_apart(tmp_path, validation):
    fill(tmp_path / "train", 24)
    fill(tmp_path / "test", 5, start=100)
    if validation:
        fill(tmp_path / validation, 3, start=200)
    data = load(f"folder:{tmp_path}")
    assert sorted(levels_of(data.test)) == [*range(100, 110)]
    if validation:
        assert sorted(levels_of(data.train)) == [*range(48)]
        assert sorted(levels_of(data.validation)) == [*range(200, 206)]
    else:
        assert sorted(levels_of(data.train) + levels_of(data.validation)) == [*range(48)]
        assert len(data.validation) == 4


def test_what_systems_leave_behind_is_no_image_and_no_class(images):
    before = load(f"folder:{images}").sha256
    for name in (
        ".DS_Store",
        "cat/.DS_Store",
        "cat/Thumbs.db",
        "cat/._000.png",
        "README.txt",
        "dog/notes.txt",
    ):
        (images / name).write_bytes(b"\0\0\0\1Bud1")
    for name in ("__MACOSX/cat", ".ipynb_checkpoints"):
        (images / name).mkdir(parents=True)
    (images / "cat" / ".ipynb_checkpoints").mkdir()
    assert load(f"folder:{images}").sha256 == before


@pytest.mark.parametrize("kind", ["png", "jpg", "JPEG", "bmp", "gif", "tif", "webp", "ppm"])
def test_formats_of_pillow_are_read(images, kind):
    for path in [*images.rglob("*.png")]:
        pixels = np.asarray(Image.open(path))
        path.unlink()
        write(path.with_suffix(f".{kind}"), pixels)
    data = load(f"folder:{images}")
    assert data.shape[1:] == (HEIGHT, WIDTH)
    levels = sorted(level for split in splits_of(data) for level in levels_of(split))
    assert np.abs(np.array(levels) - np.arange(40)).max() <= 4


def test_one_image_in_colour_gives_all_images_three_channels(images):
    palette = Image.fromarray(grey(0)).convert("P")
    palette.putpalette([255, 128, 0])
    palette.save(images / "cat" / "000.png")
    data = load(f"folder:{images}")
    assert data.shape == (3, HEIGHT, WIDTH)
    every = torch.cat([split.images for split in splits_of(data)])[:, :, 0, 0].tolist()
    assert sorted(every) == [*([level] * 3 for level in range(1, 40)), [255, 128, 0]]


def found(path, pixels, **options):
    """How the image is read that takes the place of the first of forty."""
    write(path / "cat" / "000.png", grey(0)).unlink()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path / "cat" / options.pop("name", "000.png"), **options)
    data = load(f"folder:{path}")
    every = torch.cat([split.images for split in splits_of(data)]).flatten(1)
    (image,) = (each for each in every if not {*each.tolist()} <= {*range(1, 40)})
    return image.reshape(data.shape)


@pytest.mark.parametrize("name", ["000.png", "000.tif", "000.pgm"])
def test_sixteen_bits_are_scaled_to_eight(images, name):
    pixels = np.full((HEIGHT, WIDTH), 65535, np.uint16)
    pixels[0] = 32768
    assert found(images, pixels, name=name)[0, :2, 0].tolist() == [128, 255]


def test_floats_in_a_file_are_scaled(images):
    pixels = np.full((HEIGHT, WIDTH), 1, np.float32)
    pixels[0] = 0.5
    assert found(images, pixels, name="000.tif")[0, :2, 0].tolist() == [128, 255]
    write(images / "cat" / "000.tif", pixels + 1)
    assert "000.tif holds float32 from 1.5 to 2. Expected" in said(images)


@pytest.mark.parametrize("name", ["000.png", "000.jpg", "000.tif", "000.webp"])
def test_a_photograph_is_turned_as_its_camera_was_held(images, name):
    pixels = np.zeros((WIDTH, HEIGHT), np.uint8)
    pixels[:, : HEIGHT // 2] = 240  # the left half is bright
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise: the left becomes the top
    image = found(images, pixels, name=name, exif=exif)
    assert image.shape == (1 if name[-4:] != "webp" else 3, HEIGHT, WIDTH)
    assert image[0, 0].min() > 200 and image[0, -1].max() < 50


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_is_white(images, mode):
    image = Image.new(mode, (WIDTH, HEIGHT))
    image.putpixel((0, 0), (100,) * (len(mode) - 1) + (255,))
    pixels = found(images, image)
    assert pixels.shape[0] == (1 if mode == "LA" else 3)
    assert pixels[:, 0, 0].unique().tolist() == [100] and pixels[:, 1:].unique().tolist() == [255]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda path: (path / "eel").mkdir(),
            r"eel holds no images. Put some of that class there, or remove",
        ),
        (
            lambda path: (path / "eel" / "raw").mkdir(parents=True),
            r"eel holds a folder, raw. Put the images",
        ),
        (
            lambda path: (path / "cat" / "x.jpg").write_text("no image"),
            r"x.jpg cannot be read as an image",
        ),
        (
            lambda path: (path / "cat" / "x.heic").write_text("no image"),
            r"x.heic cannot be read as an image",
        ),
        (
            lambda path: write(path / "dog" / "x.png", grey(0, 5)),
            r"000.png has 6 x 4 .*x.png 6 x 5. Bring",
        ),
        (
            lambda path: write(path / "eel" / "x.png", grey(0)),
            r"1 images of 'eel' for train and validation",
        ),
    ],
)
def test_an_image_that_does_not_fit_is_named_with_what_to_do(images, spoil, sentence):
    spoil(images)
    with pytest.raises((UsageError, DataUnavailableError), match=sentence):
        load(f"folder:{images}")


@pytest.mark.parametrize(
    ("classes", "count", "sentence"),
    [
        (
            (),
            0,
            "holds 0 images in 0 classes, at least 10 in 2 are needed. Put the images of each class",
        ),
        (("cat",), 20, "holds 20 images in 1 classes, at least 10 in 2"),
        (("cat", "dog"), 4, "holds 8 images in 2 classes, at least 10 in 2"),
    ],
)
def test_too_few_images_are_counted(tmp_path, classes, count, sentence):
    fill(tmp_path, count, classes)
    assert sentence in said(tmp_path)


def test_images_beside_each_other_have_no_classes(tmp_path):
    write(tmp_path / "x.png", grey(0))
    assert "PATH/train/CLASS" in said(tmp_path)


def test_train_and_test_need_the_same_classes(tmp_path):
    fill(tmp_path / "train", 20, ("cat", "dog"))
    fill(tmp_path / "test", 5, ("cat", "eel"))
    assert "holds 0 images of 'eel' for train, at least 1 needed" in said(tmp_path)
    (tmp_path / "test" / "eel").rename(tmp_path / "test" / "dog")
    load(f"folder:{tmp_path}")
    fill(tmp_path / "validation", 5, ("cat",))
    assert "holds 0 images of 'dog' for validation" in said(tmp_path)


def test_a_path_of_another_kind_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said("absent") == f"absent does not exist. A relative path starts in {tmp_path}."
    (tmp_path / "notes.txt").write_text("")
    assert "notes.txt is neither a folder nor a .npz file" in said("notes.txt")
    assert "followed by no path" in said("")
    assert "Write the path without ~" in said("~no-such-user/pets")
    with pytest.raises(UsageError, match=r"'pets'.* folder:PATH"):
        load("pets")


def test_a_folder_that_may_not_be_read_is_said(images, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(images), "iterdir", refused)
    assert "pets cannot be read (Permission denied)." in said(images)


def test_sizes_and_memory_are_judged_by_headers_before_anything_is_decoded(images, monkeypatch):
    for path in images.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:-24])
    write(images / "dog" / "x.png", grey(0, 5))
    assert "6 x 4 pixels" in said(images)
    (images / "dog" / "x.png").unlink()
    monkeypatch.setattr(
        folder.psutil, "virtual_memory", lambda: SimpleNamespace(available=1e3, total=1e9)
    )
    assert "pets holds 0 MB of pixels, and takes 3 times that to be read, 0 MB are free." in said(images)
    monkeypatch.undo()
    assert "000.png cannot be read as an image" in said(images)


def test_arrays_too_large_for_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    np.savez_compressed(
        tmp_path / "a.npz", images=np.zeros((20, 1000, 1000), np.uint8), labels=[0, 1] * 10
    )
    monkeypatch.setattr(
        folder.psutil, "virtual_memory", lambda: SimpleNamespace(available=5e7, total=1e9)
    )
    assert "a.npz holds 20 MB of pixels, and takes 3 times that to be read, 50 MB are free." in said(
        tmp_path / "a.npz"
    )


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_an_image_damaged_anywhere_is_a_sentence_or_no_damage(images):
    kinds = {"png": {}, "jpg": {}, "gif": {}, "bmp": {}, "tif": {"compression": "tiff_lzw"}, "webp": {}}

    @settings(max_examples=200)
    @given(st.sampled_from([*kinds]), st.data())
    def damage(kind, data):
        path = write(images / "cat" / f"x.{kind}", grey(77), **kinds[kind])
        path.write_bytes(data.draw(mutations(path.read_bytes())))
        try:
            load(f"folder:{images}")
        except (UsageError, DataUnavailableError) as error:
            assert f"x.{kind}" in str(error)
        finally:
            path.unlink()

    damage()


NAMES = [("images", "labels"), ("train_images", "train_labels"), ("x_train", "y_train")]
TEST_NAMES = [("test_images", "test_labels"), ("x_test", "y_test")]


@settings(max_examples=60)
@given(
    channels=st.sampled_from([None, 1, 3]),
    channels_first=st.booleans(),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]),
    names=st.sampled_from(NAMES),
    test_names=st.sampled_from([None, *TEST_NAMES]),
    labels=st.sampled_from([[0, 1, 2], [7, -3, 40], [2, 10, 1]]),
    column=st.booleans(),
)
def test_arrays_of_every_layout_are_read(
    tmp_path_factory, channels, channels_first, dtype, names, test_names, labels, column
):
    path = tmp_path_factory.mktemp("arrays") / "a.npz"
    random = np.random.default_rng(1)

    def arrays(count, names):
        pixels = random.integers(0, 256, (count, channels or 1, HEIGHT, WIDTH), dtype=np.uint8)
        marks = np.resize(labels, count)
        white = {np.uint8: 1, np.uint16: 257}.get(dtype, 1 / 255)
        given_as = (pixels.astype(float) * white).astype(dtype)
        if channels is None:
            given_as = given_as[:, 0]
        elif not channels_first:
            given_as = given_as.transpose(0, 2, 3, 1)
        known = {(image.tobytes(), mark) for image, mark in zip(pixels, marks.tolist(), strict=True)}
        return {names[0]: given_as, names[1]: marks[:, None] if column else marks}, known

    held, known = arrays(30, names)
    held_for_test, known_for_test = arrays(9, test_names) if test_names else ({}, set())
    np.savez(path, **held, **held_for_test)
    data = load(f"folder:{path}")
    assert data.class_names == tuple(map(str, sorted(labels)))

    def seen(*splits):
        pairs = (
            pair for split in splits for pair in zip(split.images.numpy(), split.labels, strict=True)
        )
        return {(image.tobytes(), sorted(labels)[label]) for image, label in pairs}

    assert seen(*splits_of(data)) == known | known_for_test
    if test_names:
        assert seen(data.test) == known_for_test


def npz(path, **arrays):
    shown = {"images": np.zeros((12, HEIGHT, WIDTH), np.uint8), "labels": np.arange(12) % 2}
    np.savez(
        path / "a.npz", **{key: value for key, value in (shown | arrays).items() if value is not None}
    )
    return path / "a.npz"


def test_class_names_may_be_given(tmp_path):
    data = load(f"folder:{npz(tmp_path, class_names=np.array(['cat', 'dog']))}")
    assert data.name == "folder:a.npz" and data.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"images": np.full((12, 4, 6), 1.5)},
            r"images\[0\] in .*a.npz holds float64 from 1.5 to 1.5. Expected",
        ),
        ({"images": np.full((12, 4, 6), np.nan)}, "holds float64 from nan to nan. Expected"),
        ({"images": np.zeros((12, 4, 6), int)}, "holds int64. Expected are uint8, uint16, or floats"),
        ({"images": np.zeros((12, 4, 6), bool)}, "holds bool. Expected are uint8"),
        ({"images": np.full((12, 4, 6), "a")}, "holds <U1. Expected are uint8"),
        (
            {"images": np.zeros((12, 24), np.uint8)},
            r"images in .* has the shape \(12, 24\). Expected are",
        ),
        ({"images": np.zeros((12, 4, 6, 4), np.uint8)}, r"has the shape \(12, 4, 6, 4\). Expected are"),
        ({"images": np.zeros((12, 0, 6), np.uint8)}, r"has the shape \(12, 0, 6\). Expected are"),
        ({"images": np.uint8(3)}, r"has the shape \(\). Expected are"),
        ({"labels": np.arange(11) % 2}, r"holds int64 of shape \(11,\). Expected are 12 whole numbers"),
        (
            {"labels": np.arange(12) / 2},
            r"holds float64 of shape \(12,\). Expected are 12 whole numbers",
        ),
        ({"labels": np.zeros(12, int)}, "12 images in 1 classes, at least 10 in 2"),
        ({"labels": None}, "a.npz holds images. Expected are images and labels, or train_images"),
        ({"images": None, "labels": None}, "a.npz holds nothing. Expected are images and labels"),
        ({"x_test": np.zeros((3, 4, 6), np.uint8)}, "holds images, labels, x_test. Expected are"),
        ({"class_names": np.array(["cat"])}, "has 1 class_names for 2 different labels"),
        ({"class_names": np.array(["cat", None])}, "cannot be read as a .npz file. .* without objects"),
        (
            {"x_test": np.zeros((3, 5, 6), np.uint8), "y_test": np.array([0, 1, 0])},
            r"images\[0\] in .* has 6 x 4 pixels, x_test\[0\] in .* 6 x 5",
        ),
        (
            {"x_val": np.zeros((3, 4, 6), np.uint8), "y_val": np.array([0, 1, 0])},
            "is divided into train and validation. Give train and test",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_named_with_what_was_expected(tmp_path, arrays, sentence):
    with pytest.raises((UsageError, DataUnavailableError), match=sentence):
        load(f"folder:{npz(tmp_path, **arrays)}")


def test_an_array_file_damaged_anywhere_is_a_sentence_or_no_damage(tmp_path):
    path = npz(tmp_path)
    before = path.read_bytes()
    right = load(f"folder:{path}").sha256

    @settings(max_examples=300)
    @given(mutations(before))
    def damage(content):
        path.write_bytes(content)
        try:
            assert load(f"folder:{path}").sha256 == right
        except (UsageError, DataUnavailableError) as error:
            assert "a.npz" in str(error)

    damage()
    path.write_text("no archive")
    assert "cannot be read as a .npz file" in said(path)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A folder as ``GREENAI_DATA`` names it, with a small copy of CIFAR-10 in JPEG."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    for part, count, start in (("train", 12, 0), ("test", 2, 120)):
        for number, name in enumerate(CIFAR10.class_names):
            for each in range(count):
                pixels = np.full((32, 32, 3), start + number * count + each, np.uint8)
                write(tmp_path / "cifar10-jpeg" / part / name / f"{each:04}.jpg", pixels)
    return tmp_path


def pack(copy, place):
    """Put the copy into an archive instead, its files in another order."""
    files = sorted((copy / "cifar10-jpeg").rglob("*"), reverse=True)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for file in files:
            tar.add(file, file.relative_to(copy / "cifar10-jpeg"), recursive=False)
    for file in files:
        file.rmdir() if file.is_dir() else file.unlink()
    (copy / place).write_bytes(lzma.compress(content.getvalue()))
    return copy / place


@pytest.mark.parametrize("place", ["cifar10-jpeg.tar.xz", "cifar10-jpeg/cifar10-jpeg.tar.xz"])
def test_the_jpeg_copy_of_cifar10_is_the_same_packed_and_unpacked(copy, place):
    data = load("cifar10-jpeg")
    assert data.name == "cifar10-jpeg" and data.source.startswith("a JPEG copy of CIFAR-10")
    assert data.class_names == CIFAR10.class_names and data.shape == (3, 32, 32)
    assert [len(split) for split in splits_of(data)] == [110, 10, 20]
    assert data.test.labels.tolist() == [(level - 120) // 2 for level in levels_of(data.test)]
    pack(copy, place)
    assert load("cifar10-jpeg").sha256 == data.sha256


def test_a_jpeg_copy_that_is_absent_damaged_or_another_set_is_said(copy, monkeypatch):
    archive = pack(copy, "cifar10-jpeg.tar.xz")
    archive.write_bytes(archive.read_bytes()[:-3000])
    with pytest.raises(DataUnavailableError, match=r"tar.xz is not a whole tar archive. Replace it"):
        load("cifar10-jpeg")
    archive.write_bytes(b"no archive")
    with pytest.raises(DataUnavailableError, match=r"tar.xz is not a whole tar archive. Replace it"):
        load("cifar10-jpeg")
    archive.unlink()
    with pytest.raises(
        DataUnavailableError, match=r"is never downloaded: put into .* cifar10-jpeg.tar.xz, or"
    ):
        load("cifar10-jpeg")
    fill(copy / "cifar10-jpeg" / "train", 12)
    with pytest.raises(DataUnavailableError, match="train holds a folder, cat"):
        load("cifar10-jpeg")
    fill(copy / "cifar10-jpeg" / "test", 12)
    with pytest.raises(DataUnavailableError, match="does not have the classes of CIFAR-10"):
        load("cifar10-jpeg")
    monkeypatch.delenv(FOLDER_VARIABLE)
    with pytest.raises(
        DataUnavailableError, match="is never downloaded: set GREENAI_DATA to a folder that"
    ):
        load("cifar10-jpeg")
