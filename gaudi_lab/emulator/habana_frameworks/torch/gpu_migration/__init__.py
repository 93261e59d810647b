"""GPU migration: importing this lets the program's "cuda" mean `hpu`, for the rest of the process."""

from gaudi_lab.emulator import migrated

migrated.migrate()
