"""`subscribe run` killed with -9 again and again: nothing is missing, nothing is out of order."""

from __future__ import annotations

import sqlite3

from subscription_serving import Commands


def test_with_the_embedded_log_nothing_is_missing_after_many_kills(tmp_path, spawn, wait_for):
    bench = Commands(tmp_path, spawn, "default", kills=10)
    bench.done("add", "*/*", "--position", "beginning")
    log = tmp_path / "state" / "speeddata" / "hub.db"

    def rows(what):
        if not log.exists():
            return []
        try:
            with sqlite3.connect(f"file:{log}?mode=ro", uri=True) as connection:
                return connection.execute(f"SELECT {what} FROM message ORDER BY sequence").fetchall()
        except sqlite3.OperationalError:  # its tables are being made
            return []

    def count():
        found = rows("max(sequence)")
        return (found[0][0] or 0) if found else 0

    bench.kill_again_and_again(count, wait_for)
    bench.check(rows("id, body"))


def test_a_second_run_for_the_same_customer_is_refused(tmp_path, spawn, wait_for):
    bench = Commands(tmp_path, spawn, "default", kills=1)
    bench.done("add", "*/*", "--position", "beginning")
    first = bench.subscribe("run")
    bench.record(0)
    wait_for(lambda: (tmp_path / "state" / "speeddata" / "hub.db").exists())
    second = bench.subscribe("run", "--once")
    assert second.wait() == 1
    (line,) = second.stderr.rest().decode().splitlines()
    assert "default: another run serves this customer; wait for its end, or stop it" in line
    assert first.terminate() in (0, 143)
    bench.end()
