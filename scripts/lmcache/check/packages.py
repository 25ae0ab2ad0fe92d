"""LMCache's package, laid out once more where a file of it is to be replaced."""

from pathlib import Path
import shutil

from classes import DROP_IN


def overlay(package: Path, site: Path) -> Path:
    """Link the package into `site`, but for the directory of its launcher, which is copied."""
    link(package, site / "lmcache", ("v1", "plugin"))
    return site / "lmcache" / "v1" / "plugin"


def with_class(package: Path, site: Path) -> Path:
    """A directory for PYTHONPATH: this package with our class in the place of its own."""
    shutil.copy(DROP_IN, overlay(package, site))
    return site


def link(source: Path, target: Path, copied: tuple[str, ...]) -> None:
    """Link all of `source` into `target`, but for one directory, which is copied."""
    if not copied:
        shutil.copytree(source, target)
        return
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.name == copied[0]:
            link(entry, target / entry.name, copied[1:])
        else:
            (target / entry.name).symlink_to(entry)
