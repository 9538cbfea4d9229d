"""One serving process of the four: polls as the runtime does, and says on stdout which split it follows."""

import os
import sys
import time

import django

django.setup()

from django.db import connection  # noqa: E402 (needs the apps loaded)

connection.settings_dict["NAME"] = sys.argv[1]

from inference.serving.routes import EMPTY, read_revision, read_table  # noqa: E402

SLUG, POLL_S = sys.argv[2], 1.0


def main() -> None:
    table = EMPTY
    following = -1
    while os.getppid() != 1:
        if read_revision() != table.revision:
            table = read_table(table)
        split = table.find(SLUG).split
        if split != following:
            following = split
            sys.stdout.write(f"{split}\n")
            sys.stdout.flush()
        time.sleep(POLL_S)  # the poll itself: this is the process under test, not the test


main()
