"""Asks SQL over the PostgreSQL wire as real clients do, and prints what they saw, a line of JSON each.

`sql.py clients HOST:PORT USER PASSWORD`: psycopg with text and with binary answers, asyncpg, prepared statements, refusals, cancel and deadline.
`sql.py panels HOST:PORT USER PASSWORD`: runs the queries of dashboards, JSON lines on standard input, as Grafana does: simple queries, answers as text.
"""

import asyncio
import json
import socket
import struct
import sys
import threading
import time

import asyncpg
import psycopg

ROWS = "SELECT service_name, sum(requests) AS requests, max(time) AS latest, sum(errors) > 0 AS failed, avg(requests) AS mean FROM red GROUP BY 1 ORDER BY 1"
SLOW = "SELECT count(*) FROM generate_series(1, 100000000) a JOIN generate_series(1, 100000000) b ON a.value % 1000 = b.value % 1000"


def say(**fields):
    print(json.dumps(fields, default=str), flush=True)


def told(error):
    return getattr(error, "sqlstate", None) or type(error).__name__


def try_to(name, act):
    try:
        say(name=name, answer=act())
    except Exception as error:  # what it was is what is told
        say(name=name, error=told(error), text=str(error)[:300])


def with_psycopg(conninfo, binary):
    kind = "binary" if binary else "text"
    with psycopg.connect(conninfo, autocommit=True) as connection, connection.cursor(binary=binary) as cursor:
        try_to(f"psycopg {kind}", lambda: cursor.execute(ROWS).fetchall())
        ask = "SELECT service_name, requests FROM red WHERE service_name = %s AND requests >= %s LIMIT 1"
        try_to(f"psycopg {kind} parameters", lambda: [cursor.execute(ask, ("payment", 1)).fetchone()[0] for _ in range(8)])
        try_to(f"psycopg {kind} catalog", lambda: cursor.execute("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'haldane'").fetchone())


def refusals(conninfo):
    statements = [
        "DELETE FROM red", "DROP VIEW red", "CREATE TABLE t AS SELECT 1", "INSERT INTO red SELECT * FROM red", "COPY red TO '/tmp/x'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", "SET datafusion.execution.batch_size = 1", "EXPLAIN ANALYZE SELECT 1",
        "SELECT * FROM red a, red b", "SELECT nothing FROM red", "SELEC 1", "SELECT * FROM generate_series(1, 1000000)", "SELECT 1; DROP TABLE red",
        "SELECT * FROM '/etc/passwd'", "DECLARE c CURSOR FOR SELECT 1", "SET TIMEZONE = 'Asia/Tokyo'", "EXPLAIN (ANALYZE) SELECT 1",
        "SELECT repeat('x', 500000000)", "SELECT array_repeat(1, 1000000000)", "SELECT levenshtein('a', 'b')",
        "SELECT * FROM pg_catalog.pg_proc a, pg_catalog.pg_proc b, pg_catalog.pg_proc c",
        "SELECT count(*) FROM (SELECT unnest([1, 2])) a, (SELECT unnest([1, 2])) b",
        "SELECT " + "+".join(["1"] * 1000), "SELECT '" + "x" * 70000 + "'",
    ]
    for statement in statements:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            result = connection.pgconn.exec_(statement.encode())
            state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
            say(name=f"refused {statement[:60]}", error=state and state.decode(), text=(result.error_message or b"").decode()[:300])


def limits(conninfo):
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.pgconn.exec_(b"SET statement_timeout = '1s'")
        began = time.monotonic()
        result = connection.pgconn.exec_(SLOW.encode())
        say(name="timeout", error=(result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode(), seconds=time.monotonic() - began)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        began = time.monotonic()
        threading.Timer(1, connection.cancel_safe).start()
        result = connection.pgconn.exec_(SLOW.encode())
        say(name="cancel", error=(result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode(), seconds=time.monotonic() - began)
        try_to("after cancel", lambda: connection.execute("SELECT 1").fetchone())


async def with_asyncpg(host, port, user, password):
    try:
        connection = await asyncpg.connect(host=host, port=int(port), user=user, password=password, database="haldane", ssl=False)
        rows = await connection.fetch(ROWS)
        say(name="asyncpg", answer=[tuple(row) for row in rows])
        rows = await connection.fetch("SELECT service_name FROM red WHERE service_name = $1 LIMIT 1", "payment")
        say(name="asyncpg parameters", answer=[tuple(row) for row in rows])
        async with connection.transaction():
            seen = [tuple(row) async for row in connection.cursor("SELECT requests, time FROM red WHERE requests > 0 LIMIT 3")]
        say(name="asyncpg cursor", answer=[[row[0] < 1000000, row[1].year > 2000] for row in seen])
        await connection.reset()
        await connection.close()
    except Exception as error:
        say(name="asyncpg", error=told(error), text=str(error)[:300])


def clients(host, port, user, password):
    conninfo = f"host={host} port={port} user={user} password={password or 'x'} dbname=haldane sslmode=disable"
    with_psycopg(conninfo, False)
    with_psycopg(conninfo, True)
    asyncio.run(with_asyncpg(host, port, user, password))
    refusals(conninfo)
    limits(conninfo)
    for wrong in [f"{conninfo} password=wrong", f"host={host} port={port} user=nobody password=x dbname=haldane sslmode=disable"]:
        try_to("wrong password", lambda: psycopg.connect(wrong).execute("SELECT 1").fetchone())
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for view in ["spans", "logs", "metrics", "red", "errors", "rollouts", "verdicts", "checks", "culprits", "changes", "events", "notifications", "services"]:
            try_to(f"view {view}", lambda: len(connection.execute(f"SELECT * FROM haldane.{view} LIMIT 3").fetchall()))
        try_to("version", lambda: connection.execute("SELECT version()").fetchone())
        try_to("long list", lambda: connection.execute("SELECT count(*) FROM red WHERE requests IN (" + ",".join(map(str, range(5000))) + ")").fetchone())
        say(name="ping", answer=[connection.pgconn.exec_(text).status for text in (b"-- ping", b";")])
        two = connection.pgconn.exec_(b"SET TIMEZONE TO 'UTC'; SELECT count(*) FROM red")
        say(name="two statements", answer=two.ntuples, text=(two.error_message or b"").decode())


def hold(host, port, user, password):
    """Asks, waits for a line, and asks again."""
    connection = psycopg.connect(f"host={host} port={port} user={user} password={password} dbname=haldane sslmode=disable", autocommit=True)
    try_to("before", lambda: connection.execute("SELECT 1").fetchone())
    sys.stdin.readline()
    try_to("after", lambda: connection.execute("SELECT 1").fetchone())


def stranger(host, port, user, password):
    """Asks after a login that failed, as no client would."""
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        parameters = b"user\0nobody\0database\0haldane\0haldane.logged_in\0unasked\0\0"
        wire.sendall(struct.pack("!ii", 8 + len(parameters), 196608) + parameters)
        junk = b"p" + struct.pack("!i", 8) + b"junk"
        text = b"SELECT count(*) FROM generate_series(1, 10)\0"
        wire.sendall(junk + b"Q" + struct.pack("!i", 4 + len(text)) + text)
        seen = b""
        try:
            while piece := wire.recv(65536):
                seen += piece
        except OSError:
            pass
        say(name="stranger", rows=seen.count(b"SELECT 1"), bytes=len(seen))


def panels(host, port, user, password):
    connection = psycopg.connect(f"host={host} port={port} user={user} password={password or 'x'} dbname=haldane sslmode=disable", autocommit=True)
    for line in sys.stdin:
        query = json.loads(line)
        result = connection.pgconn.exec_(query["sql"].encode())
        failed = result.status not in (psycopg.pq.ExecStatus.TUPLES_OK, psycopg.pq.ExecStatus.EMPTY_QUERY)
        columns = [] if failed else [[result.fname(at).decode(), result.ftype(at)] for at in range(result.nfields)]
        error = (result.error_message or b"").decode().strip() if failed else None
        say(dashboard=query["dashboard"], panel=query["panel"], ref=query.get("ref"), format=query.get("format"), columns=columns, rows=result.ntuples, error=error)


if __name__ == "__main__":
    mode, address, user, password = (sys.argv[1:] + ["", ""])[:4]
    host, port = address.rsplit(":", 1)
    {"clients": clients, "hold": hold, "panels": panels, "stranger": stranger}[mode](host, port, user, password)
