"""Where the public data sets come from: files, mirrors and published checksums."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Resource:
    """One file of a data set.

    The checksums are those of the file as published, or, with ``unpacked``, of its content after
    gunzip: mirrors may compress the same bytes differently.
    """

    file: str
    md5: str
    sha256: str
    unpacked: bool = False


@dataclass(frozen=True)
class Source:
    """The files of a data set, the mirrors that serve them, its classes and its terms."""

    name: str
    resources: tuple[Resource, ...]
    mirrors: tuple[str, ...]
    class_names: tuple[str, ...]
    licence: str
    torchvision: str = ""  # its folder for this data set


def _resources(files: Sequence[str], checksums: str, unpacked: bool = False) -> tuple[Resource, ...]:
    """Files with a line of checksums each, MD5 and SHA-256."""
    sums = checksums.split()
    rows = zip(files, sums[::2], sums[1::2], strict=True)
    return tuple(Resource(file, md5, sha256, unpacked) for file, md5, sha256 in rows)


IDX_FILES = [
    f"{part}-ubyte.gz"
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
]
MNIST_CHECKSUMS = """
    6bbc9ace898e44ae57da46a324031adb ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
    a25bea736e30d166cdddb491f175f624 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
    2646ac647ad5339dbf082846283269ea 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
    27ae3e4e09519cfbb04c329615203637 ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
"""
FASHION_MNIST_CHECKSUMS = """
    f4a8712d7a061bf5bd6d2ca38dc4d50a c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888
    9018921c3c673c538a1fc5bad174d6f9 bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9
    8181f5470baa50b63fa0f6fddb340f0a 5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b
    15d484375f8d13e6eb1aabb0c3f46965 0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34
"""
CIFAR10_CHECKSUMS = """
    c32a1d4ab5d03f1284b67883e8d87530 c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd
"""
FASHION_CLASSES = "T-shirt/top, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot"
CIFAR10_CLASSES = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"

MNIST = Source(
    name="mnist",
    resources=_resources(IDX_FILES, MNIST_CHECKSUMS, unpacked=True),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    class_names=tuple("0123456789"),
    licence="sources conflict (CC BY-SA 3.0 or MIT); CC BY-SA 3.0 is followed here",
    torchvision="MNIST",
)

FASHION_MNIST = Source(
    name="fashion-mnist",
    resources=_resources(IDX_FILES, FASHION_MNIST_CHECKSUMS, unpacked=True),
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    ),
    class_names=tuple(FASHION_CLASSES.split(", ")),
    licence="MIT, Zalando Research",
    torchvision="FashionMNIST",
)

CIFAR10 = Source(
    name="cifar10",
    resources=_resources(["cifar-10-binary.tar.gz"], CIFAR10_CHECKSUMS),
    mirrors=("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"),
    class_names=tuple(CIFAR10_CLASSES.split(", ")),
    licence="no licence stated; cite Krizhevsky, 2009",
)
