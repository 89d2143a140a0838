"""Who could pull an image himself, whom he let in, and who has used it how often.

What counts on the nodes is the image's own description in the store; this remembers how it came about.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spank_container.gateway.answers import Use
from spank_container.values.access import Access

if TYPE_CHECKING:
    from collections.abc import Collection

    from spank_container.gateway.database import Database


@dataclass(frozen=True, slots=True)
class Ledger:
    """The tables `grants` and `uses`."""

    database: Database

    def adopt(self, digest: str, access: Access) -> None:
        """Take over what the store says of an image that we know nothing of: our database was lost."""
        if not self.pullers(digest):
            self.grant(digest, access.owner, access.users, access.groups)

    def grant(self, digest: str, granter: int, users: Collection[int], groups: Collection[int]) -> None:
        """`granter` could pull the image himself; he lets in these and nobody else."""
        with self.database.change() as change:
            change.execute(
                "DELETE FROM grants WHERE digest = ? AND granter = ? AND kind != 'puller'", (digest, granter)
            )
            rows = [("puller", granter), *(("user", uid) for uid in users), *(("group", gid) for gid in groups)]
            change.executemany(
                "INSERT OR IGNORE INTO grants VALUES (?, ?, ?, ?, ?)",
                [(digest, granter, kind, number, time.time()) for kind, number in rows],
            )

    def pullers(self, digest: str) -> tuple[int, ...]:
        """The first first: he owns the image."""
        query = "SELECT granter FROM grants WHERE digest = ? AND kind = 'puller' ORDER BY since, granter"
        return tuple(row["granter"] for row in self.database.rows(query, digest))

    def access(self, digest: str) -> Access | None:
        """All who may use the image; None when nobody has pulled it."""
        pullers = self.pullers(digest)
        if not pullers:
            return None
        rows = self.database.rows("SELECT kind, id FROM grants WHERE digest = ?", digest)
        users = {row["id"] for row in rows if row["kind"] != "group"} - {pullers[0]}
        groups = {row["id"] for row in rows if row["kind"] == "group"}
        return Access(pullers[0], tuple(sorted(users)), tuple(sorted(groups)))

    def disown(self, digest: str) -> None:
        """The image is removed: who wants it again has to be let in by the registry again."""
        with self.database.change() as change:
            change.execute("DELETE FROM grants WHERE digest = ?", (digest,))

    def use(self, digest: str, reference: str, uid: int) -> None:
        """A job asks for the image."""
        now = time.time()
        with self.database.change() as change:
            change.execute(
                "INSERT INTO uses VALUES (?, ?, ?, 1, ?, ?) "
                "ON CONFLICT DO UPDATE SET count = count + 1, last = excluded.last",
                (digest, reference, uid, now, now),
            )

    def usage(self, uid: int | None = None) -> tuple[Use, ...]:
        """The last used first."""
        rows = self.database.rows("SELECT * FROM uses WHERE ?1 IS NULL OR uid = ?1 ORDER BY last DESC", uid)
        return tuple(Use(**dict(row)) for row in rows)

    def totals(self) -> dict[str, tuple[int, float]]:
        """By digest: how often it was used in all, and when last."""
        rows = self.database.rows("SELECT digest, sum(count) AS count, max(last) AS last FROM uses GROUP BY digest")
        return {row["digest"]: (row["count"], row["last"]) for row in rows}

    def users_of(self, digest: str) -> frozenset[int]:
        rows = self.database.rows("SELECT DISTINCT uid FROM uses WHERE digest = ?", digest)
        return frozenset(row["uid"] for row in rows)
