"""Reading compiled programs: collectives, links and memory traffic against figures by hand."""

import dataclasses
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from flan_jax.parallel.planning import chips, collectives, hlo, network, traffic
from flan_jax.parallel.planning.collectives import Collective

COUNTED_BY_HAND = """
import json
import jax, jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec as P
from flan_jax.parallel.planning import collectives, hlo
mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
def program(x, y):
    c, _ = jax.lax.scan(lambda c, _: (jax.lax.psum(c * 0.5, "b"), None), x, None, length=5)
    gathered = jax.lax.all_gather(y, "a", tiled=True)
    scattered = jax.lax.psum_scatter(jnp.tile(x, 8), ("a", "b"), tiled=True)
    ring = jax.lax.ppermute(y, "b", [(0, 1), (1, 2), (2, 3), (3, 0)])
    return c + gathered.sum() + scattered.sum(), ring
mapped = jax.shard_map(
    program, mesh=mesh, in_specs=(P(), P("a")), out_specs=(P(), P(("a", "b"))), check_vma=False)
compiled = jax.jit(mapped).lower(jnp.ones(4), jnp.ones((4, 3))).compile()
found = collectives.collectives(hlo.parse(compiled.as_text()), 8)
print(json.dumps([collectives.totals(found), [one.groups.tolist() for one in found]]))
"""


def test_collectives_of_a_program_worked_by_hand():
    """float32: x is [4] and y [2, 3] on every device; the psum is in a loop of five."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTED_BY_HAND], capture_output=True, text=True, check=True,
        env=os.environ | {
            "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        },
    )  # fmt: skip
    totals, groups = json.loads(done.stdout)
    assert totals == {
        "all-reduce": {"count": 5, "bytes": 5 * 4 * 4},
        "all-gather": {"count": 1, "bytes": 4 * 3 * 4},
        "reduce-scatter": {"count": 1, "bytes": 32 * 4},
        "collective-permute": {"count": 1, "bytes": 2 * 3 * 4},
    }
    assert [[0, 4], [1, 5], [2, 6], [3, 7]] in groups
    assert [[0, 1, 2, 3], [4, 5, 6, 7]] in groups


# As a TPU's compiler writes it: no trip count is noted, one asynchronous gather lies in two
# fusions of one channel, and a reduce-scatter is an all-reduce in a fusion of that name.
TPU = """HloModule jit_step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  ROOT %b = f32[]{:T(128)} parameter(1)
}

%gather.start (p.0: bf16[8,16]) -> bf16[8,64] {
  %p.0 = bf16[8,16]{1,0:T(8,128)(2,1)} parameter(0)
  ROOT %all-gather.1 = bf16[8,64]{1,0:T(8,128)(2,1)} all-gather(%p.0), channel_id=7, replica_groups=[2,4]<=[8], dimensions={1}, metadata={op_name="jit(step)/jvp()/dot_general"}
}

%gather.step (p.1: bf16[8,16]) -> bf16[8,64] {
  %p.1 = bf16[8,16]{1,0:T(8,128)(2,1)} parameter(0)
  ROOT %all-gather.2 = bf16[8,64]{1,0:T(8,128)(2,1)} all-gather(%p.1), channel_id=7, replica_groups=[2,4]<=[8], dimensions={1}, metadata={op_name="jit(step)/jvp()/dot_general"}
}

%all-reduce-scatter.3 (p.2: bf16[64,32]) -> bf16[16,32] {
  %p.2 = bf16[64,32]{1,0} parameter(0)
  %zero = s32[] constant(0)
  %all-reduce.5 = bf16[64,32]{1,0} all-reduce(%p.2), channel_id=9, replica_groups=[2,4]<=[4,2]T(1,0), to_apply=%add, metadata={op_name="jit(step)/transpose(jvp())/dot_general"}
  ROOT %slice.1 = bf16[16,32]{1,0} dynamic-slice(%all-reduce.5, %zero, %zero), dynamic_slice_sizes={16,32}
}

%body (state: (s32[], bf16[8,16], bf16[64,32])) -> (s32[], bf16[8,16], bf16[64,32]) {
  %state = (s32[]{:T(128)}, bf16[8,16]{1,0}, bf16[64,32]{1,0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%state), index=0
  %x = bf16[8,16]{1,0} get-tuple-element(%state), index=1
  %g = bf16[64,32]{1,0} get-tuple-element(%state), index=2
  %fusion.1 = bf16[8,64]{1,0} fusion(%x), kind=kCustom, calls=%gather.start
  %fusion.2 = bf16[8,64]{1,0} fusion(%x), kind=kCustom, calls=%gather.step
  %fusion.3 = bf16[16,32]{1,0} fusion(%g), kind=kCustom, calls=%all-reduce-scatter.3
  %permute.s = (bf16[8,16]{1,0}, bf16[8,16]{1,0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%x), channel_id=11, source_target_pairs={{0,1},{1,0}}
  %permute.d = bf16[8,16]{1,0} collective-permute-done(%permute.s)
  %weight = f32[32,64]{1,0} all-reduce(%x), channel_id=12, replica_groups=mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'b'}, to_apply=%add, metadata={op_name="jit(step)/jvp()/convert"}
  %token = token[] after-all()
  %sent = (bf16[8,16]{1,0}, u32[], token[]) send(%x, %token), channel_id=13, is_host_transfer=true, frontend_attributes={_xla_megascale_reduce_operation="SUM",_xla_megascale_transfer_type="ALL_REDUCE"}
  ROOT %next = (s32[]{:T(128)}, bf16[8,16]{1,0}, bf16[64,32]{1,0}) tuple(%i, %permute.d, %g)
}

%cond (state.1: (s32[], bf16[8,16], bf16[64,32])) -> pred[] {
  %state.1 = (s32[]{:T(128)}, bf16[8,16]{1,0}, bf16[64,32]{1,0}) parameter(0)
  %i.1 = s32[]{:T(128)} get-tuple-element(%state.1), index=0
  %bound = s32[]{:T(128)} constant(24)
  ROOT %lt = pred[]{:T(512)} compare(%i.1, %bound), direction=LT
}

ENTRY %main (arg: (s32[], bf16[8,16], bf16[64,32])) -> (s32[], bf16[8,16], bf16[64,32]) {
  %arg = (s32[]{:T(128)}, bf16[8,16]{1,0}, bf16[64,32]{1,0}) parameter(0)
  ROOT %while.1 = (s32[]{:T(128)}, bf16[8,16]{1,0}, bf16[64,32]{1,0}) while(%arg), condition=%cond, body=%body, metadata={op_name="jit(step)/jvp()/while"}
}
"""  # noqa: E501


def test_the_notation_of_tpus_is_read():
    found = collectives.collectives(hlo.parse(TPU), 8)
    assert collectives.totals(found) == {
        "all-gather": {"count": 24, "bytes": 24 * 8 * 64 * 2},
        "reduce-scatter": {"count": 24, "bytes": 24 * 64 * 32 * 2},
        "collective-permute": {"count": 24, "bytes": 24 * 8 * 16 * 2},
        "all-reduce": {"count": 24, "bytes": 24 * 32 * 64 * 4},
        "between-slices": {"count": 24, "bytes": 24 * 8 * 16 * 2},
    }
    groups = {one.kind: one.groups.tolist() for one in found}
    assert groups["all-gather"] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert groups["reduce-scatter"] == [[0, 2, 4, 6], [1, 3, 5, 7]]
    # Devices 0..7 as [2, 4], transposed to [4, 2]: b runs over 0 and 4, 1 and 5 ...
    assert groups["all-reduce"] == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_a_weight_that_is_reduced_in_the_forward_pass_is_found():
    found = collectives.collectives(hlo.parse(TPU), 8)
    (bad,) = collectives.forward_weight_all_reduces(found, [(64, 32)])
    assert (bad.kind, bad.times, bad.shapes) == ("all-reduce", 24, ((32, 64),))
    assert not collectives.forward_weight_all_reduces(found, [(64, 33)])
    gradient = dataclasses.replace(bad, op_name="jit(step)/transpose(jvp())/dot_general")
    assert not collectives.forward_weight_all_reduces([gradient], [(64, 32)])
    of_loss = dataclasses.replace(bad, op_name="jit(step)/jvp(loss_and_gradient)/while")
    assert not collectives.forward_weight_all_reduces([of_loss], [(64, 32)])
    again = dataclasses.replace(bad, op_name=gradient.op_name + "/rematted_computation/dot")
    assert collectives.forward_weight_all_reduces([again], [(64, 32)])


def test_a_loop_of_unknown_length_is_refused():
    unknown = TPU.replace("constant(24)", "get-tuple-element(%state.1), index=0")
    with pytest.raises(ValueError, match="while.1.*how often it runs is not known"):
        collectives.collectives(hlo.parse(unknown), 8)
    with pytest.raises(ValueError, match="no ENTRY"):
        hlo.parse("HloModule nothing\n")


TRAFFIC = """HloModule jit_f

%sliced (stack: f32[10,100], i: s32[]) -> f32[100] {
  %stack = f32[10,100]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %zero = s32[] constant(0)
  %one = f32[1,100]{1,0} dynamic-slice(%stack, %i, %zero), dynamic_slice_sizes={1,100}
  ROOT %flat = f32[100]{0} bitcast(%one)
}

%updated (whole: f32[10,100], row: f32[1,100], j: s32[]) -> f32[10,100] {
  %whole = f32[10,100]{1,0} parameter(0)
  %row = f32[1,100]{1,0} parameter(1)
  %j = s32[] parameter(2)
  %zero.1 = s32[] constant(0)
  ROOT %new = f32[10,100]{1,0} dynamic-update-slice(%whole, %row, %j, %zero.1)
}

ENTRY %main (a: f32[100], b: f32[100], s: f32[10,100], n: s32[]) -> f32[10,100] {
  %a = f32[100]{0} parameter(0)
  %b = f32[100]{0} parameter(1)
  %s = f32[10,100]{1,0} parameter(2)
  %n = s32[] parameter(3)
  %sum = f32[100]{0} add(%a, %b)
  %near = f32[100]{0:T(128)S(1)} multiply(%sum, %b)
  %layer = f32[100]{0} fusion(%s, %n), kind=kLoop, calls=%sliced
  %flat.1 = f32[1,100]{1,0} bitcast(%layer)
  ROOT %out = f32[10,100]{1,0} fusion(%s, %flat.1, %n), kind=kLoop, calls=%updated
}
"""


def test_memory_traffic_by_hand():
    row, index = 100 * 4, 4
    total = 3 * row  # the sum reads two and writes one
    total += 2 * row  # the product reads two; its result stays on the chip
    total += 2 * row + index  # a layer of the stack is read and written
    total += 2 * row + index  # a layer is read and written into the stack, which stays in place
    assert traffic.hbm_bytes(hlo.parse(TRAFFIC)) == total


def torus(sizes, closed, slices=None):
    coordinates = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), -1)
    coordinates = coordinates.reshape(-1, len(sizes))
    if slices is None:
        slices = np.zeros(len(coordinates), int)
    return network.Torus(coordinates, slices, closed)


def collective(kind, size, groups, times=1):
    return Collective(kind, times, size, (), np.array(groups), "")


def test_links_of_a_torus_by_hand():
    chip = dataclasses.replace(chips.CHIPS["v5p"], link_bandwidth=1.0, network_bandwidth=0.5)
    cube = torus((4, 4, 4), (True,) * 3)
    line = [[0, 1, 2, 3]]  # along z
    gather = collective("all-gather", 80.0, line, times=2)
    # 3/4 of 80 bytes come in from two sides, twice.
    assert network.link_seconds([gather], cube, chip) == {"z+": 60, "z-": 60}
    reduce = collective("all-reduce", 80.0, [list(range(16))])  # the plane of y and z
    seconds = network.link_seconds([reduce], cube, chip)
    assert seconds == dict.fromkeys(("y+", "y-", "z+", "z-"), 2 * 80 * 15 / 16 / 4)
    # A line that is no ring takes everything from one side; every second chip shares its links.
    opened = torus((4, 4, 4), (False,) * 3)
    assert network.link_seconds([gather], opened, chip) == {"z+": 120, "z-": 120}
    halves = collective("all-gather", 80.0, [[0, 2]])
    assert network.link_seconds([halves], cube, chip) == {"z+": 80, "z-": 80}
    ring = [[i, i // 4 * 4 + (i + 1) % 4] for i in range(64)]
    assert network.link_seconds([collective("collective-permute", 8.0, ring)], cube, chip) == {
        "z+": 8
    }


def test_slices_exchange_what_each_chip_holds():
    chip = dataclasses.replace(chips.CHIPS["v6e"], link_bandwidth=1.0, network_bandwidth=0.5)
    both = torus((8, 4), (False, False), np.repeat([0, 1], 16))
    both = dataclasses.replace(both, coordinates=both.coordinates % 4)
    reduce = collective("all-reduce", 160.0, [[0, 1, 2, 3, 16, 17, 18, 19]])
    seconds = network.link_seconds([reduce], both, chip)
    # Each of the four chips of a slice exchanges its quarter, at half a byte a second.
    assert seconds["between-slices"] == 2 * (160 / 4) / 2 / 0.5
    assert seconds["y+"] == 2 * 160 * 3 / 4
    # A buffer that the compiler hands to the hosts goes to the other of two slices once.
    handed = collective("between-slices", 40.0, [list(range(32))])
    assert network.link_seconds([handed], both, chip) == {"between-slices": 40 / 0.5}


def devices(*coords):
    return [types.SimpleNamespace(coords=one, slice_index=0) for one in coords]


def test_which_axes_are_rings():
    cube = devices(*np.ndindex(4, 4, 8))
    assert network.torus(chips.CHIPS["v4"], cube).closed == (True, True, True)
    assert network.torus(chips.CHIPS["v4"], devices(*np.ndindex(2, 2, 4))).closed == (False,) * 3
    plane = devices(*((*place, 0) for place in np.ndindex(8, 16)))
    assert network.torus(chips.CHIPS["v5e"], plane).closed == (False, True)
