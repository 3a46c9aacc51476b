"""How many bytes a compiled program moves between a chip and its memory.

The compiler's own "bytes accessed" counts a loop's body once. Here every instruction outside of
fusions reads its operands and writes its results once each time it runs; what a fusion does in
between stays on the chip. Arrays that the compiler placed in on-chip memory cost nothing, and of
an operand that is only sliced (one layer of a stack) just the slice is read.
"""

from collections.abc import Sequence

from flan_jax.parallel.planning import hlo

# They name, regroup or wait for arrays that others have written, or only run other computations.
_FREE = {
    "parameter", "constant", "get-tuple-element", "tuple", "bitcast", "while", "conditional",
    "call", "after-all", "add-dependency", "opt-barrier", "partition-id", "replica-id", "iota",
    "domain", "async-start", "async-update",
}  # fmt: skip
_SLICES = {"dynamic-slice", "slice", "gather"}
# Inside a fusion these compute no more than what is read of them.
_PASSES_ON = {"bitcast", "convert", "copy", "pad", "reshape", "transpose"}


def hbm_bytes(module: hlo.Module) -> float:
    """Returns the bytes that one device reads from and writes to its memory in one run.

    Raises:
      ValueError: for a loop of unknown length.
    """
    cost: dict[str, dict[str, float]] = {}
    total = 0.0
    for one in hlo.executions(module):
        if one.fused or one.instruction.opcode in _FREE:
            continue
        if one.instruction.opcode.endswith("-done"):
            continue
        if one.computation not in cost:
            cost[one.computation] = _costs(module, one.computation)
        total += one.times * cost[one.computation][one.instruction.name]
    return total


def _costs(module: hlo.Module, computation: str) -> dict[str, float]:
    """Bytes of each instruction of one computation."""
    instructions = {one.name: one for one in module.computations[computation]}
    return {name: _cost(module, one, instructions) for name, one in instructions.items()}


def _cost(
    module: hlo.Module, one: hlo.Instruction, instructions: dict[str, hlo.Instruction]
) -> float:
    operands = [_hbm(instructions[name].results) for name in one.operands if name in instructions]
    written = _hbm(one.results)
    if one.opcode in _SLICES:
        return 2 * written
    if one.opcode == "dynamic-update-slice":
        return 2 * operands[1]
    if one.opcode != "fusion":
        return written + sum(operands)
    body = module.computations[one.called[0]]
    read = [min(size, _read(module, body, index)) for index, size in enumerate(operands)]
    update = _update_in_place(body)
    return sum(read) + (written if update is None else update)


def _hbm(arrays: Sequence[hlo.Array]) -> float:
    return float(sum(array.bytes for array in arrays if array.in_hbm))


def _bytes(one: hlo.Instruction) -> float:
    return float(sum(array.bytes for array in one.results))


def _read(module: hlo.Module, body: list[hlo.Instruction], index: int) -> float:
    """Most bytes that a fusion reads of one operand: its slices, if it is only sliced."""
    parameters = [one for one in body if one.opcode == "parameter"]
    name = next(one.name for one in parameters if one.rest.startswith(f"{index})"))
    total = 0.0
    names = {name}
    for one in body:
        for place, operand in enumerate(one.operands):
            if operand not in names:
                continue
            if one.opcode in _PASSES_ON and place == 0 and not one.root:
                names.add(one.name)
            elif one.opcode in _SLICES and place == 0:
                total += _bytes(one)
            elif one.opcode == "fusion":
                total += _read(module, module.computations[one.called[0]], place)
            elif one.opcode == "dynamic-update-slice" and place == 0:
                pass  # replaced in place: what is not written is not read either
            else:
                return float("inf")
    return total


def _update_in_place(body: list[hlo.Instruction]) -> float | None:
    """Bytes of the update, if the fusion's result is an operand with a slice replaced."""
    named = {one.name: one for one in body}
    root = next(one for one in body if one.root)
    while root.opcode == "bitcast":
        root = named[root.operands[0]]
    if root.opcode != "dynamic-update-slice":
        return None
    return _bytes(named[root.operands[1]])
