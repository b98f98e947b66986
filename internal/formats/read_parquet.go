package formats

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"runtime"
	"strconv"
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
	t = &Table{Names: []string{}, Commas: true}
	place := map[int]int{} // in a record, by the number of the leaf
	text := map[int]func(parquet.Value) string{}
	for _, field := range f.Schema().Fields() {
		leaf, flat := f.Schema().Lookup(field.Name())
		var toText func(parquet.Value) string
		if flat && !field.Repeated() {
			toText = textOf(field.Type())
		}
		if toText == nil {
			t.Notes = append(t.Notes, fmt.Sprintf("column %s left out: it has lists, structures "+
				"or bytes", field.Name()))
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
					cell := strings.ReplaceAll(text[v.Column()](v), "\x00", "\ufffd")
					r.Cells[k] = strings.ToValidUTF8(cell, "\ufffd")
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
			return fmt.Errorf("%w; write it again, with another compression such as zstd", err)
		case n == 0:
			return errors.New("it has fewer rows than it says")
		}
	}
}

// textOf returns a function that writes a value of a type as a text, nil if the values are bytes
// that are no text.
func textOf(typ parquet.Type) func(parquet.Value) string {
	var logical any
	if of := typ.LogicalType(); of != nil {
		logical = of.Value
	}
	switch kind := logical.(type) {
	case *format.TimestampType:
		layout := "2006-01-02T15:04:05.999999999"
		if kind.IsAdjustedToUTC {
			layout = time.RFC3339Nano
		}
		return func(v parquet.Value) string { return instant(v, kind.Unit).Format(layout) }
	case *format.TimeType:
		return func(v parquet.Value) string {
			return instant(v, kind.Unit).Format("15:04:05.999999999")
		}
	case *format.DateType:
		return func(v parquet.Value) string {
			return time.Unix(0, 0).UTC().AddDate(0, 0, int(v.Int32())).Format(time.DateOnly)
		}
	case *format.DecimalType:
		return decimalText(int(kind.Scale))
	case *format.UUIDType:
		return func(v parquet.Value) string {
			b := v.ByteArray()
			return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		}
	case *format.IntType:
		if !kind.IsSigned && kind.BitWidth == 64 {
			return func(v parquet.Value) string { return strconv.FormatUint(v.Uint64(), 10) }
		}
		if !kind.IsSigned {
			return func(v parquet.Value) string { return fmt.Sprint(v.Uint32()) }
		}
	case *format.BsonType:
		return nil
	}
	switch typ.Kind() {
	case parquet.Int96: // nanoseconds of a Julian day, as older programs write times
		return func(v parquet.Value) string {
			n := v.Int96()
			day, rest := int64(n[2])-2440588, int64(n[1])<<32|int64(n[0])
			return time.Unix(day*24*60*60, rest).UTC().Format("2006-01-02T15:04:05.999999999")
		}
	case parquet.FixedLenByteArray:
		return nil
	}
	return parquet.Value.String
}

// instant is a time since 1970, or since midnight.
func instant(v parquet.Value, unit format.TimeUnit) time.Time {
	n := integer(v)
	switch unit.Value.(type) {
	case *format.MilliSeconds:
		return time.UnixMilli(n).UTC()
	case *format.MicroSeconds:
		return time.UnixMicro(n).UTC()
	}
	return time.Unix(0, n).UTC()
}

func integer(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

// decimalText writes decimals of a scale, which are integers or the bytes of one (Parquet,
// "Logical Types"). No decimal that a program writes has more than 76 digits.
func decimalText(scale int) func(parquet.Value) string {
	if scale < 0 || scale > 76 {
		return nil
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	return func(v parquet.Value) string {
		n := new(big.Int)
		if v.Kind() == parquet.Int32 || v.Kind() == parquet.Int64 {
			n.SetInt64(integer(v))
		} else if b := v.ByteArray(); len(b) > 0 {
			n.SetBytes(b)
			if b[0]&0x80 != 0 {
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
			}
		}
		return new(big.Rat).SetFrac(n, unit).FloatString(scale)
	}
}
