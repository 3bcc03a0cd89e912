"""Prompts and completions: published data sets, and anybody's JSON lines, through a template.

A data set is read from files (see `find_file`), else fetched by the package `datasets` where that is installed and
connected.
"""

import gzip
import itertools
import json
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from simcollapse.checks import check_choice, check_whole, nearest
from simcollapse.data.finding import VARIABLE, find_file

END_OF_STORY = "<|endoftext|>"
Row = Mapping[str, Any]


class Pair(NamedTuple):
    """A text in two parts."""

    prompt: str
    completion: str


class Template(NamedTuple):
    """How a row becomes a pair: names of columns in braces are replaced by what the row holds."""

    prompt: str
    completion: str

    def columns(self) -> list[str]:
        """Names of the columns that it needs."""
        parts = [*_parts(self.prompt), *_parts(self.completion)]
        return list(dict.fromkeys(column for _, column in parts if column is not None))

    def tail(self) -> str:
        """Words of the prompt after its last column."""
        words = [literal for literal, column in _parts(self.prompt) if column is None]
        return words[-1] if words else ""

    def fill(self, row: Mapping[str, str]) -> Pair:
        """The pair of a row."""
        return Pair(*("".join(t + row.get(c or "", "") for t, c in _parts(part)) for part in self))


PLAIN = Template("{prompt}", "{completion}")


class Texts(NamedTuple):
    """Pairs and where they are from."""

    pairs: list[Pair]
    tail: str  # words that end every prompt, to be kept where one is cut
    source: str


class Known(NamedTuple):
    """A published data set."""

    template: Template
    files: Mapping[str, str]  # of each split, below a folder of the set's name; also found without .gz
    hub: str  # name there
    splits: Mapping[str, str]  # names there
    revision: str | None = None
    tidy: Callable[[Row], Row] = lambda row: row


def load(name: str, split: str, number: int | None = None, template: Template | None = None) -> Texts:
    """A published data set, one of `KNOWN`, as pairs in the published templates.

    "xsum": news articles and their one-sentence summaries. "helpsteer2": prompts and responses, two a prompt.
    "alpaca": instructions, with their input on a new line, and outputs; "train" only. "tinystories": stories, with
    empty prompts.

    Args:
        name: of the set.
        split: "train", "validation" or "test".
        number: of the first rows; None: all.
        template: None: the published one.

    Raises:
        ValueError: an unknown name, a split that the set has not, a file that is not as expected.
        FileNotFoundError: no file, and `datasets` is not installed; the message says how to provide files.
        OSError: the hub did not give it; likewise.
    """
    check_choice("data", name, KNOWN)
    known = KNOWN[name]
    check_choice("split", split, known.files)
    number = None if number is None else check_whole("number", number, 1)
    try:
        file = _found(name, known.files[split])
    except FileNotFoundError as error:
        rows, source = _fetched(name, split, str(error)), f"{known.hub}, split {known.splits[split]}"
    else:
        rows, source = _rows(file), f"{name}, {file.name}"
    rows = itertools.islice(map(known.tidy, rows), number)
    return _filled(rows, template or known.template, source)


def read(path: str | Path, template: Template | None = None, number: int | None = None) -> Texts:
    """Pairs from a file of JSON lines (.jsonl, .ndjson; also .gz), or of stories (.txt; also .gz), each ended by a line
    `<|endoftext|>` and named `text`.

    Args:
        path: see `find_file`.
        template: None: the columns `prompt` and `completion` as they are.
        number: of the first rows; None: all.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that is no object, a column that is missing (those present are listed) or not text.
    """
    number = None if number is None else check_whole("number", number, 1)
    template = PLAIN if template is None else template
    file = _own(path, f", with {', '.join(template.columns())}")
    return _filled(itertools.islice(_rows(file), number), template, file.name)


def columns(path: str | Path) -> set[str]:
    """Those of the first row of a file that `read` reads; none of a file without rows."""
    return set(next(_rows(_own(path)), {}))


def template(prompt: str, completion: str) -> Template:
    """A template, checked.

    Raises:
        ValueError: braces that do not match or hold anything but a column's name, or no column in the completion.
    """
    made = Template(prompt, completion)
    for name, part in (("prompt", prompt), ("completion", completion)):
        try:
            _parts(part)
        except ValueError as error:
            raise ValueError(
                f"template.{name} must be text with columns in braces, got {part!r}: {error}"
            ) from None
    if not any(column for _, column in _parts(completion)):
        raise ValueError(f"template.completion must name a column in braces, got {completion!r}")
    return made


def _parts(part: str) -> list[tuple[str, str | None]]:
    """Words and the column after each."""
    out: list[tuple[str, str | None]] = []
    for literal, column, spec, conversion in string.Formatter().parse(part):
        if column is not None and (not column or spec or conversion):
            raise ValueError("braces must hold a column's name and nothing else")
        out.append((literal, column))
    return out


def _filled(rows: Iterable[Row], template: Template, source: str) -> Texts:
    columns, pairs = template.columns(), []
    for number, row in enumerate(rows, start=1):
        for column in columns:
            if column not in row:
                raise ValueError(
                    f"row {number} of {source} must have the column {column!r}, it has {sorted(row)}"
                    f"{nearest(column, row)}"
                )
            if not isinstance(row[column], str):
                raise ValueError(
                    f"row {number} of {source}: {column!r} must be text, got {type(row[column]).__name__}"
                )
        pairs.append(template.fill(row))
    if not pairs:
        raise ValueError(f"{source} has no rows")
    return Texts(pairs, template.tail(), source)


def _own(path: str | Path, columns: str = "") -> Path:
    """A user's own file."""
    try:
        return find_file(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}. Give a file .jsonl or .ndjson (one JSON object a line{columns}) or .txt (after each story a "
            f"line {END_OF_STORY}), also .gz; published sets are {', '.join(KNOWN)}{nearest(str(path), KNOWN)}"
        ) from None


def _found(name: str, file: str) -> Path:
    """The file, or the same unpacked."""
    try:
        return find_file(f"{name}/{file}")
    except FileNotFoundError:
        try:
            return find_file(f"{name}/{file.removesuffix('.gz')}")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error} (nor with .gz)") from None


def _rows(file: Path) -> Iterator[Row]:
    endings = [ending.lower() for ending in file.suffixes]
    packed = endings[-1:] == [".gz"]
    ending = endings[-2:-1] if packed else endings[-1:]
    if ending not in ([".jsonl"], [".ndjson"], [".txt"]):
        raise ValueError(
            f"a file of texts must end in .jsonl, .ndjson or .txt, or these with .gz; got {file.name}"
        )
    try:
        with gzip.open(file, "rt", encoding="utf-8") if packed else open(file, encoding="utf-8") as lines:
            yield from (_stories if ending == [".txt"] else _objects)(lines, file)
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from error


def _objects(lines: Iterable[str], file: Path) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} of {file.name} must be a JSON object: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number} of {file.name} must be a JSON object, got {type(row).__name__}")
        yield row


def _stories(lines: Iterable[str], file: Path) -> Iterator[Row]:
    story: list[str] = []
    for line in lines:
        if line.strip() != END_OF_STORY:
            story.append(line)
        elif text := "".join(story).strip():
            yield {"text": text}
            story = []
    if text := "".join(story).strip():
        yield {"text": text}


def _fetched(name: str, split: str, missing: str) -> Iterator[Row]:
    """Rows from the hub."""
    known = KNOWN[name]
    hand = f"To provide it by hand: {by_hand(name, split)}."
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise FileNotFoundError(
            f"{missing}. To fetch it where there is a network, install the package `datasets`: pip install "
            f"'simcollapse[hub]'. {hand}"
        ) from None
    try:
        got = datasets.load_dataset(known.hub, split=known.splits[split], revision=known.revision)
    except Exception as error:  # the library raises many kinds
        raise OSError(
            f"{missing}, and the hub did not give it ({type(error).__name__}: {error}). {hand}"
        ) from error
    return iter(got)


def by_hand(name: str, split: str) -> str:
    """How to provide the file of a split, all of it."""
    known = KNOWN[name]
    columns = ", ".join(known.template.columns()) if name != "alpaca" else "instruction, input, output"
    return (
        f"get {known.hub} on a connected machine, write its split {known.splits[split]!r} as {known.files[split]} "
        f"({_form(known.files[split], columns)}) into a folder {name}, and set ${VARIABLE} to the folder that holds it"
    )


def _form(file: str, columns: str) -> str:
    if ".txt" in file:
        return f"gzip; after each story a line {END_OF_STORY}"
    return f"gzip; one JSON object a line, with {columns}"


def _with_turns(row: Row) -> Row:
    """Earlier turns of a prompt under the names that the template gives them."""
    marks = {"\n<extra_id_1>Assistant\n": "\nassistant: ", "\n<extra_id_1>User\n": "\nuser: "}
    prompt = row.get("prompt")
    if not isinstance(prompt, str):
        return row
    for mark, words in marks.items():
        prompt = prompt.replace(mark, words)
    return {**row, "prompt": prompt}


def _with_input(row: Row) -> Row:
    """An instruction with its input, if it has one, on a new line."""
    if not row.get("input") or not isinstance(row.get("instruction"), str):
        return row
    return {**row, "instruction": f"{row['instruction']}\n{row['input']}"}


def _jsonl(*splits: str) -> dict[str, str]:
    return {split: f"{split}.jsonl.gz" for split in splits}


KNOWN = {
    "xsum": Known(
        Template("Article: {document}\n\nSummary:", " {summary}"),
        _jsonl("train", "validation", "test"),
        "EdinburghNLP/xsum",
        {split: split for split in ("train", "validation", "test")},
        revision="refs/convert/parquet",  # the set's own branch holds a program, which `datasets` no longer runs
    ),
    "helpsteer2": Known(
        Template("user: {prompt}\nassistant:", " {response}"),
        _jsonl("train", "validation"),
        "nvidia/HelpSteer2",
        {split: split for split in ("train", "validation")},
        tidy=_with_turns,
    ),
    "alpaca": Known(
        Template("user: {instruction}\nassistant:", " {output}"),
        {"train": "alpaca_2000.jsonl.gz"},
        "tatsu-lab/alpaca",
        {"train": "train"},
        tidy=_with_input,
    ),
    "tinystories": Known(
        Template("", "{text}"),
        {"train": "train.txt.gz", "validation": "valid.txt.gz"},
        "roneneldan/TinyStories",
        {"train": "train", "validation": "validation"},
    ),
}
