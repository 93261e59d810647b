"""Records as a pandas DataFrame. pandas comes with the tutorials; without it all but frames works."""

from __future__ import annotations

from typing import Any

from gaudi_lab.errors import LabError


def make_frame(records: list[dict[str, Any]]) -> Any:
    """Return records as a pandas DataFrame, a row for each.

    Raises
    ------
    LabError
        pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise LabError(
            "A frame needs pandas.", python="pip install pandas", magic="%pip install pandas"
        ) from error
    return pandas.DataFrame(records)


class Framed:
    """What has records has them as a frame too."""

    __slots__ = ()

    def to_records(self) -> list[dict[str, Any]]:
        """Return plain values, a dict a row."""
        raise NotImplementedError

    def to_frame(self) -> Any:
        """Return the records as a pandas DataFrame.

        Raises
        ------
        LabError
            pandas is not installed.
        """
        return make_frame(self.to_records())
