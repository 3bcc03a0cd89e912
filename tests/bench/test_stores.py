"""The cost of a run directory: what is measured again replaces what was, and only under the same setting."""

import json
from pathlib import Path

import pytest

from simcollapse.bench import stores

PUBLISHED = Path(__file__).parents[2] / "benchmarks" / "results" / "runs-cpu-2core.json"


def test_one_question_is_measured_again_and_the_others_stay(monkeypatch):
    before = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    setting = before["setting"] | {"block_sizes": []}
    monkeypatch.setattr(stores, "settings", lambda *_: dict(setting))
    monkeypatch.setitem(stores.QUESTIONS, "devices", lambda: [{"devices": 1, "blocks": 2, "block_s": 0.003}])
    made = stores.measure(("devices",), before)
    assert made["devices"][0]["blocks"] == 2
    assert {**made, "devices": before["devices"]} == before
    assert stores.measure(("devices",)).keys() == {"schema", "chain_rounds", "setting", "devices"}
    assert "| 1 | 2 | 3.00 ms |" in stores.to_markdown(made)
    with pytest.raises(ValueError, match=r"only must be one of .*devices"):
        stores.measure(("device",))
    monkeypatch.setattr(stores, "settings", lambda *_: setting | {"cpu_threads": 77, "block_sizes": []})
    with pytest.raises(ValueError, match="another setting before"):
        stores.measure(("devices",), before)


def test_published_tables_are_those_of_the_published_numbers():
    made = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert stores.to_markdown(made) == PUBLISHED.with_suffix(".md").read_text(encoding="utf-8")
