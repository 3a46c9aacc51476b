"""Plans as tables: for the terminal, and as the page `docs/plans.md`."""

from collections.abc import Sequence

from rich.table import Table

from flan_jax.parallel.mesh import describe
from flan_jax.parallel.planning import chips
from flan_jax.parallel.planning.plan import Plan

_GIB = 2**30
_KINDS = {
    "all-gather": "gather",
    "all-reduce": "reduce",
    "reduce-scatter": "scatter",
    "all-to-all": "all-to-all",
    "collective-permute": "permute",
    "between-slices": "slices",
}


def overview(plans: Sequence[Plan]) -> Table:
    """Returns one line a plan: memory, times and the bound on utilisation."""
    table = Table(title="Plans, best first")
    table.add_column("mesh")
    table.add_column("remat")
    table.add_column("by")
    for name in ("GiB", "of", "FLOP s", "HBM s", "links s", "step s", "MFU <=", "serial"):
        table.add_column(name, justify="right")
    table.add_column("bound by")
    for one in plans:
        table.add_row(describe(one.mesh), one.remat, one.method, *_figures(one))
    return table


def _figures(one: Plan) -> list[str]:
    total = f"{one.memory.total / _GIB:.1f}" if one.memory else "?"
    size = f"{one.hbm_bytes / _GIB:.0f}"
    if not one.fits or one.roofline is None:
        return [total, size, *["-"] * 6, "does not fit"]
    line = one.roofline
    times = (line.compute_seconds, line.hbm_seconds, line.network_seconds, line.step_seconds)
    return [
        total,
        size,
        *[f"{seconds:.3g}" for seconds in times],
        f"{line.mfu_bound:.0%}",
        f"{line.mfu_serial:.0%}",
        line.bound_by,
    ]


def details(one: Plan) -> str:
    """Returns the memory by kind, the arithmetic, the collectives and the links of one plan."""
    lines = [f"{one.topology} x {one.num_slices} slice(s), {describe(one.mesh)}, {one.remat}"]
    if one.memory:
        held = one.memory
        parts = {
            "parameters": held.parameters,
            "optimiser": held.optimizer,
            "gradients": held.gradients,
            "saved activations": held.activations,
            "workspace": held.workspace,
        }
        lines.append("memory a device, GiB:")
        lines += [f"  {name:<18}{size / _GIB:>8.2f}" for name, size in parts.items()]
        lines.append(f"  {'total':<18}{held.total / _GIB:>8.2f} of {one.hbm_bytes / _GIB:.0f}")
    if one.roofline:
        needed, executed = one.roofline.model_flops, one.roofline.executed_flops
        lines.append(f"FLOPs a step: {needed:.3e}; with recomputation {executed:.3e}")
        times = one.roofline.link_seconds.items()
        lines.append("busy links, s: " + ", ".join(f"{name} {t:.3g}" for name, t in times))
    if one.collectives is not None:
        lines.append("collectives a step and device:")
        for kind, total in one.collectives.items():
            lines.append(f"  {kind:<20}{total['count']:>8} {total['bytes'] / 1e9:>10.2f} GB")
        lines.append(f"all-reduces of weights outside gradients: {one.forward_weight_all_reduces}")
    if one.note:
        lines.append(one.note)
    return "\n".join(lines)


def settings(one: Plan) -> str:
    """Returns the arguments of `scripts/train.py` that choose the plan's mesh and policy."""
    mesh = f"--gin.TrainRun.mesh='\"{describe(one.mesh)}\"'"
    return f"{mesh} --gin.ModelConfig.remat='\"{one.remat}\"'"


def markdown(plans: Sequence[tuple[int, Plan]]) -> str:
    """Returns compiled plans, with the rows of their batches, as a table of a Markdown page."""
    rows = [
        "| topology | mesh | rows | remat | GiB of | compute s | HBM s | links s | MFU bound | "
        "collectives GB | CPU s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for count, one in plans:
        topology = one.topology if one.num_slices == 1 else f"{one.num_slices} x {one.topology}"
        first = f"| {topology} | {describe(one.mesh)} | {count} | {one.remat} |"
        size = f"{one.memory.total / _GIB:.1f} of" if one.memory else "over"
        size += f" {one.hbm_bytes / _GIB:.0f}"
        spent = f"{one.compile_seconds:.0f}"
        if not one.fits or one.roofline is None:
            rows.append(f"{first} {size} | | | | does not fit | | {spent} |")
            continue
        line = one.roofline
        sent = ", ".join(
            f"{_KINDS[kind]} {total['bytes'] / 1e9:.1f}"
            for kind, total in (one.collectives or {}).items()
        )
        rows.append(
            f"{first} {size} | {line.compute_seconds:.3f} | {line.hbm_seconds:.3f} | "
            f"{line.network_seconds:.3f} | {line.mfu_bound:.0%} | {sent} | {spent} |"
        )
    return "\n".join(rows)


def chip_table() -> str:
    """Returns the figures of all chips and where they come from, as Markdown."""
    rows = [
        "| chip | TFLOP/s bf16 | HBM GiB | HBM GB/s | link GB/s, one way | "
        "other slices or nodes, GB/s a chip | sources |",
        "|---|---|---|---|---|---|---|",
    ]
    for chip in chips.CHIPS.values():
        links = f"{2 * chip.torus_axes} x " if chip.is_tpu else ""
        rows.append(
            f"| {chip.name} | {chip.peak_flops / 1e12:.0f} | {chip.hbm_bytes / _GIB:.1f} | "
            f"{chip.hbm_bandwidth / 1e9:.0f} | {links}{chip.link_bandwidth / 1e9:.0f} | "
            f"{chip.network_bandwidth / 1e9:.2f} | {'; '.join(chip.sources)} |"
        )
    return "\n".join(rows)
