"""Counts the rows of Haldane's tables with DuckDB by service and version.

Reads a table with `delta_scan` where DuckDB has its Delta extension at hand; else the Parquet files that the table's log names as
live (added and not removed since), which is what the extension does. Prints a line of JSON for each table.
"""

import json
import pathlib
import sys
import urllib.parse

import duckdb


def live_files(table):
    """The files of the newest version, by the table's own log."""
    log, files = table / "_delta_log", {}
    hint = log / "_last_checkpoint"
    start = -1
    if hint.exists():
        start = json.loads(hint.read_text())["version"]
        for (add,) in duckdb.sql(f"SELECT add.path FROM '{log}/{start:020}.checkpoint*.parquet' WHERE add.path IS NOT NULL").fetchall():
            files[add] = None
    for commit in sorted(log.glob("[0-9]*.json")):
        if int(commit.stem) <= start:
            continue
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                files[action["add"]["path"]] = None
            elif "remove" in action:
                files.pop(action["remove"]["path"], None)
    return [str(table / urllib.parse.unquote(path)) for path in files]


def source(connection, table, has_delta):
    if has_delta:
        return f"delta_scan('{table}')"
    files = live_files(table)
    # The partition column is in the paths, not in the files.
    return f"read_parquet({files!r}, hive_partitioning = true, union_by_name = true)" if files else None


def main():
    tables = pathlib.Path(sys.argv[1])
    connection = duckdb.connect()
    try:
        connection.sql("LOAD delta")
        has_delta = True
    except duckdb.Error:
        has_delta = False
    for name in sys.argv[2:]:
        rows = source(connection, tables / name, has_delta)
        columns = "service_name, service_version, count(*), count(DISTINCT date), epoch_us(min(time))"
        groups = connection.sql(f"SELECT {columns} FROM {rows} GROUP BY 1, 2 ORDER BY 1, 2").fetchall() if rows else []
        print(json.dumps({"table": name, "groups": groups}))


if __name__ == "__main__":
    main()
