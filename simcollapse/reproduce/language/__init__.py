"""Language models retrained on what they wrote: [Yi26] §5.3 (v3), [Feng24] §6.2 (v2), [Kazdan24] §2.3 and §4 (v4).

One set of runs under all of them (`runs`): a generator tuned on real texts, arms that differ in verifier, share,
workflow or amount, and a model for each. What a claim asks, the statistic that answers and the seeds are fixed in the
pictures' modules before a run. Scale `quick` is another problem than the papers': a decoder of bytes and the made
language, whose truth a parser decides. `--model` and `--data` put a checkpoint and real texts in its place.
"""
