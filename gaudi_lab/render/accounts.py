"""How the report of a replaced process is laid out."""

from __future__ import annotations

from gaudi_lab.handover.account import Account
from gaudi_lab.render import layout, units


@layout.line.register
def _(account: Account) -> str:
    facts = [
        f"fresh process in {account.seconds:.1f} s",
        f"kept {units.count(len(account.kept), 'name')}",
        f"re-ran {len(account.rerun)}" if account.rerun else "",
        f"dropped {', '.join(account.dropped)}" if account.dropped else "",
        units.size(account.size),
    ]
    return layout.join(f"{account.title}: {', '.join(filter(None, facts))}", *account.notes)
