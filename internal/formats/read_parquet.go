package formats

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// The limits of the process that reads a Parquet file.
const (
	mostMemory  = 4 << 30 // bytes
	mostTime    = 5 * time.Minute
	limitExit   = 3
	processName = "GRIMPERIUM_PARQUET" // the variable of the environment that makes it one
)

// answer is what that process writes to its standard output.
type answer struct {
	Table *Table
	Err   string
}

// readParquet reads a Parquet file in a process of its own, which is this executable again. For
// some damaged files the library takes all the memory and time that there is.
func readParquet(ctx context.Context, data []byte) (*Table, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), processName+"=1")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	var a answer
	switch exit, _ := errors.AsType[*exec.ExitError](err); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case exit != nil && exit.ExitCode() == limitExit:
		return nil, fmt.Errorf("it took more than %d GB of memory or %s; split it, if it is not "+
			"damaged", mostMemory>>30, mostTime)
	case exit != nil || err == nil && gob.NewDecoder(bytes.NewReader(out)).Decode(&a) != nil:
		return nil, errors.New("it is damaged")
	case err == nil && a.Err != "":
		err = errors.New(a.Err)
	}
	return a.Table, err
}

// init is the main function of the process that reads.
func init() {
	if os.Getenv(processName) == "" {
		return
	}
	parent, begin := os.Getppid(), time.Now()
	go func() {
		for m := (runtime.MemStats{}); m.Sys < mostMemory && time.Since(begin) < mostTime &&
			os.Getppid() == parent; time.Sleep(10 * time.Millisecond) {
			runtime.ReadMemStats(&m)
		}
		os.Exit(limitExit)
	}()
	data, err := io.ReadAll(os.Stdin)
	var a answer
	if err == nil {
		a.Table, err = parquetTable(data)
	}
	if err != nil {
		a = answer{Err: err.Error()}
	}
	if gob.NewEncoder(os.Stdout).Encode(a) != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// parquetTable reads the columns of a Parquet file that hold one value a row.
func parquetTable(data []byte) (t *Table, err error) {
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)), parquet.SkipPageIndex(true),
		parquet.SkipBloomFilters(true))
	if err != nil { // the library's words are of its own code, such as a negative offset
		return nil, errors.New("it is damaged, or another kind of file")
	}
	unpacked := int64(0)
	for _, rows := range f.Metadata().RowGroups {
		for _, c := range rows.Columns {
			unpacked += max(c.MetaData.TotalUncompressedSize, 0)
		}
	}
	if unpacked > MostBytes {
		return nil, fmt.Errorf("it unpacks to %d MB; at most %d are read at once, so split it",
			unpacked>>20, MostBytes>>20)
	}
	t = &Table{Names: []string{}}
	place := map[int]int{} // in a record, by the number of the leaf
	text := map[int]func(parquet.Value) string{}
	for _, field := range f.Schema().Fields() {
		leaf, flat := f.Schema().Lookup(field.Name())
		var toText func(parquet.Value) string
		if flat && !field.Repeated() {
			toText = textOf(field.Type())
		}
		if toText == nil {
			t.Notes = append(t.Notes, fmt.Sprintf("column %s left out: it is a list, a structure "+
				"or a decimal", field.Name()))
			continue
		}
		place[leaf.ColumnIndex] = len(t.Names)
		text[leaf.ColumnIndex] = toText
		t.Names = append(t.Names, field.Name())
	}
	return t, t.addRows(f, place, text)
}

func (t *Table) addRows(f *parquet.File, place map[int]int,
	text map[int]func(parquet.Value) string) error {
	rows := parquet.NewReader(f)
	defer rows.Close()
	buffer := make([]parquet.Row, 100)
	for {
		n, err := rows.ReadRows(buffer)
		for _, row := range buffer[:n] {
			r := Record{Line: len(t.Records) + 1, Cells: make([]string, len(t.Names))}
			for _, v := range row {
				if k, flat := place[v.Column()]; flat && !v.IsNull() {
					r.Cells[k] = strings.ToValidUTF8(text[v.Column()](v), "\ufffd")
				}
			}
			if err := t.add(r, len(t.Names)); err != nil {
				return fmt.Errorf("row%w", err)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case n == 0:
			return errors.New("it has fewer rows than it says")
		}
	}
}

// textOf returns a function that writes a value of a type as a text, nil for a decimal.
func textOf(typ parquet.Type) func(parquet.Value) string {
	logical := typ.LogicalType()
	if logical == nil {
		return parquet.Value.String
	}
	switch kind := logical.Value.(type) {
	case *format.TimestampType:
		return func(v parquet.Value) string {
			t := time.Unix(0, v.Int64())
			switch kind.Unit.Value.(type) {
			case *format.MilliSeconds:
				t = time.UnixMilli(v.Int64())
			case *format.MicroSeconds:
				t = time.UnixMicro(v.Int64())
			}
			return t.UTC().Format(time.RFC3339Nano)
		}
	case *format.DateType:
		return func(v parquet.Value) string {
			return time.Unix(0, 0).UTC().AddDate(0, 0, int(v.Int32())).Format(time.DateOnly)
		}
	case *format.DecimalType:
		return nil
	}
	return parquet.Value.String
}
