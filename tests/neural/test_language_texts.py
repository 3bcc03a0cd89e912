import gzip
import itertools
import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from simcollapse.data.finding import VARIABLE
from simcollapse.neural.language import encoding, texts
from simcollapse.neural.language.texts import Pair, Texts
from simcollapse.neural.language.tokens import Tokens

START, END = 256, 257


@pytest.fixture(scope="module")
def tokens():
    """A byte a token."""
    letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    words = {letter: i for i, letter in enumerate(sorted(letters))}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(words, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    return Tokens(made)


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else open(path, "w") as file:
        file.writelines(rows if isinstance(rows[0], str) else (json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


MADE = {
    ("xsum", "train.jsonl.gz"): (
        [{"id": None, "document": "It {rains}.", "summary": "Rain."}],
        Pair("Article: It {rains}.\n\nSummary:", " Rain."),
    ),
    ("xsum", "train.jsonl"): (  # unpacked
        [{"document": "Dry.", "summary": "Sun."}],
        Pair("Article: Dry.\n\nSummary:", " Sun."),
    ),
    ("helpsteer2", "train.jsonl.gz"): (
        [{"prompt": "Hi\n<extra_id_1>Assistant\nHo\n<extra_id_1>User\nHum", "response": "Hm", "helpfulness": 3}],
        Pair("user: Hi\nassistant: Ho\nuser: Hum\nassistant:", " Hm"),
    ),
    ("alpaca", "alpaca_2000.jsonl.gz"): (
        [{"instruction": "Add.", "input": "1, 2", "output": "3"}],
        Pair("user: Add.\n1, 2\nassistant:", " 3"),
    ),
    ("tinystories", "train.txt.gz"): (
        ["One.\n\nTwo.\n<|endoftext|>\nThree.\n<|endoftext|>\n"],
        Pair("", "One.\n\nTwo."),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "file"), MADE)
def test_published_templates(folder, name, file):
    rows, pair = MADE[name, file]
    write(folder / name / file, rows)
    got = texts.load(name, "train")
    assert got.pairs[0] == pair and got.pairs[0].prompt.endswith(got.tail)
    assert len(got.pairs) == (2 if name == "tinystories" else 1)
    assert file in got.source
    assert len(texts.load(name, "train", 1).pairs) == 1


REAL = pytest.mark.skipif(
    not os.environ.get(VARIABLE) or not (Path(os.environ[VARIABLE]) / "xsum").is_dir(), reason="no real texts"
)


@REAL
@pytest.mark.parametrize("name", texts.KNOWN)
def test_the_published_files_are_read(name):
    for split in texts.KNOWN[name].files:
        got = texts.load(name, split, 300)
        assert len(got.pairs) == 300
        assert all(pair.prompt.endswith(got.tail) and pair.completion.strip() for pair in got.pairs)
        assert not any(
            "<extra_id_1>" in pair.prompt or "<|endoftext|>" in pair.completion for pair in got.pairs
        )


def test_a_missing_set_says_how_to_provide_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        FileNotFoundError,
        match=r"xsum/test.jsonl.*`datasets`: pip install 'simcollapse\[hub\]'.*with document, summary",
    ):
        texts.load("xsum", "test")
    with pytest.raises(ValueError, match=r"split must be one of \['train'\], got 'test'"):
        texts.load("alpaca", "test")
    with pytest.raises(ValueError, match="Did you mean 'xsum'"):
        texts.load("x-sum", "train")


def test_a_missing_set_is_fetched_where_that_is_possible(folder, monkeypatch):
    asked = []

    def load_dataset(name, split, revision):
        asked.append((name, split, revision))
        if split == "test":
            raise ConnectionError("no route")
        return [{"document": "A", "summary": "B"}] * 3

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    got = texts.load("xsum", "validation", 2)
    assert got.pairs == [Pair("Article: A\n\nSummary:", " B")] * 2
    assert asked == [("EdinburghNLP/xsum", "validation", "refs/convert/parquet")]
    with pytest.raises(OSError, match=r"the hub did not give it \(ConnectionError.*by hand"):
        texts.load("xsum", "test")


def test_a_set_in_a_template_of_ones_own(folder):
    write(folder / "xsum" / "train.jsonl", [{"document": "Dry.", "summary": "Sun."}])
    got = texts.load("xsum", "train", template=texts.template("{document} TL;DR:", " {summary}"))
    assert got.pairs == [Pair("Dry. TL;DR:", " Sun.")] and got.tail == " TL;DR:"
    assert texts.columns("xsum/train.jsonl") == {"document", "summary"}


def test_own_files_and_their_columns(folder):
    write(folder / "mine.jsonl", [{"question": "Q", "answer": "A", "n": 1}, {"question": "R", "answer": "B"}])
    made = texts.template("{question} =", " {answer}")
    assert texts.read("mine.jsonl", made).pairs == [Pair("Q =", " A"), Pair("R =", " B")]
    with pytest.raises(ValueError, match=r"row 1 of mine.jsonl must have the column 'prompt', it has"):
        texts.read("mine.jsonl")
    with pytest.raises(ValueError, match=r"\['answer', 'n', 'question'\]. Did you mean 'answer'"):
        texts.read("mine.jsonl", texts.template("{question}", "{answers}"))
    with pytest.raises(ValueError, match="'n' must be text, got int"):
        texts.read("mine.jsonl", texts.template("{question}", "{n}"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no rows"),
        ('{"prompt": "a"\n', "line 1 of bad.jsonl must be a JSON object"),
        (
            '{"prompt": "a", "completion": "b"}\n\n[1]\n',
            "line 3 of bad.jsonl must be a JSON object, got list",
        ),
    ],
)
def test_bad_files(folder, content, words):
    (folder / "bad.jsonl").write_text(content)
    with pytest.raises(ValueError, match=words):
        texts.read("bad.jsonl")


def test_a_missing_file_says_what_to_give(folder):
    made = texts.template("{question} =", " {answer}")
    with pytest.raises(
        FileNotFoundError, match=r"none\.jsonl.*JSON object a line, with question, answer\) or \.txt"
    ):
        texts.read("none.jsonl", made)
    for read in (texts.read, texts.columns):
        with pytest.raises(
            FileNotFoundError, match=r"sets are xsum, helpsteer2, .*Did you mean 'helpsteer2'\?"
        ):
            read("helpsteer")


def test_other_bad_files(folder):
    (folder / "bad.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="cannot be read"):
        texts.read("bad.jsonl.gz")
    (folder / "bad.csv").write_text("a,b")
    with pytest.raises(ValueError, match=r"must end in \.jsonl, \.ndjson or \.txt"):
        texts.read("bad.csv")


@pytest.mark.parametrize("bad", [("{a", "{b}"), ("{}", "{b}"), ("{a:3}", "{b}"), ("{a}", "b")])
def test_bad_templates(bad):
    with pytest.raises(ValueError, match=r"template\.(prompt|completion) must"):
        texts.template(*bad)


def test_rows_hold_prompt_completion_and_end(tokens):
    got = encoding.encode(Texts([Pair("ab", "cde"), Pair("", "f")], "", ""), tokens, 8, start=START, end=END)
    wanted = tokens.encode(["ab", "cde", "f"])
    np.testing.assert_array_equal(got.rows["tokens"][0], [START, *wanted[0], *wanted[1], END, 0])
    np.testing.assert_array_equal(got.rows["tokens"][1, :3], [START, *wanted[2], END])
    assert got.rows["begin"].tolist() == [3, 1] and got.rows["length"].tolist() == [7, 3]
    assert (got.too_long, got.empty) == (0, 0)
    assert all(x.dtype == np.int32 for x in got.rows.values())


def test_byte_pairs_of_a_completion_are_those_of_it_alone(tokens):
    """Whatever is before it, so long as no token reaches over the border."""
    letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=320, initial_alphabet=letters, show_progress=False)
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator(["a man and another can run on and on, the day is new"] * 20, trainer)
    own = Tokens(made)
    prompts, completions = (
        ["a man:", "the day", "an ", "anot", ""],
        [" and another", "", "other", "her", "run"],
    )
    before, after = encoding.encode_pairs(own, prompts, completions)
    assert before == own.encode(prompts) and after == own.encode(completions) == own.encode_next(completions)
    assert own.encode(["another"])[0][:1] != before[3]


@pytest.mark.parametrize(
    "prefixing",
    [
        {"normalizer": tokenizers.normalizers.Prepend("▁")},
        {"pre_tokenizer": tokenizers.pre_tokenizers.Metaspace(prepend_scheme="always")},
        {"pre_tokenizer": tokenizers.pre_tokenizers.Metaspace(prepend_scheme="first", split=False)},
        {"pre_tokenizer": tokenizers.pre_tokenizers.Sequence([tokenizers.pre_tokenizers.ByteLevel()])},
    ],
    ids=["Prepend", "Metaspace", "first", "bytes"],
)
def test_what_follows_a_prompt_gets_no_space_of_its_own(prefixing):
    """Where a token reaches over the border too."""
    words = {word: i for i, word in enumerate(["?", "▁", "Ġ", "a", "b", "ab"])}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(words, [("a", "b")], unk_token="?"))
    for name, step in prefixing.items():
        setattr(made, name, step)
    own = Tokens(made)
    assert own.encode(["b"])[0][1:] == [4] == own.encode_next(["b"])[0]
    before, after = encoding.encode_pairs(own, ["b", "a"], ["a", "b"])
    assert [row[1:] for row in before] == [[4], [3]] and after == [[3], [4]]


def test_pairs_that_do_not_fit_are_counted(tokens):
    """Of widths 3 + 2, 12 + 2 and 3 + 12 with the template's end; a row holds ten tokens."""
    tail = "|>"
    pairs = [Pair("a|>", "bc"), Pair("abcdefghij|>", "kl"), Pair("a|>", "bcdefghijklm"), Pair("n|>", "")]
    some = Texts(pairs, tail, "")
    with pytest.raises(ValueError, match=r"1 of 4 have none \(the first is pair 3\)"):
        encoding.encode(some, tokens, 10)
    with pytest.raises(ValueError, match=r"2 of 4 have more \(the first is pair 1, with 14\)"):
        encoding.encode(some, tokens, 10, empty="drop")
    dropped = encoding.encode(some, tokens, 10, empty="drop", too_long="drop")
    assert (dropped.too_long, dropped.empty, dropped.places.tolist()) == (2, 1, [0])
    cut = encoding.encode(some, tokens, 10, empty="drop", too_long="truncate")
    assert (cut.too_long, cut.empty, cut.places.tolist()) == (2, 1, [0, 1, 2])
    told = tokens.decode([row[:n] for row, n in zip(cut.rows["tokens"], cut.rows["length"], strict=True)])
    assert told == ["a|>bc", "abcdef|>kl", "a|>bcdefgh"]
    with pytest.raises(ValueError, match="no pair of 1 is left"):
        encoding.encode(Texts(pairs[3:], tail, ""), tokens, 10, empty="drop")


def test_a_row_leaves_room_for_another_answer(tokens):
    """Five tokens of ten after each prompt, whatever the length of its own answer."""
    some = Texts([Pair("abcd|>", "kl"), Pair("abc|>", "k"), Pair("abcdef|>", "klmnop")], "|>", "")
    with pytest.raises(ValueError, match=r"10 tokens \(5 of them left after a prompt\), 2 of 3 have more"):
        encoding.encode(some, tokens, 10, room=5)
    assert encoding.encode(some, tokens, 10, room=5, too_long="drop").places.tolist() == [1]
    cut = encoding.encode(some, tokens, 10, room=5, too_long="truncate")
    told = tokens.decode([row[:n] for row, n in zip(cut.rows["tokens"], cut.rows["length"], strict=True)])
    assert told == ["abc|>kl", "abc|>k", "abc|>klmno"] and cut.rows["begin"].max() == 5
    with pytest.raises(ValueError, match="room must be <= 9"):
        encoding.encode(some, tokens, 10, room=10)


def test_prompts_are_cut_before_the_words_of_their_template(tokens):
    some = Texts([Pair("abcdef|>", "x"), Pair("a|>", "x")], "|>", "")
    with pytest.raises(ValueError, match="prompts must have at most 5 tokens, 1 of 2 have more"):
        encoding.encode_prompts(some, tokens, 5)
    assert encoding.encode_prompts(some, tokens, 5, too_long="drop").places.tolist() == [1]
    cut = encoding.encode_prompts(some, tokens, 5, start=START, too_long="truncate")
    assert cut.too_long == 1 and cut.prompts[0][0] == START
    assert tokens.decode([prompt[1:] for prompt in cut.prompts]) == ["ab|>", "a|>"]
    free = encoding.encode_prompts(some._replace(tail=""), tokens, 5, start=START, too_long="truncate")
    assert free.prompts[0][0] == START and tokens.decode([free.prompts[0][1:]]) == ["ef|>"]


def test_a_text_begins_with_a_mark_where_the_tokenizer_puts_it(tokens):
    """Or where a prompt has nothing else."""
    prompted, bare = (Texts([Pair(prompt, "a")], "", "") for prompt in ("b", ""))
    assert encoding.start_of(prompted, tokens, 7) is None and encoding.start_of(bare, tokens, 7) == 7
    marked = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<s>": 7, "b": 0}))
    marked.add_special_tokens(["<s>"])
    marked.post_processor = tokenizers.processors.TemplateProcessing(
        ["<s>", "$A"], special_tokens=[("<s>", 7)]
    )
    assert (
        encoding.start_of(prompted, Tokens(marked), 7) == 7
        and encoding.start_of(prompted, Tokens(marked), None) is None
    )
    assert Tokens(marked).encode(["b"]) == [[0]]


def test_held_out_pairs_are_apart():
    some = Texts([Pair("", str(n)) for n in range(20)], "", "")
    left, out = encoding.held_out(some, 5)
    assert (
        len(out.pairs) == 5 and len(left.pairs) == 15 and set(left.pairs) | set(out.pairs) == set(some.pairs)
    )
    assert encoding.held_out(some, 5, seed=1)[1].pairs != out.pairs


def test_pairs_of_a_prompt_are_learned_or_held_out():
    """As two answers to each prompt of HelpSteer2."""
    twice = Texts([Pair(str(n // 2), str(n)) for n in range(20)], "", "twice")
    for number, seed in itertools.product((1, 2, 5, 6, 17, 18), range(5)):
        left, out = encoding.held_out(twice, number, seed)
        assert not {pair.prompt for pair in left.pairs} & {pair.prompt for pair in out.pairs}
        assert len(out.pairs) == number and len(left.pairs) == 20 - number - number % 2
    with pytest.raises(ValueError, match=r"held_out must leave a prompt .* twice has 10 of them; got 19"):
        encoding.held_out(twice, 19)
    # One more prompt with a single pair makes up an odd number.
    left, out = encoding.held_out(twice._replace(pairs=[*twice.pairs, Pair("x", "y")]), 5)
    assert len(out.pairs) == 5 and len(left.pairs) == 16 and Pair("x", "y") in out.pairs
    # A prompt of many pairs is learned, where others make up the number; else it is held out in part.
    most = Texts([*(Pair("p", str(n)) for n in range(30)), *(Pair(str(n), "") for n in range(10))], "", "")
    left, out = encoding.held_out(most, 9)
    assert len(left.pairs) == 31 and "p" not in {pair.prompt for pair in out.pairs}
    left, out = encoding.held_out(most, 20)
    assert len(out.pairs) == 20 and left.pairs and "p" not in {pair.prompt for pair in left.pairs}
    # Where prompts tell nothing apart, pairs are drawn one by one.
    for pairs in ([Pair("p", str(n)) for n in range(9)], [Pair("", "a")] * 8 + [Pair("p", "b")]):
        left, out = encoding.held_out(Texts(pairs, "", ""), 4)
        assert (len(left.pairs), len(out.pairs)) == (5, 4)


@REAL
def test_of_no_published_set_are_prompts_learned_and_held_out():
    """But of stories, which have none."""
    for name in ("xsum", "helpsteer2", "alpaca"):
        left, out = encoding.held_out(texts.load(name, "train"), 100)
        assert not {pair.prompt for pair in left.pairs} & {pair.prompt for pair in out.pairs}
        assert len(out.pairs) == 100
