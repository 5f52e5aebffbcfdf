"""The verdicts of FORMAT.md §3 on the newest authentic record, held against what is known to be flushed. Pure."""

from __future__ import annotations

from ..errors import Damaged, RollbackDetected
from ..format import record as v1
from ..format.sealed import Container, Witness


def check_witness(generation: int, last: v1.Record, container: Container, *, torn: bool) -> None:
    """Raise the verdict of FORMAT.md §3 unless it is clean, or torn and not witnessed."""
    witness = container.witness
    if witness is None or (generation, last.seq) > (witness.generation, witness.seq):
        return
    if (generation, last.seq) == (witness.generation, witness.seq):
        refuse_fork(last, witness)
    elif torn:
        raise Damaged(
            f"records up to {witness.seq} of generation {witness.generation} were acknowledged; "
            f"only those up to {last.seq} of generation {generation} authenticate"
        )
    else:
        raise RollbackDetected(
            f"record {last.seq} of generation {generation} is authentic, but record {witness.seq} of generation "
            f"{witness.generation} is known to have been written: rolled back or truncated"
        )


def refuse_fork(record: v1.Record, witness: Witness) -> None:
    """``Damaged`` for a record of the witness' place in the chain that is not the witness' record."""
    if record.seq == witness.seq and record.tag != witness.version:
        raise Damaged(f"record {record.seq} is not the one that was acknowledged: the chain has forked")
