// Command pgx asks SQL over the PostgreSQL wire with the driver that Grafana and most Go programs use, in every mode that it has.
//
//	pgx DSN <queries
//
// Queries are a JSON array of {"sql": text, "args": [values]}. A value is a text, a number, a truth value, null, an array of texts or of whole
// numbers, {"time": RFC 3339} or {"interval": "5m"}. Each query is asked twice in each mode, for a statement is prepared the first time and
// found the second; the second answer is a line of JSON with columns (name and type), rows, or the error.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib"
)

type query struct {
	SQL  string `json:"sql"`
	Args []any  `json:"args"`
}

type column struct {
	Name string `json:"name"`
	OID  uint32 `json:"oid,omitempty"`
	Type string `json:"type,omitempty"`
}

type answer struct {
	Mode    string   `json:"mode"`
	SQL     string   `json:"sql"`
	Columns []column `json:"columns"`
	Rows    [][]any  `json:"rows"`
	Code    string   `json:"code,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// ask fills in columns and rows.
type ask func(context.Context, *answer, query) error

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "pgx:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: pgx DSN <queries")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var queries []query
	input := json.NewDecoder(os.Stdin)
	input.UseNumber()
	if err := input.Decode(&queries); err != nil {
		return err
	}
	for _, each := range queries {
		for at := range each.Args {
			each.Args[at] = argument(each.Args[at])
		}
	}
	conn, err := pgx.Connect(ctx, os.Args[1])
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if err := conn.Ping(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	db, err := sql.Open("pgx", os.Args[1])
	if err != nil {
		return err
	}
	defer db.Close()
	for _, mode := range []struct {
		name string
		ask  ask
	}{
		{"grafana", grafana(conn)},
		{"simple", by(conn, pgx.QueryExecModeSimpleProtocol)},
		{"prepared", by(conn, pgx.QueryExecModeCacheStatement)},
		{"described", by(conn, pgx.QueryExecModeCacheDescribe)},
		{"described each time", by(conn, pgx.QueryExecModeDescribeExec)},
		{"exec", by(conn, pgx.QueryExecModeExec)},
		{"database/sql", standard(db)},
	} {
		for _, each := range queries {
			if mode.name == "grafana" && len(each.Args) > 0 {
				continue
			}
			if err := json.NewEncoder(os.Stdout).Encode(twice(ctx, mode.name, mode.ask, each)); err != nil {
				return err
			}
		}
	}
	return nil
}

func twice(ctx context.Context, mode string, ask ask, query query) answer {
	var told answer
	for range 2 {
		told = answer{Mode: mode, SQL: query.SQL, Columns: []column{}, Rows: [][]any{}}
		if err := ask(ctx, &told, query); err != nil {
			told.Error = err.Error()
			var wire *pgconn.PgError
			if errors.As(err, &wire) {
				told.Code = wire.Code
			}
			break
		}
	}
	return told
}

// grafana asks as its data source does: the simple protocol without a parser before it, several statements in one text, answers as text.
func grafana(conn *pgx.Conn) ask {
	return func(ctx context.Context, told *answer, query query) error {
		results := conn.PgConn().Exec(ctx, query.SQL)
		for results.NextResult() {
			reader := results.ResultReader()
			result := reader.Read()
			if !result.CommandTag.Select() {
				continue
			}
			told.Columns = columns(result.FieldDescriptions)
			for _, row := range result.Rows {
				values := make([]any, len(row))
				for at, value := range row {
					if value != nil {
						values[at] = string(value)
					}
				}
				told.Rows = append(told.Rows, values)
			}
		}
		return results.Close()
	}
}

func by(conn *pgx.Conn, mode pgx.QueryExecMode) ask {
	return func(ctx context.Context, told *answer, query query) error {
		rows, err := conn.Query(ctx, query.SQL, append([]any{mode}, query.Args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		told.Columns = columns(rows.FieldDescriptions())
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				return err
			}
			told.Rows = append(told.Rows, plain(values))
		}
		return rows.Err()
	}
}

func standard(db *sql.DB) ask {
	return func(ctx context.Context, told *answer, query query) error {
		rows, err := db.QueryContext(ctx, query.SQL, query.Args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		types, err := rows.ColumnTypes()
		if err != nil {
			return err
		}
		for _, each := range types {
			told.Columns = append(told.Columns, column{Name: each.Name(), Type: each.DatabaseTypeName()})
		}
		for rows.Next() {
			values, places := make([]any, len(types)), make([]any, len(types))
			for at := range values {
				places[at] = &values[at]
			}
			if err := rows.Scan(places...); err != nil {
				return err
			}
			told.Rows = append(told.Rows, plain(values))
		}
		return rows.Err()
	}
}

func columns(fields []pgconn.FieldDescription) []column {
	named := make([]column, len(fields))
	for at, field := range fields {
		named[at] = column{Name: field.Name, OID: field.DataTypeOID}
	}
	return named
}

// plain is what JSON can say.
func plain(values []any) []any {
	for at, value := range values {
		switch value := value.(type) {
		case float64:
			if math.IsNaN(value) || math.IsInf(value, 0) {
				values[at] = fmt.Sprint(value)
			}
		case []byte:
			values[at] = string(bytes.ToValidUTF8(value, []byte("?")))
		}
	}
	return values
}

// argument is what a Go program would hand over.
func argument(value any) any {
	switch value := value.(type) {
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return whole
		}
		number, _ := value.Float64()
		return number
	case []any:
		texts, numbers := []string{}, []int64{}
		for _, item := range value {
			switch item := argument(item).(type) {
			case string:
				texts = append(texts, item)
			case int64:
				numbers = append(numbers, item)
			}
		}
		if len(numbers) > 0 {
			return numbers
		}
		return texts
	case map[string]any:
		if text, ok := value["time"].(string); ok {
			at, _ := time.Parse(time.RFC3339, text)
			return at
		}
		text, _ := value["interval"].(string)
		lasts, _ := time.ParseDuration(text)
		return lasts
	default:
		return value
	}
}
