"""Read images of one's own: a folder of image files for each class, or arrays in a ``.npz`` file."""

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import psutil
from numpy import ndarray as Array
from PIL import ExifTags, Image, ImageOps

from greenai_nb.checks import UsageError
from greenai_nb.data.fetch import DataUnavailableError
from greenai_nb.machine import MB, memory_limit_mb

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
SPLITS = {"train": TRAIN, "val": VALIDATION, "validation": VALIDATION, "test": TEST}
KEYS = {("images", "labels"): TRAIN}
KEYS |= {(f"{name}_images", f"{name}_labels"): split for name, split in SPLITS.items()}
KEYS |= {(f"x_{name}", f"y_{name}"): split for name, split in SPLITS.items()}
VALIDATION_STRIDE, TEST_STRIDE = 12, 6
SEED, FEWEST, FEWEST_OF_A_CLASS = 0, 10, 3
COPIES = 3  # of the images, while they are read, moved to torch and hashed
DEEP = {"I", "I;16", "I;16B", "I;16L", "I;16N", "F"}  # modes of grey with more than 8 bits
GREY = {"1", "L", "LA"} | DEEP
TURNED = {5, 6, 7, 8}  # orientations in EXIF that swap width and height
WHITE = {"uint16": 65535, "float16": 1, "float32": 1, "float64": 1}
FOREIGN = {".heic", ".heif", ".svg"}  # images, though Pillow does not read them
LAYOUT = "Put the images of each class into PATH/CLASS, or into PATH/train/CLASS and PATH/test/CLASS."
ARRAYS = "Expected are images and labels, or train_images, train_labels, test_images and test_labels."
SHAPES = "Expected are (images, height, width), and 1 or 3 channels before or after height and width."

Parts = list[tuple[Array, Array]]  # images and labels for training, validation and test


class _Picture(NamedTuple):
    """An image: the split it is meant for, its class, what to call it, and its file or its pixels."""

    split: int
    label: str | int
    name: str
    content: Path | bytes | Array


def read(path: Path) -> tuple[Parts, tuple[str, ...]]:
    """Images and labels for training, validation and test, and the names of the classes.

    ``datasets.load`` says what a path may hold. A transparent image is laid on white, like a drawing on
    paper. Raises ``UsageError`` for images that do not fit together, and ``DataUnavailableError`` for a
    file that cannot be read.
    """
    try:
        if path.is_dir():
            return _decoded(path, _in_folder(path))
        if path.suffix.lower() == ".npz" and path.is_file():
            arrays = _arrays(path)
            return _decoded(path, _in_arrays(path, arrays), arrays.get("class_names"))
        if ".tar" in path.suffixes and path.is_file():
            return _decoded(path, _in_archive(path))
    except OSError as error:
        said = f"{error.filename or path} cannot be read ({error.strerror})"
        raise DataUnavailableError(f"{said}. Look at its permissions.") from error
    if path.exists():
        raise UsageError(f"{path} is neither a folder nor a .npz file. Unpack an archive first.")
    raise UsageError(f"{path} does not exist. A relative path starts in {Path.cwd()}.")


def _decoded(
    where: Path, pictures: Iterable[_Picture], class_names: Array | None = None
) -> tuple[Parts, tuple[str, ...]]:
    """What ``read`` returns, from pictures in any order."""
    pictures = sorted(pictures, key=lambda picture: picture[:3])
    marks, labels = np.unique([picture.label for picture in pictures], return_inverse=True)
    names = tuple(map(str, marks if class_names is None else class_names.ravel()))
    if len(names) != len(marks):
        raise UsageError(f"{where} has {len(names)} class_names for {len(marks)} different labels.")
    rows = _rows(where, np.array([picture.split for picture in pictures], int), labels, names)
    shape = _shape(pictures)
    _refuse_too_large(where, len(pictures) * int(np.prod(shape)))
    order, ends = np.concatenate(rows), np.cumsum([len(part) for part in rows])[:-1]
    pixels = np.empty((len(order), *shape), np.uint8)
    for place, picture in zip(np.argsort(order), pictures, strict=True):
        pixels[place] = _pixels(picture, shape)
    return list(zip(np.split(pixels, ends), np.split(labels[order], ends), strict=True)), names


def _in_archive(path: Path) -> Iterator[_Picture]:
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                split, label, file = ("", "", *PurePosixPath(member.name).parts)[-3:]
                if split in SPLITS and _is_image(file) and (stream := tar.extractfile(member)):
                    yield _Picture(SPLITS[split], label, f"{path}/{member.name}", stream.read())
    except Exception as error:  # each compression has errors of its own for a broken file
        raise DataUnavailableError(f"{path} is not a whole tar archive. Replace it.") from error


def _in_folder(path: Path) -> Iterator[_Picture]:
    parts = {each.name: each for each in _folders(path) if each.name in SPLITS}
    for part, folder in (parts if {"train", "test"} <= {*parts} else {"train": path}).items():
        for each in _folders(folder):
            if inner := _folders(each):
                raise UsageError(f"{each} holds a folder, {inner[0].name}. {LAYOUT}")
            files = [file for file in each.iterdir() if _is_image(file.name)]
            if not files:
                raise UsageError(f"{each} holds no images. Put some of that class there, or remove it.")
            yield from (_Picture(SPLITS[part], each.name, str(file), file) for file in files)


def _folders(path: Path) -> list[Path]:
    hidden = (".", "__MACOSX")
    return sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith(hidden))


def _is_image(name: str) -> bool:
    suffix = PurePosixPath(name).suffix.lower()
    return name[0] != "." and (suffix in Image.registered_extensions() or suffix in FOREIGN)


def _arrays(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            _refuse_too_large(path, sum(entry.file_size for entry in archive.zip.infolist()))
            return {key: np.asarray(archive[key]) for key in archive.files}
    except UsageError:
        raise
    except Exception as error:  # numpy and zipfile raise errors of many kinds for a broken file
        mend = "Save it again by numpy.savez, without objects."
        raise DataUnavailableError(f"{path} cannot be read as a .npz file. {mend}") from error


def _in_arrays(path: Path, arrays: Mapping[str, Array]) -> Iterator[_Picture]:
    pairs = [pair for pair in KEYS if not {*arrays}.isdisjoint(pair)]
    if not pairs or any(key not in arrays for pair in pairs for key in pair):
        raise UsageError(f"{path} holds {', '.join(arrays) or 'nothing'}. {ARRAYS}")
    for pair in pairs:
        images, labels = (arrays[key] for key in pair)
        match images.shape if images.size else ():
            case (_, _, _):
                planes = images[:, None]
            case (_, _, _, 1 | 3):
                planes = images.transpose(0, 3, 1, 2)
            case (_, 1 | 3, _, _):
                planes = images
            case _:
                raise UsageError(f"{pair[0]} in {path} has the shape {images.shape}. {SHAPES}")
        if labels.dtype.kind not in "iu" or labels.size != len(images):
            held = f"{pair[1]} in {path} holds {labels.dtype} of shape {labels.shape}"
            raise UsageError(f"{held}. Expected are {len(images)} whole numbers, one for each image.")
        for row, (image, label) in enumerate(zip(planes, labels.ravel().tolist(), strict=True)):
            yield _Picture(KEYS[pair], label, f"{pair[0]}[{row}] in {path}", image)


def _rows(where: Path, splits: Array, labels: Array, names: tuple[str, ...]) -> list[Array]:
    """Which images are for training, validation and test, in a fixed random order.

    Without images for test, every sixth of a class is held out for it, and every twelfth for validation;
    with them, every twelfth for training is, unless there are images for validation, too.
    """
    if len(labels) < FEWEST or len(names) < 2:
        held = f"{len(labels)} images in {len(names)} classes"
        mend = "Add some." if len(labels) else LAYOUT
        raise UsageError(f"{where} holds {held}, at least {FEWEST} in 2 are needed. {mend}")
    given = {*splits.tolist()}
    if given not in ({TRAIN}, {TRAIN, TEST}, {TRAIN, VALIDATION, TEST}):
        held = " and ".join(PARTS[split] for split in sorted(given))
        raise UsageError(f"{where} is divided into {held}. Give train and test, or do not divide it.")
    fewest, use = (FEWEST_OF_A_CLASS, " and ".join(PARTS)) if given == {TRAIN} else (1, "")
    for split in sorted(given):
        counts = np.bincount(labels[splits == split], minlength=len(names))
        if counts.min() < fewest:
            held = f"{counts.min()} images of {names[counts.argmin()]!r} for {use or PARTS[split]}"
            raise UsageError(f"{where} holds {held}, at least {fewest} needed. Add some.")
    order = np.random.default_rng(SEED).permutation(len(labels))
    splits, labels = splits[order], labels[order]
    if given == {TRAIN}:
        for label in range(len(names)):
            members = np.flatnonzero(labels == label)
            splits[members[::VALIDATION_STRIDE]] = VALIDATION
            splits[members[1::TEST_STRIDE]] = TEST
    elif VALIDATION not in given:
        splits[np.flatnonzero(splits == TRAIN)[::VALIDATION_STRIDE]] = VALIDATION
    return [order[splits == split] for split in (TRAIN, VALIDATION, TEST)]


def _refuse_too_large(where: Path, size: int) -> None:
    free = min(psutil.virtual_memory().available, memory_limit_mb() * MB)
    if COPIES * size > free:
        needed = f"{size / MB:,.0f} MB of pixels, and takes {COPIES} times that to be read"
        raise UsageError(f"{where} holds {needed}, {free / MB:,.0f} MB are free. Shrink or drop images.")


@contextmanager
def _opened(name: str, file: Path | bytes) -> Iterator[Image.Image]:
    """The image in a file, to be decoded. ``DataUnavailableError`` if anything about it fails."""
    try:  # Pillow 13 garbles an uncompressed TIFF that is turned, if it opens the path itself
        with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as stream:
            yield Image.open(stream)
    except Exception as error:  # Pillow raises errors of many kinds for a broken file
        mend = "Save it again as PNG or JPEG, or remove it."
        raise DataUnavailableError(f"{name} cannot be read as an image. {mend}") from error


def _header(picture: _Picture) -> tuple[int, ...]:
    """Channels, height and width of an image that is not decoded yet."""
    if isinstance(picture.content, Array):
        return picture.content.shape
    with _opened(picture.name, picture.content) as image:
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation)  # PNG's own decodes
        is_turned = orientation in TURNED and image.format != "TIFF"  # which has turned its size
        width, height = image.size[::-1] if is_turned else image.size
        return 1 if image.mode in GREY else 3, height, width


def _shape(pictures: Sequence[_Picture]) -> tuple[int, ...]:
    """Channels, height and width of all images. ``UsageError`` where sizes differ."""
    channels, *size = _header(first := pictures[0])
    for picture in pictures:
        own_channels, *own = _header(picture)
        channels = max(channels, own_channels)
        if own != size:
            held = f"{first.name} has {size[1]} x {size[0]} pixels, {picture.name} {own[1]} x {own[0]}"
            raise UsageError(f"{held}. Bring all to one size, for instance by PIL.ImageOps.fit.")
    return channels, *size


def _upright(name: str, file: Path | bytes, shape: tuple[int, ...]) -> Array:
    with _opened(name, file) as image:
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode not in DEEP:
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("L" if shape[0] == 1 else "RGB")
        values = np.asarray(image)
        if image.mode == "I" and 0 <= values.min() <= values.max() <= WHITE["uint16"]:
            values = values.astype(np.uint16)
        if values.shape[:2] != shape[1:]:
            raise ValueError("its header gives another size")
    return values.reshape(*shape[1:], -1).transpose(2, 0, 1)


def _pixels(picture: _Picture, shape: tuple[int, ...]) -> Array:
    """An image upright, as 8 bits, channels first: from 8 or 16 bits, or floats in [0, 1]."""
    name, content = picture[2:]
    values = content if isinstance(content, Array) else _upright(name, content, shape)
    if values.dtype == np.uint8:
        return values
    white = WHITE.get(values.dtype.name)
    if not white or not 0 <= values.min() <= values.max() <= white:
        limits = f" from {values.min():g} to {values.max():g}" if white else ""
        expected = "Expected are uint8, uint16, or floats in [0, 1]."
        raise UsageError(f"{name} holds {values.dtype}{limits}. {expected}")
    return np.rint(values * (255 / white)).astype(np.uint8)
