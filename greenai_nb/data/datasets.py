"""Load a data set by name: ``load("mnist-10k")`` needs no network and is the default."""

import hashlib
import tarfile
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from greenai_nb.checks import UsageError, nearest, whole
from greenai_nb.data import idx
from greenai_nb.data.fetch import (
    NO_NETWORK,
    DataUnavailableError,
    content,
    fetch,
    own_folder,
    where_to_put,
)
from greenai_nb.data.folder import VALIDATION_STRIDE, read
from greenai_nb.data.sources import CIFAR10, FASHION_MNIST, MNIST, Source
from greenai_nb.files import read_as

CIFAR_SHAPE = (3, 32, 32)
DIGITS_WHITE = 16
OWN = "folder:"
JPEG_COPY = "a JPEG copy of CIFAR-10, whose bytes are not the official ones"
RESTORE = "Restore it from the repository."


@dataclass(frozen=True)
class Split:
    """Images as they were published, or features of images as floats, with their labels."""

    images: UInt8[Tensor, "count channels height width"] | Float32[Tensor, "count channels height width"]
    labels: Int64[Tensor, " count"]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Split":
        """The same on a device."""
        return Split(self.images.to(device), self.labels.to(device))

    def scaled(self) -> Float[Tensor, "count channels height width"]:
        """Pixels as float32 in [0, 1]; features as they are."""
        if self.images.is_floating_point():
            return self.images
        return self.images.to(torch.float32).div_(255)

    def flat(self) -> Float[Tensor, "count pixels"]:
        """The scaled images, one row per image."""
        return self.scaled().flatten(1)


Splits = tuple[Split, Split, Split]


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test images that share no image, and where they come from.

    ``sha256`` is over the images and labels of the three splits as loaded.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    source: str
    licence: str
    sha256: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def pixels(self) -> int:
        """Numbers in an image: channels times height times width."""
        return self.train.images[0].numel()

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def first(self, count: int) -> "Dataset":
        """The same data with its first ``count`` training images. ``ValueError`` if there are fewer."""
        whole(count=count)
        if count > len(self.train):
            raise UsageError(f"{self.name} has {len(self.train):,} training images, asked for {count:,}")
        train = Split(self.train.images[:count], self.train.labels[:count])
        sha256 = hashlib.sha256(f"{self.sha256} first {count}".encode()).hexdigest()
        return replace(self, name=f"{self.name}, first {count:,}", train=train, sha256=sha256)


def load(name: str = "mnist-10k") -> Dataset:
    """Load a data set by its name, or images of one's own as ``folder:PATH``.

    ``mnist-10k`` and ``digits`` need no download. ``mnist``, ``fashion-mnist`` and ``cifar10`` are
    downloaded on the first call, see ``greenai_nb.data.fetch``. ``cifar10-jpeg`` never is: the
    folder that ``GREENAI_DATA`` names must hold ``cifar10-jpeg/`` or ``cifar10-jpeg.tar.xz``. Settings
    are chosen on ``validation``; ``test`` is for reporting.

    ``PATH`` has images of one size, which are shuffled in a fixed way. It is one of

    * a folder with a folder of images for each class, of any format that Pillow reads. A sixth of each
      class is held out for test, and a twelfth for validation;
    * a folder or a tar archive with ``train/`` and ``test/`` of that kind, and perhaps ``validation/``;
      without that, every twelfth training image is held out;
    * a ``.npz`` file with the arrays ``images`` and ``labels``, or ``train_images``, ``train_labels``,
      ``test_images`` and ``test_labels``, or ``x_train``, ``y_train``, ``x_test`` and ``y_test``, and
      perhaps ``class_names``. Images are (count, height, width), with 1 or 3 channels before or after
      height and width, as uint8, uint16, or floats in [0, 1]; labels are whole numbers.

    Images get one channel if all are grey, else three. Raises ``UsageError``, a ``ValueError``, for an
    unknown name or images that do not fit together, and ``DataUnavailableError`` for files that are
    missing or damaged.
    """
    if name.startswith(OWN):
        return _own_images(name.removeprefix(OWN))
    if name not in LOADERS:
        raise UsageError(f"no data set {name!r}. {nearest(name, LOADERS)} Your own images: {OWN}PATH.")
    return LOADERS[name]()


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    images = images[:, None] if images.ndim == 3 else images
    return Split(torch.tensor(images), torch.tensor(labels, dtype=torch.int64))


def _dataset(splits: Splits, source: Source, origin: str) -> Dataset:
    """The splits with the names and terms of a source, and the ``origin`` of the files."""
    digest = hashlib.sha256()
    for split in splits:
        digest.update(split.images.numpy().tobytes())
        digest.update(split.labels.numpy().tobytes())
    sha256 = digest.hexdigest()
    return Dataset(source.name, *splits, source.class_names, origin, source.licence, sha256)


def _hold_out(images: np.ndarray, labels: np.ndarray) -> tuple[Split, Split]:
    """Hold out every twelfth training image for validation."""
    held = np.arange(len(labels)) % VALIDATION_STRIDE == 0
    return _split(images[~held], labels[~held]), _split(images[held], labels[held])


class Provenance(msgspec.Struct):
    """Where packaged images come from, and the checksum of each file's content."""

    source: str
    sha256: dict[str, str]


def _mnist_10k() -> Dataset:
    folder = Path(str(files("greenai_nb.data") / "mnist_10k"))

    def array(file: str) -> np.ndarray:
        found = content(folder / file)
        if hashlib.sha256(found).hexdigest() != provenance.sha256.get(file):
            raise DataUnavailableError(f"{folder / file} is damaged.")
        return idx.parse(found)

    try:
        provenance = read_as(folder / "provenance.json", Provenance)
        train, validation, test = (
            _split(array(f"{part}-images.gz"), array(f"{part}-labels.gz"))
            for part in ("train", "validation", "test")
        )
    except (UsageError, DataUnavailableError) as error:
        raise DataUnavailableError(f"{error} {RESTORE}") from error
    source = replace(MNIST, name="mnist-10k")
    return _dataset((train, validation, test), source, provenance.source)


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / DIGITS_WHITE)).astype(np.uint8)
    fold = np.arange(len(images)) % 5
    parts = fold > 1, fold == 1, fold == 0
    train, validation, test = (_split(images[rows], bunch.target[rows]) for rows in parts)
    source = Source("digits", (), (), tuple("0123456789"), "CC BY 4.0")
    origin = "scikit-learn, from Alpaydin and Kaynak, UCI Machine Learning Repository"
    return _dataset((train, validation, test), source, origin)


def _mnist_like(source: Source) -> Dataset:
    arrays = [idx.parse(content(path)) for path in fetch(source)]
    train, validation = _hold_out(arrays[0], arrays[1])
    return _dataset((train, validation, _split(arrays[2], arrays[3])), source, source.mirrors[0])


def _cifar10() -> Dataset:
    (archive,) = fetch(CIFAR10)
    training = [_cifar_batch(archive, f"data_batch_{number}.bin") for number in range(1, 6)]
    images, labels = (np.concatenate(parts) for parts in zip(*training, strict=True))
    train, validation = _hold_out(images, labels)
    test = _split(*_cifar_batch(archive, "test_batch.bin"))
    return _dataset((train, validation, test), CIFAR10, CIFAR10.mirrors[0])


def _cifar_batch(archive: Path, member: str) -> tuple[np.ndarray, np.ndarray]:
    """One record of the binary version is a label byte and then the red, green and blue planes."""
    with tarfile.open(archive) as tar:
        stream = tar.extractfile(f"cifar-10-batches-bin/{member}")
        if stream is None:
            raise DataUnavailableError(f"{archive} holds no {member}.")
        records = np.frombuffer(stream.read(), np.uint8).reshape(-1, 1 + int(np.prod(CIFAR_SHAPE)))
    return records[:, 1:].reshape(-1, *CIFAR_SHAPE), records[:, 0]


def _own_images(text: str) -> Dataset:
    if not text:
        raise UsageError(f"{OWN} is followed by no path. Write {OWN}PATH, with a folder or a .npz file.")
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{OWN}{text}: {error} Write the path without ~.") from error
    return _read(path, Source(f"{OWN}{path.resolve().name}", (), (), (), "the reader's own"), str(path))


def _cifar10_jpeg() -> Dataset:
    source, archive = replace(CIFAR10, name="cifar10-jpeg"), "cifar10-jpeg.tar.xz"
    own = own_folder()
    places = [own / source.name, own / source.name / archive, own / archive] if own else []
    found = [place for place in places if place.is_file() or (place / "train").is_dir()]
    if not found:
        files = f"{archive}, or {source.name}/train/CLASS and {source.name}/test/CLASS"
        mend = f"{where_to_put()} {files}; {NO_NETWORK}"
        raise DataUnavailableError(f"{source.name} is not here and is never downloaded: {mend}")
    try:
        data = _read(found[0], source, JPEG_COPY)
    except UsageError as error:
        raise DataUnavailableError(str(error)) from error
    if data.class_names != source.class_names:
        raise DataUnavailableError(f"{found[0]} does not have the classes of CIFAR-10. Replace it.")
    return data


def _read(path: Path, source: Source, origin: str) -> Dataset:
    parts, class_names = read(path)
    train, validation, test = (_split(*part) for part in parts)
    return _dataset((train, validation, test), replace(source, class_names=class_names), origin)


LOADERS = {
    "mnist-10k": _mnist_10k,
    "digits": _digits,
    "mnist": lambda: _mnist_like(MNIST),
    "fashion-mnist": lambda: _mnist_like(FASHION_MNIST),
    "cifar10": _cifar10,
    "cifar10-jpeg": _cifar10_jpeg,
}
