import io
import json
import shutil
from pathlib import Path

import gguf
import jax
import ml_dtypes
import numpy as np
import pytest
import sentencepiece
import tokenizers
from safetensors.numpy import load_file, save_file

from simcollapse.neural.language import (
    checkpoints,
    config,
    encoding,
    generation,
    gguf_files,
    gguf_tokenizers,
    names,
    safetensor_files,
    tokens,
)
from simcollapse.neural.language.texts import Pair, Texts
from simcollapse.neural.transformer import rotary

GOLDEN = Path(__file__).parent / "golden"
WHOLE = ["<turn>", "\n\n"]  # tokens that are never split


def tensors_of(name):
    return safetensor_files.read_tensors(GOLDEN / name)


@pytest.fixture
def folder(tmp_path):
    """A copy of the tiny Llama with a tied head, to damage."""
    return Path(shutil.copytree(GOLDEN / "llama3", tmp_path / "model"))


def change(folder, **tensors):
    """Set tensors, or remove those that are None; dots of names are written __."""
    path = folder / "model.safetensors"
    now = load_file(path) | {name.replace("__", "."): x for name, x in tensors.items()}
    save_file({name: x for name, x in now.items() if x is not None}, path)


@pytest.mark.parametrize("name", ["llama", "llama3", "gemma2"])
def test_what_is_saved_is_what_was_loaded(name, tmp_path):
    made = checkpoints.load(GOLDEN / name)
    checkpoints.save(tmp_path / "again", made)
    again = checkpoints.load(tmp_path / "again")
    for got, wanted in zip(jax.tree.leaves(again.params), jax.tree.leaves(made.params), strict=True):
        np.testing.assert_array_equal(got, wanted)
    written, original = load_file(tmp_path / "again" / "model.safetensors"), tensors_of(name)
    assert written.keys() == original.keys()
    for tensor, value in original.items():
        np.testing.assert_array_equal(written[tensor], value)
    assert names.parameters(made.config) == sum(x.size for x in original.values())


def test_views_are_saved_as_what_they_show(tmp_path):
    view = np.arange(6, dtype=np.float32).reshape(3, 2)[::-1]
    safetensor_files.write_tensors(tmp_path, {"x": view, "y": view.T})
    got = safetensor_files.read_tensors(tmp_path)
    np.testing.assert_array_equal(got["x"], view)
    np.testing.assert_array_equal(got["y"], view.T)


def test_half_precision_files_become_single(folder):
    small = {n: x.astype(ml_dtypes.bfloat16) for n, x in load_file(folder / "model.safetensors").items()}
    save_file(small, folder / "model.safetensors")
    got = checkpoints.load(folder).params["words"]["embedding"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, small["model.embed_tokens.weight"].astype(np.float32))


def test_tensors_that_are_missing_or_too_many_are_named(folder):
    change(folder, model__norm__weight=None, model__layers__1__self_attn__q_proj__weight=None)
    change(folder, other=np.zeros(3, np.float32))
    with pytest.raises(
        ValueError, match=r"lacks model\.norm\.weight, model\.layers\.1.* and also has other$"
    ):
        checkpoints.load(folder)


def test_tensors_of_another_shape_are_named(folder):
    change(folder, model__norm__weight=np.ones(15, np.float32))
    with pytest.raises(ValueError, match=r"norm\.scale \(15,\) in place of \(16,\)"):
        checkpoints.load(folder)


def test_a_head_beside_a_tied_embedding(folder):
    """Some files hold it twice; where the two differ one of them would be lost."""
    same = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    change(
        folder, lm_head__weight=same, model__layers__0__self_attn__rotary_emb__inv_freq=np.ones(6, np.float32)
    )
    checkpoints.load(folder)
    change(folder, lm_head__weight=same + 1)
    with pytest.raises(ValueError, match=r"also has lm_head\.weight"):
        checkpoints.load(folder)


def test_files_that_are_missing_or_broken(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no hub name"):
        checkpoints.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no GGUF file"):
        checkpoints.load(tmp_path / "nothing.gguf")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(3))
    with pytest.raises(ValueError, match=r"bad\.gguf is no GGUF file"):
        checkpoints.load(tmp_path / "bad.gguf")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="cut short"):
        checkpoints.load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors and no .*pytorch_model\.bin must be"):
        checkpoints.load(folder)
    for words, told in (("{", "must be JSON"), ("[1]", "must be a JSON object, got list")):
        (folder / "config.json").write_text(words)
        with pytest.raises(ValueError, match=told):
            checkpoints.load(folder)


@pytest.mark.parametrize(
    ("named", "wanted"), [(5, (2, 5)), ([2, 7, 5], (2, 7, 5)), (None, (2,)), ("nothing", (2,))]
)
def test_what_ends_an_answer_may_stand_in_the_generation_config(named, wanted, tmp_path):
    """As of Gemma 2, whose `<end_of_turn>` is not in its config.json."""
    folder = Path(shutil.copytree(GOLDEN / "gemma2", tmp_path / "model"))
    entries = {} if named == "nothing" else {"eos_token_id": named}
    (folder / "generation_config.json").write_text(json.dumps(entries | {"do_sample": True}))
    made = checkpoints.load(folder)
    assert made.config.stops == wanted
    checkpoints.save(tmp_path / "again", made)
    assert checkpoints.load(tmp_path / "again").config.stops == wanted


def test_an_answer_ends_where_the_generation_config_says(tmp_path):
    folder = Path(shutil.copytree(GOLDEN / "gemma2", tmp_path / "model"))
    made = checkpoints.load(folder)
    whole = generation.generate(made.config, made.params, [[1, 9, 11]], 6).tokens[0]
    end = whole[1]
    assert made.config.stops == (2,) and 2 not in whole and end != whole[0]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, end]}))
    made = checkpoints.load(folder)
    got = generation.generate(made.config, made.params, [[1, 9, 11]], 6)
    assert got.tokens == [whole[:2]] and got.stopped.all()


@pytest.mark.parametrize("named", [40, -1, "end", [2, 1.5], True])
def test_an_end_that_is_no_token_is_said(named, tmp_path):
    folder = Path(shutil.copytree(GOLDEN / "gemma2", tmp_path / "model"))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": named}))
    with pytest.raises(ValueError, match=r"generation_config\.json: eos_token_id must be a token .* 0 to 39"):
        checkpoints.load(folder)


def test_a_hub_name_without_a_network_says_what_to_copy(monkeypatch, tmp_path):
    def unreachable(name, allow_patterns):
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(
        OSError, match=r"ConnectionError: no route.*copy config\.json.* of owner/model .* into a folder"
    ):
        checkpoints.load("owner/model")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, allow_patterns: GOLDEN / "llama")
    assert checkpoints.load("owner/model").config.family == "llama"


def test_a_hub_name_is_read_from_the_hubs_own_cache(monkeypatch, tmp_path):
    """As its client keeps it, without a network."""
    commit = "0" * 40
    kept = tmp_path / "models--owner--model"
    shutil.copytree(GOLDEN / "llama", kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert checkpoints.load("owner/model").config.family == "llama"
    with pytest.raises(
        OSError, match=r"no folder at owner/other, and the hub did not give it \(\w+: .*\)\. Without"
    ):
        checkpoints.load("owner/other")


def test_a_part_that_is_missing_is_named(tmp_path):
    parts = Path(shutil.copytree(GOLDEN / "llama", tmp_path / "parts"))
    index = parts / "model.safetensors.index.json"
    told = index.read_text()
    for words in ("{}", '{"weight_map": {"a": 3}}'):
        index.write_text(words)
        with pytest.raises(ValueError, match=r"index\.json must have a weight_map"):
            checkpoints.load(parts)
    index.write_text(told)
    (parts / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file model-00002-of-00003\.safetensors"):
        checkpoints.load(parts)


# --- GGUF ---


def interleaved(value, heads):
    """What the published converter does to Llama's q and k."""
    return value.reshape(heads, 2, value.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(value.shape)


def write_gguf(path, name, *, extra=(), lacks=(), scaling=None, **more):
    """`more`: of the methods `add_rope_scaling_…` of the writer, what they add."""
    made, family = checkpoints.load(GOLDEN / name).config, "gemma2" if name == "gemma2" else "llama"
    known = {v: k for k, v in (gguf_files._LAYER | gguf_files._NORMS[family]).items()}
    whole = {v: k for k, v in gguf_files._WHOLE.items()}
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(made.layers)
    writer.add_context_length(made.context)
    writer.add_embedding_length(made.width)
    writer.add_feed_forward_length(made.hidden)
    writer.add_head_count(made.heads)
    writer.add_head_count_kv(made.kv_heads)
    writer.add_key_length(made.head)
    writer.add_rope_freq_base(made.rope.base)
    writer.add_layer_norm_rms_eps(made.epsilon)
    if scaling is not None:
        writer.add_rope_scaling_type(scaling)
    for method, value in more.items():
        getattr(writer, f"add_rope_scaling_{method}")(value)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if family == "llama":
        writer.add_eot_token_id(28)
    if family == "gemma2":
        writer.add_sliding_window(5)
        writer.add_attn_logit_softcapping(3.0)
        writer.add_final_logit_softcapping(2.0)
    vocabulary = [*"abcdefghijklmnopqrstuvwxyzĠ", "ab", "<|end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if word == "<|end|>" else 1 for word in vocabulary])
    writer.add_token_merges(["a b"])
    for tensor, value in tensors_of(name).items():
        if tensor in lacks:
            continue
        stem = tensor.removesuffix(".weight")
        if family == "llama" and stem.endswith(("q_proj", "k_proj")):
            value = interleaved(value, made.heads if "q_proj" in stem else made.kv_heads)
        if family == "gemma2" and stem.endswith("norm"):
            value = value + 1
        parts = stem.split(".", 3)
        told = whole[stem] if stem in whole else f"blk.{parts[2]}.{known[parts[3]]}"
        writer.add_tensor(f"{told}.weight", value)
    for tensor, value in extra:
        writer.add_tensor(tensor, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_a_gguf_file_is_the_same_model(name, tmp_path):
    """Its q and k are interleaved, and Gemma's norms hold 1 more."""
    wanted = checkpoints.load(GOLDEN / name)
    got = checkpoints.load(write_gguf(tmp_path / "model.gguf", name))
    for a, b in zip(jax.tree.leaves(got.params), jax.tree.leaves(wanted.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert got.config.windows == wanted.config.windows and got.config.tied == wanted.config.tied
    assert got.config.rope == wanted.config.rope and got.config.stops == (
        (2, 28) if name == "llama" else (2,)
    )
    assert got.tokens.decode(got.tokens.encode(["ab cab"])) == ["ab cab"]


def test_interleaving_is_undone_only_where_it_was_done():
    value = np.arange(24.0).reshape(24, 1)
    np.testing.assert_array_equal(gguf_files.uninterleaved(interleaved(value, 2), 2), value)
    assert not np.array_equal(interleaved(value, 2), value)


def test_the_scaling_of_llama_3_is_found_in_its_factors(tmp_path):
    rope = rotary.Rope(10_000.0, "llama3", 32.0)
    factors = rotary.frequencies(rotary.Rope(10_000.0), 64, 1) / rotary.frequencies(rope, 64, 1)
    assert gguf_files._llama3(tmp_path, 10_000.0, 64, factors.astype(np.float32).astype(float)) == rope
    with pytest.raises(ValueError, match="is not the scaling of Llama 3"):
        gguf_files._llama3(tmp_path, 10_000.0, 64, factors * 2)


KINDS = gguf.RopeScalingType


def test_linear_scaling_of_a_gguf_file(tmp_path):
    """Its kind may be missing, and its factor 0 where there is none."""
    for i, (kind, factor, rope) in enumerate(
        [
            (KINDS.LINEAR, 4.0, rotary.Rope(10_000.0, "linear", 4.0)),
            (None, 4.0, rotary.Rope(10_000.0, "linear", 4.0)),
            (KINDS.LINEAR, 0.0, rotary.Rope(10_000.0)),
            (KINDS.NONE, 4.0, rotary.Rope(10_000.0)),
        ]
    ):
        path = write_gguf(tmp_path / f"{i}.gguf", "llama", scaling=kind, factor=factor)
        assert checkpoints.load(path).config.rope == rope


def test_yarn_of_a_gguf_file_is_that_of_a_folder(tmp_path):
    """The published converter writes of a config's scaling what is written here."""
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    told = {"factor": 4.0, "orig_ctx_len": 16}
    entries = json.loads((GOLDEN / "llama" / "config.json").read_text())
    for i, (more, added) in enumerate(
        [({}, {}), ({"beta_fast": 8.0, "beta_slow": 2.0}, {"yarn_beta_fast": 8.0, "yarn_beta_slow": 2.0})]
    ):
        path = write_gguf(tmp_path / f"{i}.gguf", "llama", scaling=KINDS.YARN, **told, **added)
        wanted = config.read(entries | {"rope_parameters": {"rope_theta": 10_000.0} | scaling | more})
        assert checkpoints.load(path).config.rope == wanted.rope
    path = write_gguf(tmp_path / "more.gguf", "llama", scaling=KINDS.YARN, attn_factors=0.5, **told)
    assert checkpoints.load(path).config.rope.magnitude == pytest.approx(0.5 * (1 + 0.1 * np.log(4)))


def test_longrope_of_a_gguf_file(tmp_path):
    short, long = np.array([1.0, 1.5], np.float32), np.array([2.0, 4.0], np.float32)
    extra = [("rope_factors_short.weight", short), ("rope_factors_long.weight", long)]
    path = write_gguf(
        tmp_path / "long.gguf",
        "llama",
        extra=extra,
        scaling=KINDS.LONGROPE,
        orig_ctx_len=16,
        attn_factors=1.25,
    )
    rope = checkpoints.load(path).config.rope
    assert (rope.short, rope.long, rope.original, rope.magnitude) == ((1.0, 1.5), (2.0, 4.0), 16, 1.25)
    with pytest.raises(ValueError, match="longrope must have the tensors rope_factors_short"):
        checkpoints.load(write_gguf(tmp_path / "a.gguf", "llama", scaling=KINDS.LONGROPE))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"scaling": KINDS.YARN, "factor": 4.0, "yarn_ext_factor": 0.5},
            "yarn_ext_factor must be 1, got 0.5",
        ),
        ({"scaling": KINDS.YARN, "yarn_attn_factor": 1.5}, "yarn_attn_factor has no one meaning"),
        ({"scaling": KINDS.YARN, "yarn_log_mul": 0.1}, "yarn_log_multiplier has no one meaning"),
        (
            {"scaling": KINDS.LINEAR, "factor": 4.0, "attn_factors": 1.5},
            "attn_factor must be 1 where RoPE is linear",
        ),
        (
            {"scaling": KINDS.YARN, "extra": [("rope_freqs.weight", np.ones(2, np.float32))]},
            r"scaled by rope_freqs\.weight or by its metadata, not by both",
        ),
    ],
)
def test_scalings_of_a_gguf_file_that_are_refused(more, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        checkpoints.load(write_gguf(tmp_path / "model.gguf", "llama", **more))


def test_gguf_files_that_do_not_fit(tmp_path):
    strange = [("blk.0.attn_q.bias", np.zeros(16, np.float32))]
    with pytest.raises(ValueError, match=r"'blk\.0\.attn_q\.bias' .* none of a llama model's"):
        checkpoints.load(write_gguf(tmp_path / "a.gguf", "llama", extra=strange))
    with pytest.raises(ValueError, match=r"b\.gguf must hold .* it lacks output_norm\.weight$"):
        checkpoints.load(write_gguf(tmp_path / "b.gguf", "llama", lacks=["model.norm.weight"]))
    lost = [f"model.layers.{i}.mlp.{name}_proj.weight" for i in (0, 1) for name in ("gate", "up", "down")]
    with pytest.raises(
        ValueError, match=r"lacks blk\.0\.ffn_gate\.weight, .*, blk\.1\.ffn_up\.weight and 1 more$"
    ):
        checkpoints.load(write_gguf(tmp_path / "c.gguf", "llama", lacks=lost))


# --- tokenizers ---


def test_byte_pairs_of_a_gguf_file():
    vocabulary = ["a", "b", "Ġ", "1", "2", "ab", "<|end|>", "Ċ"]
    facts = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": vocabulary,
        "tokenizer.ggml.token_type": [1, 1, 1, 1, 1, 1, 3, 1],
        "tokenizer.ggml.merges": ["a b"],
    }
    made = gguf_tokenizers.tokens_of(facts)
    assert made.encode(["ab 12\n", "a<|end|>b", ""]) == [[5, 2, 3, 4, 7], [0, 6, 1], []]
    assert made.decode([[5, 2, 3, 4, 7], [0, 6, 1]]) == ["ab 12\n", "ab"]  # special tokens are not shown
    assert made.token("<|end|>") == 6 and made.token("none") is None
    made.check_fits(8)
    made.check_fits(16)  # padded
    with pytest.raises(ValueError, match="vocabulary of 7 tokens, its largest token is 7"):
        made.check_fits(7)
    with pytest.raises(ValueError, match=r"'t5' .*put the model's tokenizer\.json beside the file"):
        gguf_tokenizers.tokens_of({**facts, "tokenizer.ggml.model": "t5"})
    with pytest.raises(ValueError, match=r"tokenizer\.ggml\.merges"):
        gguf_tokenizers.tokens_of({k: v for k, v in facts.items() if not k.endswith("merges")})
    with pytest.raises(TypeError, match="must be a list of texts"):
        made.encode("ab")


def test_what_a_gguf_file_puts_before_a_text(tmp_path):
    """As its metadata say, else Llama's pieces and the split of Llama 3; it stays so in a tokenizer.json."""
    facts = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": ["a", "b", "c", "ab", "abc", "<|begin|>"],
        "tokenizer.ggml.token_type": [1, 1, 1, 1, 1, 3],
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": 5,
    }
    made = gguf_tokenizers.tokens_of(facts)
    assert made.first() == [5] and made.encode(["abc", "abca"]) == [
        [4],
        [3, 2, 0],
    ]  # a word that is a token is whole
    made.save(tmp_path / "tokenizer.json")
    assert tokens.from_file(tmp_path / "tokenizer.json").first() == [5]
    for change in ({"tokenizer.ggml.add_bos_token": False}, {"tokenizer.ggml.pre": "smollm"}):
        assert gguf_tokenizers.tokens_of(facts | change).first() == []


@pytest.mark.parametrize("prefix", [True, False], ids=["as in Llama 2", "as in Gemma"])
def test_pieces_of_a_gguf_file_are_those_of_sentencepiece(prefix):
    reference = _sentencepiece(prefix)
    facts = _facts(reference, prefix)
    made = gguf_tokenizers.tokens_of(facts)
    rng = np.random.default_rng(0)
    letters = [*"aabcdeeehilnorst     .7", "é", "ß", "漢", "🙂", "the ", "and ", "  ", "tion"]
    letters += [] if prefix else ["\n", *WHOLE]
    texts = ["".join(rng.choice(letters, rng.integers(1, 60))) for _ in range(400)] + _sentences(rng, 100)
    got, wanted = made.encode(texts), [reference.EncodeAsIds(text) for text in texts]
    assert got == wanted
    assert made.decode(wanted) == [reference.DecodeIds(tokens) for tokens in wanted]
    seen = {facts["tokenizer.ggml.token_type"][token] for row in wanted for token in row}
    assert {gguf_tokenizers.NORMAL, gguf_tokenizers.BYTE} <= seen  # both came up
    one, two = made.encode(["re  co", "ing"])
    assert made.encode(["re  co<turn>ing"]) == [[*one, made.token("<turn>"), *two]]


@pytest.mark.parametrize("prefix", [True, False], ids=["as in Llama 2", "as in Gemma"])
def test_a_completion_has_the_tokens_of_the_joined_text(prefix):
    """No second space before it, nor before the words that end a prompt which is cut."""
    reference = _sentencepiece(prefix)
    made = gguf_tokenizers.tokens_of(_facts(reference, prefix))
    words = [sentence[:-1] for sentence in _sentences(np.random.default_rng(2), 50)]
    some = Texts([Pair(f"in: {w} re:", f" {w[:9]}.") for w in words], " re:", "")
    got = encoding.encode(some, made, 200, end=2)
    for row, begin, length, pair in zip(*got.rows.values(), some.pairs, strict=True):
        assert row[:length].tolist() == [*reference.EncodeAsIds(pair.prompt + pair.completion), 2]
        assert row[:begin].tolist() == reference.EncodeAsIds(pair.prompt)
    assert encoding.encode_prompts(some, made, 200).prompts == [
        row[:begin].tolist() for row, begin in zip(got.rows["tokens"], got.rows["begin"], strict=True)
    ]
    cut = encoding.encode_prompts(some, made, 20, too_long="truncate").prompts
    told = made.decode(cut)
    assert min(map(len, cut)) == 20
    assert all(p.prompt.startswith(t.removesuffix(some.tail)) for p, t in zip(some.pairs, told, strict=True))
    # Where a piece reaches over the border, and where there is no prompt.
    prompts, answers = encoding.encode_pairs(made, ["re: ", ""], ["ing", "ing"])
    assert made.decode([p + a for p, a in zip(prompts, answers, strict=True)]) == ["re: ing", "ing"]
    assert answers[1] == reference.EncodeAsIds("ing") and prompts[0] == reference.EncodeAsIds("re: ")


def _facts(reference, prefix):
    """Metadata of a GGUF file with this tokenizer."""
    places = range(reference.GetPieceSize())
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.add_space_prefix": prefix,
        "tokenizer.ggml.tokens": [reference.IdToPiece(i) for i in places],
        "tokenizer.ggml.scores": [reference.GetScore(i) for i in places],
        "tokenizer.ggml.token_type": [_kind(reference, i) for i in places],
    }


def _sentencepiece(prefix):
    """A tokenizer trained on made-up sentences."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(_sentences(np.random.default_rng(1), 500)),
        model_writer=model,
        model_type="bpe",
        vocab_size=450,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=prefix,
        user_defined_symbols=WHOLE,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def _sentences(rng, number):
    """Made-up words that share parts, with spaces more than one here and there."""
    parts = ["the", "re", "in", "ation", "er", "s", "and", "al", "or", "est", "co", "mo", "del", "ing"]
    words = ["".join(rng.choice(parts, rng.integers(1, 4))) for _ in range(200)]
    return [rng.choice([" ", "  "], p=[0.9, 0.1]).join(rng.choice(words, 12)) + "." for _ in range(number)]


def _kind(reference, i):
    kinds = {
        gguf_tokenizers.UNKNOWN: reference.IsUnknown,
        gguf_tokenizers.CONTROL: reference.IsControl,
        gguf_tokenizers.BYTE: reference.IsByte,
    }
    found = [kind for kind, has in kinds.items() if has(i)]
    return gguf_tokenizers.USER if reference.IdToPiece(i) in WHOLE else (found or [gguf_tokenizers.NORMAL])[0]


def test_a_tokenizer_travels_with_its_model(folder, tmp_path):
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"x": 0, "y": 39}, unk_token="x"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(folder / "tokenizer.json"))
    with pytest.warns(
        UserWarning, match="knows 2 tokens of the model's vocabulary of 40: is it the model's?"
    ):
        loaded = checkpoints.load(folder)
    checkpoints.save(tmp_path / "again", loaded)
    with pytest.warns(UserWarning):
        assert checkpoints.load(tmp_path / "again").tokens.encode(["y x"]) == [[39, 0]]
    large = tokenizers.Tokenizer(tokenizers.models.WordLevel({"x": 0, "y": 40}, unk_token="x"))
    large.save(str(folder / "tokenizer.json"))
    with pytest.raises(
        ValueError, match="must fit the model's vocabulary of 40 tokens, its largest token is 40"
    ):
        checkpoints.load(folder)
    (folder / "tokenizer.json").write_text(json.dumps({"no": 1}))
    with pytest.raises(ValueError, match=r"is no tokenizer\.json"):
        checkpoints.load(folder)
