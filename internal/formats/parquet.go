package formats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// rowGroup is how many rows are held in memory and can be read for themselves.
const rowGroup = 1 << 17

// group is a group of Parquet whose fields keep the order of the columns.
type group struct {
	parquet.Group
	order []string
}

func (g group) Fields() []parquet.Field {
	fields := g.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(g.order, a.Name()) - slices.Index(g.order, b.Name())
	})
	return fields
}

// GoType is asked for by the library. A Go struct can't have a name with a comma in it.
func (g group) GoType() reflect.Type { return reflect.TypeFor[map[string]any]() }

func groupOf(columns []Column) group {
	g := group{Group: parquet.Group{}}
	for _, c := range columns {
		node := map[Kind]parquet.Node{Text: parquet.String(), Integer: parquet.Int(64),
			Number: parquet.Leaf(parquet.DoubleType),
			Time:   parquet.Timestamp(parquet.Microsecond)}[c.Kind]
		g.Group[c.Name] = parquet.Optional(node)
		g.order = append(g.order, c.Name)
	}
	return g
}

// WriteParquet writes a Parquet file, compressed by zstd. The metadata of a column has its unit
// under the key "unit". The metadata of the file has all units, as "unit.NAME", for readers that
// show no others. The conformers are a list of structures in the column conformers.
func WriteParquet(to io.Writer, x Export) error {
	root := groupOf(x.Columns)
	if x.Conformers != nil {
		root.Group["conformers"] = parquet.List(groupOf(x.Conformers))
		root.order = append(root.order, "conformers")
	}
	options := []parquet.WriterOption{parquet.NewSchema("molecules", root),
		parquet.Compression(&zstd.Codec{}), parquet.MaxRowsPerRowGroup(rowGroup)}
	units := append(slices.Clone(x.Columns), x.Conformers...)
	for _, c := range units {
		if c.Unit != "" {
			options = append(options, parquet.KeyValueMetadata("unit."+c.Name, c.Unit))
		}
	}
	end := &ending{to: to}
	w := parquet.NewWriter(end, options...)
	for i := range x.Rows {
		values, conformers, err := x.Row(i)
		if err != nil {
			return err
		}
		if _, err := w.WriteRows([]parquet.Row{parquetRow(x, values, conformers)}); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	end.holds = true
	if err := w.Close(); err != nil {
		return err
	}
	return end.write(units)
}

// parquetRow is a row as Parquet stores it: each value with its repetition level and its definition
// level. The repetition level is 1 for the second and later conformers. The definition level says
// how far down the value is there.
func parquetRow(x Export, values []any, conformers [][]any) (row parquet.Row) {
	add := func(v any, repetition, depth, column int) {
		if t, ok := v.(time.Time); ok {
			v = t.UnixMicro()
		}
		if v != nil {
			depth++
		}
		row = append(row, parquet.ValueOf(v).Level(repetition, depth, column))
	}
	for k, v := range values {
		add(v, 0, 0, k)
	}
	for k := range x.Conformers {
		at := len(values) + k
		for n, c := range conformers {
			add(c[k], min(n, 1), 1, at)
		}
		if len(conformers) == 0 {
			add(nil, 0, 0, at)
		}
	}
	return row
}

// ending passes on what is written until it holds it: then it is the end of a Parquet file.
type ending struct {
	to    io.Writer
	holds bool
	held  bytes.Buffer
}

func (e *ending) Write(p []byte) (int, error) {
	if e.holds {
		return e.held.Write(p)
	}
	return e.to.Write(p)
}

// write writes the end with the units of the columns, which the library itself can't state. Nothing
// in the file refers to a place behind the footer, so that it may become longer.
func (e *ending) write(columns []Column) error {
	const trailer = 8 // the length of the footer, and "PAR1"
	end := e.held.Bytes()
	start := len(end) - trailer
	if start >= 0 {
		start -= int(binary.LittleEndian.Uint32(end[start:]))
	}
	if start < 0 {
		return errors.New("the Parquet file has no footer")
	}
	var meta format.FileMetaData
	protocol := &thrift.CompactProtocol{}
	if err := thrift.Unmarshal(protocol, end[start:len(end)-trailer], &meta); err != nil {
		return fmt.Errorf("the footer of the Parquet file can't be read again: %w", err)
	}
	for _, rows := range meta.RowGroups {
		for k := range rows.Columns {
			if unit := columns[k].Unit; unit != "" {
				pair := format.KeyValue{Key: "unit", Value: unit}
				rows.Columns[k].MetaData.KeyValueMetadata = []format.KeyValue{pair}
			}
		}
	}
	footer, err := thrift.Marshal(protocol, &meta)
	if err != nil {
		return err
	}
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(footer)))
	_, err = e.to.Write(slices.Concat(end[:start], footer, size, []byte("PAR1")))
	return err
}
