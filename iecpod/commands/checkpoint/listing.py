"""`iecpod checkpoint ls`, `show` and `rm`: what there is, who needs it, and the removal of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from iecpod.checkpoints.checkpoint_store import Kept
from iecpod.reports.table import format_table
from iecpod.units import format_age, format_size, format_utc, parse_utc


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCheckpoint:
    """`size_bytes` counts the layers, of which `shared_bytes` belong to others, too. `users` are named in words."""

    kept: Kept
    size_bytes: int
    shared_bytes: int
    used_at: float
    users: tuple[str, ...]


def checkpoints_text(shown: Sequence[ShownCheckpoint], *, now: float) -> str:
    if not shown:
        return "there are no checkpoints"
    header = ("ID", "NAME", "POD", "MADE", "USED", "SIZE", "MEMORY", "NEEDED BY", "WHAT")
    return format_table(header, [_row(one, now) for one in shown])


def _row(shown: ShownCheckpoint, now: float) -> tuple[str, ...]:
    checkpoint, size = shown.kept.checkpoint, format_size(shown.size_bytes)
    users = ", ".join(shown.users) or "-"
    used = format_age(now - shown.used_at)
    if checkpoint is None:
        return shown.kept.id, "-", "-", "-", used, size, "-", users, f"damaged: {shown.kept.why}"
    return (
        checkpoint.id,
        checkpoint.name or "-",
        str(checkpoint.ref),
        format_age(now - parse_utc(checkpoint.made_at)),
        used,
        size,
        "yes" if checkpoint.has_memory else "no",
        users,
        checkpoint.software,
    )


def checkpoints_json(shown: Sequence[ShownCheckpoint]) -> str:
    return json.dumps([_data(one) for one in shown], indent=2)


def _data(shown: ShownCheckpoint) -> dict[str, Any]:
    checkpoint = shown.kept.checkpoint
    found: dict[str, Any] = {
        "id": shown.kept.id,
        "path": str(shown.kept.path),
        "size_bytes": shown.size_bytes,
        "shared_bytes": shown.shared_bytes,
        "used_at": format_utc(shown.used_at),
        "needed_by": list(shown.users),
        "damaged": shown.kept.why,
    }
    if checkpoint is None:
        return found
    machines = [
        {
            "hostname": machine.hostname,
            "memory_bytes": machine.memory.size_bytes if machine.memory else None,
            "layers": [layer.name for layer in machine.layers],
            "base_image": machine.base_image,
        }
        for machine in checkpoint.machines
    ]
    return found | {
        "name": checkpoint.name,
        "pod": str(checkpoint.ref),
        "installation": checkpoint.installation,
        "made_at": checkpoint.made_at,
        "software": checkpoint.software,
        "has_memory": checkpoint.has_memory,
        "memory_inputs": dict(checkpoint.memory_inputs),
        "inputs": dict(checkpoint.inputs),
        "machines": machines,
    }


def checkpoint_text(shown: ShownCheckpoint, *, now: float) -> str:
    """One checkpoint with its machines and with what it was made of."""
    text = checkpoints_text([shown], now=now)
    checkpoint = shown.kept.checkpoint
    if checkpoint is None:
        return text
    machines = [
        (
            machine.hostname,
            format_size(machine.memory.size_bytes) if machine.memory else "-",
            str(len(machine.layers)),
            format_size(sum(layer.size_bytes for layer in machine.layers)),
            machine.base_image[:12],
        )
        for machine in checkpoint.machines
    ]
    table = format_table(("NODE", "MEMORY", "LAYERS", "DISK", "BASE IMAGE"), machines)
    inputs = format_table(("MADE OF", "DIGEST"), [(name, digest[:12]) for name, digest in checkpoint.inputs.items()])
    memory = format_table(("MEMORY OF", ""), list(checkpoint.memory_inputs.items()))
    return f"{text}\n\n{table}\n\n{inputs}\n\n{memory}"
