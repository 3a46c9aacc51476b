"""The collection `flan2022`: its shares, realised; and inverted inputs."""

import collections
import inspect

import numpy as np
import pytest
import seqio

import tasks
from flan_jax.data import mixing, registry, seqio_rows, variants
from flan_jax.data.declarations import DeclarationError
from flan_jax.data.forms import Form
from flan_jax.data.inversion import inverted
from flan_jax.data.rendering import Drops, render_task
from flan_jax.data.templates import Template
from tasks import cot, flan2022, nli
from tasks.templates.inversion import INVERSION

STREAM = 100_000


@pytest.fixture(scope="module")
def fresh():
    """Empty registries; what was in them comes back afterwards."""
    kept = [(one, dict(one._REGISTRY)) for one in (seqio.TaskRegistry, seqio.MixtureRegistry)]
    for one, _ in kept:
        one._REGISTRY = {}
    yield
    for one, entries in kept:
        one._REGISTRY = entries


@pytest.fixture(scope="module")
def rates(data_dir, fresh):
    """Rates of what the data folder has of the mixture, and the tasks that it lacks."""
    tasks.register("flan2022", data_dir=str(data_dir))
    found = seqio_rows.rates("flan2022", ())
    missing = {task for task, rate in found.items() if isinstance(rate, Exception)}
    return seqio_rows.rates("flan2022", missing), missing


def _tasks(mixture):
    return {task.name for task in seqio.MixtureRegistry.get(mixture).tasks}


def test_the_stream_follows_the_declared_shares(rates):
    rates, missing = rates
    assert not set(rates) & missing
    names = list(rates)
    mixer = mixing.mixer(names, list(rates.values()), [10**6] * len(names), seed=0)
    counts = mixing.apportion(mixer, STREAM)
    assert counts.sum() == STREAM
    seen = dict(zip(names, counts.tolist(), strict=True))
    present = {part: share for part, share in flan2022.SHARES.items()
               if _tasks(f"flan2022_{part}") & set(names)}  # fmt: skip
    assert set(flan2022.SHARES) - set(present) == {"dialog"}  # no set of it is in the data folder
    for part, share in present.items():
        ours = sum(seen[task] for task in _tasks(f"flan2022_{part}") & set(names))
        assert ours / STREAM == pytest.approx(share / sum(present.values()), abs=0.01)
    for form in flan2022.FORMS:
        mixture = f"flan2022_flan2021_{form}"
        inside = seqio_rows.rates(mixture, missing)
        # Tasks without options are in two forms' mixtures under one name.
        assert set(inside) <= set(names) and max(inside.values()) <= flan2022.CAPS["flan2021"]


def test_inverted_inputs_have_their_weight(rates):
    rates, _ = rates
    shares = collections.Counter()
    for task, rate in rates.items():
        if task.startswith("cot_"):
            shares["inverted" if "_inverted:" in task else "straight"] += rate
    assert shares["inverted"] / shares["straight"] == pytest.approx(0.3)


def test_absent_parts_are_named_and_the_rest_is_mixed(tmp_path, small_vocabulary, clean_registries):
    for registered in (seqio.TaskRegistry, seqio.MixtureRegistry):
        registered._REGISTRY = {}
    with pytest.warns(UserWarning) as caught:
        flan2022.register(str(tmp_path), small_vocabulary)
    said = [str(one.message) for one in caught if "without its part" in str(one.message)]
    assert len(said) == 2 and "'t0'" in said[0] and "'niv2'" in said[1]
    inside = {one.name for one in seqio.MixtureRegistry.get("flan2022")._sub_mixtures}
    assert inside == {"flan2022_flan2021", "flan2022_cot", "flan2022_dialog"}


def test_an_inverted_task_wants_the_prompt():
    turned = inverted(nli.rte, INVERSION)
    assert (turned.name, turned.cluster, turned.has_options) == ("rte_inverted", "nli", False)
    assert turned.origins == nli.rte.origins
    drops = Drops()
    (group,) = render_task(turned, Form(), [nli.rte.example], seed=0, drops=drops, locate=str)
    (straight,) = render_task(nli.rte, Form(), [nli.rte.example], seed=0, drops=drops, locate=str)
    assert len(group) == 10 and not drops.counts
    prompts = {one.inputs for one in straight}
    for one in group:
        assert one.targets in prompts and "yes" in one.inputs
        assert "{" not in one.inputs + one.targets
    bare = inverted(nli.rte, INVERSION, with_options=False)
    assert "OPTIONS" not in bare(nli.rte.example)["answer"]


def test_rows_take_all_templates_and_keep_theirs():
    turned = inverted(cot.DECLARATIONS[0], INVERSION)
    row = dict(cot.DECLARATIONS[0].example)
    assert turned(row) == turned(row)
    chosen = collections.Counter()
    for number in range(60):
        example = nli.rte.example | {"hypothesis": f"Fact {number} is so."}
        fields = inverted(nli.rte, INVERSION)(example)
        chosen[fields["answer"].replace(f"Fact {number} is so.", "")] += 1
    assert len(chosen) == 7  # as many as ask for the answer


def test_the_text_of_an_inverted_row_is_the_same_in_every_process():
    text = variants._source_text(inverted(nli.rte, INVERSION).row)
    assert " at 0x" not in text and inspect.getsource(nli.rte.row) in text


def test_what_cannot_be_inverted_is_refused():
    with pytest.raises(DeclarationError, match="inversion template 0 must have {reply}"):
        inverted(nli.rte, (Template("What was asked?"),))


def test_inversion_templates_differ():
    texts = [one.inputs for one in INVERSION]
    assert len(set(texts)) == 10 and not any(one.turned_around for one in INVERSION)
    lengths = np.array([len(text.split()) for text in texts])
    assert lengths.max() >= 5 * lengths.min()


def test_registering_again_does_nothing(rates, data_dir):
    before = len(seqio.TaskRegistry.names())
    tasks.register("flan2022", data_dir=str(data_dir))
    assert len(seqio.TaskRegistry.names()) == before
    assert registry.variant("rte_inverted:zero_shot") is None
