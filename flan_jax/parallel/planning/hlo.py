"""Reads the text of a compiled XLA program: instructions, and how often each computation runs.

The compiler's own cost analysis counts the body of a loop once. Here the bodies are multiplied by
their trip counts, which makes a stack of scanned layers count as often as it has layers.
"""

import dataclasses
import math
import re

# https://openxla.org/xla/shapes; sub-byte types are stored one to a byte here.
_DTYPE_BYTES = {
    "pred": 1, "s4": 1, "u4": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4,
    "s64": 8, "u64": 8, "f16": 2, "bf16": 2, "f32": 4, "f64": 8, "c64": 8, "c128": 16,
    "f8e4m3fn": 1, "f8e5m2": 1, "f8e4m3b11fnuz": 1,
}  # fmt: skip
_ARRAY = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\](\{[^}]*\})?")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][a-z0-9\-]*)\((.*)$")
_CALLED = re.compile(r"\b(calls|to_apply|body|condition)=%?([\w.\-]+)")
_BRANCHES = re.compile(
    r"\b(?:branch_computations=\{([^}]*)\}|(?:true|false)_computation=%?([\w.\-]+))"
)


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of an instruction's result.

    Attributes:
      dtype: XLA's name.
      shape: dimensions on one device.
      in_hbm: False if the compiler placed it in on-chip memory.
    """

    dtype: str
    shape: tuple[int, ...]
    in_hbm: bool

    @property
    def bytes(self) -> int:
        return _DTYPE_BYTES.get(self.dtype, 0) * math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
      name: unique in its computation.
      opcode: e.g. "fusion".
      results: arrays of the result, several for a tuple.
      operands: names of instructions of the same computation.
      rest: everything behind the opening bracket: operands and attributes.
      root: whether it is the computation's result.
    """

    name: str
    opcode: str
    results: tuple[Array, ...]
    operands: tuple[str, ...]
    rest: str
    root: bool

    @property
    def op_name(self) -> str:
        """Where in the traced Python program it comes from."""
        match = re.search(r'op_name="([^"]*)"', self.rest)
        return match[1] if match else ""

    def attribute(self, name: str) -> str | None:
        """The computation that an attribute such as "body" names."""
        match = re.search(rf"\b{name}=%?([\w.\-]+)", self.rest)
        return match[1] if match else None

    @property
    def called(self) -> tuple[str, ...]:
        """Computations that run once when the instruction runs; none for a loop."""
        if self.opcode == "while":
            return ()
        names = [name for kind, name in _CALLED.findall(self.rest) if kind == "calls"]
        if self.opcode in ("call", "async-start"):
            names += [name for kind, name in _CALLED.findall(self.rest) if kind == "to_apply"]
        for listed, single in _BRANCHES.findall(self.rest):
            names += [part.strip().lstrip("%") for part in listed.split(",") if part.strip()]
            names += [single] if single else []
        return tuple(names)


@dataclasses.dataclass(frozen=True)
class Module:
    """A compiled program.

    Attributes:
      entry: name of the computation that runs.
      computations: instructions by computation.
    """

    entry: str
    computations: dict[str, list[Instruction]]


def parse(text: str) -> Module:
    """Reads the text of a compiled program (`jax.stages.Compiled.as_text`).

    Raises:
      ValueError: if it has no entry computation.
    """
    computations: dict[str, list[Instruction]] = {}
    entry, current = None, None
    for line in text.splitlines():
        if not line.startswith(" "):
            header = _COMPUTATION.match(line)
            if header:
                current = computations.setdefault(header[2], [])
                entry = header[2] if header[1] else entry
            continue
        instruction = _INSTRUCTION.match(line) if current is not None else None
        if instruction:
            current.append(_read(instruction))
    if entry is None:
        raise ValueError("The text has no ENTRY computation; give the text of a compiled program.")
    return Module(entry, computations)


def _read(match: re.Match) -> Instruction:
    root, name, result, opcode, rest = match.groups()
    end = _closing_bracket(rest)
    return Instruction(
        name,
        opcode,
        tuple(_arrays(result)),
        tuple(re.findall(r"%([\w.\-]+)", rest[:end])),
        rest,
        bool(root),
    )


def _closing_bracket(text: str) -> int:
    """Where the bracket that was open before `text` closes."""
    depth = 1
    for match in re.finditer(r"[()]", text):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return match.start()
    return len(text)


def _arrays(text: str) -> list[Array]:
    return [
        Array(
            dtype,
            tuple(int(size) for size in sizes.split(",") if size),
            # "S(n)" in a layout is a memory space; 0, the default, is HBM.
            in_hbm=not re.search(r"S\([1-9]\d*\)", layout or ""),
        )
        for dtype, sizes, layout in _ARRAY.findall(text)
        if dtype in _DTYPE_BYTES
    ]


def trip_count(module: Module, loop: Instruction) -> int:
    """Returns how often the body of a `while` runs.

    The compiler's note is taken where there is one, else the bound that the condition compares
    its counter with: loops of `jax.lax.scan` and of the partitioner count from 0 by ones.

    Raises:
      ValueError: for a loop whose length is known to the running program alone.
    """
    noted = re.search(r'known_trip_count"?[:=]\{"?n"?[:=]"?(\d+)', loop.rest)
    if noted:
        return int(noted[1])
    bounds = _integer_constants(module, loop.attribute("condition"))
    if len(bounds) == 1:
        return bounds.pop()
    raise ValueError(
        f"The loop {loop.name} ({loop.op_name or 'of unknown origin'}) has no bound that its "
        f"condition shows (constants there: {sorted(bounds)}); how often it runs is not known."
    )


def _integer_constants(module: Module, computation: str) -> set[int]:
    """Integer scalars in a computation and in those that it calls."""
    found = set()
    for one in module.computations[computation]:
        value = re.match(r"(\d+)\)", one.rest)
        if one.opcode == "constant" and one.results[0].dtype in ("s32", "u32", "s64") and value:
            found.add(int(value[1]))
        for name in one.called:
            found |= _integer_constants(module, name)
    return found


@dataclasses.dataclass(frozen=True)
class Execution:
    """An instruction and how often it runs in one call of the program.

    Attributes:
      instruction: the instruction.
      times: how often.
      computation: the computation it is in.
      fused: whether it is a part of a fusion, and so keeps its operands on the chip.
      region: the entry or loop body that it belongs to.
    """

    instruction: Instruction
    times: int
    computation: str
    fused: bool
    region: str


def executions(module: Module) -> list[Execution]:
    """Returns every instruction that runs, with how often; branches count as all taken.

    Raises:
      ValueError: for a loop of unknown length.
    """
    found: list[Execution] = []

    def visit(computation: str, times: int, fused: bool, region: str) -> None:
        for one in module.computations[computation]:
            found.append(Execution(one, times, computation, fused, region))
            if one.opcode == "while":
                body = one.attribute("body")
                visit(body, times * trip_count(module, one), False, body)
            for name in one.called:
                visit(name, times, fused or one.opcode == "fusion", region)

    visit(module.entry, 1, False, module.entry)
    return found
