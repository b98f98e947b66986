// Command duckdb runs a query of DuckDB and prints a line of JSON for each row: another reader of
// Parquet and SQLite than the one that wrote them. It is a module of its own, so that only the
// tests need DuckDB.
package main

import (
	"database/sql"
	"fmt"
	"os"

	_ "github.com/duckdb/duckdb-go/v2"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(query string) error {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	rows, err := db.Query("SELECT to_json(r)::VARCHAR FROM (" + query + ") r")
	if err != nil {
		return err
	}
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			return err
		}
		fmt.Println(row)
	}
	return rows.Err()
}
