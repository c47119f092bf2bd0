"""`python -m tests.clients`: measure every client on every face, say what departs from the file, write the page."""

from __future__ import annotations

import logging
import sys
import warnings

from tests.clients import page
from tests.clients.every import CLIENTS, faces, measured
from tests.clients.expected import departures, draft


def main() -> int:
    """Return 0 when everything is as expected, 1 otherwise."""
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # what the libraries say of their failures
    logging.getLogger("ramprig").addHandler(logging.StreamHandler())
    expected = faces()
    wrong = 0
    for client in CLIENTS:
        for name, findings in measured(client, expected).items():
            face = expected.get(name)
            if face is None or client.name not in face.rows:
                print(f"# expected.toml has no rows for {client.name} on {name}; as measured:")
                print(draft(client, name, "?" if face is None else face.model, findings), end="\n\n")
                wrong += 1
                continue
            for line in departures(client, face, findings):
                print(line)
                wrong += 1
    page.FILE.write_text(page.render(CLIENTS, expected), encoding="utf-8")
    print(f"{page.FILE.name} is written; {wrong or 'no'} departure{'' if wrong == 1 else 's'} from expected.toml")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
