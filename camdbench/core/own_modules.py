"""Python files of a user: loading them with their neighbours, and hashes of the code that they bring."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.foreign_code import calling, place_of, plugin_hash

_MOST_CODE = 10**8
_FOLDERS: list[str] = []  # of loaded files, where a later import of a function looks last
_BROUGHT: dict[str, tuple[Path, str]] = {}  # neighbours in sys.modules: file, hash of its content
_LOADED: dict[str, frozenset[Path]] = {}  # neighbours that loading brought in, by name of the loaded module


class _Neighbours:
    """Finder, last in `sys.meta_path`, of modules beside loaded files: for imports inside functions that run later."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        del target
        return PathFinder.find_spec(name, _FOLDERS) if path is None and _FOLDERS else None


def load_file(path: Path, flag: str) -> ModuleType:
    """Run a Python file as a new module, with its folder first on `sys.path` meanwhile.

    A neighbour that changed since another file brought it in, or has the same name in another folder, is loaded again.

    Args:
        path: the file.
        flag: option or argument that named it, for messages: `--plugin`.

    Raises:
        UsageError: the file does not exist, or is not a Python file.
        CamdbenchError: the file raises, or calls `sys.exit`.
    """
    file = Path(path).absolute()
    if not file.is_file():
        raise UsageError(f"{flag} {path}: no such file")
    if file.stat().st_size > _MOST_CODE:
        raise UsageError(f"{flag} {path}: larger than {_MOST_CODE:,} bytes, which is no Python file")
    name = _name_of(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{flag} {path}: not a Python file (*.py)")
    module = importlib.util.module_from_spec(spec)
    _forget_changed(file.parent)
    with _registered(name, module), _beside(file.parent), calling(f"{flag} {path}"):
        before = set(sys.modules)
        spec.loader.exec_module(module)
    brought = dict(_modules_under(file.parent, set(sys.modules) - before))
    _BROUGHT.update({own: (place, _sha(place)) for own, place in brought.items()})
    _LOADED[name] = frozenset(brought.values())
    return module


def _name_of(file: Path) -> str:
    """Name of the module of a loaded file; two files may share a stem."""
    return f"camdbench_plugin_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"


def is_module(plugin: str | Path, folder: Path | None = None) -> bool:
    """Whether a plug-in is a dotted name of a module, and no file or folder.

    Args:
        plugin: FILE, FOLDER or MODULE.
        folder: folder of relative paths; default: the current one.
    """
    if not isinstance(plugin, str) or plugin.endswith(".py") or not all(part.isidentifier() for part in plugin.split(".")):
        return False
    return not ((folder or Path()) / plugin).exists()


def import_module(name: str, flag: str) -> ModuleType:
    """Import a module of the current folder or an installed one; one of the current folder that changed is loaded again.

    Args:
        name: dotted name.
        flag: what named it, for messages.

    Raises:
        UsageError: there is no such module.
        CamdbenchError: it raises, or calls `sys.exit`.
    """
    folder = Path.cwd()
    _forget_changed(folder)
    try:
        with _beside(folder), calling(flag):
            before = set(sys.modules)
            module = importlib.import_module(name)
    except CamdbenchError as error:
        if isinstance(error.__cause__, ModuleNotFoundError):
            raise UsageError(f"{flag}: no module {error.__cause__.name}; give a file FILE.py, a folder or an importable module") from None
        raise
    _BROUGHT.update({own: (place, _sha(place)) for own, place in _modules_under(folder, set(sys.modules) - before)})
    return module


def code_of(target: Any) -> str:
    """Hash of the code of a callable, class, instance or module, 16 hexadecimal digits.

    Over `plugin_hash`, and over the files that its file imports from its own folder, also indirectly and inside functions,
    or that loading it brought in. Installed packages and camdbench do not count as neighbours.
    """
    file = _file_of(target)
    text = plugin_hash(target) if not isinstance(target, ModuleType) else target.__name__ if file is None else _sha(file)
    if file is None or is_installed(file):
        return hashlib.sha256(text.encode()).hexdigest()[:16]
    name = _module_name(target)
    found = neighbours(file, _root_of(name, file)) | _LOADED.get(name, frozenset())
    parts = sorted(f"{os.path.relpath(own, file.parent)}\0{_sha(own)}" for own in found - {file})
    return hashlib.sha256("\n".join([text, *parts]).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def code_of_file(file: Path) -> str:
    """Hash (16 hexadecimal digits) of a file and of those that it imports from its folder; the file is not run."""
    file = file.resolve()
    parts = sorted(f"{os.path.relpath(own, file.parent)}\0{_sha(own)}" for own in neighbours(file, file.parent) | {file})
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def files_of(file: Path) -> frozenset[Path]:
    """A loaded file, with the files that it imports from its own folder or that loading it brought in."""
    return neighbours(file, file.parent) | _LOADED.get(_name_of(file), frozenset())


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python or an installed package."""
    return "site-packages" in file.parts or any(file.is_relative_to(folder) for folder in _installed_folders())


@cache
def _installed_folders() -> tuple[Path, ...]:
    import sysconfig  # a listing needs no hash

    return tuple({Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")})


def neighbours(file: Path, root: Path) -> frozenset[Path]:
    """Python files under a folder that a file imports, directly and indirectly, also inside functions; with the file itself.

    Args:
        file: the file.
        root: folder in which its absolute imports are looked up.
    """
    found, waiting = set[Path](), [file]
    while waiting:
        own = waiting.pop()
        if own not in found:
            found.add(own)
            waiting += [place for name in _imported(own, root) for place in _places(name, root) if not is_installed(place)]
    return frozenset(found)


def _imported(file: Path, root: Path) -> Iterator[str]:
    """Absolute names that a file imports, each with the names taken from it, which may be modules."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # no Python, or gone
        return
    package = file.relative_to(root).parent.parts if file.is_relative_to(root) else ()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}".lstrip(".") for alias in node.names)


def _places(name: str, root: Path) -> Iterator[Path]:
    """Files that importing a dotted name runs: packages and modules along it."""
    parts = name.split(".")
    if parts[0] == "camdbench":
        return
    for depth in range(1, len(parts) + 1):
        stem = root.joinpath(*parts[:depth])
        yield from (place.resolve() for place in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py") if place.is_file())


@contextmanager
def _registered(name: str, module: ModuleType) -> Generator[None]:
    """Keep a module in `sys.modules` unless it fails."""
    sys.modules[name] = module
    try:
        yield
    except BaseException:
        del sys.modules[name]
        raise


@contextmanager
def _beside(folder: Path) -> Generator[None]:
    """A folder first on `sys.path`; no bytecode is written, as Python takes an old one for a file changed within a second."""
    before = sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
        sys.path.remove(str(folder))
        if str(folder) not in _FOLDERS:
            _FOLDERS.append(str(folder))
        if _Neighbours not in sys.meta_path:
            sys.meta_path.append(_Neighbours)


def _forget_changed(folder: Path) -> None:
    """Remove neighbours from `sys.modules` that changed since, or that another folder's module of the same name would hide."""
    changed = {place.parent for place, known in _BROUGHT.values() if not place.is_file() or _sha(place) != known}
    for name, (place, _) in list(_BROUGHT.items()):
        top = folder / name.partition(".")[0]
        hides = not place.is_relative_to(folder.resolve()) and (top.is_dir() or top.with_name(f"{top.name}.py").is_file())
        if hides or any(place.is_relative_to(other) or other.is_relative_to(place.parent) for other in changed):
            sys.modules.pop(name, None)
            del _BROUGHT[name]


def _modules_under(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, Path]]:
    for name in names:
        file = _file_of(sys.modules.get(name))
        if file is not None and file.is_relative_to(folder.resolve()) and not is_installed(file) and name.partition(".")[0] != "camdbench":
            yield name, file


def _module_name(target: Any) -> str:
    return target.__name__ if isinstance(target, ModuleType) else place_of(target)[0]


def _file_of(target: Any) -> Path | None:
    """File of a module, or of the module that defines a callable or the class of an instance."""
    module = target if target is None or isinstance(target, ModuleType) else sys.modules.get(_module_name(target))
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) and file.endswith(".py") and Path(file).is_file() else None


def _root_of(name: str, file: Path) -> Path:
    """Folder in which a file's absolute imports are found: above its packages, or its own."""
    if name.startswith("camdbench_plugin_"):
        return file.parent
    depth = name.count(".") + (file.stem == "__init__")
    return file.parents[min(depth, len(file.parents) - 1)]


def _sha(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
