"""The census, and how long the database takes to answer."""

from dataclasses import dataclass

from stepsize.store.census import Census, take_census, time_round_trip
from stepsize.store.database import Database, DatabaseError


@dataclass(frozen=True)
class CensusReading:
    """What the record says; `census` is None where the database doesn't answer."""

    census: Census | None
    round_trip_s: float | None
    """Seconds for the smallest of questions."""


def read_census(database: Database, *, lease_s: float) -> CensusReading:
    """Return the counts; a database that is away is a reading too."""
    try:
        with database.read() as connection:
            round_trip_s = time_round_trip(connection)
            return CensusReading(take_census(connection, lease_s=lease_s), round_trip_s)
    except DatabaseError:
        return CensusReading(None, None)
