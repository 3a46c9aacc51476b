"""Meshes from one line, over slices and tori, and what is said where they do not fit."""

import dataclasses
import itertools

import jax
import pytest
from jax.sharding import AbstractMesh, AxisType
from small_models import DECODER_ONLY, ENCODER_DECODER

from flan_jax.data.feed import FeedConfig
from flan_jax.model import transformer
from flan_jax.parallel import divisibility, rules
from flan_jax.parallel.divisibility import Split
from flan_jax.parallel.mesh import (
    AXES,
    MeshConfig,
    across_slices,
    describe,
    device_grid,
    make_mesh,
    resolve,
    torus_note,
)
from flan_jax.train import mesh_fit


@dataclasses.dataclass(frozen=True)
class Device:
    """What the layout asks of a device."""

    id: int
    process_index: int = 0
    platform: str = "cpu"
    device_kind: str = "cpu"
    coords: tuple[int, ...] = (0, 0, 0)
    core_on_chip: int = 0
    slice_index: int = 0


def torus(*sides, slices=1, kind="TPU v4"):
    places = itertools.product(range(slices), *map(range, sides))
    return [
        Device(number, number // 4, "tpu", kind, tuple(coords), 0, slice_index)
        for number, (slice_index, *coords) in enumerate(places)
    ]


@pytest.mark.parametrize(
    ("config", "devices", "shape"),
    [
        (MeshConfig(), 8, (8, 1, 1, 1)),
        (MeshConfig(fsdp=2), 8, (4, 2, 1, 1)),
        (MeshConfig(data=1, fsdp=-1, tensor=4), 64, (1, 16, 4, 1)),
        (MeshConfig(data=2, fsdp=2, tensor=2), 8, (2, 2, 2, 1)),
    ],
)
def test_the_rest_of_the_devices_goes_to_the_open_axis(config, devices, shape):
    assert resolve(config, devices) == shape


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("data=2,fsdp=4", MeshConfig(2, 4)),
        ("fsdp=-1", MeshConfig(1, -1)),
        ("tensor=2, sequence=4", MeshConfig(-1, 1, 2, 4)),
        ("data=2,fsdp=-1,slices=2", MeshConfig(2, -1, slices=2)),
        ("", MeshConfig()),
    ],
)
def test_the_short_form(text, config):
    assert MeshConfig.parse(text) == config
    assert MeshConfig.parse(describe(resolve(config, 8))).sizes == resolve(config, 8)


@pytest.mark.parametrize("text", ["fdsp=2", "fsdp=two", "data=2,data=4", "fsdp", "8"])
def test_a_line_that_is_not_understood_names_the_part(text):
    with pytest.raises(ValueError, match=r"not understood. Expected name=number .*'data=2,fsdp"):
        MeshConfig.parse(text)


@pytest.mark.parametrize("sizes", [{"data": -1, "fsdp": -1}, {"tensor": 0}, {"data": -2}])
def test_impossible_axis_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="at most one of them -1"):
        MeshConfig(**sizes)
    with pytest.raises(ValueError, match="at least one slice"):
        MeshConfig(slices=0)


def test_a_mesh_that_does_not_divide_names_counts_and_shapes_that_work():
    with pytest.raises(ValueError) as error:
        resolve(MeshConfig(data=-1, fsdp=3), 8)
    assert "Mesh data=-1,fsdp=3 needs a multiple of 3 devices, but there are 8" in str(error.value)
    assert "work: data=2,fsdp=4 or data=4,fsdp=2 or" in str(error.value)
    with pytest.raises(ValueError, match="a total of 16 devices, but there are 8"):
        resolve(MeshConfig(data=4, fsdp=4), 8)


def test_a_mesh_of_one_device_has_four_auto_axes():
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    assert mesh.axis_names == ("data", "fsdp", "tensor", "sequence")
    assert set(mesh.axis_types) == {AxisType.Auto}
    assert rules.host_share(mesh) == (0, 1)


def slices_of(grid, axis):
    """The slices that are met along one axis, from its first device."""
    start = [0] * grid.ndim
    start[axis] = slice(None)
    return [device.slice_index for device in grid[tuple(start)]]


def test_data_then_fsdp_run_across_slices():
    assert across_slices((4, 8, 2, 1), 8) == (4, 2, 1, 1)
    assert across_slices((3, 4, 1, 1), 2) == (1, 2, 1, 1)
    assert across_slices((1, 3, 4, 1), 2) is None
    devices = torus(4, 4, 1, slices=2)
    grid = device_grid(MeshConfig(data=4, fsdp=4, tensor=2), devices)
    assert slices_of(grid, 0) == [0, 0, 1, 1]
    assert {*slices_of(grid, 1), *slices_of(grid, 2)} == {0}
    grid = device_grid(MeshConfig(data=1, fsdp=-1, tensor=4, slices=2), devices)
    assert slices_of(grid, 1) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert slices_of(grid, 2) == [0, 0, 0, 0]


def test_slices_of_other_devices_are_runs_of_neighbours():
    devices = [Device(number, number // 4) for number in range(8)]
    grid = device_grid(MeshConfig(data=2, fsdp=4, slices=2), devices[::-1])
    assert [[device.id for device in row] for row in grid[:, :, 0, 0]] == [
        [0, 1, 2, 3], [4, 5, 6, 7],
    ]  # fmt: skip


def test_slices_that_do_not_fit_are_explained():
    with pytest.raises(ValueError, match="slices=3, but the devices report 2: leave slices out"):
        device_grid(MeshConfig(slices=3), torus(2, 2, 1, slices=2))
    with pytest.raises(ValueError, match="slices=3 does not divide 8 devices.*slices=2"):
        device_grid(MeshConfig(slices=3), [Device(number) for number in range(8)])
    with pytest.raises(ValueError) as error:
        device_grid(MeshConfig(data=1, tensor=32), torus(4, 4, 1, slices=2))
    assert "tensor=32 does not divide over 2 slices" in str(error.value)
    assert "data=2,tensor=16" in str(error.value)


def test_a_split_torus_axis_is_told_with_a_mesh_that_splits_none():
    devices = torus(4, 4, 4)
    assert torus_note(MeshConfig(data=1, fsdp=16, tensor=4), devices) is None
    note = torus_note(MeshConfig(data=1, fsdp=32, tensor=2), devices)
    assert "data=1,fsdp=32,tensor=2 splits an axis of the 4x4x4 torus" in note
    assert "The nearest that split none: data=1,fsdp=16,tensor=4 or" in note
    assert device_grid(MeshConfig(data=1, fsdp=32, tensor=2), devices).shape == (1, 32, 2, 1)
    two = torus(4, 4, 4, slices=2)
    assert torus_note(MeshConfig(data=2, fsdp=16, tensor=4), two) is None
    note = torus_note(MeshConfig(data=2, fsdp=8, tensor=8), two)
    assert "data=2,fsdp=8,tensor=8, data=1,fsdp=8,tensor=8 in each slice, splits" in note
    assert "data=2,fsdp=16,tensor=4" in note
    flat = torus(8, 8, 1, kind="TPU v5 lite")
    assert "the 8x8 torus" in torus_note(MeshConfig(data=1, fsdp=16, tensor=4), flat)
    assert torus_note(MeshConfig()) is None


def problems(config, shape, *splits):
    """What is said of a model and other sizes on a mesh of this shape."""
    parameters = divisibility.parameter_splits(
        transformer.logical_axes(config), transformer.abstract(config)
    )
    with pytest.raises(ValueError) as error:
        divisibility.check(AbstractMesh(shape, AXES), [*splits, *parameters])
    return str(error.value)


def test_parameters_that_do_not_divide_are_all_named():
    text = problems(dataclasses.replace(ENCODER_DECODER, d_ff=50), (1, 1, 4, 1))
    assert "parameter embedding (vocab) is 50, not a multiple of tensor = 4" in text
    assert "feed_forward/down (mlp) is 50" in text
    assert "The nearest that work: data=2,tensor=2 or" in text
    assert "data=1,fsdp=2,tensor=2." in text


@pytest.mark.parametrize(
    ("split", "shape", "said", "proposed"),
    [
        (Split("rows", 6, "batch"), (4, 2, 1, 1), "6, not a multiple of data x fsdp = 8", "data=2"),
        (Split("heads", 6, "heads"), (2, 1, 4, 1), "6, not a multiple of tensor = 4", "tensor=2"),
        (
            Split("inputs", 24, "length"), (1, 1, 1, 16),
            "inputs is 24, not a multiple of sequence = 16", "sequence=8",
        ),
    ],
)  # fmt: skip
def test_rows_heads_and_positions_that_do_not_divide(split, shape, said, proposed):
    text = problems(dataclasses.replace(DECODER_ONLY, vocab_size=64), shape, split)
    assert said in text
    assert proposed in text.split("work: ")[1]


def test_a_size_that_no_mesh_divides_is_told():
    splits = Split("rows", 5, "batch"), Split("tokens", 5, "length")
    text = problems(DECODER_ONLY, (7, 1, 1, 1), *splits)
    assert text.endswith("There are no meshes of 7 devices that work.")


def test_a_run_is_checked_before_it_starts():
    model = dataclasses.replace(DECODER_ONLY, vocab_size=64)
    feed = FeedConfig(40, 8, batch_size=12, architecture="decoder_only")
    mesh_fit.check(AbstractMesh((2, 2, 1, 16), AXES), model, feed)
    with pytest.raises(ValueError) as error:
        mesh_fit.check(AbstractMesh((8, 1, 8, 1), AXES), model, feed)
    assert "FeedConfig.batch_size is 12, not a multiple of data x fsdp = 8" in str(error.value)
    assert "ModelConfig.num_heads is 4, not a multiple of tensor = 8" in str(error.value)
    with pytest.raises(ValueError, match=r"inputs_length \+ targets_length is 48, .* = 32"):
        mesh_fit.check(AbstractMesh((1, 1, 1, 32), AXES), model, feed)
    # Where it is scored, its rows and their lengths are no matter.
    mesh_fit.check_model(AbstractMesh((1, 1, 1, 32), AXES), model)
    with pytest.raises(ValueError, match="ModelConfig.num_heads"):
        mesh_fit.check_model(AbstractMesh((8, 1, 8, 1), AXES), model)
    encoder_decoder = dataclasses.replace(ENCODER_DECODER, vocab_size=64)
    with pytest.raises(ValueError, match="FeedConfig.targets_length is 8, .*= 16"):
        mesh_fit.check(
            AbstractMesh((1, 1, 1, 16), AXES), encoder_decoder, FeedConfig(48, 8, batch_size=12)
        )
