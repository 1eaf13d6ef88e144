"""What cards say of the datasets: licences, how rows came about, what a person sees and hears."""

from __future__ import annotations

from dataclasses import dataclass

from zoo.core.vocabularies import MUSHROOM

__all__ = ["ABOUT", "About", "about", "column_names"]


@dataclass(frozen=True, kw_only=True)
class About:
    """A dataset in words.

    policy: how its rows came about, where they are not stored as they are used; `{size}` stands for
        the numbers of a row.
    contexts, meaning: two contexts as Python, and what they are.   label: another, of one row.
    shown: what the card's samples are, beside the picture.
    columns: the names of a row's numbers, in the order in which they are stored; () for none.
    """

    licence: str
    policy: str = ""
    contexts: str = ""
    meaning: str = ""
    label: str = ""
    shown: str = ""
    columns: tuple[str, ...] = ()


_ENERGY = About(licence="made from a formula")

ABOUT: dict[str, About] = {
    "mnist": About(licence="LeCun, Cortes and Burges; CC BY-SA 3.0 is commonly stated"),
    "binarized_mnist": About(
        licence="LeCun, Cortes and Burges, binarised by Larochelle; CC BY-SA 3.0 is stated"
    ),
    "fashion_mnist": About(licence="Zalando SE; MIT"),
    "cifar10": About(licence="Krizhevsky; none stated"),
    "bsds300": About(licence="Martin et al. 2001; for non-commercial research and education"),
    "power": About(licence="Hebrail and Berard, UCI 235; CC BY 4.0"),
    "gas": About(licence="Fonollosa et al., UCI 322; CC BY 4.0"),
    "hepmass": About(licence="Baldi et al., UCI 347; CC BY 4.0"),
    "miniboone": About(licence="Roe et al., UCI 199; CC BY 4.0"),
    "magic": About(
        licence="Bock et al., UCI 159; CC BY 4.0",
        columns=(
            "fLength",
            "fWidth",
            "fSize",
            "fConc",
            "fConc1",
            "fAsym",
            "fM3Long",
            "fM3Trans",
            "fAlpha",
            "fDist",
        ),
    ),
    "binarized_mnist14": About(
        licence="LeCun, Cortes and Burges, binarised by Larochelle; CC BY-SA 3.0 is stated",
        policy="One pixel for 2 x 2 of binarized_mnist, on where at least two of the four are.",
    ),
    "mushroom": About(
        licence="Schlimmer, UCI 73; CC BY 4.0",
        policy=(
            "The 5,644 rows without a missing cell; a row holds the places of its cells in the "
            "columns' lists of categories, which config.json has."
        ),
        columns=tuple(MUSHROOM),
    ),
    "eight_gaussians": About(licence="made from a formula"),
    "digits": About(licence="Alpaydin and Kaynak, UCI 80; CC BY 4.0"),
    "optdigits": About(licence="Alpaydin and Kaynak, UCI 80; CC BY 4.0"),
    "spoken_digit": About(
        licence="Jackson et al., Free Spoken Digit Dataset; CC BY-SA 4.0",
        policy=(
            "Clips of 16-bit samples at 8 kHz as stored, from their first sample on, cut behind "
            "{size} samples or followed by zeros; no value is changed. A split is a range of "
            "recordings of every digit and speaker, read from the file names; the test split is "
            "the authors'. The condition is the digit and the speaker, as one label "
            "5 * digit + speaker or as a pair."
        ),
        contexts="[[7, 0], [3, 4]]",
        meaning="(digit, speaker); ",
        label="35",
        shown=(
            "says the ten digits, the speakers in turn. The picture shows spectrograms, time to "
            "the right, 0 to 4 kHz upwards: real test clips of the same digits and speakers in "
            "the first row, this model's in the last; a student's teacher in between."
        ),
    ),
    "energy_u1": _ENERGY,
    "energy_u2": _ENERGY,
    "energy_u3": _ENERGY,
    "energy_u4": _ENERGY,
}


def column_names(dataset: str, size: int) -> tuple[str, ...]:
    """The names of the numbers of a dataset's rows, of `size` numbers; () where they have none."""
    names = about(dataset).columns
    return names if len(names) == size else ()


def about(dataset: str) -> About:
    """What is known of a dataset; of an unknown one, that its own page says it."""
    return ABOUT.get(dataset) or About(licence="see the dataset's own page")
