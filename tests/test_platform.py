"""What programs for a platform are compiled with."""

import jax
from jax.sharding import AbstractDevice, AbstractMesh

from flan_jax.parallel import platform


def test_a_cpus_options_are_those_that_this_xla_has(monkeypatch):
    # A name that XLA no longer has would be left out without a word: then find the new one.
    assert platform.compiler_options() == platform._CPU_OPTIONS
    unknown = {"xla_cpu_of_another_version": "1", "xla_cpu_scheduler_type": "NO_SUCH_ORDER"}
    monkeypatch.setattr(platform, "_CPU_OPTIONS", unknown)
    assert platform.compiler_options() == {}


def test_code_asks_the_mesh_which_platform_it_is_compiled_for():
    assert platform.compiled_for() == jax.default_backend()
    for name in ("tpu", "gpu"):
        device = AbstractDevice(device_kind=name, num_cores=None, platform=name)
        mesh = AbstractMesh((1,), ("data",), abstract_device=device)
        with jax.sharding.use_abstract_mesh(mesh):
            assert platform.compiled_for() == name
            assert platform.compiler_options() is None
